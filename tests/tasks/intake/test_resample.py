"""Longer bars from minutes: New York's day, both clock changes, nothing from the future."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import QUOTES
from infra.market.days import bar_start
from infra.market.timeframes import TIMEFRAMES, bar_length
from tasks.intake.resample import resample

NEW_YORK = ZoneInfo("America/New_York")
MINUTE = timedelta(minutes=1)
LONGER = [timeframe for timeframe in TIMEFRAMES if timeframe != "M1"]


def walk(times: Iterable[datetime]) -> pl.DataFrame:
    """Minutes whose prices are all different, so that a wrong one shows."""
    stamps = pl.Series("timestamp", list(times), dtype=pl.Datetime("us", "UTC"))
    n = pl.int_range(pl.len())
    step = (n * 7 % 11).cast(pl.Float64)
    prices = {"open": n + step, "high": n + step + 20, "low": n + step - 20, "close": n - step}
    return stamps.to_frame().with_columns(
        **{name: price.cast(pl.Float64) for name, price in prices.items()},
        volume=(n + 1).cast(pl.Float64),
    )


def span(start: datetime, minutes: int) -> list[datetime]:
    return [start + i * MINUTE for i in range(minutes)]


def naive_start(time: datetime, timeframe: str) -> datetime:
    """Step back minute by minute until the clock shows where a bar begins."""
    length = bar_length(timeframe)
    while True:
        local = time.astimezone(NEW_YORK)
        since = timedelta(hours=(local.hour - 17) % 24, minutes=local.minute)
        first = local.replace(fold=0).utcoffset() == local.utcoffset()
        if length <= timedelta(hours=1):
            since, first = timedelta(minutes=time.hour * 60 + time.minute), True
        if since % length == timedelta(0) and first:
            return time
        time -= MINUTE


def naive_bars(bars: pl.DataFrame, timeframe: str) -> list[tuple[object, ...]]:
    """Every bar, whole or not, row by row."""
    longer: dict[datetime, list[dict[str, float]]] = {}
    for row in bars.iter_rows(named=True):
        longer.setdefault(naive_start(row["timestamp"], timeframe), []).append(row)
    return [
        (
            start,
            rows[0]["open"],
            max(row["high"] for row in rows),
            min(row["low"] for row in rows),
            rows[-1]["close"],
            sum(row["volume"] for row in rows),
        )
        for start, rows in longer.items()
    ]


CHANGES = [datetime(2018, 3, 10, 21), datetime(2018, 11, 3, 20), datetime(2018, 7, 1, 20)]  # noqa: DTZ001


@pytest.mark.parametrize("timeframe", LONGER)
@pytest.mark.parametrize("start", CHANGES)
def test_bars_are_those_of_the_naive_way(timeframe: str, start: datetime) -> None:
    bars = walk(span(start.replace(tzinfo=UTC) + 17 * MINUTE, 3_000)[::7])
    assert resample(bars, timeframe, partial=True).rows() == naive_bars(bars, timeframe)


@pytest.mark.parametrize(
    ("day", "hours"),
    [("2018-01-10", 24), ("2018-03-10", 23), ("2018-11-03", 25), ("2018-07-10", 24)],
)
def test_day_begins_at_17_in_new_york(day: str, hours: int) -> None:
    start = datetime.fromisoformat(f"{day} 17:00").replace(tzinfo=NEW_YORK).astimezone(UTC)
    bars = walk(span(start - timedelta(days=1), 4 * 1440))
    days = resample(bars, "D1")["timestamp"]
    assert start in days.to_list()
    assert days.dt.convert_time_zone("America/New_York").dt.hour().unique().to_list() == [17]
    length = days.filter(days > start)[0] - start
    assert length == timedelta(hours=hours)


def test_four_hours_begin_with_the_day() -> None:
    bars = walk(span(datetime(2018, 1, 9, 22, tzinfo=UTC), 1440))
    starts = resample(bars, "H4")["timestamp"].dt.hour().to_list()
    assert starts == [22, 2, 6, 10, 14, 18]


def test_week_that_begins_on_sunday_at_17() -> None:
    week = walk(span(datetime(2018, 1, 7, 22, tzinfo=UTC), 5 * 1440))
    days = resample(week, "D1")
    assert days["timestamp"].dt.weekday().to_list() == [7, 1, 2, 3, 4]
    assert days["volume"].sum() == week["volume"].sum()


@pytest.mark.parametrize("timeframe", LONGER)
def test_bar_that_is_not_whole_is_dropped_unless_asked(timeframe: str) -> None:
    start = datetime(2018, 1, 9, 22, tzinfo=UTC)
    length = bar_length(timeframe) // MINUTE
    whole = walk(span(start, 2 * length))
    assert resample(whole, timeframe).height == 2
    assert resample(whole[:-1], timeframe).equals(resample(whole, timeframe)[:1])
    assert resample(whole[1:], timeframe).equals(resample(whole, timeframe)[1:])
    assert resample(whole[1:-1], timeframe).is_empty()
    assert resample(whole[1 : length - 1], timeframe).is_empty()
    assert resample(whole[1:-1], timeframe, partial=True).height == 2
    assert resample(whole[:0], timeframe).is_empty()


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    at=st.sets(st.integers(0, 4_000), max_size=60),
    known=st.integers(0, 60),
    timeframe=st.sampled_from(LONGER),
    start=st.sampled_from(CHANGES),
)
def test_what_comes_later_changes_no_bar(
    at: set[int], known: int, timeframe: str, start: datetime
) -> None:
    first = start.replace(tzinfo=UTC)
    bars = walk(first + minute * MINUTE for minute in sorted(at))
    early = resample(bars[:known], timeframe)
    assert early.equals(resample(bars, timeframe)[: early.height])


def test_bars_of_bars_are_bars_of_minutes() -> None:
    bars = walk(span(datetime(2018, 3, 8, 22, tzinfo=UTC), 4 * 1440))
    through = resample(resample(bars, "M15"), "D1", base="M15")
    assert through.equals(resample(bars, "D1"))


def test_what_one_minute_lacks_the_bar_lacks() -> None:
    bars = walk(span(datetime(2018, 1, 9, 22, tzinfo=UTC), 10))
    quoted = bars.with_columns(
        pl.col(name.split("_")[1]).alias(name) for name in QUOTES
    ).with_columns(pl.when(pl.int_range(pl.len()) != 7).then(pl.col("volume", *QUOTES)).name.keep())
    longer = resample(quoted, "M5")
    assert longer.columns == quoted.columns
    assert longer.select("volume", *QUOTES).null_count().row(0) == (1,) * 9
    assert longer["bid_high"][0] == longer["high"][0]


def test_timeframe_that_cannot_be_made_says_why() -> None:
    bars = walk(span(datetime(2018, 1, 9, 22, tzinfo=UTC), 10))
    with pytest.raises(ValueError, match="bars of H1 make none of M5"):
        resample(bars, "M5", base="H1")
    with pytest.raises(ValueError, match="timeframe must be one of M1, M5"):
        resample(bars, "H2")
    with pytest.raises(ValueError, match="timeframe must be one of M1, M5"):
        bar_start(bars["timestamp"], "H2")
