"""Whatever a file holds, there are bars, quarantine or a word on it: soon, and in little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

from infra.bars import PRICES
from infra.settings import PROJECT
from tests.infra.sources.bombs import BARS, BOMBS, laid
from tests.infra.sources.mutations import allowed, assert_bars_or_a_word, check
from tests.infra.sources.reading import counted, read

SEEDS = 150
MEMORY = 1 << 30


@pytest.mark.slow
def test_mutated_files_give_bars_or_a_word() -> None:
    counts = counted(check, SEEDS)
    assert min(counts["read"], counts["refused"]) > SEEDS // 20, counts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("deep") / "in" / "here"


@pytest.fixture(scope="module")
def answers(folder: Path) -> dict[str, dict[str, Any]]:
    """What came of each bomb, all read by one process."""
    folder.mkdir(parents=True)
    paths = laid(folder)
    named = {"pair": "EUR_USD", "timeframe": "H1"}
    requests = [
        {**named, "source": "parquet" if "parquet" in path.name else "csv", "path": str(path)}
        for path in paths.values()
    ]
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    command = [sys.executable, "-m", "tests.infra.sources.measured"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, timeout=400, env=environment
    )
    said = [json.loads(line) for line in done.stdout.splitlines()]
    found = dict(zip(paths, said, strict=False))
    dead = {"error": f"exit code {done.returncode}: {done.stderr[-500:]}"}
    return {name: found.get(name, dead) for name in paths}


@pytest.mark.slow
@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_gives_bars_or_a_word(
    bomb: str, answers: dict[str, dict[str, Any]], folder: Path
) -> None:
    answer = answers[bomb]
    size = (folder / bomb / BOMBS[bomb][0]).stat().st_size
    assert answer["error"] is None
    assert answer["memory"] <= MEMORY + size, f"{answer['memory']:,} bytes: {answer}"
    assert answer["seconds"] <= allowed(size), answer


def test_no_member_of_a_zip_leaves_it(answers: dict[str, dict[str, Any]], folder: Path) -> None:
    assert answers
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == {f"{bomb}/{name}" for bomb, (name, _) in BOMBS.items()}
    assert not list(folder.parent.parent.glob("*.csv"))
    assert not Path("/tmp/escaped.csv").exists()
    assert not Path("/escaped.csv").exists()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("number", [2**63 - 1, -(2**63) + 1, 2**53, -(10**12)])
@pytest.mark.parametrize("ending", ["parquet", "arrow"])
@pytest.mark.parametrize("clock", [None, "New York+7", "UTC"])
def test_times_beyond_any_calendar_are_no_bars(
    unit: Literal["ms", "us", "ns"], number: int, ending: str, clock: str | None, tmp_path: Path
) -> None:
    times = pl.Series("timestamp", [number, 1_717_372_800_000], dtype=pl.Int64())
    prices = dict.fromkeys(PRICES, 1.1)
    table = pl.DataFrame(times.cast(pl.Datetime(unit))).with_columns(**prices)
    path = tmp_path / f"bars.{ending}"
    (table.write_parquet if ending == "parquet" else table.write_ipc)(path)
    named = {"pair": "EUR_USD", "timeframe": "H1", "source": "parquet", "path": path}
    assert_bars_or_a_word(read(**named, **({"clock": clock} if clock else {})))


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    """What the bombs are made of is none."""
    (tmp_path / "bars.csv").write_text(BARS)
    outcome = read(path=tmp_path / "bars.csv", source="csv", pair="EUR_USD", timeframe="H1")
    assert outcome.known.height == 24
