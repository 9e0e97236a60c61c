"""Trades and equity from signals: one position at a time, filled at the next open."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import QUOTES
from infra.market.quotes import Costs, with_quotes
from kernels.outcomes import Quotes, outcomes
from tasks.research.charges import Charges
from tasks.research.measure import BarsError

TRADES = pl.Schema(
    {
        "signal_time": pl.Datetime("us", "UTC"),
        "entry_time": pl.Datetime("us", "UTC"),
        "exit_time": pl.Datetime("us", "UTC"),
        "side": pl.String(),
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "gain": pl.Float64(),
        "gross": pl.Float64(),
        "cost": pl.Float64(),
        "spread": pl.Float64(),
        "slippage": pl.Float64(),
        "commission": pl.Float64(),
        "swap": pl.Float64(),
        "exit_reason": pl.String(),
        "confidence": pl.Float64(),
        "break_even": pl.Float64(),
        "bars_held": pl.Int64(),
    }
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Distance = float | pl.Series | None


class Simulation(NamedTuple):
    """What the signals would have earned.

    Attributes
    ----------
    trades
        One row a closed trade (columns of `TRADES`). Times are bar starts. ``gain`` is net and
        ``gross`` at mid prices, both relative to the entry price; ``cost`` is their difference:
        ``spread`` + ``slippage`` + ``commission`` - ``swap``, of which the last is below zero
        where holding costs.
        ``exit_reason`` is "time", "stop", "target", "opposite" or "hole".
    equity
        One row a bar: ``timestamp``, ``equity`` at the bar's close (starts at 1, the whole of it
        in each trade, marked at the side one would leave at) and ``drawdown`` (0 or below).
    """

    trades: pl.DataFrame
    equity: pl.DataFrame


def simulate(
    bars: pl.DataFrame,
    signals: pl.DataFrame,
    *,
    segments: NDArray[np.int32],
    horizon: int | pl.Series,
    costs: Costs,
    stop: Distance = None,
    target: Distance = None,
    closing: Bools | None = None,
) -> Simulation:
    """Trade the signals one at a time, each by its exit rule (mathematics, section 6).

    A signal on bar t enters at the open of t + 1 and leaves by its stop, its target or at the
    open of t + 1 + horizon. While a position is open, signals of its side are ignored; one of
    the other side, or of none, closes it at the next open, and only a later one enters again. A
    position that meets an unscheduled hole is left at the first open after it; one over a scheduled
    closure stays. A signal right before a hole, or whose exit rule would reach past the end of
    the data, is not traded.

    Parameters
    ----------
    bars : polars.DataFrame
        Bars of one pair, ascending.
    signals : polars.DataFrame
        What a strategy returned: a row a signal, ascending, each on a bar of `bars`; one whose
        `side` is null enters nothing.
    segments : int32[n]
        Segment of each bar; where the number changes is an unscheduled hole.
    horizon : int, or Series
        Bars from entry to the time exit: one for all, or one a signal.
    costs : Costs
        Spread, slippage and commission in price units, and what holding earns.
    stop, target : float, float64[n] or None
        Price distances from the entry: none, one for all, or one a signal (null: none; a signal
        whose distance is NaN is not traded).
    closing : bool[n], optional
        Bars at whose end the market closes by schedule: their signals are as good as none.

    Raises
    ------
    ValueError
        When prices are missing, or signals do not ascend, repeat a bar or lie on no bar.
    """
    prices = quotes(bars, costs)
    bar, side = _bar_numbers(signals, bars), _sides(signals)
    held = np.broadcast_to(np.asarray(horizon, dtype=np.int64), bar.shape)
    barriers = [_per_bar(distance, bar, bars.height) for distance in (stop, target)]
    ends = _ends(prices, segments, barriers, costs.slippage, bar, side, held)
    if closing is not None:
        kept = ~closing[bar]
        signals, bar, side, held = signals.filter(kept), bar[kept], side[kept], held[kept]
        ends = _Ends(ends.leave[kept], ends.entry[kept], ends.exit[kept], ends.gain[kept])
    positions = _positions(bar, side, ends, segments, held)
    charges = Charges.of(bars, costs)
    trades = _trades(bars, signals, prices, ends, positions, charges)
    return Simulation(trades, _equity(bars, prices, trades, positions, charges))


def follow(
    bars: pl.DataFrame,
    signals: pl.DataFrame,
    *,
    segments: NDArray[np.int32],
    horizon: int | pl.Series,
    costs: Costs,
    stop: Distance = None,
    target: Distance = None,
) -> pl.DataFrame:
    """Follow each signal to the end of its own exit rule, whatever else is open.

    Parameters
    ----------
    bars, signals : polars.DataFrame
        As `simulate` takes them; each signal has a side.
    segments : int32[n]
    horizon : int, or Series
    costs : Costs
    stop, target : float, float64[n] or None
        As `simulate` takes them.

    Returns
    -------
    polars.DataFrame
        Columns of `TRADES`; a signal without a row entered nothing, or is not at its end yet.

    Raises
    ------
    ValueError
        As `simulate`.
    """
    prices = quotes(bars, costs)
    bar, side = _bar_numbers(signals, bars), _sides(signals)
    held = np.broadcast_to(np.asarray(horizon, dtype=np.int64), bar.shape)
    barriers = [_per_bar(distance, bar, bars.height) for distance in (stop, target)]
    ends = _ends(prices, segments, barriers, costs.slippage, bar, side, held)
    positions = _alone(bar, side, ends, segments, held)
    return _trades(bars, signals, prices, ends, positions, Charges.of(bars, costs))


def quotes(bars: pl.DataFrame, costs: Costs) -> Quotes:
    """Bid and ask of each bar: its own where it has them, otherwise mid and half a spread.

    Parameters
    ----------
    bars : polars.DataFrame
        One series, ascending.
    costs : Costs
        In price units.

    Raises
    ------
    BarsError
        When a price is missing, NaN or infinite.
    """
    quoted = with_quotes(bars, costs)
    columns = {name: quoted[name].to_numpy() for name in QUOTES}
    for name, values in columns.items():
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            when = bars["timestamp"][row]
            raise BarsError(f"{name} of the bar at {when} is no number: ingest the bars again")
    return Quotes(**columns)


_CODES, _NEITHER = {"long": 0, "short": 1}, 2


def _sides(signals: pl.DataFrame) -> Ints:
    codes = signals["side"].replace_strict(_CODES, default=_NEITHER, return_dtype=pl.Int64)
    numbers: Ints = codes.to_numpy()
    return numbers


class _Ends(NamedTuple):
    """How the trade of each signal ends if nothing else ends it; -1 and NaN where there is none."""

    leave: Ints
    entry: Floats
    exit: Floats
    gain: Floats


def _ends(
    prices: Quotes,
    segments: NDArray[np.int32],
    barriers: list[Floats | None],
    slippage: float,
    bar: Ints,
    side: Ints,
    held: Ints,
) -> _Ends:
    ends = _Ends(np.full(bar.shape, -1), *(np.full(bar.shape, np.nan) for _ in range(3)))
    for horizon in np.unique(held[side != _NEITHER]).tolist():
        results = outcomes(
            prices,
            segments,
            horizon=horizon,
            stop=barriers[0],
            target=barriers[1],
            slippage=slippage,
            engine="cpu",
        )
        mine = (held == horizon) & (side != _NEITHER)
        at = bar[mine], side[mine]
        found = results.exit_bar, results.entry_price, results.exit_price, results.gain
        for column, values in zip(ends, found, strict=True):
            column[mine] = np.asarray(values)[at]
    return ends


class _Positions(NamedTuple):
    signal: Ints  # row among the signals
    bar: Ints  # of the signal; entry is the next one
    side: Ints  # 0 long, 1 short: the column of the outcomes
    leave: Ints  # bar of the exit
    early: Bools  # closed by an opposite signal
    holed: Bools  # left after a hole
    timed: Bools  # left at the horizon


def _positions(
    bar: Ints, side: Ints, ends: _Ends, segments: NDArray[np.int32], held: Ints
) -> _Positions:
    leave = ends.leave
    timed = leave == bar + 1 + held
    holed = (leave >= 0) & (np.diff(segments, prepend=segments[:1]) != 0)[leave]
    close = np.append(bar + 1, np.iinfo(np.int64).max)[_next_opposite(side)]
    # at the horizon and after a hole both leave at one open
    early = (leave >= 0) & (close <= leave - (timed | holed))
    leave = np.where(early, close, leave)
    taken = _one_at_a_time(bar, leave)
    why = (early[taken], holed[taken], timed[taken])
    return _Positions(taken, bar[taken], side[taken], leave[taken], *why)


def _alone(
    bar: Ints, side: Ints, ends: _Ends, segments: NDArray[np.int32], held: Ints
) -> _Positions:
    """Return positions as if each signal were the only one."""
    taken = np.flatnonzero(ends.leave >= 0)
    bar, side, leave = bar[taken], side[taken], ends.leave[taken]
    holed = (np.diff(segments, prepend=segments[:1]) != 0)[leave]
    never = np.zeros(taken.size, np.bool_)
    return _Positions(taken, bar, side, leave, never, holed, leave == bar + 1 + held[taken])


def _next_opposite(side: Ints) -> Ints:
    changes = np.append(np.flatnonzero(np.diff(side)) + 1, side.size)
    after: Ints = changes[np.searchsorted(changes[:-1], np.arange(side.size), side="right")]
    return after


def _one_at_a_time(bar: Ints, leave: Ints) -> Ints:
    following = np.searchsorted(bar, leave)
    taken, row = [], 0
    while row < bar.size:
        if leave[row] < 0:
            row += 1
            continue
        taken.append(row)
        row = int(following[row])
    return np.asarray(taken, dtype=np.int64)


def _trades(
    bars: pl.DataFrame,
    signals: pl.DataFrame,
    prices: Quotes,
    ends: _Ends,
    positions: _Positions,
    charges: Charges,
) -> pl.DataFrame:
    signal, bar, side, leave, early, *_ = positions
    direction = 1 - 2 * side
    entry = ends.entry[signal]
    exit_ = np.where(
        early,
        np.where(side == 0, prices.bid_open[leave], prices.ask_open[leave]),
        ends.exit[signal],
    )
    moved = np.where(early, direction * (exit_ - entry) / entry, ends.gain[signal])
    commission, swap = charges.commission(entry), charges.swap(side, bar + 1, leave)
    gain = moved - commission + swap
    halves = _half_spread(prices, bar + 1), _half_spread(prices, leave)
    gross = direction * _mid_move(prices, positions, exit_, halves[1]) / entry
    columns = {
        "signal_time": signals["timestamp"].gather(signal),
        "entry_time": bars["timestamp"].gather(bar + 1),
        "exit_time": bars["timestamp"].gather(leave),
        "side": signals["side"].gather(signal),
        "entry_price": entry,
        "exit_price": exit_,
        "gain": gain,
        "gross": gross,
        "cost": gross - gain,
        "spread": sum(halves) / entry,
        "slippage": charges.costs.slippage / entry,
        "commission": commission,
        "swap": swap,
        "exit_reason": _reasons(positions, direction * (exit_ - entry)),
        "confidence": signals["confidence"].gather(signal),
        "break_even": signals["break_even"].gather(signal),
        "bars_held": leave - bar - 1,
    }
    return pl.DataFrame(columns, schema=TRADES)


def _half_spread(prices: Quotes, bar: Ints) -> Floats:
    half: Floats = (prices.ask_open[bar] - prices.bid_open[bar]) / 2
    return half


def _mid_move(prices: Quotes, positions: _Positions, exit_price: Floats, half: Floats) -> Floats:
    """Mid at the exit less mid at the entry; inside a bar the spread is that of its open."""
    entry = positions.bar + 1
    mid_exit = exit_price + np.where(positions.side == 0, half, -half)
    move: Floats = mid_exit - (prices.bid_open[entry] + prices.ask_open[entry]) / 2
    return move


def _reasons(positions: _Positions, move: Floats) -> list[str]:
    ends = [positions.early, positions.holed, positions.timed, move < 0]
    return list(np.select(ends, ["opposite", "hole", "time", "stop"], default="target"))


def _equity(
    bars: pl.DataFrame,
    prices: Quotes,
    trades: pl.DataFrame,
    positions: _Positions,
    charges: Charges,
) -> pl.DataFrame:
    factor = np.ones(bars.height)
    # a short may lose more than there is: then nothing is left, and no debt becomes a gain
    np.multiply.at(factor, positions.leave, np.maximum(1 + trades["gain"].to_numpy(), 0.0))
    equity = np.cumprod(factor)
    for entry, leave, side, paid in zip(
        positions.bar + 1, positions.leave, positions.side, trades["entry_price"], strict=True
    ):
        held = slice(entry, leave)
        worth = (prices.bid_close if side == 0 else prices.ask_close)[held]
        nights = charges.swap(side, entry, np.arange(entry, leave))
        charged = nights - charges.commission(paid)
        equity[held] *= 1 + ((1 - 2 * side) * (worth - paid) / paid + charged)
    drawdown = equity / np.maximum.accumulate(equity) - 1
    return bars.select("timestamp").with_columns(equity=equity, drawdown=drawdown)


def _bar_numbers(signals: pl.DataFrame, bars: pl.DataFrame) -> Ints:
    numbered = bars.select("timestamp").with_row_index("bar")
    bar = signals.select("timestamp").join(
        numbered, on="timestamp", how="left", maintain_order="left"
    )["bar"]
    if bar.null_count():
        when = signals["timestamp"].filter(bar.is_null())[0]
        raise ValueError(f"the signal at {when} lies on no bar: pass the bars it was made from")
    numbers: Ints = bar.to_numpy().astype(np.int64)
    if (np.diff(numbers) <= 0).any():
        raise ValueError("signals must ascend, one a bar: sort them and drop duplicates")
    return numbers


def _per_bar(distance: Distance, bar: Ints, n: int) -> Floats | None:
    if distance is None:
        return None
    scattered = np.full(n, np.inf)
    if isinstance(distance, pl.Series):
        scattered[bar] = distance.cast(pl.Float64).fill_null(np.inf).to_numpy()
    else:
        scattered[bar] = distance
    return scattered
