"""What became of a trade entered after each bar: the only look at the future in `kernels`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NoReturn

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
from kernels.segments import bars_left

SIDES = ("long", "short")
"""Columns of every array with two of them."""


@dataclass(frozen=True)
class Quotes:
    """Bid and ask bars; each float64[n], NaN where a price is unknown."""

    bid_open: Array
    bid_high: Array
    bid_low: Array
    bid_close: Array
    ask_open: Array
    ask_high: Array
    ask_low: Array
    ask_close: Array

    def __post_init__(self) -> None:
        n = len(self.bid_open)
        for field in fields(self):
            require_array(field.name, getattr(self, field.name), "float64", (n,))


class Future:
    """Values that know what happens later: no function that takes features accepts one."""

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} looks at the future and is never a feature; "
            "pass trajectories or paths, or one of its arrays where outcomes belong"
        )


@dataclass(frozen=True)
class Outcomes(Future):
    """Outcome of a trade entered after bar t; column 0 is the long side, column 1 the short.

    Attributes
    ----------
    win : int8[n, 2]
        1 if the trade ended strictly above zero after all costs, 0 if not, -1 if null.
    gain : float64[n, 2]
        Net return as a share of the entry price; NaN where null.
    exit_bar : int64[n, 2]
        Bar in which the trade was left; -1 where null.
    entry_price, exit_price : float64[n, 2]
        NaN where null.
    known_at : int64[n]
        First bar whose close may know the outcome: t + horizon + 1, however early the trade was
        left; n where both sides are null.
    """

    win: Array
    gain: Array
    exit_bar: Array
    entry_price: Array
    exit_price: Array
    known_at: Array


def outcomes(
    quotes: Quotes,
    segments: Array,
    *,
    horizon: int,
    stop: Array | None = None,
    target: Array | None = None,
    slippage: float = 0.0,
    closing: Array | None = None,
    engine: str = "auto",
) -> Outcomes:
    """Follow a trade of each side, entered at the open after each bar, to its exit.

    Parameters
    ----------
    quotes : Quotes
        Bid and ask bars, float64[n].
    segments : int32[n]
        Segment of each bar; where the number changes is an unscheduled hole.
    horizon : int
        Bars until the time exit: bar t enters at the open of t + 1 and leaves at the latest at the
        open of t + 1 + horizon.
    stop, target : float64[n], optional
        Distances from the entry price, in price units, above zero; inf means none at this bar,
        NaN makes the bar null.
    slippage : float
        In price units, paid at the entry.
    closing : bool[n], optional
        Bars after which no trade is entered, because the market closes by schedule at their end;
        by default none.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Outcomes
        Arrays of the kind that came in. Null where the data end before bar t + horizon + 1, a
        quote that the trade looks at is NaN, or no trade is entered: after a bar of `closing`, or
        where bar t + 1 lies beyond a hole.

    Raises
    ------
    TypeError
        If an array has another dtype than stated.
    ValueError
        If lengths differ, segments decrease, `horizon` < 1, `slippage` is negative, or a distance
        is not above zero.

    Notes
    -----
    Section 6 of the mathematics: buy at the ask, sell at the bid; barriers are checked on bars
    t + 1 .. t + horizon against the side one leaves at. An open beyond the stop fills at that open;
    a bar that touches both barriers is the stop; a target fills at its own price, also beyond it.
    A trade that meets a hole is left at the first open after it, whatever its barriers say. A
    scheduled closure lies inside a segment: it ends no trade, which pays the gap at the next open.
    """
    _check(quotes, segments, horizon, stop, target, slippage, closing)
    chosen = choose_engine(engine)
    q = {field.name: move(getattr(quotes, field.name), chosen.xp) for field in fields(quotes)}
    reach = bars_left(move(segments, chosen.xp))
    if closing is not None:
        reach[move(closing, chosen.xp)] = 0
    long = (q["ask_open"], q["bid_open"], q["bid_low"], q["bid_high"], reach)
    short = (q["bid_open"], q["ask_open"], q["ask_high"], q["ask_low"], reach)
    rule = (*_barriers(chosen, stop, target), slippage, horizon)
    sides = [_exits(chosen, sign, side, *rule) for sign, side in ((1.0, long), (-1.0, short))]
    both = [chosen.xp.stack(columns, axis=1) for columns in zip(*sides, strict=True)]
    return _resolve(*both, horizon=horizon, back=array_module(quotes.bid_open))


def _check(
    quotes: Quotes,
    segments: Array,
    horizon: int,
    stop: Array | None,
    target: Array | None,
    slippage: float,
    closing: Array | None,
) -> None:
    n = len(quotes.bid_open)
    require_segments(segments, n)
    if closing is not None:
        require_array("closing", closing, "bool", (n,))
    if horizon < 1 or not 0 <= slippage < np.inf:
        raise ValueError(
            f"horizon {horizon} must be >= 1 and slippage {slippage} finite and >= 0; "
            "give the bars of the time exit and a cost in price units"
        )
    for name, distance in (("stop", stop), ("target", target)):
        if distance is not None:
            require_array(name, distance, "float64", (n,))
            if bool((distance <= 0).any()):
                raise ValueError(f"{name} has distances that are not above zero; use inf for none")


def _barriers(engine: Engine, *distances: Array | None) -> tuple[Any, ...]:
    none = engine.xp.empty(0)
    arrays = [none if distance is None else move(distance, engine.xp) for distance in distances]
    return (*arrays, *(np.bool_(distance is not None) for distance in distances))


def _exits(
    engine: Engine, sign: float, side: tuple[Array, ...], *rule: Any
) -> tuple[Array, Array, Array]:
    *barriers, slippage, horizon = rule
    n, xp = len(side[0]), engine.xp
    numbers = (np.float64(sign), np.float64(slippage), np.int64(horizon))
    out = xp.empty(n), xp.empty(n), xp.empty(n, xp.int64)
    launch(engine, "outcomes", "exits", n, *side, *barriers, *numbers, *out)
    return out


def _resolve(entry: Array, leave: Array, bar: Array, *, horizon: int, back: Any) -> Outcomes:
    n, xp = len(entry), array_module(entry)
    gain = xp.asarray([1.0, -1.0]) * (leave - entry) / entry
    win = xp.where(xp.isnan(gain), -1, gain > 0).astype(xp.int8)
    known_at = xp.where((bar >= 0).any(axis=1), xp.arange(n) + horizon + 1, n)
    return Outcomes(*(move(array, back) for array in (win, gain, bar, entry, leave, known_at)))
