"""The walk-forward: frozen on the library span, calibrated on the next, told on the last."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.bits import COLUMNS
from kernels.evaluation import non_overlapping
from kernels.outcomes import SIDES, Outcomes
from kernels.paths import Standard, fit_standard, has_path, unit_paths
from tasks.research.knowledge import features, log_deviation
from tasks.research.library import Library
from tasks.research.measure import BarsError, Measures
from tasks.research.model import Frozen
from tasks.research.recipe import Recipe
from tasks.research.search import search
from tasks.research.similarity import Sample, choose, shares, told_apart
from tasks.research.spans import MINIMUM_OUTCOMES, WARM_UP, Span, split
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
    first = int(measured[0]) if len(measured) else WARM_UP
    spans = split(first, len(stamps), recipe.horizon)
    if not len(measured):
        raise BarsError(f"none of {len(stamps):,} bars has metrics: {_wanted(recipe)}")
    learned = measured[(measured >= spans.library.start) & (measured < spans.library.stop)]
    if not np.isfinite(measures.trajectory[learned]).all(axis=(1, 2)).any():
        raise BarsError(
            f"none of {len(spans.library):,} bars of the library span has metrics: "
            f"{_wanted(recipe)}"
        )
    ended = learned[(np.asarray(outcomes.win)[learned] >= 0).all(axis=1)]
    if not len(ended):
        raise BarsError("no trade of the library span has ended: ingest more bars")
    standard = fit_standard(measures.trajectory, learned)
    log_sigma = float(np.nanmean(log_deviation(measures.metrics)[learned]))
    sample = _sample(measures, outcomes, recipe, spans.library, standard, log_sigma)
    _refuse_few(sample, standard, recipe.stride_for(len(stamps)))
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
        similarity=choose(sample, standard, engine=engine),
        log_sigma=log_sigma,
        base_rate=tuple(shares(outcomes.win[ended]).tolist()),
    )


def _wanted(recipe: Recipe) -> str:
    """Say what a bar needs to have metrics."""
    read = ", ".join(COLUMNS.get(recipe.encoder, ()))
    return (
        f"a bar needs the {WARM_UP} before it in one stretch, with prices that move and with what "
        f"encoder={recipe.encoder!r} reads of each ({read})"
    )


def _refuse_few(sample: Sample, standard: Standard, stride: int) -> None:
    alike = len(sample.position) - int(has_path(unit_paths(sample.trajectory, standard)).sum())
    if alike > len(sample.position) // 2:
        raise BarsError(
            f"{alike:,} of {len(sample.position):,} bars of the library span look as all do in the "
            "mean, so that none is like another: prices move evenly, as no market's do"
        )
    apart = int(non_overlapping(sample.position, sample.horizon).sum())
    if apart < MINIMUM_OUTCOMES:
        raise BarsError(
            f"the library span has paths of {apart} outcomes that do not overlap, of which at "
            f"least {MINIMUM_OUTCOMES} are needed: ingest bars with fewer holes, shorten the "
            f"horizon, or give a smaller stride than {stride} bars"
        )


def _sample(
    measures: Measures,
    outcomes: Outcomes,
    recipe: Recipe,
    library: Span,
    standard: Standard,
    log_sigma: float,
) -> Sample:
    """Return bars of the library span whose trades have ended: there similar is given a sense."""
    win = np.asarray(outcomes.win)
    stride = recipe.stride_for(len(measures.metrics))
    bars = np.arange(library.start, library.stop, dtype=np.int64)
    bars = bars[bars % stride == 0]
    whole = np.isfinite(measures.trajectory[bars, -1, 0]) & (win[bars] >= 0).all(axis=1)
    position = bars[whole]
    trajectory = measures.trajectory[position]
    volatility = log_deviation(measures.metrics)[position] - log_sigma
    looked = features(trajectory, volatility, standard)
    return Sample(position, trajectory, looked, win[position], recipe.horizon)


LEARNT, ASKED = 20_000, 10_000
"""Bars of library and calibration span that learners are fitted on, and bars of the calibration
span whose neighbours are asked: about so many at most. Long histories have long horizons, and what
lies within one is nearly one outcome."""


def queries(frozen: Frozen) -> NDArray[np.int64]:
    """Return the bars whose neighbours are searched in the library: int64[q], ascending.

    In the calibration span at most eight a horizon, in the test span every bar.
    """
    spans, horizon = frozen.spans, frozen.recipe.horizon
    step = max(1, horizon // 8, math.ceil(len(spans.calibration) / ASKED))
    return np.concatenate([spans.calibration.positions(step), spans.test.positions()])


def learnt_from(frozen: Frozen, answers: pl.DataFrame) -> NDArray[np.int64]:
    """Return the bars that learners are fitted on: int64[m], ascending.

    Parameters
    ----------
    frozen : Frozen
    answers : polars.DataFrame
        Bars that neighbours were asked of: those before the test span, and others between them,
        up to `LEARNT` in all.
    """
    spans, horizon = frozen.spans, frozen.recipe.horizon
    before = (spans.library, spans.calibration)
    asked = answers["position"].to_numpy()
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
    """Build the library and ask, for each bar, the neighbours it may know.

    Bars of the library span ask those that lie nowhere near them, later ones those that were
    known at their close.

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
    answers : polars.DataFrame
        What `search` returns, for some bars of the library span and for `queries`.
    """
    paths = frozen.paths(measures.trajectory)
    looked = frozen.features(measures)
    timeline = Timeline.of(measures.metrics["timestamp"])
    library = Library.build(paths, looked, outcomes, timeline.starts, stride=frozen.stride)
    positions = queries(frozen)
    answers = search(
        paths[positions],
        looked[positions],
        positions,
        library,
        timeline,
        rule=frozen.rule,
        engine=engine,
        progress=progress,
    )
    return library, pl.concat([_answers_apart(measures, outcomes, frozen, engine), answers])


def _answers_apart(
    measures: Measures, outcomes: Outcomes, frozen: Frozen, engine: str
) -> pl.DataFrame:
    """Return what neighbours say of bars of the library span, in the form of `search`."""
    sample = _sample(
        measures,
        outcomes,
        frozen.recipe,
        frozen.spans.library,
        frozen.standard,
        frozen.log_sigma,
    )
    apart = told_apart(sample, frozen.standard, frozen.similarity, engine=engine)
    columns: dict[str, Any] = {"position": apart.position, "k_eff": apart.k_eff}
    for side, name in enumerate(SIDES):
        columns[f"wins_{name}"] = apart.wins[:, side]
    for side, name in enumerate(SIDES):
        columns[f"local_{name}"] = apart.local[:, side]
    return pl.DataFrame(columns)
