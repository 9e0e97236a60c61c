"""Files that are replaced whole, and disks that are full."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infra.files import NoSpace, make_private, replaced
from infra.stores.bulk import BarStore
from tasks.ingest import fetch_rows
from tasks.intake.request import IngestRequest


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_leaves_no_draft(small: Path) -> None:
    hours = [datetime(2018, 1, 1, tzinfo=UTC) + n * timedelta(minutes=1) for n in range(60_000)]
    prices = np.random.default_rng(1).uniform(1, 2, (len(hours), 5))
    names = ("open", "high", "low", "close", "volume")
    columns = {name: prices[:, n] for n, name in enumerate(names)}
    bars = pl.DataFrame({"timestamp": pl.Series(hours, dtype=pl.Datetime("us", "UTC")), **columns})
    store = BarStore(small / "bars")
    store.write("EUR_USD", "M1", bars.head(100))
    before = store.content_hash("EUR_USD", "M1")
    with pytest.raises(NoSpace, match=r"no space left on .*EUR_USD/M1: free some, then retry"):
        store.write("EUR_USD", "M1", bars)
    assert store.content_hash("EUR_USD", "M1") == before
    assert not list(small.rglob("*.new"))


def test_a_step_that_fills_the_disk_says_so(small: Path) -> None:
    noise = np.random.default_rng(1).uniform(1, 2, (40_000, 4))
    lines = [f"2018-01-01T00:00:00Z,{','.join(map(str, row))}" for row in noise]
    path = small.with_name("bars.csv")
    path.write_text("\n".join(["time,open,high,low,close", *lines]))
    with pytest.raises(NoSpace, match=r"no space left on .*small.*: free some, then retry"):
        fetch_rows(IngestRequest(source="csv", path=path), str(small))
    assert not [path for path in small.rglob("*") if path.is_file()]


def test_a_block_that_raises_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), replaced(path) as draft:
        draft.with_name("nothing").rename(draft.with_name("half"))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_drafts_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    path, dead, alive = (tmp_path / name for name in ("file", ".file.4194305.new", ".file.1.new"))
    dead.touch()
    alive.touch()
    with replaced(path, durable=True) as draft:
        draft.write_text("new")
    assert sorted(tmp_path.iterdir()) == [alive, path]
    assert path.stat().st_mode & 0o077 == 0


def test_a_home_that_was_open_is_closed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("logs", "postgres"):
        (home / name).mkdir(parents=True)
        (home / name).chmod(0o755)
    home.chmod(0o755)
    make_private(home)
    root = os.geteuid() == 0
    modes = [path.stat().st_mode & 0o777 for path in (home, home / "logs", home / "postgres")]
    assert modes == [0o711 if root else 0o700, 0o700, 0o755]
