"""Backups: whole or not there, every file checked, restored to the last bit into an empty home.

Long, because all of it looks at one full home, which takes seconds to make.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import polars as pl
import psycopg
import pytest
from sqlalchemy import inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from infra.backups import dump
from infra.backups.backup import Taken, find, take
from infra.backups.dump import DumpError, Programs, programs
from infra.backups.manifest import ARCHIVE, GUARD, MANIFEST, BackupError, File, guard, verify
from infra.backups.restore import restore
from infra.postgres import database as db
from infra.postgres.models import Bar, Base
from infra.postgres.roles import ensure_roles
from infra.records import secret
from infra.servers import postgres
from infra.stores.bulk import BarStore
from tests.infra.databases import anywhere, drop_roles, empty_database, timescale
from tests.infra.postgres.test_roles import MODEL, fill_tables
from tests.servers import FAST

__all__ = ["anywhere"]

embedded = pytest.mark.parametrize("anywhere", ["embedded"], indirect=True)
Move = Callable[[], Path]
KEY = {"pair": "EUR_USD", "timeframe": "H1"}


def hours(start: datetime, n: int) -> pl.DataFrame:
    times = pl.datetime_range(start, start + pl.duration(hours=n - 1), "1h", eager=True)
    price = pl.Series("open", [1.1 + 1e-5 * (i * i % 97) for i in range(n)])
    sides = {"open": price, "high": price + 1e-4, "low": price - 1e-4, "close": price}
    bars = pl.DataFrame({"timestamp": times, **sides, "volume": pl.Series([float(n)] * n)})
    return bars.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def keyed(bars: pl.DataFrame) -> pl.DataFrame:
    return bars.with_columns(**{name: pl.lit(value) for name, value in KEY.items()})


@pytest.fixture
def filled(anywhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with bars of two years, some removed, a row in every table, a model's folder."""
    home = tmp_path / "from"
    monkeypatch.setenv("SEP_HOME", str(home))
    db.migrate()
    fill_tables()
    bars = hours(datetime(2025, 12, 28, tzinfo=UTC), 240)
    BarStore(home / "bars").write("EUR_USD", "H1", bars)
    db.copy_frame(keyed(bars), Bar)
    (home / "removed").mkdir()
    bars.head(3).write_parquet(home / "removed" / "EUR_USD.H1.parquet")
    run = home / "runs" / "backtest" / "one"
    run.mkdir(parents=True)
    (run / "model.json").write_text('{"model": 1}')
    (run / "library.parquet").write_bytes(os.urandom(1000))
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE model SET path = :path"), {"path": str(run)})
    return home


@pytest.fixture
def move(anywhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Move]:
    """What puts an empty home and an empty database of the same server in force."""
    with ExitStack() as stack:

        def to_empty() -> Path:
            db.engine().dispose()
            home = tmp_path / f"to {secrets.token_hex(4)}"
            monkeypatch.setenv("SEP_HOME", str(home))
            stack.enter_context(empty_database(anywhere, monkeypatch))
            return home

        yield to_empty


def rows() -> dict[str, pl.DataFrame]:
    """Every row of every table and view of bars, in order."""
    names = [*sorted(Base.metadata.tables), "bars_m5", "bars_d1", "alembic_version"]
    found = {name: db.read_frame(f'SELECT * FROM "{name}"') for name in names}
    return {name: frame.sort(frame.columns) for name, frame in found.items()}


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def flip(path: Path, *, at: float = 0.5) -> None:
    """Change one byte in place, as a bad disk does: size and time stay."""
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(int(state.st_size * at))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def series() -> list[str]:
    """What TimescaleDB knows: hypertables and their chunks, jobs, aggregates."""
    if not timescale():
        return []
    known = "timescaledb_information"
    queries = (
        f"SELECT hypertable_name, num_chunks FROM {known}.hypertables WHERE num_chunks > 0",
        f"SELECT hypertable_name, range_start FROM {known}.chunks",
        f"SELECT proc_name, hypertable_name, config FROM {known}.jobs",
        f"SELECT view_name, materialized_only FROM {known}.continuous_aggregates",
    )
    return [row for query in queries for row in sorted(map(str, db.read_frame(query).rows()))]


def compressed() -> int:
    """Number of compressed chunks, after one has been compressed where TimescaleDB is."""
    if not timescale():
        return 0
    compress = "SELECT compress_chunk(chunk, true) FROM show_chunks('bars') AS chunk LIMIT 1"
    chunks = "SELECT FROM timescaledb_information.chunks WHERE is_compressed"
    with db.engine().begin() as connection:
        connection.execute(text(compress))
        return connection.execute(text(chunks)).rowcount


def test_restored_home_is_the_same(filled: Path, move: Move, tmp_path: Path) -> None:
    """Row by row, bit by bit, guards included, and models are found where they lie now."""
    with db.engine().begin() as connection:
        connection.execute(text("CREATE TABLE paths.library (at timestamptz NOT NULL)"))
        if timescale():
            cut = "SELECT create_hypertable('paths.library', by_range('at'))"
            connection.execute(text(cut))
        connection.execute(text("INSERT INTO paths.library VALUES (now())"))
    assert compressed() == timescale()
    before, stored, known = rows(), files(filled), series()
    content = BarStore(filled / "bars").content_hash("EUR_USD", "H1")
    taken = take(tmp_path / "backups", keep=7)
    home = move()
    done = restore(taken.path)
    after, run = rows(), home / "runs" / "backtest" / "one"
    moved = before["model"].with_columns(path=pl.lit(str(run)))
    for name, frame in before.items():
        assert after[name].equals(moved if name == "model" else frame), name
    assert files(home) == stored
    assert BarStore(home / "bars").content_hash("EUR_USD", "H1") == content
    assert series() == [row for row in known if "library" not in row]
    assert inspect(db.engine()).get_table_names(schema="paths") == []  # made anew from models
    assert done.manifest.tables["bars"] == len(before["bars"]) > 240
    assert not list(home.glob(".restore*"))
    with db.engine().begin() as connection, pytest.raises(DBAPIError, match="never changed"):
        connection.execute(text("DELETE FROM signal"))
    fresh = "INSERT INTO intent_event (intent_id, event, token) VALUES (1, 'e', 1) RETURNING id"
    with db.engine().begin() as connection:
        assert connection.scalar(text(fresh)) == 2  # sequences go on


@embedded
def test_every_damaged_or_missing_file_is_named(filled: Path, move: Move, tmp_path: Path) -> None:
    whole = take(tmp_path / "backups", keep=7).path
    assert verify(whole) == []
    names = list(files(whole))
    assert {ARCHIVE, MANIFEST, GUARD, "bars/EUR_USD/H1/manifest.json"} | {
        "removed/EUR_USD.H1.parquet"
    } <= {*names}
    home = move()
    for name in names:
        for harm in (flip, Path.unlink):
            broken = tmp_path / "broken"
            shutil.copytree(whole, broken)
            harm(broken / name)
            [fault] = verify(broken)
            assert str(broken / name) in fault or (name in (MANIFEST, GUARD) and name in fault)
            with pytest.raises(BackupError, match="nothing was restored") as refused:
                restore(broken)
            assert name in str(refused.value)
            shutil.rmtree(broken)
    assert files(home) == {}
    with db.engine().connect() as connection:
        assert inspect(connection).get_table_names() == []


@embedded
def test_rows_are_of_one_moment(
    filled: Path, move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is written after the rows were counted is not in the archive."""

    def later(server: int) -> Programs:
        late = hours(datetime(2026, 3, 1, tzinfo=UTC), 5)
        db.copy_frame(
            late.with_columns(**{name: pl.lit(value) for name, value in KEY.items()}), Bar
        )
        return programs(server)

    monkeypatch.setattr("infra.backups.dump.programs", later)
    taken = take(tmp_path / "backups", keep=7)
    monkeypatch.setattr("infra.backups.dump.programs", programs)
    assert len(rows()["bars"]) == 246
    move()
    restore(taken.path)
    assert len(rows()["bars"]) == taken.manifest.tables["bars"] == 241


@embedded
def test_unchanged_files_are_shared(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    first, store = take(folder, keep=7), BarStore(filled / "bars")
    old, before = (path.relative_to(filled).as_posix() for path in store.files("EUR_USD", "H1"))
    store.write("EUR_USD", "H1", hours(datetime(2026, 2, 1, tzinfo=UTC), 5))
    second = take(folder, keep=7)
    assert (first.shared, second.shared) == (0, 4)
    there = [name for name in files(second.path) if (first.path / name).exists()]
    same = [name for name in there if os.path.samefile(*both(first, second, name))]
    assert old in same
    assert before not in files(second.path)
    assert not any((filled / name).samefile(second.path / name) for name in same)
    flip(first.path / old)
    third = take(folder, keep=7)
    assert third.shared == 5  # not the one that went bad
    assert verify(third.path) == []
    assert len(verify(second.path)) == 1


def both(first: Taken, second: Taken, name: str) -> tuple[Path, Path]:
    return first.path / name, second.path / name


@embedded
def test_without_hard_links_files_are_copied(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr("os.link", refuse)
    first, second = (take(tmp_path / "backups", keep=7) for _ in range(2))
    assert second.shared == 0
    assert verify(second.path) == []
    assert files(first.path / "bars") == files(second.path / "bars")


@embedded
def test_newest_stay(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    taken = [take(folder, keep=2) for _ in range(4)]
    assert find(folder) == [taken[2].path, taken[3].path]
    assert taken[3].removed == [taken[1].path.name]
    assert taken[3].kept == [path.name for path in find(folder)]
    assert verify(taken[3].path) == []
    assert {path.name for path in folder.iterdir()} == {".lock", *taken[3].kept}
    with pytest.raises(BackupError, match="at least 1"):
        take(folder, keep=0)


KILLED = """
import os, signal, sys
from pathlib import Path
from infra.backups.backup import take

def tell(what):
    if what.startswith(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)

take(Path(sys.argv[1]), keep=7, tell=tell)
"""


@embedded
@pytest.mark.parametrize("moment", ["database:", "copying 3"])
def test_killed_backup_is_none(filled: Path, tmp_path: Path, moment: str) -> None:
    folder = tmp_path / "backups"
    whole = take(folder, keep=7)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(folder), moment])
    assert killed.returncode == -signal.SIGKILL
    assert len(list(folder.glob(".*.new"))) == 1
    assert find(folder) == [whole.path]
    again = take(folder, keep=7)
    assert find(folder) == [whole.path, again.path]
    assert {path.name for path in folder.iterdir()} == {".lock", *again.kept}


@embedded
def test_failed_backup_leaves_nothing(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    monkeypatch.setattr("infra.backups.dump._folders", list)
    with pytest.raises(DumpError, match="needs pg_dump 18 or newer; installed: none"):
        take(folder, keep=7)
    monkeypatch.undo()
    monkeypatch.setenv("SEP_HOME", str(filled))
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(BackupError, match=r"no backup was made: .*127\.0\.0\.1"):
        take(folder, keep=7)
    assert {path.name for path in folder.iterdir()} == {".lock"}


@pytest.mark.parametrize("anywhere", ["embedded", "named"], indirect=True)
def test_what_is_there_is_not_replaced_unasked(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take(tmp_path / "backups", keep=7)
    before, stored = rows(), files(filled)
    BarStore(filled / "bars").write("EUR_USD", "H1", hours(datetime(2024, 2, 1, tzinfo=UTC), 5))
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE pairs SET enabled = false"))
    db.engine().dispose()
    with pytest.raises(BackupError, match="empty database and an empty home") as refused:
        restore(taken.path)
    for found in (
        "bars 241, champion 1, control 1, demotion 1, equity 1,",
        "4 files",
        "runs/backtest/one",
        "--force",
        "deleted",
    ):
        assert found in str(refused.value)
    assert len(files(filled)) == len(stored) + 1
    assert rows()["pairs"]["enabled"].to_list() == [False]
    db.engine().dispose()
    restore(taken.path, force=True)
    assert files(filled) == stored
    assert all(frame.equals(before[name]) for name, frame in rows().items())


@embedded
def test_whoever_is_connected_is_named(filled: Path, move: Move, tmp_path: Path) -> None:
    taken = take(tmp_path / "backups", keep=7)
    home = move()
    with (
        psycopg.connect(os.environ["SEP_DATABASE_URL"], application_name="a worker"),
        pytest.raises(BackupError, match=r"in use by postgres \(a worker\): `sep down`"),
    ):
        restore(taken.path)
    assert files(home) == {}


MISFITS: dict[str, dict[str, object]] = {
    "revision 9999": {"revision": "9999"},
    "does not go into the older 18": {"postgres": "99.1"},
    "lacks extensions of the backup: unheard": {"extensions": {"unheard": "1"}},
    "has format 2": {"format": 2},
    "outside of itself": {"files": [asdict(File("../outside", 0, sha256().hexdigest(), 0))]},
}


@embedded
def test_what_does_not_fit_is_refused(filled: Path, move: Move, tmp_path: Path) -> None:
    taken = take(tmp_path / "backups", keep=7)
    (tmp_path / "backups" / "outside").touch()
    whole, home = json.loads((taken.path / MANIFEST).read_bytes()), move()
    for reason, change in MISFITS.items():
        content = json.dumps({**whole, **change}).encode()
        (taken.path / MANIFEST).write_bytes(content)
        (taken.path / GUARD).write_bytes(guard(content))
        with pytest.raises(BackupError, match=reason):
            restore(taken.path)
        assert files(home) == {}


@embedded
def test_database_that_is_away_is_said(
    filled: Path, move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = take(tmp_path / "backups", keep=7)
    home, address = move(), os.environ["SEP_DATABASE_URL"]
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(BackupError, match=r"nothing was restored: .*127\.0\.0\.1"):
        restore(taken.path)
    monkeypatch.setenv("SEP_DATABASE_URL", address)
    home.mkdir(parents=True)
    (home / "runs").touch()  # a file where a folder must be
    with pytest.raises(BackupError, match="did not come to its end, run it again with --force"):
        restore(taken.path)
    (home / "runs").unlink()
    restore(taken.path, force=True)
    assert len(rows()["bars"]) == 241


@pytest.mark.parametrize("anywhere", ["embedded", "named"], indirect=True)
def test_owner_needs_not_be_a_superuser(
    anywhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a server of others: the owner of a database, who may create roles at most."""
    with psycopg.connect(anywhere, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN CREATEROLE CREATEDB PASSWORD 'p'")
    server = make_url(anywhere).set(username="plain", password="p", database="postgres")
    address = server.render_as_string(hide_password=False)
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    with empty_database(address, monkeypatch):
        db.migrate()
        assert ensure_roles() is None
        fill_tables()
        before, taken = rows(), take(tmp_path / "backups", keep=7)
        superuser = timescale()
    with empty_database(address, monkeypatch):
        if superuser:
            with pytest.raises(BackupError, match="by a superuser, which plain is not"):
                restore(taken.path)
        else:
            restore(taken.path)
            assert ensure_roles() is None
            assert all(frame.equals(before[name]) for name, frame in rows().items())
    monkeypatch.setenv("SEP_DATABASE_URL", anywhere)
    drop_roles()


@embedded
def test_models_of_elsewhere_and_lost_ones(filled: Path, move: Move, tmp_path: Path) -> None:
    away = tmp_path / "away"
    shutil.move(filled / "runs" / "backtest" / "one", away)
    lost = MODEL.replace("'m'", "'lost'").replace("'p'", "'/nowhere'")
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE model SET path = :path"), {"path": str(away)})
        connection.execute(text(lost))
    taken = take(tmp_path / "backups", keep=7)
    assert taken.manifest.missing == ["lost"]
    home = move()
    restore(taken.path)
    paths = dict(db.read_frame("SELECT model_id, path FROM model").rows())
    assert paths["lost"] == "/nowhere"
    assert Path(paths["m"]).is_relative_to(home / "runs")
    assert files(Path(paths["m"])) == files(away)


RECORD = '#!/bin/sh\necho "$0 $*" >> "{log}"\nexec {program} "$@"\n'


def test_password_is_in_no_command_line(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real programs behind ones that write their arguments down."""
    server, password = postgres.start(home, options=FAST), secret(home, "postgres")
    real, log, folder = programs(18).folder, tmp_path / "log", tmp_path / "bin"
    folder.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        (folder / name).write_text(RECORD.format(log=log, program=real / name))
        (folder / name).chmod(0o755)
    monkeypatch.setattr("infra.backups.dump._folders", lambda: [folder])
    with empty_database(server, monkeypatch):
        db.migrate()
        taken = take(tmp_path / "backups", keep=7)
    for version in (18, 15):  # 15: by way of psql
        with empty_database(server, monkeypatch):
            dump.restore(taken.path / ARCHIVE, db.url(), programs(18), server=version)
    said = log.read_text()
    assert {"pg_dump", "pg_restore", "psql"} <= {Path(n.split()[0]).name for n in said.splitlines()}
    assert password not in said
    assert not any(password.encode() in content for content in files(taken.path).values())


@pytest.mark.parametrize("anywhere", ["debian"], indirect=True)
def test_newer_programs_serve_an_older_server(
    filled: Path, move: Move, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL 15 by the programs of 18, where no others are installed."""
    monkeypatch.setattr("infra.backups.dump._folders", lambda: [postgres.binaries()])
    before = rows()["bars"]
    taken = take(tmp_path / "backups", keep=7)
    move()
    restore(taken.path)
    assert rows()["bars"].equals(before)
    db.engine().dispose()
    with pytest.raises(DumpError, match="already exists"):
        dump.restore(taken.path / ARCHIVE, db.url(), programs(15), server=15)
    half = tmp_path / "half.dump"
    half.write_bytes((taken.path / ARCHIVE).read_bytes()[:-200])
    move()
    with pytest.raises(DumpError, match="pg_restore"):
        dump.restore(half, db.url(), programs(15), server=15)
    with db.engine().connect() as connection:
        assert inspect(connection).get_table_names() == []


def test_programs_fit_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in (18, 15, 16):
        folder = tmp_path / str(version)
        folder.mkdir()
        (folder / "pg_dump").write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.3'\n")
        (folder / "pg_dump").chmod(0o755)
    monkeypatch.setattr("infra.backups.dump._folders", lambda: sorted(tmp_path.iterdir()))
    chosen = {server: programs(server) for server in range(14, 19)}
    assert [found.version for found in chosen.values()] == [15, 15, 16, 18, 18]
    assert chosen[16].folder == tmp_path / "16"
    with pytest.raises(DumpError, match=r"pg_dump 19 .* 18 in .* Install postgresql-client-19"):
        programs(19)
