"""Trades by year, session and hour."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from kernels.evaluation import wilson
from tasks.reports.periods import periods
from tasks.research.simulation import TRADES


def trades(*entered: tuple[datetime, float]) -> pl.DataFrame:
    rows = [{"entry_time": time, "gain": gain} for time, gain in entered]
    return pl.DataFrame(rows, schema={"entry_time": TRADES["entry_time"], "gain": pl.Float64})


def at(year: int, month: int, day: int, hour: int) -> datetime:
    return datetime(year, month, day, hour, 30, tzinfo=UTC)


def test_trades_are_counted_by_when_they_were_entered() -> None:
    found = periods(
        trades((at(2018, 1, 9, 3), 0.01), (at(2017, 5, 9, 3), -0.02), (at(2017, 5, 9, 14), 0.03))
    )
    years = {row["name"]: row for row in found["year"]}
    assert list(years) == ["2017", "2018"]
    assert (years["2017"]["trades"], years["2017"]["wins"]) == (2, 1)
    assert years["2017"]["net"] == pytest.approx(0.01)
    assert (years["2017"]["hit_low"], years["2017"]["hit_high"]) == wilson(1, 2)
    assert [(row["name"], row["trades"]) for row in found["hour"]] == [("03", 2), ("14", 1)]


@pytest.mark.parametrize(
    ("time", "session"),
    [
        (at(2018, 1, 9, 3), "Tokyo"),
        (at(2018, 1, 9, 8), "Tokyo and London"),
        (at(2018, 7, 10, 7), "Tokyo and London"),  # in summer London opens an hour earlier
        (at(2018, 1, 9, 10), "London"),
        (at(2018, 1, 9, 14), "London and New York"),
        (at(2018, 1, 9, 18), "New York"),
        (at(2018, 1, 9, 22), "none of them"),
        (at(2018, 1, 13, 10), "none of them"),  # a Saturday
    ],
)
def test_sessions_keep_their_own_clock(time: datetime, session: str) -> None:
    assert [row["name"] for row in periods(trades((time, 0.0)))["session"]] == [session]


def test_sessions_come_in_the_order_of_the_day() -> None:
    entered = [(at(2018, 1, 9, hour), 0.0) for hour in (22, 18, 14, 10, 8, 3)]
    names = [row["name"] for row in periods(trades(*entered))["session"]]
    overlaps = ("Tokyo and London", "London and New York")
    assert names == ["Tokyo", overlaps[0], "London", overlaps[1], "New York", "none of them"]


def test_without_trades_there_are_no_rows() -> None:
    assert periods(pl.DataFrame(schema=TRADES)) == {"year": [], "session": [], "hour": []}
