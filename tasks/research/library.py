"""The path library: paths of past bars, sorted by the time their outcome became known.

`PathLibrary` is what a search needs of one. `Library` is in memory and searched exactly by the
kernels; `tasks.research.stored.StoredLibrary` is in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.nearest import Neighbours, nearest
from kernels.outcomes import SIDES, Outcomes
from kernels.paths import has_path
from tasks.folder import keep
from tasks.research.timeline import Timeline, Times

NEVER = np.datetime64("NaT", "us")


@dataclass(frozen=True)
class Found:
    """Neighbours of queries, and what is known of the rows they are.

    Attributes
    ----------
    neighbours : Neighbours
        Numbers of rows of the two columns below.
    win : int8[N, 2]
    features : float32[N, m]
    """

    neighbours: Neighbours
    win: NDArray[np.int8]
    features: NDArray[np.float32]


class PathLibrary(Protocol):
    """Past paths with what became of them, which a bar can ask for those nearest to its own."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def last(self) -> np.datetime64:
        """Start of the bar of the last row; NaT without one."""

    def extend(self, later: Library) -> Self:
        """Return the library with later rows; those not after its last bar are dropped."""

    def find(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        timeline: Timeline,
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> Found:
        """Find the nearest rows among those known at each query's close.

        Parameters
        ----------
        paths : float32[q, 64]
            Unit paths of the queries; one with a NaN has no neighbours.
        positions : int64[q]
            Their numbers on the timeline.
        timeline : Timeline
            Of all bars that queries and rows are of.
        exclusion : int
            Rows of one group closer than this many bars to a better one are dropped.
        k : int
            Rows looked at per query.
        engine : {"auto", "cpu", "gpu"}
            Of the kernels, where they search.

        Returns
        -------
        Found
        """


@dataclass(frozen=True)
class Library:
    """Paths of past bars with what became of them.

    Attributes
    ----------
    paths : float32[N, 64]
        Unit paths.
    time : datetime64[us][N]
        When their bars began (UTC), ascending.
    known : datetime64[us][N]
        When the bar began at whose close the outcome became known, ascending.
    win : int8[N, 2]
        1 if the trade ended above zero after costs; long, short.
    group : int32[N]
        The pair a row belongs to.
    features : float32[N, 5]
        What a local fit on neighbours looks at (`tasks.research.knowledge`).
    """

    paths: NDArray[np.float32]
    time: Times
    known: Times
    win: NDArray[np.int8]
    group: NDArray[np.int32]
    features: NDArray[np.float32]

    @classmethod
    def build(
        cls,
        paths: NDArray[np.float32],
        features: NDArray[np.float32],
        outcomes: Outcomes,
        starts: Times,
        *,
        stride: int,
        first: int = 0,
    ) -> Library:
        """Take every `stride`-th bar that has a path and, on both sides, an outcome.

        Parameters
        ----------
        paths : float32[n, 64]
        features : float32[n, 5]
        outcomes : Outcomes
            Of the same n bars.
        starts : datetime64[us][n]
            When they began.
        stride : int
        first : int
            Number of the first of them among the bars since the model's first one.
        """
        number = np.arange(first, first + len(paths), dtype=np.int64)
        resolved = (np.asarray(outcomes.win) >= 0).all(axis=1)
        rows = np.flatnonzero((number % stride == 0) & resolved & has_path(paths))
        return cls(
            paths=np.ascontiguousarray(paths[rows]),
            time=starts[rows],
            known=starts[outcomes.known_at[rows]],
            win=outcomes.win[rows],
            group=np.zeros(len(rows), np.int32),
            features=np.ascontiguousarray(features[rows]),
        )

    def __len__(self) -> int:
        return len(self.time)

    @property
    def last(self) -> np.datetime64:
        """Start of the bar of the last row; NaT without one."""
        return self.time[-1] if len(self) else NEVER

    def known_before(self, times: Times) -> NDArray[np.int64]:
        """Count the rows whose outcome is known at the close of the bars of `times`: int64[q]."""
        return np.searchsorted(self.known, times, side="right").astype(np.int64)

    def extend(self, later: Library) -> Library:
        """Append rows; those not after this library's last bar are dropped."""
        new = later.take(later.time > self.last) if len(self) else later
        columns = zip(vars(self).values(), vars(new).values(), strict=True)
        return Library(*(np.concatenate(pair) for pair in columns))

    def find(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        timeline: Timeline,
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> Found:
        """Find the nearest rows exactly; see `PathLibrary`.

        Parameters
        ----------
        paths : float32[q, 64]
            Unit vectors.
        positions : int64[q]
            Bar of each query.
        timeline : Timeline
            Of the bars that the queries are of.
        exclusion : int
            Bars that two neighbours of a query lie apart.
        k : int
            Neighbours of a query, at most.
        engine : {"auto", "cpu", "gpu"}
        """
        neighbours = nearest(
            paths,
            self.paths,
            position=timeline.numbers(self.time),
            group=self.group,
            known_before=self.known_before(timeline.starts[positions]),
            exclusion=exclusion,
            k=k,
            engine=engine,
        )
        return Found(neighbours, self.win, self.features)

    def write(self, path: Path) -> None:
        """Write the library as Parquet."""
        frame = pl.from_numpy(self.paths, [f"path_{d}" for d in range(self.paths.shape[1])])
        frame = frame.with_columns(
            time=self.time,
            known=self.known,
            group=self.group,
            **{f"win_{side}": self.win[:, s] for s, side in enumerate(SIDES)},
            **{f"feature_{f}": column for f, column in enumerate(self.features.T)},
        )
        keep(frame, path)

    @classmethod
    def read(cls, path: Path) -> Library:
        """Read what `write` wrote."""
        frame = pl.read_parquet(path)
        return cls(
            paths=np.ascontiguousarray(frame.select("^path_\\d+$").to_numpy()),
            time=frame["time"].to_numpy(),
            known=frame["known"].to_numpy(),
            win=np.stack([frame[f"win_{side}"].to_numpy() for side in SIDES], axis=1),
            group=frame["group"].to_numpy(),
            features=np.ascontiguousarray(frame.select("^feature_\\d+$").to_numpy()),
        )

    def take(self, rows: slice | NDArray[np.bool_]) -> Library:
        """Return some of the rows."""
        return Library(*(column[rows] for column in vars(self).values()))
