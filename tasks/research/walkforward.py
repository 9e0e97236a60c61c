"""The walk-forward: frozen on the library span, calibrated on the next, told on the last."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import Outcomes
from kernels.paths import fit_standard, unit_paths
from tasks.research.library import Library
from tasks.research.measure import BarsError, Measures
from tasks.research.model import Frozen
from tasks.research.recipe import Recipe
from tasks.research.search import search
from tasks.research.spans import split
from tasks.research.timeline import Timeline
from tasks.version import code_version


def freeze(measures: Measures, recipe: Recipe, data_hash: str, *, engine: str) -> Frozen:
    """Fix spans, stride and standardisation before any neighbour is looked for.

    Parameters
    ----------
    measures : Measures
        Of all bars.
    recipe : Recipe
    data_hash : str
        Content hash of the bars.
    engine : {"cpu", "gpu"}
        What measured them, and is to compute all that follows.

    Raises
    ------
    BarsError
        If no bar has metrics.
    TooShort
        If the history is too short for three spans.
    """
    stamps: list[datetime] = measures.metrics["timestamp"].to_list()
    measured = np.flatnonzero(np.isfinite(measures.trajectory[:, -1, 0]))
    if not len(measured):
        raise BarsError(
            f"none of {len(stamps)} bars has metrics: a bar needs the 257 before it in one stretch"
        )
    spans = split(int(measured[0]), len(stamps), recipe.horizon)
    learned = measured[(measured >= spans.library.start) & (measured < spans.library.stop)]
    return Frozen(
        recipe=recipe,
        data_hash=data_hash,
        code_version=code_version(),
        engine=engine,
        first_bar=stamps[0],
        last_bar=stamps[-1],
        bars=len(stamps),
        spans=spans,
        stride=recipe.stride_for(len(stamps)),
        standard=fit_standard(measures.trajectory, learned),
    )


def queries(frozen: Frozen) -> NDArray[np.int64]:
    """Return the bars whose neighbours are counted: int64[q], ascending.

    In the library span every `horizon`-th, which is what the strength of the prior is learnt
    from; in calibration and test every bar.
    """
    spans = frozen.spans
    return np.concatenate(
        [
            spans.library.positions(frozen.recipe.horizon),
            spans.calibration.positions(),
            spans.test.positions(),
        ]
    )


def replay(
    measures: Measures,
    outcomes: Outcomes,
    frozen: Frozen,
    *,
    engine: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Library, pl.DataFrame]:
    """Build the library and count the neighbours each query may know.

    Parameters
    ----------
    measures : Measures
    outcomes : Outcomes
        Of the same bars; a query sees those known at its own close.
    frozen : Frozen
    engine : {"auto", "cpu", "gpu"}
    progress : callable
        Called with the share done.

    Returns
    -------
    library : Library
    counts : polars.DataFrame
        What `search` returns, for `queries`.
    """
    paths = unit_paths(measures.trajectory, frozen.standard)
    timeline = Timeline.of(measures.metrics["timestamp"])
    library = Library.build(paths, outcomes, timeline.starts, stride=frozen.stride)
    positions = queries(frozen)
    counts = search(
        paths[positions],
        positions,
        library,
        timeline,
        horizon=frozen.recipe.horizon,
        k=frozen.recipe.k,
        engine=engine,
        progress=progress,
    )
    return library, counts
