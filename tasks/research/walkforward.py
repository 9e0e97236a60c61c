"""The walk-forward: frozen on the library span, calibrated on the next, told on the last."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.outcomes import Outcomes
from kernels.paths import Standard, fit_standard
from tasks.research.knowledge import features, log_deviation
from tasks.research.library import Library
from tasks.research.measure import BarsError, Measures
from tasks.research.model import Frozen
from tasks.research.recipe import Recipe
from tasks.research.search import search
from tasks.research.similarity import Sample, Similarity, choose
from tasks.research.spans import Span, split
from tasks.research.timeline import Timeline
from tasks.version import code_version


def freeze(
    measures: Measures, outcomes: Outcomes, recipe: Recipe, data_hash: str, *, engine: str
) -> Frozen:
    """Fix spans, stride, standardisation and what similar means, on the library span alone.

    Parameters
    ----------
    measures : Measures
        Of all bars.
    outcomes : Outcomes
        Of the same bars; those of the library span are looked at.
    recipe : Recipe
    data_hash : str
        Content hash of the bars.
    engine : {"cpu", "gpu"}
        What measured them, and is to compute all that follows.

    Raises
    ------
    BarsError
        If no bar has metrics, or no trade of the library span has ended.
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
    ended = learned[(np.asarray(outcomes.win)[learned] >= 0).all(axis=1)]
    if not len(ended):
        raise BarsError("no trade of the library span has ended: ingest more bars")
    standard = fit_standard(measures.trajectory, learned)
    log_sigma = float(np.nanmean(log_deviation(measures.metrics)[learned]))
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
        standard=standard,
        similarity=_similarity(measures, outcomes, recipe, ended, standard, log_sigma, engine),
        log_sigma=log_sigma,
        base_rate=tuple(outcomes.win[ended].mean(axis=0).tolist()),
    )


def _similarity(
    measures: Measures,
    outcomes: Outcomes,
    recipe: Recipe,
    ended: NDArray[np.int64],
    standard: Standard,
    log_sigma: float,
    engine: str,
) -> Similarity:
    """Learn what similar means on bars of the library span whose trades have ended."""
    # outcomes of neighbouring bars are nearly one: a quarter of a horizon apart is enough
    ended = ended[ended % recipe.stride_for(len(measures.metrics)) == 0]
    trajectory = measures.trajectory[ended]
    volatility = log_deviation(measures.metrics)[ended] - log_sigma
    sample = Sample(
        position=ended,
        trajectory=trajectory,
        features=features(trajectory, volatility, standard),
        win=np.asarray(outcomes.win)[ended],
        horizon=recipe.horizon,
    )
    return choose(sample, standard, engine=engine)


LEARNT = 40_000
"""Bars of library and calibration span that learners are fitted on, at most."""


def queries(frozen: Frozen) -> NDArray[np.int64]:
    """Return the bars whose neighbours are asked: int64[q], ascending.

    In the library span every `horizon`-th, in the calibration span some eight a horizon, in the
    test span every bar.
    """
    spans, horizon = frozen.spans, frozen.recipe.horizon
    return np.concatenate(
        [
            spans.library.positions(horizon),
            spans.calibration.positions(max(1, horizon // 8)),
            spans.test.positions(),
        ]
    )


def learnt_from(frozen: Frozen) -> NDArray[np.int64]:
    """Return the bars that learners are fitted on: int64[m], ascending.

    Those of `queries` before the test span, and others between them, up to `LEARNT` in all.
    """
    spans, horizon = frozen.spans, frozen.recipe.horizon
    before: tuple[Span, ...] = (spans.library, spans.calibration)
    asked = queries(frozen)
    asked = asked[asked < spans.calibration.stop]
    step = max(1, horizon // 8, math.ceil(sum(map(len, before)) / LEARNT))
    return np.union1d(asked, np.concatenate([span.positions(step) for span in before]))


def replay(
    measures: Measures,
    outcomes: Outcomes,
    frozen: Frozen,
    *,
    engine: str = "auto",
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Library, pl.DataFrame]:
    """Build the library and ask, for each query, the neighbours it may know.

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
    paths = frozen.paths(measures.trajectory)
    looked = frozen.features(measures)
    timeline = Timeline.of(measures.metrics["timestamp"])
    library = Library.build(paths, looked, outcomes, timeline.starts, stride=frozen.stride)
    positions = queries(frozen)
    counts = search(
        paths[positions],
        looked[positions],
        positions,
        library,
        timeline,
        rule=frozen.rule,
        engine=engine,
        progress=progress,
    )
    return library, counts
