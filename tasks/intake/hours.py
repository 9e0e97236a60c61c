"""Rows in time in which nobody trades, and what they tell of the clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import polars as pl

from infra.market.hours import calendar_of
from infra.market.instruments import SYNTHETIC
from infra.market.timeframes import bar_length
from infra.sources.columns import SourceError

_WEEKS: Final = 0.8
"""Share of weeks in which a row begins as the market closes, from which times are of the close."""
_LEAST: Final = 2
_SEEN: Final = 4
_CURED: Final = 0.1
"""Share of bars in closed time that may be left by the clock that is right: holidays."""
_LONGEST: Final = timedelta(hours=1)
"""Longer bars may begin at any hour before the market closes."""


def closed_out(
    rows: pl.DataFrame,
    timeframe: str,
    pair: str,
    *,
    ask_ends: bool = True,
    any_clock: bool = False,
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Set aside rows that lie wholly in time in which nobody trades.

    Parameters
    ----------
    rows : polars.DataFrame
        `timestamp`, prices, `reason`.
    timeframe, pair : str
        Without a pair no hours are known.
    ask_ends : bool
        Whether nobody has said which end of its bar a time is of.
    any_clock : bool
        Whether a clock that makes bars move in closed time is right all the same.

    Returns
    -------
    rows : polars.DataFrame
    notes : dict of str to int
        How many of them moved: prices that move while the market is closed have a wrong clock.

    Raises
    ------
    SourceError
        If the times look like those at which bars end, and nobody has said so, or are of another
        clock.
    """
    if not pair or pair in SYNTHETIC:
        return rows, {}
    good = rows["reason"].is_null()
    times = rows["timestamp"].filter(good)
    shut = _shut(times, timeframe, pair)
    if not shut.any():
        return rows, {}
    if ask_ends and bar_length(timeframe) <= _LONGEST:
        _refuse_ends(times, shut, timeframe, pair)
    at = good.arg_true()
    closed = at.filter(shut)
    moves = (rows["high"].gather(at) > rows["low"].gather(at)) & shut
    if not any_clock:
        _refuse_clock(times, moves, timeframe, pair)
    moved = int((rows["high"].gather(closed) > rows["low"].gather(closed)).sum())
    reason = rows["reason"].scatter(closed, "market closed")
    notes = {"bars that move while the market is closed": moved} if moved else {}
    return rows.with_columns(reason=reason), notes


def _refuse_ends(times: pl.Series, shut: pl.Series, timeframe: str, pair: str) -> None:
    """Refuse times of which week after week one is the market's close, and none its opening."""
    length = bar_length(timeframe)
    closing = int((~_shut(times.filter(shut) - length, timeframe, pair)).sum())
    if closing < max(_LEAST, _WEEKS * _weeks(times)) or int(shut.sum()) > 2 * closing:
        return
    if not _shut(times.filter(~shut) - length, timeframe, pair).any():
        raise SourceError(
            f"in {closing:,} weeks a row begins as the market closes, and none as it opens: say "
            "stamp=close if times are those at which bars end, stamp=open if not, or another clock="
        )


def _refuse_clock(times: pl.Series, moves: pl.Series, timeframe: str, pair: str) -> None:
    """Refuse times of which week after week some lie in closed time, and none some hours apart."""
    if bar_length(timeframe) > _LONGEST:
        return
    weeks = _weeks(times)
    if weeks < _SEEN or _weeks(times.filter(moves)) < _WEEKS * weeks:
        return
    now = int(moves.sum())
    shifts = [n for n in range(-12, 13) if n]
    lost = {n: int(_shut(times + n * timedelta(hours=1), timeframe, pair).sum()) for n in shifts}
    best = min(shifts, key=lambda n: (lost[n], abs(n)))
    if lost[best] < _CURED * now:
        raise SourceError(
            f"in nearly every week bars move while the market is closed, {now:,} in all: the clock "
            f"is wrong; {abs(best)} h {'later' if best > 0 else 'earlier'} nearly none would: say "
            "another clock=, or any_level=true to set them aside"
        )


def _weeks(times: pl.Series) -> int:
    """In how many weeks, from Saturday on, there are times."""
    return (times + timedelta(days=2)).dt.truncate("1w").n_unique()


def _shut(times: pl.Series, timeframe: str, pair: str) -> pl.Series:
    """Return whether a bar that begins at a time lies wholly in closed time: Boolean."""
    if times.is_empty():
        return pl.Series([], dtype=pl.Boolean)
    ends = times + bar_length(timeframe)
    return calendar_of(pair).open_time(times, ends, surely=False) == timedelta(0)
