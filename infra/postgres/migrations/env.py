"""What Alembic runs: the migrations, on the connection it was given."""

from __future__ import annotations

from alembic import context

from infra.postgres import outcomes, trading  # noqa: F401 - their tables
from infra.postgres.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=True,
    compare_server_default=True,
)
context.run_migrations()
