"""Everything outside the process: settings, servers, database, stores, sources, brokers."""
