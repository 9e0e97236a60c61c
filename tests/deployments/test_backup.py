"""`sep backup` and `sep restore`: from one home and its server into another of each."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.backups import manifest
from infra.backups.backup import find
from infra.postgres import database as db
from infra.postgres.roles import ROLES, ensure_roles
from infra.records import secret
from infra.servers import postgres, valkey
from infra.stores.bulk import BarStore
from tasks.upkeep.backup import backup, backup_all
from tests.infra.backups.test_backup import flip, rows
from tests.infra.databases import drop_roles
from tests.infra.postgres.test_roles import BAR, INTENT, fill_tables
from tests.servers import FAST, temporary_home

SECRETS = ("postgres", *ROLES)


def sep(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "PREFECT_"))}
    environment = {**plain, "SEP_HOME": str(home), "COLUMNS": "300"}
    command = [sys.executable, "-m", "deployments.sep.cli", *arguments]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True)


@pytest.fixture
def filled(database: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The session's home with a row in every table, bars, and both roles."""
    shutil.rmtree(home / "bars", ignore_errors=True)
    fill_tables()
    times = [datetime(2025, 12, 31, 23, tzinfo=UTC), datetime(2026, 1, 1, 0, tzinfo=UTC)]
    bars = pl.DataFrame({"timestamp": times, "open": 1.0, "high": 2.0, "low": 1.0, "close": 1.5})
    BarStore(home / "bars").write("EUR_USD", "H1", bars.with_columns(volume=3.0))
    assert ensure_roles() is None
    yield home
    monkeypatch.setenv("SEP_HOME", str(home))
    drop_roles()


@pytest.fixture
def other() -> Iterator[Path]:
    with temporary_home("restored") as home:
        home.mkdir()
        yield home


@pytest.mark.slow
def test_home_moves_to_another_machine(
    filled: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows()
    made = sep("backup", "--to", str(tmp_path), home=filled)
    assert made.returncode == 0, made.stderr
    [path] = find(tmp_path)
    assert f"{path}: 4 files" in made.stdout
    listed = sep("backup", "--to", str(tmp_path), "--list", home=filled)
    assert path.name in listed.stdout
    done = sep("restore", str(path), home=other)
    assert done.returncode == 0, done.stderr
    assert f"restored into {other}: 4 files" in done.stdout
    assert postgres.find(other) is None  # as it was found
    said = made.stdout + made.stderr + listed.stdout + done.stdout + done.stderr
    for name in SECRETS:
        for home in (filled, other):
            assert secret(home, name) not in said
            assert secret(home, name) not in (path / manifest.MANIFEST).read_text()
    monkeypatch.setenv("SEP_HOME", str(other))
    postgres.start(other, options=FAST)
    assert all(frame.equals(before[name]) for name, frame in rows().items())
    assert ensure_roles() is None
    for role, forbidden in (("research", INTENT), ("executor", BAR)):
        monkeypatch.setenv("SEP_DATABASE_ROLE", role)
        with db.session() as opened, pytest.raises(DBAPIError, match="permission denied"):
            opened.execute(text(forbidden))
        db.engine().dispose()
    monkeypatch.setenv("SEP_DATABASE_ROLE", "owner")
    db.engine().dispose()
    again = sep("restore", str(path), home=other)
    assert again.returncode == 1
    assert "sep: restoring needs an empty database" in again.stderr
    assert "--force" in again.stderr


def test_damaged_file_is_named_on_screen(filled: Path, tmp_path: Path) -> None:
    made = backup_all(tmp_path)
    whole = sep("backup", "--verify", made["path"], home=filled)
    assert whole.returncode == 0
    assert "every file is as it was backed up" in whole.stdout
    flip(Path(made["path"]) / manifest.ARCHIVE)
    broken = sep("backup", "--to", str(tmp_path), "--verify", Path(made["path"]).name, home=filled)
    assert broken.returncode == 1
    assert f"{made['path']}/{manifest.ARCHIVE} is damaged" in broken.stdout


def test_what_runs_is_named(filled: Path, other: Path, tmp_path: Path) -> None:
    made = backup_all(tmp_path)
    valkey.start(other)
    refused = sep("restore", made["path"], home=other)
    assert refused.returncode == 1
    assert refused.stderr == "sep: these run: Valkey. Stop them first: `sep down`\n"


def test_maintenance_needs_no_role(filled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The step backs everything up, also what the role of its worker may not read."""
    monkeypatch.setenv("SEP_DATABASE_ROLE", "research")
    monkeypatch.setenv("SEP_BACKUPS_KEPT", "1")
    first, second = backup.fn(), backup.fn()
    assert json.loads(json.dumps(second)) == second
    assert second["removed"] == [Path(first["path"]).name]
    assert Path(second["path"]).parent == filled / "backups"
    assert re.fullmatch(r"\d{8}T\d{6}\.\d{3}Z", *second["kept"])
    assert second["shared"] == 3
    assert manifest.verify(Path(second["path"])) == []
