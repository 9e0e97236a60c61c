"""How far apart the rows of a source are, and which timeframe that is."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

import polars as pl

from infra.market.timeframes import TIMEFRAMES, bar_length
from infra.sources.columns import SourceError

_HOUR: Final = timedelta(hours=1)
_MINUTE: Final = 60_000_000
_LONG_GAP: Final = timedelta(days=5)
"""Longer than any weekend with a holiday beside it."""
_CLOSER: Final = 0.05
"""Share of steps shorter than a bar from which the timeframe is wrong, not a row."""
_STRAYS: Final = 0.02
_SOME: Final = 5
_ENOUGH: Final = 8
"""Rows from which steps that are all longer than a bar prove a longer timeframe."""
OFF_GRID: Final = 0.1
"""Share of times off the grid from which they are not those of the timeframe."""


class WrongTimeframe(SourceError):
    """Times are not those of bars of a timeframe; the message names the one that fits."""


class Spacing(NamedTuple):
    """Steps between the distinct times of a source.

    Attributes
    ----------
    steps : polars.Series
        Duration, in order of time, of times that begin at a minute.
    usual : timedelta
        The most frequent step; zero where there is none.
    off_grid : float
        Share of times that are no start of a bar.
    """

    steps: pl.Series
    usual: timedelta
    off_grid: float

    @classmethod
    def of(cls, times: pl.Series, timeframe: str) -> Spacing:
        """Measure times against the grid of a timeframe.

        Parameters
        ----------
        times : polars.Series
            Datetime, in any order.
        timeframe : str
        """
        times = times.drop_nulls()
        grid = min(bar_length(timeframe), _HOUR) // timedelta(microseconds=1)
        off = times.dt.epoch("us") % grid != 0
        share = float(off.mean() or 0.0)  # type: ignore[arg-type]
        if share > 0:  # what begins at no minute is damaged, and tells nothing
            times = times.filter(times.dt.epoch("us") % _MINUTE == 0)
        if not times.is_sorted():
            times = times.sort()
        steps = times.diff().drop_nulls()
        steps = steps.filter(steps > timedelta(0))
        modes = steps.mode().sort()
        return cls(steps, modes[0] if len(modes) else timedelta(0), share)

    def below(self, length: timedelta) -> float:
        """Return the share of steps shorter than a bar; one of an hour may be lost in spring."""
        shortest = length - _HOUR if length > 2 * _HOUR else length
        return float((self.steps < shortest).mean() or 0.0)  # type: ignore[arg-type]

    def just(self, length: timedelta) -> float:
        """Return the share of steps that are as long as a bar."""
        return float((self.steps == length).mean() or 0.0)  # type: ignore[arg-type]

    @property
    def regular(self) -> bool:
        """Whether most steps are the usual one."""
        return 2 * int((self.steps == self.usual).sum()) > len(self.steps)

    @property
    def holes(self) -> int:
        """Steps longer than any weekend."""
        return int((self.steps > _LONG_GAP).sum())


def problem(spacing: Spacing, timeframe: str) -> str | None:
    """Tell why times cannot be those of bars of a timeframe; None where they can.

    Parameters
    ----------
    spacing : Spacing
    timeframe : str
    """
    length = bar_length(timeframe)
    enough = len(spacing.steps) + 1 >= _ENOUGH
    if spacing.off_grid > OFF_GRID and enough:
        return _wrong(spacing, timeframe)
    if spacing.below(length) > _CLOSER:
        return _wrong(spacing, timeframe)
    if len(spacing.steps) + 1 >= _SOME and spacing.regular and spacing.just(length) <= _STRAYS:
        return _wrong(spacing, timeframe)
    apart = spacing.usual >= 2 * length - (_HOUR if length > 2 * _HOUR else timedelta(0))
    if apart and enough and spacing.below(spacing.usual) <= _STRAYS:
        return _wrong(spacing, timeframe)
    return None


def refuse_wrong(times: pl.Series, timeframe: str) -> None:
    """Refuse times that prove a timeframe wrong.

    Parameters
    ----------
    times : polars.Series
        Datetime, UTC.
    timeframe : str

    Raises
    ------
    WrongTimeframe
        It names the timeframe that fits.
    """
    if reason := problem(Spacing.of(times, timeframe), timeframe):
        raise WrongTimeframe(reason)


def fitting(spacing: Spacing) -> str | None:
    """Return the timeframe whose bars are as far apart as these times mostly are."""
    return next((name for name in TIMEFRAMES if bar_length(name) == spacing.usual), None)


def _wrong(spacing: Spacing, timeframe: str) -> str:
    fits = fitting(spacing)
    if fits is not None and fits != timeframe:
        return (
            f"the rows are not bars of {timeframe}: they are {_words(spacing.usual)} apart; "
            f"ask for timeframe={fits}"
        )
    apart = f"mostly {_words(spacing.usual)} apart"
    if spacing.off_grid > OFF_GRID:
        apart += f", and {spacing.off_grid:.0%} of them do not begin at a multiple of it"
    return (
        f"the rows are not bars of {timeframe}: they are {apart}; no timeframe= of "
        f"{', '.join(TIMEFRAMES)} fits, unless time_format= or clock= says how to read the times"
    )


def _words(step: timedelta) -> str:
    for name, unit in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if step.total_seconds() >= unit and step.total_seconds() % unit == 0:
            return f"{step.total_seconds() / unit:g} {name}"
    return f"{step.total_seconds():g} s"
