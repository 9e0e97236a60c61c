"""Nights over 17:00 New York: how many days each is charged, and what they earn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bars import TIME
from infra.market.financing import USUAL_DAYS, Financing, charged_days
from infra.market.instruments import usual_financing

NEW_YORK = ZoneInfo("America/New_York")
DAYS = st.lists(st.integers(0, 9), min_size=7, max_size=7).map(tuple)
MOMENTS = st.integers(-(5 * 365 * 86_400), 70 * 365 * 86_400).map(
    lambda second: datetime.fromtimestamp(second, UTC)
)
SPANS = st.timedeltas(timedelta(0), timedelta(days=60))


def charged(entered: datetime, left: datetime, days: Sequence[int] = USUAL_DAYS) -> int:
    """Look at 17:00 New York of every day: the slow twin."""
    total, day = 0, entered.astimezone(NEW_YORK).date() - timedelta(days=1)
    while day <= left.astimezone(NEW_YORK).date():
        if entered < datetime(day.year, day.month, day.day, 17, tzinfo=NEW_YORK) <= left:
            total += days[day.weekday()]
        day += timedelta(days=1)
    return total


def told(entered: datetime, left: datetime, days: tuple[int, ...] = USUAL_DAYS) -> int:
    before, after = charged_days(pl.Series([entered, left], dtype=TIME), days)
    return int(after - before)


@given(MOMENTS, SPANS, DAYS)
def test_days_are_those_of_the_slow_twin(
    entered: datetime, span: timedelta, days: tuple[int, ...]
) -> None:
    assert told(entered, entered + span, days) == charged(entered, entered + span, days)


@pytest.mark.parametrize(
    ("entered", "left", "days"),
    [
        ("2018-01-08 21:00", "2018-01-08 22:00", 1),  # Monday: 17:00 is 22:00 in winter
        ("2018-01-08 22:00", "2018-01-09 21:59", 0),  # entered at it: the night lies behind
        ("2018-07-09 20:00", "2018-07-09 21:00", 1),  # and 21:00 in summer
        ("2018-07-09 21:00", "2018-07-09 22:00", 0),
        ("2018-01-10 21:59", "2018-01-10 22:00", 3),  # Wednesday
        ("2018-01-12 21:00", "2018-01-14 22:00", 1),  # over a weekend: Friday's night alone
        ("2018-01-08 12:00", "2018-01-15 12:00", 7),  # a week
        ("2018-03-09 21:30", "2018-03-12 20:30", 1),  # clocks go forward on the 11th
        ("2018-03-09 21:30", "2018-03-12 21:00", 2),
        ("2018-11-02 20:30", "2018-11-05 21:30", 1),  # and back on the 4th
        ("2018-11-02 20:30", "2018-11-05 22:00", 2),
    ],
)
def test_summer_time_weekends_and_wednesdays(entered: str, left: str, days: int) -> None:
    begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (entered, left))
    assert told(begin, end) == charged(begin, end) == days


@pytest.mark.parametrize("sunday", ["2018-03-11", "2018-11-04"])
def test_every_quarter_of_an_hour_of_the_weeks_that_change_the_clock(sunday: str) -> None:
    start = datetime.fromisoformat(sunday).replace(tzinfo=UTC) - timedelta(days=6)
    moments = [start + timedelta(minutes=15 * i) for i in range(8 * 96)]
    days = charged_days(pl.Series(moments, dtype=TIME))
    assert (days - days[0]).tolist() == [charged(start, moment) for moment in moments]


def test_a_long_earns_the_long_rate_and_a_short_the_short_one() -> None:
    earned = Financing(-0.0365, 0.0073).nightly(np.array([0, 1]))
    assert earned == pytest.approx([-1e-4, 2e-5])
    assert Financing(0.01)
    assert not Financing()


def test_the_brokers_own_example() -> None:
    """100,000 EUR/USD at 1.15826 and -3 % a year cost 9.52 USD a night."""
    earned = 100_000 * 1.15826 * Financing(-0.03).nightly(np.array([0]))
    assert earned == pytest.approx([-9.52], abs=0.005)


@pytest.mark.parametrize("rates", [(math.nan, 0.0), (0.0, math.inf)])
def test_rates_are_numbers(rates: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="rates are"):
        Financing(*rates)


@pytest.mark.parametrize("days", [(1, 1, 3, 1, 1), (1, 1, 3, 1, 1, 0, -1)])
def test_a_week_has_seven_days(days: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="days are"):
        Financing(0.0, 0.0, days)


def test_estimated_rates_count_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert usual_financing("EUR_USD") == Financing()
    (tmp_path / "instruments.toml").write_text("[EUR_USD]\nlong_rate = -0.02\n")
    assert usual_financing("EUR_USD") == Financing()
    (tmp_path / "instruments.toml").write_text("[EUR_USD]\nlong_rate = -0.02\nshort_rate = 0.01\n")
    assert usual_financing("EUR_USD") == Financing(-0.02, 0.01)
    assert usual_financing("PLANTED") == Financing()
