"""From published signals to a demotion by `maintain`, and on in the shadow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import text

from flows.maintain import maintain
from flows.signals import signals
from infra.postgres import database as db
from infra.postgres.models import Signal
from tasks.research.registry import appoint, entry
from tasks.research.resolve import resolve
from tasks.upkeep.standing import standings
from tests.flows.champions import put_in_force
from tests.flows.test_ingest import artifacts, latest_run
from tests.tasks.research.test_walkforward import RECIPE, Whole

pytestmark = pytest.mark.usefixtures("prefect_server", "cache")

HOUR = timedelta(hours=1)


@pytest.fixture
def champion(home: Path, database: str) -> Iterator[Whole]:
    """A model of PLANTED in force, with its files and bars."""
    shutil.rmtree(home / "bars", ignore_errors=True)
    whole, folder = put_in_force(2_500)
    yield whole
    shutil.rmtree(folder.path)


def published() -> pl.DataFrame:
    return db.read_frame(
        "SELECT s.*, o.state, o.won, o.gain, o.exit_at FROM signal AS s "
        "LEFT JOIN signal_outcome AS o ON o.signal_id = s.id ORDER BY s.bar_ts"
    )


def say_again(certain: float) -> None:
    """Publish what was told once more, in time, all of it as sure as that."""
    kept = db.read_frame("SELECT * FROM signal")
    moved = kept.drop("id").with_columns(
        confidence=pl.lit(certain),
        published_at=pl.col("bar_ts") + HOUR,
        strategy=pl.lit("damped, in time"),
    )
    db.copy_frame(moved, Signal, update=False)
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE champion SET since = '2015-01-05T00:00Z'"))


def test_signals_are_resolved_as_in_the_backtest_and_a_false_champion_is_demoted(
    champion: Whole,
) -> None:
    model, end = champion.model.model_id, champion.bars["timestamp"][-1] + HOUR
    assert entry(model).metrics["base_rate"] == list(champion.model.frozen.base_rate)
    early = end - 200 * HOUR
    assert signals(timeframe="H1", as_of=early, bars=300)["new"] > 0
    did = maintain(parts=["outcomes"])
    told = published().filter(pl.col("state") == "resolved")
    assert did["outcomes"]["resolved"] == len(told) > 30
    assert told["mode"].unique().to_list() == ["live"]
    expected = resolve(champion.bars, champion.measures.metrics, RECIPE, engine="cpu")
    place = {bar: n for n, bar in enumerate(champion.bars["timestamp"])}
    for row in told.iter_rows(named=True):
        at = place[row["bar_ts"]], int(row["side"] == "short")
        assert row["gain"] == expected.gain[at]
        assert row["won"] == bool(expected.win[at])
        assert place[row["exit_at"]] == expected.exit_bar[at]
    assert did["outcomes"]["demoted"] == 0, "a replay judges nobody"
    say_again(0.97)
    did = maintain(parts=["outcomes"])
    assert (did["outcomes"]["champions"], did["outcomes"]["demoted"]) == (1, 1)
    assert did["health"] == "note"
    assert "confidence was too high" in artifacts(latest_run().id)["live-record"]
    assert standings()[model].state == "demoted"
    later = signals(timeframe="H1", as_of=end, bars=200)
    (cycle,) = later["pairs"]
    assert (cycle["state"], cycle["mode"]) == ("published", "shadow")
    fresh = published().filter(pl.col("bar_ts") >= early)
    assert later["new"] == len(fresh) > 0
    assert fresh["mode"].unique().to_list() == ["shadow"]
    assert maintain(parts=["outcomes"])["outcomes"]["demoted"] == 0
    appoint(model, who="a test")
    assert standings()[model].state == "champion"
