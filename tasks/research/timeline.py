"""The bars of a pair one after the other: numbers that hold for one state of the store.

What lasts is addressed by time. A bar's number counts the bars since a model's first one, so it
changes with any bar that is stored late: numbers live as long as the timeline they are of.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.errors import SepError

Times: TypeAlias = NDArray[np.datetime64]


class NoSuchBar(SepError, LookupError):
    """A time is the start of no bar: the bars are not those it was taken from."""


@dataclass(frozen=True)
class Timeline:
    """When bars begin.

    Attributes
    ----------
    starts : datetime64[us][n]
        Starts of bars (UTC), ascending.
    """

    starts: Times

    @classmethod
    def of(cls, timestamps: pl.Series) -> Timeline:
        """Return the timeline of bars that begin at `timestamps`."""
        return cls(timestamps.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"))

    def __len__(self) -> int:
        return len(self.starts)

    def before(self, moment: datetime) -> int:
        """Count the bars that begin before a moment with a zone."""
        utc = np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
        return int(np.searchsorted(self.starts, utc))

    def numbers(self, times: Times) -> NDArray[np.int64]:
        """Return the numbers of the bars that begin at `times`, int64[m].

        Raises
        ------
        NoSuchBar
            If no bar begins at one of them.
        """
        places = np.searchsorted(self.starts, times)
        there = self.starts[np.minimum(places, len(self) - 1)] == times if len(self) else places < 0
        if not np.all(there):
            missing = np.asarray(times)[~there][0]
            raise NoSuchBar(f"no bar begins at {missing}, which the library knows: train again")
        return places.astype(np.int64)
