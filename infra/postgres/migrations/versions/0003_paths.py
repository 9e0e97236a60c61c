"""A schema for path libraries, and the function by which timescale-vector reads an id's time.

It asks for `uuid_timestamp` without a schema. TimescaleDB has one of that name in `public` for
version 7: ours stands in `paths`, which a search path names first, and leaves that one alone.

The libraries themselves are made by the store, one table each, when they are loaded: what they
need, pgvector, may come to a server long after this revision, or never.
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIMESTAMP = """
CREATE FUNCTION paths.uuid_timestamp(uuid UUID) RETURNS TIMESTAMPTZ AS $$
DECLARE
    bytes bytea := uuid_send(uuid);
BEGIN
    IF (get_byte(bytes, 6) >> 4) <> 1 THEN
        RAISE EXCEPTION 'UUID version is not 1';
    END IF;
    RETURN to_timestamp(
        (
            (get_byte(bytes, 0)::bigint << 24) + (get_byte(bytes, 1) << 16)
            + (get_byte(bytes, 2) << 8) + get_byte(bytes, 3)
            + (get_byte(bytes, 4)::bigint << 40) + (get_byte(bytes, 5)::bigint << 32)
            + ((get_byte(bytes, 6) & 15)::bigint << 56) + (get_byte(bytes, 7)::bigint << 48)
            - 122192928000000000
        ) / 10000 / 1000::double precision
    );
END
$$ LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE STRICT
"""


def upgrade() -> None:
    """Make the change."""
    op.execute("CREATE SCHEMA paths")
    op.execute(TIMESTAMP)


def downgrade() -> None:
    """Take it back, libraries included; the files of their models still have them."""
    op.execute("DROP SCHEMA paths CASCADE")
