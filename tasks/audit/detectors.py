"""Detectors of look-ahead: each says what it did and, where something leaks, where it saw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import numpy as np
import polars as pl

from infra.errors import SepError
from infra.market.days import bar_end
from infra.market.quotes import Costs, with_quotes
from tasks.audit.cases import Case, cuts
from tasks.audit.futures import CHANGES
from tasks.strategy.seam import Frames

COUNT: Final = 20
"""Bars whose future is changed."""
CLOSE: Final = 1e-6
"""Relative difference that another first bar may make: averages forget their begin slowly."""
EXACT: Final = 1e-12


class NothingToAudit(SepError, ValueError):
    """There is no signal that could change."""


@dataclass(frozen=True)
class Finding:
    """What a detector found.

    Attributes
    ----------
    detector : str
    clean : bool
    detail : str
        What was done, or the first thing that leaks.
    """

    detector: str
    clean: bool
    detail: str


def audited(
    case: Case, bars: Frames, *, count: int = COUNT, seed: int = 0, starts: bool = True
) -> list[Finding]:
    """Look for look-ahead in signals.

    Parameters
    ----------
    case : Case
    bars : mapping of str to polars.DataFrame
        By stream, ascending.
    count : int
        At how many bars the future is changed, and from how many the past is cut off.
    seed : int
    starts : bool
        Whether the past is cut off, too.

    Returns
    -------
    list of Finding
        One a detector: "truncation" (the future is cut off), "poison" (it is absurd), "future twin"
        (it repeats the past), "start" (the past begins later).

    Raises
    ------
    NothingToAudit
        If there are no signals, or too few bars: that nothing changes would say nothing.

    Notes
    -----
    Nothing of a changed future may change a signal up to the bar it was changed behind, bit for
    bit. All signals up to it are compared, not that of the bar alone.
    """
    found = case.signals(bars)
    chosen = cuts(case, bars, found, count, seed)
    if found.is_empty() or not chosen:
        said = f"{found.height} signals in {bars[case.base].height:,} bars"
        raise NothingToAudit(f"{case.name}: {said}, {case.warm_up:,} of warm-up: take more bars")
    every = [_future(case, bars, found, name, chosen) for name in CHANGES]
    return [*every, _start(case, bars, found, chosen)] if starts else every


def _future(
    case: Case, bars: Frames, found: pl.DataFrame, name: str, chosen: Sequence[int]
) -> Finding:
    closes, times = case.closes(bars), bars[case.base]["timestamp"]
    for row in chosen:
        known = case.known(bars, closes[row])
        changed = {each: CHANGES[name](bars[each], known[each]) for each in bars}
        told = case.signals(changed)
        if said := difference(_until(found, times[row]), _until(told, times[row])):
            return Finding(
                name, clean=False, detail=f"without what came after {times[row]}: {said}"
            )
    return Finding(name, clean=True, detail=f"{len(chosen)} futures changed no signal before them")


def _start(case: Case, bars: Frames, found: pl.DataFrame, chosen: Sequence[int]) -> Finding:
    times = bars[case.base]["timestamp"]
    rows = [row for row in chosen if 0 < row < times.len() - case.warm_up - 1]
    for row in rows:
        later = {
            name: each.filter(pl.col("timestamp") >= times[row]) for name, each in bars.items()
        }
        begin = times[row + case.warm_up]
        mine, told = (
            each.filter(pl.col("timestamp") > begin) for each in (found, case.signals(later))
        )
        if said := difference(mine, told, CLOSE):
            detail = f"of bars from {times[row]} on, {case.warm_up} bars of warm-up later: {said}"
            return Finding("start", clean=False, detail=detail)
    return Finding("start", clean=True, detail=f"{len(rows)} later beginnings changed no signal")


def fills(trades: pl.DataFrame, bars: pl.DataFrame, timeframe: str, costs: Costs) -> Finding:
    """Say whether trades were entered after their signal, and left, at prices that there were.

    Parameters
    ----------
    trades : polars.DataFrame
        As `tasks.research.simulation.simulate` returns.
    bars : polars.DataFrame
        Of the same pair.
    timeframe : str
    costs : Costs
        Whose spread counts where a bar has none of its own.
    """
    quoted = with_quotes(bars, costs).select(
        "timestamp", "bid_open", "ask_open", "bid_high", "ask_low"
    )
    held = trades.with_columns(known=bar_end(trades["signal_time"], timeframe))
    for time in ("entry", "exit"):
        named = quoted.rename({name: f"{time}_{name}" for name in quoted.columns})
        held = held.join(named, left_on=f"{time}_time", right_on=f"{time}_timestamp", how="left")
    long, tiny = pl.col("side") == "long", EXACT * pl.col("entry_price")
    asked = pl.when(long).then(pl.col("entry_price") - pl.col("entry_ask_open"))
    reached = pl.when(long).then(pl.col("exit_bid_high") - pl.col("exit_price"))
    wrong = {
        "was entered before its signal was known": pl.col("entry_time") < pl.col("known"),
        "was entered at a better price than the first one after its signal": -tiny
        > asked.otherwise(pl.col("entry_bid_open") - pl.col("entry_price")),
        "was left at a better price than there was": -tiny
        > reached.otherwise(pl.col("exit_price") - pl.col("exit_ask_low")),
        "was entered or left where there is no bar": pl.any_horizontal(
            pl.col("entry_ask_open", "exit_ask_low").is_null()
        ),
    }
    for said, condition in wrong.items():
        if (rows := held.filter(condition)).height:
            detail = f"the trade signalled at {rows['signal_time'][0]} {said}; {rows.height} such"
            return Finding("fills", clean=False, detail=detail)
    return Finding("fills", clean=True, detail=f"{trades.height} trades at prices that there were")


def _until(signals: pl.DataFrame, last: datetime) -> pl.DataFrame:
    return signals.filter(pl.col("timestamp") <= last)


def difference(ours: pl.DataFrame, theirs: pl.DataFrame, tolerance: float = 0.0) -> str:
    """Return where rows of signals first differ; empty where they do not.

    Parameters
    ----------
    ours, theirs : polars.DataFrame
    tolerance : float
        Relative, of numbers; 0: bit for bit.
    """
    told, names = _by_time(theirs), ours.columns
    for time, row in _by_time(ours).items():
        other = told.pop(time, None)
        if other is None:
            return f"the signal at {time} is gone"
        for name in names:
            if not _alike(row[name], other[name], tolerance):
                return f"{name} of the signal at {time} is {other[name]} in place of {row[name]}"
    return f"there is a signal at {next(iter(told))}" if told else ""


def _by_time(signals: pl.DataFrame) -> dict[datetime, Mapping[str, Any]]:
    return {row["timestamp"]: row for row in signals.iter_rows(named=True)}


def _alike(one: Any, other: Any, tolerance: float) -> bool:
    if not (isinstance(one, float) and isinstance(other, float)):
        return bool(one == other)
    return bool(np.isclose(one, other, rtol=tolerance, atol=0.0, equal_nan=True))
