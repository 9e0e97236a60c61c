"""`sep strategy`: texts checked, explained, laid out, run over stored bars, tested and watched."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deployments.sep import strategy_watch
from deployments.sep.cli import app
from infra.errors import SepError
from infra.stores.bulk import BarStore
from infra.stores.catalog import NoSeries
from tasks.audit.frames import frame
from tasks.intake.rows import planted_rows
from tasks.strategy.language.builtins import BUILTINS
from tasks.strategy.language.errors import DslError
from tests.tasks.strategy.language.examples import FOLDER

Sep = Callable[..., str]
TEXT = """stream bars from "PLANTED" { timeframe: "H1" }

pattern p {
    param n = 5 in [2, 9];
    up = close() > highest(lag(high(), 1), n);
}

signal up {
    trigger: p.up && entropy() < 2;
    action: BUY;
    stop: 2 * atr(14);
    horizon: 12;
}
"""


@pytest.fixture
def sep() -> Sep:
    """The command; what a user can mend is raised as `sep` would print it."""

    def run(*arguments: object, code: int = 0) -> str:
        given = ["strategy", *map(str, arguments)]
        done = CliRunner(env={"COLUMNS": "250"}).invoke(app, given)
        if isinstance(done.exception, SepError):
            raise done.exception
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "texts" / "up.sep"
    path.parent.mkdir()
    path.write_text(TEXT)
    return path


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """Bars in a home without servers."""
    for name in ("SEP_DATABASE_URL", "SEP_VALKEY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    bars = planted_rows(2_000, timeframe="H1", seed=1).drop("source_row")
    BarStore(tmp_path / "home" / "bars").write("PLANTED", "H1", bars)
    return bars


def test_every_command_has_help(sep: Sep) -> None:
    group: Any = get_command(app)
    commands = group.commands["strategy"].commands
    assert set(commands) == {"check", "functions", "explain", "format", "run", "test", "watch"}
    for name in commands:
        assert "Usage: " in sep(name, "--help")


def test_check(sep: Sep, file: Path) -> None:
    assert "1 signal, digest" in sep("check", file)
    file.write_text(TEXT.replace("highest", "higest"))
    with pytest.raises(DslError, match=r"up.sep:5:20: .*did you mean highest\?"):
        sep("check", file)
    with pytest.raises(DslError, match="cannot be read"):
        sep("check", file.with_name("none.sep"))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(DslError, match="cannot be read"):
        sep("check", file)


def test_functions(sep: Sep) -> None:
    said = sep("functions")
    assert all(re.search(rf"^  {name}\(", said, re.MULTILINE) for name in BUILTINS)
    assert "16 half-lives" in sep("functions", "ema")
    with pytest.raises(DslError, match=r"did you mean ema\?"):
        sep("functions", "emma")


def test_explain(sep: Sep, file: Path) -> None:
    said = sep("explain", file, "--pair", "eurusd", "--timeframe", "m5")
    assert "stream bars: EUR_USD M5" in said
    assert "param p.n = 5 in [2, 9], whole" in said
    assert "engine: entropy of bars, encoder direction" in said
    assert "signal up: long, stop 2 * atr(14), 12 bars" in said
    assert "highest(" in said


def test_format(sep: Sep, file: Path) -> None:
    assert sep("format", "--check", file) == ""
    file.write_text(TEXT.replace("    ", "\t"))
    assert "would change" in sep("format", "--check", file, code=1)
    assert "changed" in sep("format", file)
    assert file.read_text() == TEXT


def test_run(sep: Sep, file: Path, stored: pl.DataFrame, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    assert re.search(r"up.sep: [\d,]+ signals: [\d,]+ up", sep("run", file, "--csv", out))
    whole = pl.read_csv(out, try_parse_dates=True)
    assert whole.height > 50
    start, end = stored["timestamp"][900], stored["timestamp"][1_200]
    sep("run", file, "--csv", out, "--from", start.isoformat(), "--to", end.isoformat())
    part = pl.read_csv(out, try_parse_dates=True)
    inside = whole.filter(pl.col("timestamp").is_between(start, end, closed="left"))
    assert part.equals(inside)
    sep("run", file, "--csv", out, "--param", "p.n=9")
    assert pl.read_csv(out).height < whole.height
    assert "is not such as" in sep("run", file, "--param", "p.n", code=2)


@pytest.mark.usefixtures("stored")
def test_run_says_what_is_missing(sep: Sep, file: Path) -> None:
    with pytest.raises(NoSeries, match="EUR_USD"):
        sep("run", file, "--pair", "EUR_USD")
    with pytest.raises(SepError, match="EUR_UDS"):
        sep("run", file, "--pair", "EUR_UDS")
    with pytest.raises(DslError, match=r"train/local -p strategy=.*damped_consensus"):
        sep("run", FOLDER / "damped_consensus.sep", "--pair", "PLANTED")


def test_expectations_beside_a_strategy(sep: Sep, file: Path) -> None:
    file.write_text(
        TEXT.replace("entropy() < 2", "true").replace("2 * atr(14)", "0.1").replace("= 5", "= 2")
    )
    table = file.with_suffix(".test.csv")
    rows = [
        ("00", 1.0, ""),
        ("01", 1.1, ""),
        ("02", 1.05, "-"),
        ("03", 1.2, "up"),
        ("04", 1.1, "up"),
    ]
    text = "\n".join(f"2018-01-09T{hour}:00:00,{close},{say}" for hour, close, say in rows)
    table.write_text(f"timestamp,close,expect\n{text}\n")
    said = sep("test", file, code=1)
    assert "2018-01-09 04:00: expected up, found -" in said
    assert "2 of 3 bars as expected" in said
    table.write_text(table.read_text().replace("1.1,up", "1.3,up"))
    assert "3 of 3 bars as expected" in sep("test", file)
    for content, words in (
        ("timestamp,close,expect\n2018-01-09,1,\n", "expects nothing"),
        ("timestamp,close,expect\n2018-01-09,1,down\n", "expects down"),
        ("timestamp,close\n2018-01-09,1\n", "no table"),
        ("timestamp,close,expect\nnoon,1,up\n", "no table"),
        ("", "no table"),
    ):
        table.write_text(content)
        with pytest.raises(DslError, match=words):
            sep("test", file)
    table.unlink()
    with pytest.raises(DslError, match="cannot be read"):
        sep("test", file)


def test_the_table_beside_an_example(sep: Sep) -> None:
    assert "10 of 10 bars as expected" in sep("test", FOLDER / "damped_consensus.sep")


@pytest.mark.usefixtures("stored")
def test_watch_draws_the_page(sep: Sep, file: Path) -> None:
    assert "signals" in sep("watch", file, "--once")
    page = file.with_suffix(".html").read_text()
    assert page.count("<circle") > 50
    assert "<script" not in page
    file.write_text(TEXT.replace("close()", "<b>"))
    sep("watch", file, "--once", "--page", file.with_name("other.html"))
    fault = file.with_name("other.html").read_text()
    assert "<pre>up.sep:5:10" in fault
    assert "<b>" not in fault


@pytest.mark.usefixtures("stored")
def test_watch_draws_again_when_the_file_is_saved(file: Path) -> None:
    said: list[str] = []
    watched = strategy_watch.Watched(file, file.with_suffix(".html"))

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            threading.Timer(0.3, lambda: file.write_text(TEXT.replace("[2, 9]", "["))).start()
        else:
            raise KeyboardInterrupt

    strategy_watch.watch(watched, say)
    assert "signals" in said[0]
    assert "up.sep:4:21" in said[1]


def test_watch_is_quick(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """100,000 bars in less than two seconds, once they are read."""
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    names = ["timestamp", "open", "high", "low", "close", "volume"]
    bars = frame(100_000, "M5", start=datetime(2016, 1, 1, tzinfo=UTC)).select(names)
    BarStore(tmp_path / "home" / "bars").write("EUR_USD", "M5", bars)
    shutil.copy(FOLDER / "trend_following.sep", file)
    watched = strategy_watch.Watched(file, file.with_suffix(".html"), "EUR_USD", "M5")
    watched.draw()
    times = []
    for _ in range(3):
        begin = time.process_time()
        assert "signals" in watched.draw()
        times.append(time.process_time() - begin)
    assert min(times) < 2
