"""What became of each set of a grid that was traded over one series of scores."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from infra.market.days import trading_day
from infra.market.quotes import Costs
from kernels.outcomes import Quotes
from kernels.statistics.sharpe import Deflated, deflated_sharpe, moments
from kernels.sweep import MOST_SWING, Sweep, sweep
from kernels.sweep_sets import MOST_POINTS, SweepSets
from tasks.research.simulation import quotes as quotes_of
from tasks.rules.grid import Grid, GridError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CELLS: Final = 1 << 24
"""Sets times days of which daily returns are held at once."""
FINEST: Final = -10
"""Least power of ten that a point is."""
OFF: Final = 1e-6
"""Points by which a price that lies on them may miss: what float64 loses of the longest range."""


@dataclass(frozen=True)
class Plateau:
    """Sharpe ratios of a set's neighbours on the grid: those of a spike are far below its own.

    Attributes
    ----------
    mean, least : float
        One that never trades earns nothing and counts as 0.
    count : int
        Neighbours; without any, mean and least are NaN.
    """

    mean: float
    least: float
    count: int


@dataclass(frozen=True)
class Swept:
    """What each set of a grid would have brought.

    Returns are shares of the price: the change of a day, of a position of one unit, over the mid
    price at which the day opened. A day goes from 17:00 to 17:00 New York and is named by its end.

    Attributes
    ----------
    grid : Grid
    result : kernels.sweep.Sweep
        In price units; without its table of days.
    days : tuple of datetime.date
        That have bars.
    sharpe : float64[sets]
        Mean over deviation of the daily returns, days without a trade included; never annualised;
        NaN where nothing varies.
    net : float64[sets]
        Sum of the daily returns, after costs.
    drawdown : float64[sets]
        Largest fall of a unit's equity, over the mean of the days' opens.
    best : int
        Number of the set with the highest ratio; 0 where none has one.
    best_daily : float64[days]
        Its daily returns.
    effective : float
        About independent sets among all, as `kernels.statistics.sharpe.effective_trials` has it.
    point : float
        Step of the prices that were traded: a power of ten.
    rounded : float
        Most that a price was moved to lie on it; 0 where the quotes lay there.
    daily : float64[days, sets] or None
        The daily returns themselves.
    """

    grid: Grid
    result: Sweep
    days: tuple[date, ...]
    sharpe: Floats
    net: Floats
    drawdown: Floats
    best: int
    best_daily: Floats
    effective: float
    point: float
    rounded: float
    daily: Floats | None = None

    def ranked(self, count: int = 10) -> list[int]:
        """Return the numbers of the sets with the highest ratios, the best first.

        Parameters
        ----------
        count : int
            At most so many. Sets without a ratio are left out, and so are those that traded as
            one before them did: a stop that is never reached is as good as none.
        """
        trades = self.result.trades
        found: dict[tuple[float, float, int], int] = {}
        for number in np.argsort(-self.sharpe, kind="stable").tolist():
            if len(found) == count or not np.isfinite(self.sharpe[number]):
                break
            alike = (float(self.sharpe[number]), float(self.net[number]), int(trades[number]))
            found.setdefault(alike, number)
        return list(found.values())

    def plateau(self, number: int | None = None) -> Plateau:
        """Return what the neighbours of a set brought.

        Parameters
        ----------
        number : int, optional
            The best one's where it is left out.
        """
        beside = self.grid.neighbours(self.best if number is None else number)
        ratios = np.nan_to_num(self.sharpe[beside])
        if not len(ratios):
            return Plateau(math.nan, math.nan, 0)
        return Plateau(float(ratios.mean()), float(ratios.min()), len(ratios))

    def deflated(self) -> Deflated:
        """Hold the best ratio against the best of as many sets without edge.

        Raises
        ------
        GridError
            If fewer than 20 days, or than two sets that traded, leave nothing to say.
        """
        told = self.sharpe[np.isfinite(self.sharpe)]
        if len(told) < 2:
            raise GridError(f"{len(told)} of {len(self.grid)} sets traded: two are needed")
        try:
            best = moments(self.best_daily)
        except ValueError as error:
            raise GridError(f"too few days of trading to judge: {error}") from error
        return deflated_sharpe(best, told, logged=len(self.grid), effective=self.effective)


def swept(
    bars: pl.DataFrame,
    metrics: pl.DataFrame,
    score: ArrayLike,
    grid: Grid,
    costs: Costs,
    *,
    closing: Bools | None = None,
    engine: str = "auto",
    daily: bool = True,
    progress: Callable[[float], None] = lambda share: None,
) -> Swept:
    """Trade bars once for every set of a grid, one position at a time, as `simulate` does.

    Parameters
    ----------
    bars : polars.DataFrame
        Of one pair, ascending; bid and ask are used where they carry them.
    metrics : polars.DataFrame
        Of the same bars: `close`, `sigma`, `segment`. Where a deviation is none or zero nothing is
        entered.
    score : float[n, 2]
        Long and short, known at the close; NaN for none. The higher one signals where it reaches
        the threshold, the long one of equals.
    grid : Grid
    costs : Costs
    closing : bool[n], optional
        Bars at whose end the market closes by schedule: nothing is entered there.
    engine : {"auto", "cpu", "gpu"}
    daily : bool
        Keep the daily returns of all sets: 8 bytes each.
    progress : callable
        Called with the share done.

    Raises
    ------
    GridError
        If there are no bars.
    ValueError
        If a price is missing.

    Notes
    -----
    The kernel counts in points. They are of the greatest power of ten on which quotes and slippage
    lie; where they lie on none, as half spreads in per cent do, of the finest that its integers
    carry, and prices are rounded to it: trades differ from those of `simulate` by points.
    Commission and swap are left out: what a grid finds is judged by a simulation that has them.
    """
    if bars.is_empty():
        raise GridError("there are no bars to trade")
    prices = quotes_of(bars, costs)
    point = point_of(prices, costs.slippage)
    traded = Quotes(**{name: _whole(values, point) for name, values in vars(prices).items()})
    moved = max(float(np.abs(vars(traded)[k] - v).max()) for k, v in vars(prices).items())
    series = (metrics["segment"].to_numpy(), _heard(score, closing), _unit(metrics))
    days = trading_day(bars["timestamp"])
    numbers = days.to_physical().to_numpy().astype(np.int32)
    named, first = np.unique(numbers, return_index=True)
    tally = _Tally((traded.bid_open[first] + traded.ask_open[first]) / 2, daily)
    for part, share in _parts(grid.sets(), len(named)):
        tally.add(
            sweep(
                traded,
                *series,
                numbers,
                part,
                point=point,
                slippage=float(_whole(costs.slippage, point)),
                daily=True,
                engine=engine,
            )
        )
        progress(share)
    found = tuple(days.gather(first).to_list())
    return tally.told(grid, found, point, moved if moved > OFF * point else 0.0)


def point_of(prices: Quotes, slippage: float = 0.0) -> float:
    """Return the greatest power of ten on which all prices lie, or the finest that is carried.

    Parameters
    ----------
    prices : Quotes
    slippage : float
        Must lie on it, too.
    """
    arrays = [*vars(prices).values(), np.array([slippage])]
    finest = _finest(prices, slippage)
    coarsest = math.floor(math.log10(prices.ask_high.max()))
    for power in range(coarsest, finest, -1):
        point = float(f"1e{power}")
        if all(_lies_on(values, point) for values in arrays):
            return point
    return float(f"1e{finest}")


def _finest(prices: Quotes, slippage: float) -> int:
    """Return the least power of ten with which the kernel's integers carry range and moves."""
    every = np.array(list(vars(prices).values()))
    low, high = every.min(axis=0), every.max(axis=0)
    moves = np.maximum(high[1:], high[:-1]) - np.minimum(low[1:], low[:-1])
    swing = float(moves.sum() + high[0] - low[0]) + slippage * len(low)
    range_ = float(high.max() - low.min()) + slippage
    needed = 2 * max(range_ / MOST_POINTS, swing / MOST_SWING)
    return max(FINEST, math.ceil(math.log10(needed))) if needed > 0 else FINEST


def _heard(score: ArrayLike, closing: Bools | None) -> NDArray[np.float32]:
    heard = np.array(score, np.float32)
    if closing is not None:
        heard[closing] = np.nan
    return heard


def _unit(metrics: pl.DataFrame) -> Floats:
    """Return a bar's deviation in price; NaN where there is none or it is zero."""
    unit = (metrics["close"] * metrics["sigma"]).cast(pl.Float64).to_numpy()
    return np.where(np.isfinite(unit) & (unit > 0), unit, np.nan)


def _lies_on(values: Floats, point: float) -> bool:
    points = values / point
    return bool((np.abs(points - np.rint(points)) <= OFF).all())


def _whole(values: ArrayLike, point: float) -> Floats:
    return np.asarray(np.rint(np.asarray(values) / point) * point, np.float64)


def _parts(sets: SweepSets, days: int) -> Iterator[tuple[SweepSets, float]]:
    """Yield the sets in parts whose daily returns have room, and the share done after each."""
    length, count = max(1, CELLS // max(days, 1)), len(sets)
    for start in range(0, count, length):
        stop = min(start + length, count)
        part = {field.name: getattr(sets, field.name)[start:stop] for field in fields(sets)}
        yield SweepSets(**part), stop / count


class _Tally:
    """Gathers what is told of parts of a grid, so that not all daily returns are held at once."""

    def __init__(self, opens: Floats, daily: bool) -> None:
        self.opens, self.keeps = opens, daily
        self.results: list[Sweep] = []
        self.tables: list[Floats] = []
        self.sharpe: list[Floats] = []
        self.net: list[Floats] = []
        self.together = np.zeros(len(opens))
        self.varying = 0
        self.best, self.highest = 0, -math.inf
        self.best_daily = np.zeros(len(opens))

    def add(self, result: Sweep) -> None:
        table = np.asarray(result.daily, np.float64).T / self.opens[:, None]
        mean, deviation = table.mean(axis=0), _deviation(table)
        with np.errstate(invalid="ignore", divide="ignore"):
            sharpe = np.where(deviation > 0, mean / deviation, np.nan)
        varies = np.flatnonzero(deviation > 0)
        self.together += ((table - mean)[:, varies] / deviation[varies]).sum(axis=1)
        self._keep_best(table, sharpe, sum(map(len, self.sharpe)))
        self.varying += len(varies)
        self.sharpe.append(sharpe)
        self.net.append(table.sum(axis=0))
        self.results.append(replace(result, daily=None))
        if self.keeps:
            self.tables.append(table)

    def _keep_best(self, table: Floats, sharpe: Floats, before: int) -> None:
        ahead = np.nan_to_num(sharpe, nan=-math.inf)
        column = int(ahead.argmax())
        if ahead[column] > self.highest:
            self.highest, self.best = float(ahead[column]), before + column
            self.best_daily = table[:, column].copy()

    @property
    def effective(self) -> float:
        """About independent sets: r + (1 - r) k, r the mean correlation of those that vary."""
        k, days = self.varying, len(self.opens)
        if k < 2:
            return 1.0
        together = float((self.together**2).sum()) / (days - 1)
        correlation = min(max((together - k) / (k * (k - 1)), 0.0), 1.0)
        return float(k - correlation * (k - 1))

    def told(self, grid: Grid, days: tuple[date, ...], point: float, rounded: float) -> Swept:
        result = _joined(self.results)
        return Swept(
            grid=grid,
            result=result,
            days=days,
            sharpe=np.concatenate(self.sharpe),
            net=np.concatenate(self.net),
            drawdown=np.asarray(result.drawdown) / self.opens.mean(),
            best=self.best,
            best_daily=self.best_daily,
            effective=self.effective,
            point=point,
            rounded=rounded,
            daily=np.concatenate(self.tables, axis=1) if self.keeps else None,
        )


def _deviation(table: Floats) -> Floats:
    """Return the deviation (n - 1) of each column; 0 below two rows."""
    if len(table) < 2:
        return np.zeros(table.shape[1])
    return np.asarray(np.where(np.ptp(table, axis=0) > 0, table.std(axis=0, ddof=1), 0.0))


def _joined(results: list[Sweep]) -> Sweep:
    arrays = [field.name for field in fields(Sweep) if field.name not in ("days", "daily")]
    joined = {name: np.concatenate([getattr(r, name) for r in results]) for name in arrays}
    return Sweep(**joined, days=results[0].days)
