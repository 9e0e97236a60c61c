"""A model's path library in the database, for machines that search there (`SEP_PATHS`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.market.timeframes import bar_length
from infra.settings import settings
from infra.stores.bulk import BarStore
from infra.stores.path_rows import Found, Paths, Times
from infra.stores.paths import PathStore
from kernels.confidence import count_wins
from kernels.device import choose_engine
from kernels.nearest import Neighbours
from kernels.outcomes import SIDES
from tasks.research.library import Library, PathLibrary
from tasks.research.model import Frozen, Model


@dataclass(frozen=True)
class StoredLibrary:
    """A library in the database, asked by SQL: a `PathLibrary`.

    Attributes
    ----------
    store : PathStore
    closes : datetime64[us][n]
        When each bar closed (UTC), by bar number: outcomes become known at a close, and a query
        asks at its own.
    """

    store: PathStore
    closes: Times

    @classmethod
    def open(cls, name: str, file: Path, closes: Times) -> StoredLibrary:
        """Open a library; what was trained is loaded from its file the first time.

        Raises
        ------
        PathStoreError
            If the database cannot hold paths.
        """
        store = PathStore(name)
        if not store.exists():
            store.load(as_paths(Library.read(file), closes))
        return cls(store, closes)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def last(self) -> int:
        """Bar number of the last row, -1 without one."""
        return self.store.last()

    def extend(self, later: Library) -> StoredLibrary:
        """Write later rows, each once; see `PathLibrary`."""
        self.store.extend(as_paths(later, self.closes))
        return self

    def nearest(
        self,
        paths: NDArray[np.float32],
        positions: NDArray[np.int64],
        *,
        exclusion: int,
        k: int = 64,
        engine: str = "auto",
    ) -> Neighbours:
        """Find the nearest rows by SQL; see `PathLibrary`. `engine` changes nothing."""
        found = self._ask(paths, positions, exclusion, k)
        return Neighbours(found.score, found.index)

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
        found = self._ask(paths, positions, exclusion, k)
        there = found.index >= 0
        place = np.where(there, np.arange(there.size).reshape(there.shape), -1)
        return count_wins(Neighbours(found.score, place), found.win.reshape(-1, len(SIDES)))

    def _ask(
        self, paths: NDArray[np.float32], positions: NDArray[np.int64], exclusion: int, k: int
    ) -> Found:
        known_by = self.closes[positions]
        return self.store.nearest(paths, known_by=known_by, exclusion=exclusion, k=k)


def open_library(model: Model, file: Path, bars: BarStore, *, engine: str) -> PathLibrary:
    """Return a model's library where `SEP_PATHS` says: from its file, or in the database.

    A GPU always searches its own copy, exactly.
    """
    if settings().paths == "exact" or choose_engine(engine).name == "gpu":
        return Library.read(file)
    return StoredLibrary.open(model.model_id, file, closes(model.frozen, bars))


def closes(frozen: Frozen, bars: BarStore) -> Times:
    """Return when each bar since the model's first one closed: datetime64[us][n]."""
    pair, timeframe = frozen.recipe.pair, frozen.recipe.timeframe
    times = bars.read(pair, timeframe, start=frozen.first_bar)["timestamp"]
    starts = times.dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    return np.asarray(starts + np.timedelta64(bar_length(timeframe)))


def as_paths(library: Library, closes: Times) -> Paths:
    """Return the rows of a library with the moments their outcomes became known."""
    known_at = closes[library.known_at]
    return Paths(library.paths, known_at, library.position, library.group, library.win)
