"""`sep audit` of strategies over stored bars; that of models is in tests/flows/test_strategies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from deployments.sep import audit_tables
from deployments.sep.cli import app
from infra.errors import SepError
from infra.stores.bulk import BarStore
from infra.stores.catalog import NoSeries
from tasks.folder import bar_store
from tasks.intake.rows import planted_rows
from tasks.research.registry import NoModel
from tasks.rules import texts
from tasks.strategy.language.builtins import series
from tasks.strategy.language.errors import DslError

TEXT = """stream bars from "PLANTED" { timeframe: "H1" }
signal up {
    trigger: close() > lag(close(), 3) && entropy() < 2;
    action: BUY; stop: 2 * atr(14); horizon: 12;
}
"""


@pytest.fixture
def sep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    rows = planted_rows(1_500, timeframe="H1", seed=5).drop("source_row")
    BarStore(tmp_path / "home" / "bars").write("PLANTED", "H1", rows)
    (tmp_path / "up.sep").write_text(TEXT)

    def command(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["audit", str(tmp_path / "up.sep"), *arguments])
        if isinstance(done.exception, SepError):
            raise done.exception
        return done.exit_code, done.output

    return command


def test_a_text_sees_no_future(sep: Callable[..., tuple[int, str]]) -> None:
    code, shown = sep("--count", "6")
    assert code == 0, shown
    for each in ("truncation", "poison", "future twin", "start"):
        assert f"PASS  {each}" in shown


def test_an_engine_that_saw_it_would_be_told(
    sep: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(column: pl.Expr, count: int) -> pl.Expr:
        return column.shift(-count)

    monkeypatch.setattr(series, "before", before)
    code, shown = sep()
    assert code == 1
    assert "FAIL  truncation" in shown
    assert "without what came after" in shown


def test_the_newest_bars_are_meant_where_no_time_is_named(
    sep: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_tables, "MOST", 500)
    strategy, bars = texts.find(str(tmp_path / "up.sep")).open(), bar_store().read("PLANTED", "H1")
    times = bars["timestamp"]
    assert audit_tables.newest(strategy, None) == times[-500]
    assert audit_tables.newest(strategy, times[1_000]) == times[500]
    assert audit_tables.newest(strategy, times[400]) is None
    assert sep("--count", "2")[0] == 0


def test_what_cannot_be_audited(
    sep: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoSeries, match="ingest"):
        sep("--timeframe", "M5")
    runner = CliRunner()
    asking = runner.invoke(app, ["audit", "damped_consensus"]).exception
    assert isinstance(asking, DslError)
    assert "sep audit MODEL" in str(asking)
    spanned = runner.invoke(app, ["audit", "0123abcd", "--pair", "EUR_USD"]).exception
    assert isinstance(spanned, DslError)


@pytest.mark.usefixtures("database")
def test_a_model_that_is_not_there() -> None:
    none = CliRunner().invoke(app, ["audit", "0123abcd"]).exception
    assert isinstance(none, NoModel)
