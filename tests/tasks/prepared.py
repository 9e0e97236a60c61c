"""Stores that hold what ingests left, as often as a test begins anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Connection, Table, insert, select, text

from infra.postgres import database as db
from infra.postgres.models import Base
from tasks.folder import bar_store
from tasks.intake.request import IngestRequest
from tests.servers import empty_tables
from tests.tasks.crash import ingest


def begin_anew(*before: IngestRequest, folder: Path) -> None:
    """Empty both stores, and ingest."""
    shutil.rmtree(bar_store().root, ignore_errors=True)
    empty_tables()
    run(*before, folder=folder)


def run(*requests: IngestRequest, folder: Path) -> None:
    for request in requests:
        ingest(request, str(folder))


class Prepared:
    """What ingests left behind; to put files and rows back is faster than to ingest again."""

    def __init__(self, *before: IngestRequest, folder: Path) -> None:
        begin_anew(*before, folder=folder)
        self.files = folder / "prepared"
        shutil.rmtree(self.files, ignore_errors=True)
        shutil.copytree(bar_store().root, self.files)
        with db.engine().connect() as connection:
            self.rows = {
                table: [dict(row) for row in connection.execute(select(table)).mappings()]
                for table in Base.metadata.sorted_tables
            }

    def put_back(self) -> None:
        shutil.rmtree(bar_store().root)
        shutil.copytree(self.files, bar_store().root)
        empty_tables()
        with db.engine().begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table, rows in self.rows.items():
                if rows:
                    _insert(connection, table, rows)


def _insert(connection: Connection, table: Table, rows: list[dict[str, object]]) -> None:
    """Insert rows, and go on with the numbers behind theirs."""
    stored = [column.name for column in table.columns if column.computed is None]
    connection.execute(insert(table), [{name: row[name] for name in stored} for row in rows])
    for column in table.columns:
        if column.identity is not None:
            sequence = f"pg_get_serial_sequence('{table.name}', '{column.name}')"
            last = max(row[column.name] for row in rows)  # type: ignore[type-var]
            connection.execute(text(f"SELECT setval({sequence}, {last})"))
