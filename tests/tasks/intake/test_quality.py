from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.bars import PRICES, QUOTES
from infra.market.calendar import Calendar
from infra.market.timeframes import bar_length
from infra.market.week import Week
from tasks.intake.quality import Quality, quality, told_duplicates
from tasks.intake.validation import validate
from tests.infra.market.test_sessions import AUTUMN, SPRING, naive_expected, stamps, utc
from tests.tasks.frames import with_quotes

PAUSE = 5
CALENDAR = Calendar(Week.forex(break_minutes=PAUSE))
STEP = 1e-5


def walk(
    times: pl.Series, *, seed: int = 0, decimals: int = 5, spread: float = 0.0
) -> pl.DataFrame:
    """A random walk of at least a step a bar, whose bars reach beyond open and close."""
    generator = np.random.default_rng(seed)
    n = len(times)
    move = generator.normal(0.0, 1e-3, n)
    close = 1.2 + np.cumsum(move + np.copysign(10 * STEP, move)) / 10
    open_ = np.concatenate([[1.2], close[:-1]])
    reach = generator.uniform(0.0, 2e-4, (2, n)) + STEP
    prices = (
        open_,
        np.maximum(open_, close) + reach[0],
        np.minimum(open_, close) - reach[1],
        close,
    )
    rounded = {name: price.round(decimals) for name, price in zip(PRICES, prices, strict=True)}
    bars = pl.DataFrame({"timestamp": times, **rounded, "volume": np.full(n, 7.0)})
    return with_quotes(bars, spread).with_columns(pl.col(*QUOTES).round(5)) if spread else bars


def weeks(timeframe: str = "M5", **options: Any) -> pl.DataFrame:
    return walk(CALENDAR.expected(utc(2018, 3, 5), utc(2018, 3, 17), timeframe), **options)


def figures(told: Quality) -> dict[str, Any]:
    """What a defect may change, as counts."""
    share = {"zeros": told.zero_returns, "negative": told.negative, "zero spreads": told.zero}
    counts = {name: round((part or 0) * told.rows) for name, part in share.items()}
    return counts | {
        "rows": told.rows,
        "missing": told.expected - int(told.days["present"].sum()),
        "gaps": told.gaps["bars"].to_list(),
        "outside": told.outside,
        "duplicates": (told.exact, told.conflicting),
        "spikes": told.spikes["timestamp"].to_list(),
        "flat": told.flat_bars,
        "decimals": told.decimals,
        "volume": round(told.volume * told.rows),
    }


def changed(bars: pl.DataFrame, spoilt: pl.DataFrame) -> dict[str, Any]:
    """What the quality of spoilt bars says differently."""
    before, after = (figures(quality(frame, "M5", CALENDAR)) for frame in (bars, spoilt))
    return {name: value for name, value in after.items() if value != before[name]}


def put(bars: pl.DataFrame, row: int, **values: float) -> pl.DataFrame:
    at = pl.int_range(pl.len()) == row
    return bars.with_columns(
        pl.when(at).then(value).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def scaled(row: int, factor: float, *names: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda bars: put(
        bars, row, **{name: round(bars[name][row] * factor, 5) for name in names}
    )


def test_clean_bars_have_nothing_to_tell() -> None:
    bars = weeks(spread=1e-4)
    told = quality(bars, "M5", CALENDAR, pair="EUR_USD")
    assert figures(told) == {
        **dict.fromkeys(("zeros", "negative", "zero spreads", "missing", "outside", "flat"), 0),
        "gaps": [],
        "spikes": [],
        "rows": bars.height,
        "volume": bars.height,
        "duplicates": (0, 0),
        "decimals": 5,
    }
    assert (told.first, told.last) == (bars["timestamp"][0], bars["timestamp"][-1])
    assert told.completeness == 1.0
    assert told.coarser == pytest.approx(0.1, abs=0.02)
    assert told.spread["median"].to_numpy() == pytest.approx(1e-4)
    assert told.spread["hour"].to_list() == list(range(24))


def take(bars: pl.DataFrame, start: int, n: int) -> pl.DataFrame:
    return pl.concat([bars.head(start), bars.slice(start + n)])


def twice(bars: pl.DataFrame, row: int, **values: float) -> pl.DataFrame:
    return pl.concat([bars.head(row + 1), put(bars, row, **values).slice(row)])


def on_saturday(bars: pl.DataFrame) -> pl.DataFrame:
    """The last bar of a week once more, half a day later."""
    noon = stamps([utc(2018, 3, 10, 12)])
    return bars.filter(pl.col("timestamp") < noon[0]).tail(1).with_columns(noon)


DEFECTS: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], dict[str, Any]]] = {
    "gap": (lambda b: take(b, 700, 13), {"missing": 13, "gaps": [13], "rows": -13, "volume": -13}),
    "exact duplicate": (lambda b: twice(b, 40), {"duplicates": (1, 0)}),
    "conflicting duplicate": (lambda b: twice(b, 40, close=1.3), {"duplicates": (0, 1)}),
    "unsorted rows": (lambda b: b.reverse(), {}),
    "close that returns": (scaled(90, 1.01, "close", "high"), {"spikes": [90]}),
    "low that returns": (scaled(90, 0.99, "low"), {"spikes": [90]}),
    "high that returns": (scaled(90, 1.01, "high"), {"spikes": [90]}),
    "step that stays": (
        lambda b: pl.concat([b.head(90), b.slice(90).with_columns(pl.col(*PRICES) + 0.01)]),
        {},
    ),
    "flat run": (
        lambda b: b.with_columns(
            pl.when(pl.int_range(pl.len()).is_between(200, 206))
            .then(1.2)
            .otherwise(name)
            .alias(name)
            for name in PRICES
        ),
        {"flat": 7, "zeros": 6},
    ),
    "open that equals its close": (lambda b: put(b, 60, open=b["close"][60]), {}),
    "unknown volume": (lambda b: b.with_columns(volume=pl.lit(None, pl.Float64)), {"volume": 0}),
    "volume of zero": (lambda b: put(b, 5, volume=0.0), {"volume": -1}),
    "negative spread": (lambda b: put(b, 9, ask_low=1.0), {"negative": 1}),
    "zero spread": (lambda b: put(b, 9, ask_close=b["bid_close"][9]), {"zero spreads": 1}),
    "bar on a Saturday": (
        lambda b: pl.concat([b, on_saturday(b)]).sort("timestamp"),
        {"outside": 1, "rows": 1, "volume": 1, "zeros": 1},
    ),
}


@pytest.mark.parametrize("name", list(DEFECTS))
def test_each_defect_is_found_and_changes_nothing_else(name: str) -> None:
    bars = weeks(spread=1e-4)
    spoil, wanted = DEFECTS[name]
    rows = {key: bars.height + wanted[key] for key in ("rows", "volume") if wanted.get(key)}
    when = (
        {"spikes": [bars["timestamp"][i] for i in wanted["spikes"]]} if "spikes" in wanted else {}
    )
    assert changed(bars, spoil(bars)) == wanted | rows | when


def naive_gaps(times: list[datetime], expected: list[datetime]) -> list[tuple[Any, ...]]:
    """Expected bars that are not there, those between the same two bars together."""
    there = set(times)
    gaps: dict[datetime, list[datetime]] = {}
    for bar in expected:
        if bar not in there:
            following = min(time for time in times if time > bar)
            gaps.setdefault(following, []).append(bar)
    return [(bars[0], bars[-1], len(bars)) for bars in gaps.values()]


@pytest.mark.parametrize("span", [SPRING, AUTUMN])
@pytest.mark.parametrize("timeframe", ["M15", "H1"])
@pytest.mark.parametrize("seed", range(3))
def test_completeness_and_gaps_equal_the_reference(
    span: tuple[datetime, datetime], timeframe: str, seed: int
) -> None:
    expected = naive_expected(*span, timeframe, PAUSE)
    generator = np.random.default_rng(seed)
    kept = generator.random(len(expected)) < 0.8
    kept[generator.integers(1, len(expected) - 1) :][:20] = False
    kept[[0, -1]] = True
    times = [bar for bar, keep in zip(expected, kept, strict=True) if keep]
    told = quality(walk(stamps(times)), timeframe, CALENDAR)
    assert told.expected == len(expected)
    assert told.completeness == pytest.approx(kept.mean(), abs=1e-12)
    length = bar_length(timeframe)
    wanted = [(start, last + length, bars) for start, last, bars in naive_gaps(times, expected)]
    assert told.gaps.rows() == wanted
    assert max(bars for _, _, bars in wanted) >= 20


def test_days_add_up() -> None:
    bars = take(weeks("M1"), 100, 50)
    told = quality(bars, "M1", CALENDAR)
    assert int(told.days["expected"].sum()) - 50 == int(told.days["present"].sum()) == bars.height
    assert told.days["date"].is_unique().all()
    assert told.days.filter(pl.col("present") < pl.col("expected")).height == 1


@pytest.mark.parametrize("decimals", [5, 4, 3])
def test_rounding_shows_in_decimals_and_zero_returns(decimals: int) -> None:
    fine = weeks("M1")
    bars = fine.with_columns(pl.col(*PRICES).round(decimals))
    told = quality(bars, "M1", CALENDAR)
    zeros = (bars["close"].diff().drop_nulls() == 0).mean()
    assert told.decimals == decimals
    assert told.zero_returns == zeros
    assert told.coarser == pytest.approx(0.1, abs=0.05)
    deviation = math.sqrt(math.pi / 2) * np.abs(np.diff(bars["close"].to_numpy())).mean()
    assert told.price_step == pytest.approx(10.0**-decimals / deviation)


def test_mid_prices_of_half_steps_count_the_decimals_of_the_quotes() -> None:
    bars = weeks(spread=1e-4)
    odd = bars.with_columns((pl.col(f"bid_{p}") + 13 * STEP).alias(f"ask_{p}") for p in PRICES)
    mid = odd.with_columns((pl.col(f"bid_{p}") + 6.5 * STEP).alias(p) for p in PRICES)
    assert quality(mid.drop(QUOTES), "M5", CALENDAR).decimals == 6
    assert quality(mid, "M5", CALENDAR).decimals == 5


def test_spread_by_hour_is_that_of_new_york() -> None:
    bars = weeks("M15", spread=1e-4)
    hour = pl.col("timestamp").dt.convert_time_zone("America/New_York").dt.hour()
    wide = bars.with_columns(ask_close=pl.col("bid_close") + hour * 1e-4)
    told = quality(wide, "M15", CALENDAR)
    assert told.spread["median"].to_numpy() == pytest.approx(np.arange(24) * 1e-4)
    assert told.spread["high"].to_numpy() == pytest.approx(np.arange(24) * 1e-4)


def test_daily_bars() -> None:
    days = CALENDAR.expected(utc(2018, 1, 8), utc(2018, 12, 1), "D1")
    told = quality(
        walk(take(pl.DataFrame({"timestamp": days}), 20, 2)["timestamp"]), "D1", CALENDAR
    )
    assert (told.rows, told.gaps["bars"].to_list(), told.outside) == (len(days) - 2, [2], 0)
    utc_days = stamps([utc(2018, 1, 8) + timedelta(days=i) for i in range(300) if i % 7 < 5])
    told = quality(walk(utc_days), "D1")
    assert (told.completeness, told.gaps.height, told.outside) == (1.0, 0, 0)


@pytest.mark.parametrize("calendar", [None, Calendar(Week.forex()), CALENDAR])
@pytest.mark.parametrize("every", ["4h", "1d"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_long_bars_of_any_clock_are_complete(
    calendar: Calendar | None, every: str, zone: str
) -> None:
    """Minutes of forex put together on UTC's clock, or from 17:00 New York on (server time)."""
    minutes = Calendar(Week.forex()).expected(utc(2018, 1, 8), utc(2018, 12, 1), "M1")
    shift = timedelta(hours=7 if zone != "UTC" else 0)
    wall = (minutes.dt.convert_time_zone(zone).dt.replace_time_zone(None) + shift).dt.truncate(
        every
    )
    bars = (wall.unique().sort() - shift).dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
    timeframe = "H4" if every == "4h" else "D1"
    told = quality(walk(bars.alias("timestamp")), timeframe, calendar)
    assert (told.completeness, told.gaps.height, told.outside) == (1.0, 0, 0)
    assert told.expected > 200
    holed = quality(
        walk(take(pl.DataFrame({"timestamp": bars}), 91, 3)["timestamp"]), timeframe, calendar
    )
    assert 1 <= holed.gaps["bars"].sum() <= 3


@pytest.mark.parametrize("timeframe", ["M1", "H1", "D1"])
def test_no_bar_and_one_bar(timeframe: str) -> None:
    bars = weeks(timeframe, spread=1e-4)
    nothing = quality(bars.head(0), timeframe)
    assert (nothing.rows, nothing.first, nothing.completeness) == (0, None, None)
    assert (nothing.zero_returns, nothing.decimals, nothing.spread.height) == (None, None, 0)
    one = quality(bars.head(1), timeframe)
    assert (one.rows, one.completeness, one.gaps.height, one.spikes.height) == (1, 1.0, 0, 0)
    assert (one.zero_returns, one.price_step, one.spread.height) == (None, None, 1)


def test_one_week_is_judged_by_the_forex_week() -> None:
    bars = walk(Calendar(Week.forex()).expected(utc(2018, 3, 4), utc(2018, 3, 10), "M1"))
    told = quality(take(bars, 1000, 3), "M1")
    assert told.week == Week.forex()
    assert told.gaps["bars"].to_list() == [3]


def test_a_price_that_never_moves() -> None:
    bars = weeks("H1").with_columns(pl.lit(1.25).alias(name) for name in PRICES)
    told = quality(bars, "H1", CALENDAR)
    assert (told.flat_bars, told.zero_returns, told.price_step) == (bars.height, 1.0, None)
    assert (told.decimals, told.spikes.height) == (2, 0)


def test_duplicates_in_quarantine_are_told_apart() -> None:
    good = "2018-01-02T00:00:00Z", "1.2", "1.3", "1.1", "1.25", None
    rows = [good, good, ("2018-01-02T01:00:00Z", *good[1:]), (*good[:4], "1.22", None), good]
    names = ["timestamp", *PRICES, "volume"]
    raw = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
    raw = raw.with_row_index("source_row", 1).cast({"source_row": pl.Int64})
    told = validate(raw, timeframe="H1")
    assert told.quarantined["reason"].to_list() == ["duplicate timestamp"] * 3
    assert told_duplicates(raw, told.quarantined) == (2, 1)
    assert told_duplicates(raw, told.quarantined.head(0)) == (0, 0)
    found = quality(told.bars, "H1", CALENDAR, duplicates=(2, 1))
    assert (found.exact, found.conflicting) == (2, 1)


@pytest.mark.parametrize(("day", "outside"), [(24, 0), (25, 1), (26, 0)])
def test_bars_in_hours_that_only_some_venues_trade_are_not_outside(day: int, outside: int) -> None:
    told = quality(walk(stamps([utc(2018, 12, day, 20)])), "H1", CALENDAR)
    assert (told.outside, told.expected) == (outside, 0)
