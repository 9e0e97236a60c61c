"""Backtests of many parameter sets over one series of bars, side by side.

Two classes of parameters are kept apart. Those of `SweepSets` (threshold, stop, target, horizon)
read the same scores again and belong here; those of `kernels.damping.DampingParams` (k1, k2, tau)
and the encoder need new trajectories, hence new scores, and are swept by calling `damp` anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from typing import Any

import numpy as np

from kernels.device import (
    Array,
    Engine,
    array_module,
    choose_engine,
    launch,
    move,
    require_array,
    require_segments,
)
from kernels.outcomes import SIDES, Quotes
from kernels.segments import bars_left
from kernels.spread import Part, devices, spread, take
from kernels.sweep_sets import MOST_POINTS, SweepSets

OFF_GRID = 1e-3
"""Points by which a price may miss the grid: far above what float64 loses, far below a half."""


MOST_SWING = 1 << 30
"""Points that an equity could move in all; with it every sum fits int32."""

MOST_DAILY = 4 << 30
"""Bytes of the largest table of daily profits."""


@dataclass(frozen=True)
class Sweep:
    """What each set would have earned with one unit a trade; prices are those of the quotes.

    Attributes
    ----------
    trades, wins : int32[m]
        Closed trades, and those that ended strictly above zero after costs.
    profit : float64[m]
        Sum of the price moves of all trades.
    drawdown : float64[m]
        Largest fall of the equity from a peak, marked at each close at the side one would leave
        at; zero or more.
    day_sum, day_square_sum : float64[m]
        Sums of x and of x * x over the daily changes x of that equity.
    days : int
        Number of days.
    daily : float32[m, days] or None
        The changes x themselves.
    """

    trades: Array
    wins: Array
    profit: Array
    drawdown: Array
    day_sum: Array
    day_square_sum: Array
    days: int
    daily: Array | None = None

    @property
    def hit_rate(self) -> Array:
        """Share of trades that won; NaN without trades."""
        return _ratio(self.wins, self.trades)

    @property
    def mean(self) -> Array:
        """Mean daily profit; NaN without days."""
        return self.day_sum / (self.days or np.nan)

    @property
    def deviation(self) -> Array:
        """Standard deviation of daily profit over the days less one; NaN below two days."""
        xp = array_module(self.day_sum)
        squares = self.day_square_sum - self.day_sum * self.mean
        return xp.sqrt(xp.maximum(squares, 0) / (self.days - 1 if self.days > 1 else np.nan))

    @property
    def sharpe(self) -> Array:
        """Mean over deviation of daily profit, not annualised; NaN where nothing varies."""
        return _ratio(self.mean, self.deviation)


def sweep(
    quotes: Quotes,
    segments: Array,
    score: Array,
    unit: Array,
    days: Array,
    sets: SweepSets,
    *,
    point: float,
    slippage: float = 0.0,
    daily: bool = False,
    engine: str = "auto",
) -> Sweep:
    """Trade the bars once for every parameter set.

    Parameters
    ----------
    quotes : Quotes
        Bid and ask bars, float64[n], finite, whole multiples of `point`.
    segments : int32[n]
        Where the number changes is an unscheduled hole.
    score : float32[n, 2]
        What thresholds are compared with, long and short, known at the close; NaN: no signal, as
        in the last bar before a scheduled closure if nothing is to be entered there.
        The side with the higher score signals, the long one of equals.
    unit : float64[n]
        Price distance that stops and targets multiply; NaN where no signal may be traded.
    days : int32[n]
        Number of the day of each bar, never decreasing.
    sets : SweepSets
    point : float
        Price of one point: the finest step of the quotes, half spreads included.
    slippage : float
        Whole points in price units, paid at each entry.
    daily : bool
        Also return the profit of each set and day.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Sweep
        Arrays of the kind of the quotes; the same bits from each engine. Sets in host memory are
        spread over all visible GPUs.

    Raises
    ------
    TypeError
        If an array has another dtype than stated.
    ValueError
        If shapes do not fit, quotes are missing or off the grid of `point`, their range or their
        moves need more than int32 points, or `daily` needs too much memory.

    Notes
    -----
    docs/mathematics.md, "Outcomes", one position at a time as in a backtest: a signal on bar
    t enters at the open of t + 1 and leaves by its stop, its target or at the open of
    t + 1 + horizon. While a position is open, signals of its side are ignored; one of the other
    side closes it at the next open, and only a later signal enters again. A position that meets a
    hole is left at the first open after it. A signal right before a hole, or whose exit rule would
    reach past the end, is not traded. Distances are rounded to whole points, at least one, so that
    all arithmetic is exact: int32 points rather than float32, because a sum of costs leaves the
    2^24 points that float32 counts.
    """
    _check(quotes, segments, score, unit, days, point, slippage)
    chosen, slip = choose_engine(engine), _slippage_points(slippage, point)
    bars = (quotes, segments, score, unit, days)
    prepared = _prepare(bars, slip, point, chosen.xp)
    count = int(prepared[-1][-1]) + 1 if len(days) else 0
    _require_room(len(sets), count if daily else 0)

    def share(part: Part) -> tuple[Array, ...]:
        here = [move(array, chosen.xp) for array in prepared]
        lanes = take([getattr(sets, field.name) for field in fields(sets)], part, chosen.xp)
        return _run(chosen, here, lanes, slip, point, count if daily else 0)

    on_host = array_module(quotes.bid_open, *bars[1:], sets.threshold) is np
    among = devices() if chosen.name == "gpu" and on_host else []
    shares, back = spread(share, len(sets), among), array_module(quotes.bid_open)
    trades, wins, profit, drawdown, total, squares, table = (move(out, back) for out in shares)
    return Sweep(
        trades=trades,
        wins=wins,
        profit=profit,
        drawdown=drawdown,
        day_sum=total,
        day_square_sum=squares,
        days=count,
        daily=table if daily else None,
    )


def _check(
    quotes: Quotes,
    segments: Array,
    score: Array,
    unit: Array,
    days: Array,
    point: float,
    slippage: float,
) -> None:
    n = len(quotes.bid_open)
    require_segments(segments, n)
    require_array("score", score, "float32", (n, len(SIDES)))
    require_array("unit", unit, "float64", (n,))
    require_array("days", days, "int32", (n,))
    xp = array_module(unit)
    if not bool((((unit > 0) & (unit < np.inf)) | xp.isnan(unit)).all()):
        raise ValueError("unit must be finite and above zero; use NaN where nothing may be traded")
    if bool((days[1:] < days[:-1]).any()):
        raise ValueError("days must not decrease; sort the bars by time")
    if not 0 < point < np.inf or not 0 <= slippage < np.inf:
        raise ValueError(
            f"point {point} must be finite and above zero and slippage {slippage} finite and not "
            "negative; give the step of the quotes and a cost in price units"
        )


def _slippage_points(slippage: float, point: float) -> int:
    points = slippage / point
    if abs(points - round(points)) > OFF_GRID or points > MOST_POINTS:
        raise ValueError(f"slippage {slippage} is not a whole number of points of {point}")
    return round(points)


def _prepare(
    bars: tuple[Quotes, Array, Array, Array, Array], slip: int, point: float, xp: Any
) -> tuple[Array, ...]:
    """Return what the kernel reads of the bars, the numbers of their days last."""
    quotes, segments, score, unit, days = bars
    quads = _points(quotes, point, slip, xp)
    strength, short = _signals(move(score, xp), xp)
    reach = xp.where(xp.isnan(move(unit, xp)), 0, bars_left(move(segments, xp))).astype(np.int32)
    # never 0 in float32: times inf, which is no stop, that would be NaN
    distance = xp.maximum(move(unit, xp) / point, 1e-6).astype(np.float32)
    return quads, strength, short, distance, reach, _day_numbers(move(days, xp), xp)


def _points(quotes: Quotes, point: float, slip: int, xp: Any) -> Array:
    """Return int32[n, 2, 4]: open, worst, best and close of each side one leaves at, in points.

    Points count from the lowest price, those of the short side down from zero: both sides earn
    when their numbers rise. An open beyond its bar's low or high is as bad as one.
    """
    bid, ask = (
        [_whole(quotes, f"{side}_{name}", point, xp) for name in ("open", "low", "high", "close")]
        for side in ("bid", "ask")
    )
    quads = xp.empty((len(bid[0]), len(SIDES), 4), np.int32)
    if len(quads):
        low, high = reduce(xp.minimum, bid + ask), reduce(xp.maximum, bid + ask)
        _check_range(low, high, slip, point, xp)
        least = low.min()
        for i, price in enumerate((bid[0], xp.minimum(*bid[:2]), *bid[2:])):
            quads[:, 0, i] = (price - least).astype(np.int32)
        for i, price in enumerate((ask[0], xp.maximum(ask[0], ask[2]), ask[1], ask[3])):
            quads[:, 1, i] = (least - price).astype(np.int32)
    return quads


def _whole(quotes: Quotes, name: str, point: float, xp: Any) -> Array:
    points = move(getattr(quotes, name), xp) / point
    # a missing price fails the test of the grid as well: 0.5 is off it
    points = xp.where(xp.isfinite(points), points, 0.5)
    whole = xp.rint(points)
    wrong = xp.abs(points - whole) > OFF_GRID
    if bool(wrong.any()):
        row = int(wrong.argmax())
        price = float(getattr(quotes, name)[row])
        raise ValueError(
            f"{name} of bar {row} is {price}, no multiple of {point}: drop bars without prices, "
            "and give the finest step of the quotes as point"
        )
    return whole


def _check_range(low: Array, high: Array, slip: int, point: float, xp: Any) -> None:
    range_ = float(high.max() - low.min()) + slip
    moves = xp.maximum(high[1:], high[:-1]) - xp.minimum(low[1:], low[:-1])
    swing = float(moves.sum()) + float(high[0] - low[0]) + slip * len(low)
    if range_ >= MOST_POINTS or swing >= MOST_SWING:
        raise ValueError(
            f"the quotes range over {range_:.3g} and move {swing:.3g} points of {point}, more than "
            f"{MOST_POINTS:.3g} and {MOST_SWING:.3g}: give a coarser point, or fewer bars"
        )


def _signals(score: Array, xp: Any) -> tuple[Array, Array]:
    """Return the score of the side that may signal and whether it is the short one."""
    scores = xp.where(xp.isnan(score), np.float32(-np.inf), score)
    long, short = scores[:, 0], scores[:, 1]
    return xp.maximum(long, short), short > long


def _day_numbers(days: Array, xp: Any) -> Array:
    """Number the days that occur from 0 on, int32[n]."""
    numbers = xp.zeros(len(days), np.int32)
    if len(days) > 1:
        numbers[1:] = xp.cumsum(days[1:] != days[:-1])
    return numbers


def _run(
    engine: Engine,
    bars: Sequence[Array],
    lanes: Sequence[Array],
    slip: int,
    point: float,
    columns: int,
) -> tuple[Array, ...]:
    """Return the arrays of `Sweep` for the sets of these lanes."""
    xp, count = engine.xp, len(lanes[0])
    whole = [xp.zeros(count, np.int32) for _ in range(4)]
    sums = [xp.zeros(count) for _ in range(2)]
    table = xp.zeros((count, columns), np.float32)
    numbers = (np.int32(slip), np.float64(point), np.int64(columns))
    n = np.int64(len(bars[0]))
    launch(engine, "sweep", "sweep", count, n, *bars, *lanes, *numbers, *whole, *sums, table)
    trades, wins, profit, drawdown = whole
    total, squares = sums
    prices = (profit * point, drawdown * point, total * point, squares * point**2)
    return trades, wins, *prices, table


def _require_room(count: int, columns: int) -> None:
    needed = 4 * count * columns
    if needed > MOST_DAILY:
        raise ValueError(
            f"daily needs {needed / 2**30:.1f} GiB for {count} sets x {columns} days, more than "
            f"{MOST_DAILY / 2**30:.0f}: take fewer sets, or the sums alone"
        )


def _ratio(numerator: Array, denominator: Array) -> Array:
    xp = array_module(denominator)
    return numerator / xp.where(denominator > 0, denominator, np.nan)
