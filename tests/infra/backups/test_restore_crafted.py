"""Backups made to do harm, or made wrongly, with a right guard: refused before anything is touched.

The database is one that cannot be reached: a check that comes too late would name its address.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import ProgrammingError

from infra.backups.backup import count_rows, take
from infra.backups.manifest import (
    ARCHIVE,
    FORMAT,
    GUARD,
    MANIFEST,
    BackupError,
    guard,
    read,
    verify,
)
from infra.backups.restore import restore
from infra.postgres import database as db
from tests.infra.backups.test_backup import Move, anywhere, embedded, filled, move, rows
from tests.infra.backups.test_backup import files as contents

__all__ = ["anywhere", "filled", "move"]

Crafted = dict[str, Any]
BARS, MODEL = "bars/EUR_USD/H1/2025.parquet", "runs/backtest/one/model.json"
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def entry(path: str) -> Crafted:
    content = path.encode()
    digest = sha256(content).hexdigest()
    return {"path": path, "bytes": len(content), "sha256": digest, "modified": 0}


def manifest(**changes: object) -> Crafted:
    whole: Crafted = {
        "format": FORMAT,
        "taken_at": "2026-01-01T00:00:00.000+00:00",
        "seconds": 1,
        "project": "0.1",
        "revision": "0001",
        "postgres": "18.1",
        "extensions": {"plpgsql": "1.0"},
        "tables": {"bars": 1},
        "store": {"EUR_USD/H1": "0" * 64},
        "models": {"m": "runs/backtest/one"},
        "missing": [],
        "files": [entry(name) for name in (ARCHIVE, BARS, MODEL)],
    }
    return whole | changes


def seal(backup: Path, content: bytes) -> None:
    (backup / MANIFEST).write_bytes(content)
    (backup / GUARD).write_bytes(guard(content))


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """A folder like a backup, each file with its own name in it."""
    folder = tmp_path / "backup"
    for name in (ARCHIVE, BARS, MODEL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    seal(folder, json.dumps(manifest()).encode())
    return folder


@pytest.fixture
def present(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with something in it, a victim beside it, and no database."""
    home = tmp_path / "home"
    for folder in (home / "secrets", home / "runs" / "backtest", tmp_path / "victim"):
        folder.mkdir(parents=True)
        (folder / "precious").write_text("precious")
    monkeypatch.setenv("SEP_HOME", str(home))
    monkeypatch.setenv("SEP_DATABASE_URL", NOWHERE)
    return home


def refused(backup: Path, home: Path) -> str:
    """Restore with force and return why not; all around is as it was, and verify says the same."""
    before = contents(home.parent)
    with pytest.raises(BackupError) as caught:
        restore(backup, force=True)
    assert contents(home.parent) == before
    said = str(caught.value)
    assert all(fault in said for fault in verify(backup))
    return said


def test_a_plain_one_passes_all_checks(backup: Path, present: Path) -> None:
    assert verify(backup) == []
    assert read(backup).server == 18
    assert "127.0.0.1" in refused(backup, present)


@pytest.mark.parametrize(
    "folder",
    [
        *("../victim", ".", "", "..", "/", "runs", "runs/backtest", "secrets", "secrets/a/b"),
        *("bars", "runs/../../victim", "runs/backtest/..", "runs/backtest/../..", "./runs/a/b"),
        *("runs//a/b", "runs/a/b/", "runs/./a", "runs/a/b\0", "//runs/a/b", "runs/a/../../.."),
    ],
)
def test_folder_of_a_model_lies_below_runs(backup: Path, present: Path, folder: str) -> None:
    for place in (folder, str(present.parent / "victim")):
        seal(backup, json.dumps(manifest(models={"x": place})).encode())
        said = refused(backup, present)
        assert f"{backup / MANIFEST} is malformed: 'models' / 'x': a model's folder lies" in said
        assert repr(place) in said


@pytest.mark.parametrize(
    "name",
    ['bars"; DROP TABLE bars; --', "Bars", "1bars", "", "bars\n", "pg catalog", "b:x", "bärs"],
)
def test_name_of_a_table_is_plain(backup: Path, present: Path, name: str) -> None:
    seal(backup, json.dumps(manifest(tables={"bars": 1, name: 0})).encode())
    assert f"{name!r} is no name of a table" in refused(backup, present)


@pytest.mark.parametrize("key", ["EUR_USD", "../x/H1", "EUR_USD/H1/", "eur/h1", "EUR_USD/H1\n"])
def test_bars_are_of_a_pair_and_timeframe(backup: Path, present: Path, key: str) -> None:
    seal(backup, json.dumps(manifest(store={key: "0" * 64})).encode())
    assert f"{key!r} is no pair/timeframe" in refused(backup, present)


FILES = {
    "../victim/precious": "outside of itself",
    "/etc/passwd": "outside of itself",
    "": "outside of itself",
    ".": "outside of itself",
    "bars/../../victim": "outside of itself",
    "bars//EUR_USD": "not plainly",
    "bars/\0": "not plainly",
    BARS: "names a file twice",
    f"{BARS}/below": f"'{BARS}' is a file, and the folder of",
    "secrets/precious": "neither of the bulk store nor of a model",
    "runs/backtest/two/model.json": "neither of the bulk store nor of a model",
    MANIFEST: "neither of the bulk store nor of a model",
    "bars": "neither of the bulk store nor of a model",
}


@pytest.mark.parametrize("name", FILES)
def test_files_lie_where_they_belong(backup: Path, present: Path, name: str) -> None:
    crafted = manifest()
    seal(backup, json.dumps({**crafted, "files": [*crafted["files"], entry(name)]}).encode())
    assert FILES[name] in refused(backup, present)


WITHOUT = object()
MALFORMED: list[tuple[str, object, str]] = [
    *((key, WITHOUT, f"'{key}': Field required") for key in manifest()),
    *((key, None, f"'{key}': Input should be") for key in manifest()),
    ("more", 1, "'more': Unexpected keyword argument"),
    ("format", True, "'format': Input should be a valid integer"),
    ("tables", {"bars": "1"}, "'tables' / 'bars': Input should be a valid integer"),
    ("tables", {"bars": -1}, "greater than or equal to 0"),
    ("tables", ["bars"], "'tables': Input should be"),
    ("models", {"m\0": "runs/backtest/one"}, "is no model"),
    ("models", {"m": 1}, "'models' / 'm': Input should be a valid string"),
    ("seconds", float("nan"), "'seconds': Input should be a finite number"),
    ("taken_at", "yesterday", "'taken_at': Invalid isoformat"),
    ("postgres", "new", "is no version of PostgreSQL"),
    ("postgres", "9" * 5000, "is no version of PostgreSQL"),
    ("store", {"EUR_USD/H1": "0"}, "is no SHA-256 hash"),
    ("files", [], "does not name database.dump"),
    ("files", ["a"], "'files' / 0: Input should be"),
    ("files", [{"path": ARCHIVE}], "'files' / 0 / 'bytes': Field required"),
    ("files", [{**entry(ARCHIVE), "mode": 0}], "'files' / 0 / 'mode': Unexpected"),
    ("files", [{**entry(ARCHIVE), "bytes": -1}], "greater than or equal to 0"),
    ("files", [{**entry(ARCHIVE), "sha256": "0"}], "is no SHA-256 hash"),
]


@pytest.mark.parametrize(("key", "value", "reason"), MALFORMED)
def test_malformed_manifest_is_said(
    backup: Path, present: Path, key: str, value: object, reason: str
) -> None:
    crafted = {k: v for k, v in manifest(**{key: value}).items() if v is not WITHOUT}
    seal(backup, json.dumps(crafted).encode())
    said = refused(backup, present)
    assert f"{backup / MANIFEST} is malformed: " in said
    assert reason in said


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"not JSON", b"[]", b"1", b"null", b'"a"', b"{", b"[" * 100_000, b"9" * 9999],
)
def test_what_is_no_object_is_said(backup: Path, present: Path, content: bytes) -> None:
    seal(backup, content)
    assert f"{backup / MANIFEST} is malformed: " in refused(backup, present)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "is a symbolic link") for name in (MANIFEST, GUARD, ARCHIVE, BARS, MODEL)),
        ("bars", "is reached through a symbolic link"),
        ("bars/EUR_USD", "is reached through a symbolic link"),
        ("runs/backtest/one", "is reached through a symbolic link"),
    ],
)
def test_links_in_a_backup_are_not_followed(
    backup: Path, present: Path, name: str, reason: str
) -> None:
    """Also where they lead to the very same content."""
    away = present.parent / "away"
    (backup / name).rename(away)
    (backup / name).symlink_to(away)
    said = refused(backup, present)
    assert reason in said
    assert str(backup / name) in said


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("harm", [replace_by_folder, replace_by_pipe])
@pytest.mark.parametrize("name", [MANIFEST, GUARD, ARCHIVE, MODEL])
def test_only_regular_files_are_read(
    backup: Path, present: Path, name: str, harm: Callable[[Path], None]
) -> None:
    harm(backup / name)
    assert f"{backup / name} is no regular file" in refused(backup, present)


@pytest.mark.parametrize("link", ["runs", "runs/backtest"])
def test_folder_reached_through_a_link_is_not_replaced(
    backup: Path, present: Path, link: str
) -> None:
    away = present.parent / "away"
    (present / link).rename(away)
    (present / link).symlink_to(away)
    assert f"through a symbolic link, {present / link}: remove" in refused(backup, present)


@embedded
def test_links_in_the_home_are_replaced_not_followed(
    filled: Path, move: Move, tmp_path: Path
) -> None:
    taken, home, victim = take(tmp_path / "backups", keep=7), move(), tmp_path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("precious")
    (home / "runs" / "backtest").mkdir(parents=True)
    links = [home / "bars", home / "runs" / "backtest" / "one", home / ".restore"]
    for link in links:
        link.symlink_to(victim)
    with pytest.raises(BackupError, match="an empty home") as asked:
        restore(taken.path)
    assert all(str(link) in str(asked.value) for link in links[:2])
    restore(taken.path, force=True)
    assert contents(victim) == {"precious": b"precious"}
    assert contents(home) == contents(filled)
    assert not any(link.is_symlink() for link in links)


@embedded
def test_names_of_tables_are_quoted(filled: Path) -> None:
    before = len(rows()["bars"])
    for name in ('bars"; DROP TABLE bars; --', "bars; DROP TABLE bars", "no :thing %s"):
        with db.engine("owner").begin() as connection, pytest.raises(ProgrammingError):
            count_rows(connection, [name])
    with db.engine("owner").connect() as connection:
        assert count_rows(connection, ["bars"]) == {"bars": before}


@embedded
@pytest.mark.parametrize("place", ["other", "runs/one", "runs/../outside"])
def test_model_of_a_strange_place_is_backed_up_as_of_elsewhere(
    filled: Path, tmp_path: Path, move: Move, place: str
) -> None:
    """What is backed up can be restored."""
    (filled / "runs" / "backtest" / "one").rename(filled / place)
    with db.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE model SET path = %s", (f"{filled}/{place}",))
    taken, home = take(tmp_path / "backups", keep=7), move()
    restore(taken.path)
    [folder] = db.read_frame("SELECT path FROM model")["path"]
    assert Path(folder).parent == home / "runs" / "elsewhere"
    assert contents(Path(folder)) == contents(filled / place)
