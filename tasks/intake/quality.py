"""What bars are worth before anything is computed on them: holes, defects, rounding, spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from infra.bars import PRICES, QUOTES
from infra.market.calendar import Calendar, filled
from infra.market.days import NEW_YORK
from infra.market.timeframes import bar_length
from infra.market.week import Week

SPIKE: Final = 10.0
"""Robust deviations. News reaches as far, but stays: what is gone a bar later is a bad tick or
a flash crash, five times in 725,730 real minutes of EURUSD."""

RETURNED: Final = 0.25
"""Share of a spike that may remain in the next close: less has come back."""

WINDOW: Final = 61
"""Bars around a move that tell how large moves are there."""

DECIMALS: Final = 8
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Quality:
    """What is known of the bars of a pair and timeframe.

    Attributes
    ----------
    timeframe, pair : str
    week : Week
        Of the calendar that tells which gaps are scheduled.
    first, last : datetime or None
    rows : int
        Bars, each timestamp once.
    days : polars.DataFrame
        `date` on the clock of the week, `expected` and `present` bars.
    gaps : polars.DataFrame
        Unscheduled gaps: `start` of the first missing bar, `end` of the last, `bars` missing.
    outside : int
        Bars that lie wholly in closed time.
    exact, conflicting : int
        Repeated timestamps with the same values, and with others.
    spikes : polars.DataFrame
        `timestamp`, `deviations`: bars whose close or extreme leaves and is back in the next bar.
    flat_bars, flat_start : int, datetime or None
        The longest run of bars with one and the same price.
    zero_returns : float or None
        Share of closes equal to the one before.
    decimals : int or None
        Most frequent number of decimals of a price, of bid and ask where these are known.
    coarser : float or None
        Share of prices with fewer.
    price_step : float or None
        The smallest step of these decimals in deviations of a bar.
    spread : polars.DataFrame
        `hour` (New York), `median`, `high` (95 %), price units; empty without quotes.
    negative, zero : float or None
        Share of bars with bid and ask in which a spread is below zero; else equal to zero.
    volume : float
        Share of bars with a volume above zero.
    moves : polars.Series
        Differences of successive closes, price units.
    """

    timeframe: str
    pair: str
    week: Week
    first: datetime | None
    last: datetime | None
    rows: int
    days: pl.DataFrame
    gaps: pl.DataFrame
    outside: int
    exact: int
    conflicting: int
    spikes: pl.DataFrame
    flat_bars: int
    flat_start: datetime | None
    zero_returns: float | None
    decimals: int | None
    coarser: float | None
    price_step: float | None
    spread: pl.DataFrame
    negative: float | None
    zero: float | None
    volume: float
    moves: pl.Series

    @property
    def expected(self) -> int:
        """Bars that sessions between first and last ought to hold."""
        return int(self.days["expected"].sum())

    @property
    def completeness(self) -> float | None:
        """Share of the expected bars that are there."""
        return int(self.days["present"].sum()) / self.expected if self.expected else None


def quality(
    bars: pl.DataFrame,
    timeframe: str,
    calendar: Calendar | None = None,
    *,
    pair: str = "",
    duplicates: tuple[int, int] = (0, 0),
) -> Quality:
    """Measure what bars are worth.

    Parameters
    ----------
    bars : polars.DataFrame
        `timestamp` (UTC), prices, `volume`, quotes where known; of repeated timestamps the first
        row counts.
    timeframe : str
    calendar : Calendar, optional
        When the venue trades; left out, the bars tell (`Calendar.of`).
    pair : str
        Says how large a pip is.
    duplicates : (int, int)
        Exact and conflicting ones that validation has set aside already.
    """
    bars, exact, conflicting = _distinct(bars)
    times = bars["timestamp"]
    calendar = calendar or Calendar.of(times, timeframe)
    days, gaps = _completeness(times, timeframe, calendar)
    moves = bars["close"].diff().drop_nulls().alias("move")
    decimals, coarser = _decimals(bars)
    deviation = mean_deviation(moves)
    return Quality(
        timeframe=timeframe,
        pair=pair,
        week=calendar.week,
        first=times[0] if len(times) else None,
        last=times[-1] if len(times) else None,
        rows=bars.height,
        days=days,
        gaps=gaps,
        outside=_outside(times, timeframe, calendar),
        exact=exact + duplicates[0],
        conflicting=conflicting + duplicates[1],
        spikes=_spikes(bars, decimals),
        **_flat_run(bars),
        zero_returns=_share(moves == 0),
        decimals=decimals,
        coarser=coarser,
        price_step=10.0**-decimals / deviation if decimals is not None and deviation else None,
        **_spreads(bars),
        volume=_share((bars["volume"] > 0).fill_null(value=False)) or 0.0,
        moves=moves,
    )


def told_duplicates(raw: pl.DataFrame, quarantined: pl.DataFrame) -> tuple[int, int]:
    """Tell the duplicates that validation set aside: exact ones, and those that conflict.

    Parameters
    ----------
    raw : polars.DataFrame
        Rows of a source: `source_row`, `timestamp` and values, as they were written.
    quarantined : polars.DataFrame
        `source_row`, `reason`.
    """
    twice = quarantined.filter(pl.col("reason") == "duplicate timestamp").select("source_row")
    if twice.is_empty():
        return 0, 0
    rows = raw.select("source_row", "timestamp", values=pl.struct(pl.exclude("source_row")))
    kept = rows.join(quarantined, on="source_row", how="anti")
    both = rows.join(twice, on="source_row").join(kept, on="timestamp", how="left", suffix="_kept")
    exact = int(both.select(pl.col("values").eq_missing(pl.col("values_kept")).sum()).item())
    return exact, twice.height - exact


def mean_deviation(moves: pl.Series) -> float:
    """Deviation of moves from their mean size, as of a normal one; 0 where there are none."""
    return math.sqrt(math.pi / 2) * _number(moves.abs().mean())


def _distinct(bars: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Return bars in order, each timestamp once, and how many were repeated: exactly, or not."""
    if not bars["timestamp"].is_sorted():
        bars = bars.sort("timestamp", maintain_order=True)
    again = ~bars["timestamp"].is_first_distinct()
    if not again.any():
        return bars, 0, 0
    first, rest = bars.filter(~again), bars.filter(again)
    usual = rest.select("timestamp").join(first, on="timestamp", maintain_order="left")
    same = pl.all_horizontal(
        rest[name].eq_missing(usual[name]).alias(name) for name in bars.columns
    )
    exact = int(pl.select(same).to_series().sum())
    return first, exact, rest.height - exact


def _completeness(
    times: pl.Series, timeframe: str, calendar: Calendar
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count expected and present bars of each day, and gather what is missing into gaps."""
    length = bar_length(timeframe)
    expected = calendar.expected_between(times, timeframe)
    present = filled(expected, times, timeframe)
    local = expected.dt.convert_time_zone(calendar.week.zone).dt.date()
    days = pl.DataFrame({"date": local, "present": present}).group_by("date", maintain_order=True)
    counted = days.agg(
        expected=pl.len().cast(pl.Int64), present=pl.col("present").sum().cast(pl.Int64)
    )
    missing = expected.filter(~present)
    before = times.search_sorted(missing)
    gaps = pl.DataFrame({"before": before, "start": missing})
    holes = gaps.group_by("before", maintain_order=True).agg(
        pl.col("start").first(), end=pl.col("start").last() + length, bars=pl.len().cast(pl.Int64)
    )
    return counted, holes.drop("before")


def _outside(times: pl.Series, timeframe: str, calendar: Calendar) -> int:
    open_time = calendar.open_time(times, times + bar_length(timeframe), surely=False)
    return int((open_time.dt.total_microseconds() == 0).sum())


def _spikes(bars: pl.DataFrame, decimals: int | None) -> pl.DataFrame:
    """Find closes that leave and come back, and extremes that both neighbours lack.

    Distances are log prices in robust deviations: 1.4826 times the median size of returns of the
    `WINDOW` bars around, but at least that of all bars and the smallest price step.
    """
    logs = bars.select("timestamp", pl.col("high", "low", "close").log())
    move = pl.col("close").diff().abs()
    local = (1.4826 * move).rolling_median(WINDOW, center=True, min_samples=1)
    smallest = 10.0 ** -(decimals or 0) / (_number(bars["close"].median()) or 1.0)
    deviation = pl.max_horizontal(local, 1.4826 * move.median(), smallest)
    remains = (pl.col("close").shift(-1) - pl.col("close").shift(1)).abs()
    returned = pl.when(remains < RETURNED * move).then(move)
    above = pl.col("high") - pl.max_horizontal(_beside("high"))
    below = pl.min_horizontal(_beside("low")) - pl.col("low")
    reach = pl.max_horizontal(returned, above, below)
    spikes = logs.select("timestamp", deviations=reach / deviation)
    return spikes.slice(1, max(bars.height - 2, 0)).filter(pl.col("deviations") > SPIKE)


def _beside(name: str) -> list[pl.Expr]:
    return [pl.col(name).shift(1), pl.col(name).shift(-1)]


def _flat_run(bars: pl.DataFrame) -> dict[str, Any]:
    """Find the longest run of bars of one and the same price: at least one bar, or none."""
    flat = (bars["high"] == bars["low"]) & (bars["open"] == bars["close"])
    price = bars["close"].set(~flat, None)
    runs = price.rle().struct.unnest().with_columns(end=pl.col("len").cum_sum())
    held = runs.filter(pl.col("value").is_not_null())
    longest = held.sort("len", descending=True, maintain_order=True).head(1)
    if longest.is_empty():
        return {"flat_bars": 0, "flat_start": None}
    length, _, end = longest.row(0)
    return {"flat_bars": length, "flat_start": bars["timestamp"][end - length]}


def _decimals(bars: pl.DataFrame) -> tuple[int | None, float | None]:
    """Return the most frequent number of decimals and the share of prices with fewer."""
    names = [name for name in QUOTES if name in bars.columns and bars[name].count()] or list(PRICES)
    prices = np.concatenate([bars[name].drop_nulls().to_numpy() for name in names])
    if not prices.size:
        return None, None
    within, rest = [], prices
    for digits in range(DECIMALS):
        scaled = rest * 10.0**digits
        rest = rest[np.abs(scaled - np.rint(scaled)) > 1e-6 + 1e-15 * scaled]
        within.append(prices.size - rest.size)
    counts = np.diff([0, *within, prices.size])
    usual = int(counts.argmax())
    return usual, float(counts[:usual].sum() / prices.size)


def _spreads(bars: pl.DataFrame) -> dict[str, Any]:
    """Measure spreads: at the close by hour of New York's day; and those no market can have."""
    schema = {"hour": pl.Int8, "median": pl.Float64, "high": pl.Float64}
    nothing = {"spread": pl.DataFrame(schema=schema), "negative": None, "zero": None}
    if not set(QUOTES) <= set(bars.columns):
        return nothing
    quoted = bars.filter(pl.all_horizontal(pl.col(name).is_not_null() for name in QUOTES))
    if quoted.is_empty():
        return nothing
    hour = pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.hour()
    close = pl.col("ask_close") - pl.col("bid_close")
    spread = quoted.group_by(hour.alias("hour")).agg(
        median=close.median(), high=close.quantile(0.95, "linear")
    )
    least = pl.min_horizontal(pl.col(f"ask_{name}") - pl.col(f"bid_{name}") for name in PRICES)
    lowest = quoted.select(least.alias("least")).to_series()
    return {
        "spread": spread.sort("hour"),
        "negative": _share(lowest < -_ROUNDING),
        "zero": _share(lowest.abs() <= _ROUNDING),
    }


def _share(flags: pl.Series) -> float | None:
    return int(flags.sum()) / len(flags) if len(flags) else None


def _number(value: Any) -> float:
    return float(value) if value is not None and math.isfinite(value) else 0.0
