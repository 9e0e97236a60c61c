"""The split of a history in time: library | purge | calibration | purge | test."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from infra.errors import SepError


@dataclass(frozen=True)
class Span:
    """Bars `start` to `stop` (exclusive), by position."""

    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __contains__(self, position: int) -> bool:
        return self.start <= position < self.stop

    def positions(self, step: int = 1) -> NDArray[np.int64]:
        """Every `step`-th position of the span: int64[m]."""
        return np.arange(self.start, self.stop, step, dtype=np.int64)


@dataclass(frozen=True)
class Spans:
    """The three spans of a walk-forward; between them lies a purge of `horizon` + 1 bars."""

    library: Span
    calibration: Span
    test: Span

    def names(self, n: int) -> list[str | None]:
        """Name the span of each of n bars; None in purges and warm-up."""
        named: list[str | None] = [None] * n
        for name in ("library", "calibration", "test"):
            span: Span = getattr(self, name)
            named[span.start : span.stop] = [name] * len(span)
        return named


class TooShort(SepError, ValueError):
    """The history cannot be split into spans worth measuring on."""


WARM_UP: Final = 257
"""Bars before the first one that has metrics."""
MINIMUM_OUTCOMES = 20
FRACTIONS = (0.5, 0.25)
"""Shares of library and calibration; the test takes the rest."""


def before_test(bars: int) -> int:
    """Return how many of a history's first bars lie before its test span, wherever metrics begin.

    Warm-up and purges only shift the test span later.
    """
    return max(0, int(sum(FRACTIONS) * bars) - len(FRACTIONS))


def split(
    first: int, stop: int, horizon: int, *, fractions: tuple[float, float] = FRACTIONS
) -> Spans:
    """Split the bars `first` to `stop` in time.

    Parameters
    ----------
    first, stop : int
        Positions of the first bar with metrics and one past the last bar.
    horizon : int
        Bars a trade is held; a purge is `horizon` + 1 bars
        (docs/mathematics.md, "Spans, folds, purge, embargo").
    fractions : (float, float)
        Shares of library and calibration.

    Raises
    ------
    TooShort
        If a span holds fewer than 20 outcomes that do not overlap.
    """
    spans = _cut(first, stop, horizon, fractions)
    if not _suffices(spans, horizon):
        count, needed = max(0, stop - first), least(horizon, fractions=fractions)
        raise TooShort(
            f"{count:,} bars with metrics are too few for horizon {horizon}: each span needs "
            f"{MINIMUM_OUTCOMES} outcomes that do not overlap, {needed:,} such bars in all; ingest "
            f"at least {first + needed - stop:,} more bars or shorten the horizon"
        )
    return spans


def least(horizon: int, *, fractions: tuple[float, float] = FRACTIONS) -> int:
    """Return the least number of bars with metrics that can be split.

    Parameters
    ----------
    horizon : int
    fractions : (float, float)
        As for `split`.
    """

    def suffices(bars: int) -> bool:
        return _suffices(_cut(0, bars, horizon, fractions), horizon)

    share = min(*fractions, 1 - sum(fractions))
    enough = int((MINIMUM_OUTCOMES + 2) * (horizon + 1) / share) + 3 * (horizon + 1)
    return bisect_left(range(enough), 1, key=suffices)


def _cut(first: int, stop: int, horizon: int, fractions: tuple[float, float]) -> Spans:
    purge = horizon + 1
    usable = stop - first - 2 * purge
    library = int(usable * fractions[0])
    calibration = int(usable * fractions[1])
    start = first + library + purge
    return Spans(
        Span(first, first + library),
        Span(start, start + calibration),
        Span(start + calibration + purge, stop),
    )


def _suffices(spans: Spans, horizon: int) -> bool:
    shortest = min(len(spans.library), len(spans.calibration), len(spans.test) - horizon - 1)
    return shortest >= MINIMUM_OUTCOMES * horizon
