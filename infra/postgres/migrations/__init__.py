"""Alembic migrations, run by `infra.postgres.database.migrate`."""
