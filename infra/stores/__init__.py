"""Where bars and paths are kept: Parquet, PostgreSQL, Valkey, and the tiers over them."""
