"""From training to champion: the holdout stays shut, is opened once, and decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from deployments.sep.cli import app
from flows.backtest import backtest
from flows.train import train
from infra.postgres.database import read_frame
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.gate import holdout, log
from tasks.gate.checks import Judged
from tasks.gate.holdout import HoldoutUsed
from tasks.gate.promotion import promote
from tasks.intake.rows import planted_rows
from tasks.judge import Locked
from tasks.research import registry

KEY = {"pair": "PLANTED", "timeframe": "H1"}
NOISE = "PLANTED_NONE"
BARS = 9_000
EDGE = 2.5
"""Of the planted drift: enough to be seen on so few bars."""

pytestmark = pytest.mark.usefixtures("emptied", "prefect_server", "cache")


@pytest.fixture
def emptied(database: str) -> Iterator[None]:
    """No bars of either pair before and after: other tests have their own."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    for pair in ("PLANTED", NOISE):
        shutil.rmtree(bar_store().folder(pair, "H1"), ignore_errors=True)


def planted(bars: int = BARS, size: float = EDGE, pair: str = "PLANTED") -> pl.Series:
    rows = planted_rows(bars, timeframe="H1", seed=7, size=size, pair=pair).drop("source_row")
    bar_store().write(pair, "H1", rows)
    return rows["timestamp"]


def trained(**asked: Any) -> RunFolder:
    return RunFolder(Path(train(**{**KEY, **asked}, engine="cpu")["folder"]))


def model_of(run: RunFolder) -> str:
    return str(json.loads(run.summary.read_text())["about"]["model"])


def ask(model: str, *options: str) -> tuple[int, str]:
    shown = CliRunner().invoke(app, ["model", "promote", model, *options], env={"COLUMNS": "200"})
    return shown.exit_code, " ".join(shown.output.split())


def test_an_edge_becomes_champion_by_bars_that_nobody_had_seen() -> None:
    times = planted()
    run = trained()
    first = holdout.locked("PLANTED", "H1")
    assert first == times[int(BARS * 0.85)]
    bars = pl.read_parquet(run.predictions)["timestamp"]
    assert bars[-1] < first
    assert bars[-1] == times.filter(times < first)[-1]
    judged = document.read(run.gate, Judged)
    summary = json.loads(run.summary.read_text())
    assert summary["gate"] == [each.to_dict() for each in judged.checks]
    assert summary["trials"]["sets"] == judged.own > 200
    assert len(summary["paths"]["sharpe"]) == 5
    assert summary["plateau"]["trades"] >= 30

    _locked(first, times)
    model = model_of(run)
    code, told = ask(model)
    assert code == 0, told
    assert "is champion of PLANTED H1 damped_consensus" in told
    assert told.count("PASS") == 9
    chosen = registry.entry(model)
    assert (chosen.champion, chosen.shadow) == (True, False)
    (opening,) = holdout.openings("PLANTED", "H1")
    assert (opening.model_id, opening.first, opening.last) == (model, first, times[-1])
    _used(model, times)


def _locked(first: Any, times: pl.Series) -> None:
    """What runs before the gate leaves the holdout alone, or is written down."""
    with pytest.raises(Locked, match="i_know=true"):
        backtest(**KEY, end=times[-1])
    tested = RunFolder(Path(backtest(**KEY, engine="cpu")["folder"]))
    assert pl.read_parquet(tested.predictions)["timestamp"][-1] < first
    judged = document.read(tested.gate, Judged)
    assert judged.own == 1
    assert judged.tally.sets > 200  # what training tried on these bars counts
    promotion = promote(model_of(tested), bar_store(), who="me")
    assert not promotion.passed
    assert "make one by `train`" in promotion.reasons[0]
    assert holdout.openings("PLANTED", "H1") == []
    assert registry.entry(model_of(tested)).shadow


def _used(champion: str, times: pl.Series) -> None:
    """Another model of these bars is refused, and by --i-know the look counts."""
    other = model_of(trained(seed=1, settings=2, end=times[int(BARS * 0.85)]))
    with pytest.raises(HoldoutUsed, match=f"for the model {champion}"):
        promote(other, bar_store(), who="me")
    before = log.tally("PLANTED", "H1", times[0], times[-1])
    code, told = ask(other, "--i-know")
    after = log.tally("PLANTED", "H1", times[0], times[-1])
    assert (after.openings, after.sets) == (before.openings + 1, before.sets + 1)
    assert "looked at before" in told
    assert f"less that of the champion {champion}" in told
    assert code == (0 if "is champion" in told else 1)


def test_noise_speaks_in_shadow_at_most() -> None:
    times = planted(5_000, pair=NOISE)
    model = model_of(trained(pair=NOISE))
    code, told = ask(model, "--json")
    assert code == 1
    plain = json.loads(told)
    assert not plain["passed"]
    assert plain["reasons"]
    chosen = registry.entry(model)
    assert (chosen.champion, chosen.shadow) == (True, True)
    why = read_frame("SELECT why FROM champion")["why"][0]
    assert plain["reasons"][0] in why
    # bars that came since are a holdout of their own
    later = planted(6_000, pair=NOISE)
    trained(pair=NOISE)
    assert holdout.locked(NOISE, "H1") > times[-1]
    assert holdout.locked(NOISE, "H1") < later[-1] + timedelta(hours=1)
