"""A model's path library in the database, for machines that search there (`SEP_PATHS`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infra.market.timeframes import bar_length
from infra.settings import settings
from infra.stores.path_rows import Paths
from infra.stores.paths import PathStore
from kernels.device import choose_engine
from kernels.nearest import Neighbours
from kernels.outcomes import SIDES
from tasks.research.library import Found, Library, PathLibrary
from tasks.research.model import Model
from tasks.research.timeline import Timeline


@dataclass(frozen=True)
class StoredLibrary:
    """A library in the database, asked by SQL: a `PathLibrary`.

    Attributes
    ----------
    store : PathStore
    length : timedelta64[us]
        Of a bar: outcomes become known at a close, and a query asks at its own.
    """

    store: PathStore
    length: np.timedelta64

    @classmethod
    def open(cls, name: str, file: Path, length: np.timedelta64) -> StoredLibrary:
        """Open a library; what was trained is loaded from its file the first time.

        Parameters
        ----------
        name : str
            Of the library: its model's id.
        file : Path
            What training wrote.
        length : timedelta64[us]
            Of a bar.

        Raises
        ------
        PathStoreError
            If the database cannot hold paths.
        """
        store = PathStore(name)
        if not store.exists():
            store.load(as_paths(Library.read(file), length))
        return cls(store, length)

    def __len__(self) -> int:
        return len(self.store)

    @property
    def last(self) -> np.datetime64:
        """Start of the bar of the last row; NaT without one."""
        return self.store.last()

    def extend(self, later: Library) -> StoredLibrary:
        """Write later rows, each once; see `PathLibrary`."""
        self.store.extend(as_paths(later, self.length))
        return self

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
        """Find the nearest rows, nearly all of them; see `PathLibrary`.

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
        engine : str
            Not used: the database searches.
        """
        found = self.store.nearest(
            paths,
            known_by=timeline.starts[positions] + self.length,
            number=timeline.numbers,
            exclusion=exclusion,
            k=k,
        )
        there = found.index >= 0
        # the rows found are laid out one after the other: what no query found need not be fetched
        place = np.where(there, np.arange(there.size).reshape(there.shape), -1)
        return Found(
            Neighbours(found.score, place),
            found.win.reshape(-1, len(SIDES)),
            found.features.reshape(-1, found.features.shape[-1]),
        )


def open_library(model: Model, file: Path, *, engine: str) -> PathLibrary:
    """Return a model's library where `SEP_PATHS` says: from its file, or in the database.

    A GPU always searches its own copy, exactly.

    Parameters
    ----------
    model : Model
    file : Path
        What training wrote.
    engine : {"auto", "cpu", "gpu"}
    """
    if settings().paths == "exact" or choose_engine(engine).name == "gpu":
        return Library.read(file)
    length = np.timedelta64(bar_length(model.frozen.recipe.timeframe))
    return StoredLibrary.open(model.model_id, file, length)


def as_paths(library: Library, length: np.timedelta64) -> Paths:
    """Return the rows of a library with the moments their outcomes became known.

    Parameters
    ----------
    library : Library
    length : timedelta64[us]
        Of a bar.
    """
    known_at = library.known + length
    return Paths(
        paths=library.paths,
        known_at=known_at,
        time=library.time,
        group=library.group,
        win=library.win,
        features=library.features,
    )
