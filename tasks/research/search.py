"""Nearest past paths, asked: how many a bar has, how many won, and what a fit on them says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.device import Gpu, choose_engine
from kernels.local import local_logistic
from kernels.plan import Plan
from kernels.tally import count_wins
from tasks.research.library import Found, PathLibrary
from tasks.research.timeline import Timeline


@dataclass(frozen=True)
class Rule:
    """How neighbours are asked.

    Attributes
    ----------
    horizon : int
        Neighbours closer than this many bars to a better one are dropped.
    k : int
        Neighbours asked for.
    strength, ridge : float
        Of the local fit.
    base_rate : tuple of float
        Share of wins by side, towards which the local fit is drawn.
    """

    horizon: int
    k: int
    strength: float
    ridge: float
    base_rate: tuple[float, ...]


CHUNK = {"cpu": 16_384, "gpu": 524_288}
"""Queries between two reports of progress."""


def search(
    paths: NDArray[np.float32],
    features: NDArray[np.float32],
    positions: NDArray[np.int64],
    library: PathLibrary,
    timeline: Timeline,
    *,
    rule: Rule,
    engine: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> pl.DataFrame:
    """Ask the neighbours of each query, chunk by chunk.

    Parameters
    ----------
    paths : float32[q, 64]
        Unit paths of the queries (NaN where a bar has none).
    features : float32[q, 5]
        What the local fit looks at.
    positions : int64[q]
        Their numbers on the timeline: a query sees only outcomes known at its own close.
    library : PathLibrary
    timeline : Timeline
        Of all bars that queries and rows of the library are of.
    rule : Rule
    engine : {"auto", "cpu", "gpu"}
    progress : callable
        Called with the share done, 0 to 1, after each chunk.

    Returns
    -------
    polars.DataFrame
        position, k_eff, wins_long, wins_short, local_long, local_short (log-odds, NaN without
        neighbours); no row depends on the chunks.
    """
    size, parts = CHUNK[choose_engine(engine).name], []
    for start in range(0, max(len(positions), 1), size):
        rows = slice(start, start + size)
        found = library.find(
            paths[rows], positions[rows], timeline, exclusion=rule.horizon, k=rule.k, engine=engine
        )
        columns = _asked(found, features[rows], rule, engine)
        parts.append(pl.DataFrame({"position": positions[rows], **columns}))
        progress(min(1.0, (start + size) / max(len(positions), 1)))
    return pl.concat(parts)


def _asked(found: Found, features: NDArray[np.float32], rule: Rule, engine: str) -> dict[str, Any]:
    wins, k_eff = count_wins(found.neighbours, found.win)
    local = local_logistic(
        found.neighbours,
        features,
        found.features,
        found.win,
        base_rate=np.array(rule.base_rate),
        strength=rule.strength,
        ridge=rule.ridge,
        engine=engine,
    )
    return {
        "k_eff": k_eff[:, 0],
        "wins_long": wins[:, 0],
        "wins_short": wins[:, 1],
        "local_long": local[:, 0],
        "local_short": local[:, 1],
    }


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
