"""What is audited: signals as a function of the bars of some streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from infra.market.days import bar_end
from infra.market.timeframes import bar_length
from tasks.rules.frames import measured
from tasks.strategy.seam import Frames, Parameters, Strategy

Signals = Callable[[Frames], pl.DataFrame]


@dataclass(frozen=True)
class Case:
    """Signals of bars.

    Attributes
    ----------
    name : str
    signals : callable
        From bars by stream to rows with `timestamp`, the start of a bar of the first stream.
    timeframes : dict of str to str
        By stream, the first one's first.
    warm_up : int
        After how many bars of the first stream its signals no longer hang on where these began.
    """

    name: str
    signals: Signals
    timeframes: Mapping[str, str]
    warm_up: int = 0

    @classmethod
    def of(
        cls, strategy: Strategy, parameters: Parameters | None = None, *, engine: str = "auto"
    ) -> Case:
        """Return the case of a strategy that asks no beliefs.

        Parameters
        ----------
        strategy : Strategy
        parameters : mapping of str to float, optional
        engine : {"auto", "cpu", "gpu"}
        """
        streams = strategy.requires.streams

        def signals(bars: Frames) -> pl.DataFrame:
            return strategy.evaluate(measured(strategy, bars, engine=engine), parameters)

        timeframes = {stream.name: stream.timeframe for stream in streams}
        return cls(strategy.title, signals, timeframes, warm_up(strategy))

    @property
    def base(self) -> str:
        """Name of the first stream."""
        return next(iter(self.timeframes))

    def closes(self, bars: Frames) -> pl.Series:
        """Return when each bar of the first stream was complete.

        Parameters
        ----------
        bars : mapping of str to polars.DataFrame
        """
        return bar_end(bars[self.base]["timestamp"], self.timeframes[self.base])

    def known(self, bars: Frames, now: datetime) -> dict[str, int]:
        """Return how many bars of each stream were complete at a time.

        Parameters
        ----------
        bars : mapping of str to polars.DataFrame
        now : datetime
        """
        return {
            name: int((bar_end(each["timestamp"], self.timeframes[name]) <= now).sum())
            for name, each in bars.items()
        }


def warm_up(strategy: Strategy) -> int:
    """Return the bars of the first stream in which all streams have as many as they need.

    Parameters
    ----------
    strategy : Strategy
    """
    streams, bars = strategy.requires.streams, strategy.requires.bars
    length = bar_length(streams[0].timeframe)
    return max(-(-(bars[each.name] + 1) * bar_length(each.timeframe) // length) for each in streams)


def cuts(case: Case, bars: Frames, found: pl.DataFrame, count: int, seed: int = 0) -> list[int]:
    """Return rows of the first stream up to which its past is looked at.

    Half are bars of signals, where a leak shows soonest; the others are any: a leak that hides
    signals shows only there.

    Parameters
    ----------
    case : Case
    bars : mapping of str to polars.DataFrame
    found : polars.DataFrame
        Signals of all bars.
    count : int
    seed : int
    """
    times, rng = bars[case.base]["timestamp"], np.random.default_rng(seed)
    most = times.len() - 2
    rows = np.arange(case.warm_up if case.warm_up < most else most // 2, most)
    signalled = rows[times.is_in(found["timestamp"].implode()).to_numpy()[rows]]
    chosen = [
        int(row)
        for group, share in ((signalled, count // 2), (rows, count - count // 2))
        for row in rng.choice(group, min(share, group.size), replace=False)
    ]
    return sorted(set(chosen))
