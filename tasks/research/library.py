"""The path library: paths of past bars, sorted by the time their outcome became known.

`PathLibrary` is what a search needs of one. `Library` is in memory and searched exactly by the
kernels; `tasks.research.stored.StoredLibrary` is in the database.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.confidence import count_wins
from kernels.nearest import Neighbours, nearest
from kernels.outcomes import SIDES, Outcomes
from kernels.paths import has_path


class PathLibrary(Protocol):
    """Past paths with what became of them, which a bar can ask for those nearest to its own."""

    def __len__(self) -> int:
        """Return the number of rows."""

    @property
    def last(self) -> int:
        """Bar number of the last row, -1 without one."""

    def extend(self, later: Library) -> PathLibrary:
        """Return the library with later rows; those not after its last bar are dropped."""

    def nearest(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> Neighbours:
        """Find the nearest rows of each query among those known at its close.

        Parameters
        ----------
        paths : float32[q, 64]
            Unit paths of the queries; one with a NaN has no neighbours.
        positions : int64[q]
            Their bar numbers.
        exclusion : int
            Rows of one group closer than this many bars to a better one are dropped.
        k : int
            Rows looked at per query.
        engine : {"auto", "cpu", "gpu"}
            Of the kernels, where they search.
        """

    def count(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count wins and neighbours of each query, int64[q, 2] each; arguments of `nearest`."""


@dataclass(frozen=True)
class Library:
    """Paths of past bars with what became of them.

    Attributes
    ----------
    paths : float32[N, 64]
        Unit paths.
    position : int64[N]
        Bar numbers, ascending.
    known_at : int64[N]
        The bar at whose close the outcome became known, ascending.
    win : int8[N, 2]
        1 if the trade ended above zero after costs; long, short.
    group : int32[N]
        The pair a row belongs to.
    """

    paths: NDArray[np.float32]
    position: NDArray[np.int64]
    known_at: NDArray[np.int64]
    win: NDArray[np.int8]
    group: NDArray[np.int32]

    @classmethod
    def build(
        cls, paths: NDArray[np.float32], outcomes: Outcomes, *, stride: int, first: int = 0
    ) -> Library:
        """Take every `stride`-th bar that has a path and, on both sides, an outcome.

        Parameters
        ----------
        paths : float32[n, 64]
        outcomes : Outcomes
            Of the same n bars.
        stride : int
        first : int
            Bar number of the first row of `paths`.
        """
        number = np.arange(first, first + len(paths), dtype=np.int64)
        known = (np.asarray(outcomes.win) >= 0).all(axis=1)
        rows = np.flatnonzero((number % stride == 0) & known & has_path(paths))
        return cls(
            paths=np.ascontiguousarray(paths[rows]),
            position=number[rows],
            known_at=outcomes.known_at[rows] + first,
            win=outcomes.win[rows],
            group=np.zeros(len(rows), np.int32),
        )

    def __len__(self) -> int:
        return len(self.position)

    @property
    def last(self) -> int:
        """Bar number of the last row, -1 without one."""
        return int(self.position[-1]) if len(self) else -1

    def known_before(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Count the rows whose outcome is known at the close of each bar: int64[q]."""
        return np.searchsorted(self.known_at, positions, side="right").astype(np.int64)

    def up_to(self, known_at: int) -> Library:
        """Return the rows whose outcome was known at the close of bar `known_at`."""
        stop = int(np.searchsorted(self.known_at, known_at, side="right"))
        return self._take(slice(stop))

    def extend(self, later: Library) -> Library:
        """Append rows; those not after this library's last bar are dropped."""
        new = later._take(later.position > self.last)
        return Library(
            paths=np.concatenate([self.paths, new.paths]),
            position=np.concatenate([self.position, new.position]),
            known_at=np.concatenate([self.known_at, new.known_at]),
            win=np.concatenate([self.win, new.win]),
            group=np.concatenate([self.group, new.group]),
        )

    def nearest(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> Neighbours:
        """Find the nearest rows exactly; see `PathLibrary`."""
        return nearest(
            paths,
            self.paths,
            position=self.position,
            group=self.group,
            known_before=self.known_before(positions),
            exclusion=exclusion,
            k=k,
            engine=engine,
        )

    def count(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Count wins and neighbours of each query; see `PathLibrary`."""
        found = self.nearest(paths, positions, exclusion=exclusion, k=k, engine=engine)
        wins, k_eff = count_wins(found, self.win)
        return wins, k_eff

    def write(self, path: Path) -> None:
        """Write the library as Parquet."""
        frame = pl.from_numpy(self.paths, [f"path_{d}" for d in range(self.paths.shape[1])])
        frame.with_columns(
            position=self.position,
            known_at=self.known_at,
            group=self.group,
            **{f"win_{side}": self.win[:, s] for s, side in enumerate(SIDES)},
        ).write_parquet(path)

    @classmethod
    def read(cls, path: Path) -> Library:
        """Read what `write` wrote."""
        frame = pl.read_parquet(path)
        return cls(
            paths=np.ascontiguousarray(frame.select("^path_\\d+$").to_numpy()),
            position=frame["position"].to_numpy(),
            known_at=frame["known_at"].to_numpy(),
            win=np.stack([frame[f"win_{side}"].to_numpy() for side in SIDES], axis=1),
            group=frame["group"].to_numpy(),
        )

    def _take(self, rows: slice | NDArray[np.bool_]) -> Library:
        return Library(
            self.paths[rows],
            self.position[rows],
            self.known_at[rows],
            self.win[rows],
            self.group[rows],
        )
