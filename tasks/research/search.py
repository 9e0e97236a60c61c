"""Nearest past paths, counted: how many neighbours a bar has and how many of them won."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.device import Gpu, choose_engine
from kernels.plan import Plan
from tasks.research.library import PathLibrary
from tasks.research.timeline import Timeline

CHUNK = {"cpu": 32_768, "gpu": 524_288}
"""Queries between two reports of progress."""


def search(
    paths: NDArray[np.float32],
    positions: NDArray[np.int64],
    library: PathLibrary,
    timeline: Timeline,
    *,
    horizon: int,
    k: int = 64,
    engine: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> pl.DataFrame:
    """Count neighbours and wins of each query, chunk by chunk.

    Parameters
    ----------
    paths : float32[q, 64]
        Unit paths of the queries (NaN where a bar has none).
    positions : int64[q]
        Their numbers on the timeline: a query sees only outcomes known at its own close.
    library : PathLibrary
    timeline : Timeline
        Of all bars that queries and rows of the library are of.
    horizon : int
        Neighbours closer than this many bars to a better one are dropped.
    k : int
        Neighbours asked for.
    engine : {"auto", "cpu", "gpu"}
    progress : callable
        Called with the share done, 0 to 1, after each chunk.

    Returns
    -------
    polars.DataFrame
        position, k_eff, wins_long, wins_short; no row depends on the chunks.
    """
    size, parts = CHUNK[choose_engine(engine).name], []
    for start in range(0, max(len(positions), 1), size):
        rows = slice(start, start + size)
        wins, k_eff = library.count(
            paths[rows], positions[rows], timeline, exclusion=horizon, k=k, engine=engine
        )
        columns = {"k_eff": k_eff[:, 0], "wins_long": wins[:, 0], "wins_short": wins[:, 1]}
        parts.append(pl.DataFrame({"position": positions[rows], **columns}))
        progress(min(1.0, (start + size) / max(len(positions), 1)))
    return pl.concat(parts)


def memory_plan(rows: int, queries: int, *, k: int, engine: str) -> str:
    """Say how a search of a library of `rows` is cut so that it fits the engine's memory.

    Parameters
    ----------
    rows : int
        Paths of the library.
    queries : int
        Bars whose neighbours are counted.
    k : int
        Neighbours of a query, at most.
    engine : {"auto", "cpu", "gpu"}
    """
    chosen = choose_engine(engine)
    if chosen.name == "cpu":
        return f"{rows:,} paths in host memory, {CHUNK['cpu']:,} queries at a time"
    return str(Plan.fit(rows, min(queries, CHUNK["gpu"]), k, Gpu.current().free()))
