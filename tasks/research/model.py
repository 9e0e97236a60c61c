"""A model: what was frozen on the past, so that a later bar's confidence can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from kernels.outcomes import SIDES
from kernels.paths import Standard, unit_paths
from tasks.research.confidence import Beliefs, Confidence
from tasks.research.knowledge import features, log_deviation
from tasks.research.learners.rows import Rows
from tasks.research.measure import Measures
from tasks.research.recipe import Recipe
from tasks.research.search import Rule
from tasks.research.similarity import Similarity
from tasks.research.spans import Spans


def _standard(plain: Any) -> Standard:
    if isinstance(plain, Standard):
        return plain
    mean, deviation = (np.array(plain[name]) for name in ("mean", "deviation"))
    return Standard(mean, deviation)


def _plain_standard(standard: Standard) -> dict[str, list[float]]:
    return {"mean": standard.mean.tolist(), "deviation": standard.deviation.tolist()}


def _similarity(plain: Any) -> Similarity:
    if isinstance(plain, Similarity):
        return plain
    return Similarity(**{**plain, "weight": np.array(plain["weight"])})


def _plain_similarity(similarity: Similarity) -> dict[str, Any]:
    return vars(similarity) | {"weight": similarity.weight.tolist()}


def _confidence(plain: Any) -> Confidence:
    return plain if isinstance(plain, Confidence) else Confidence.from_dict(plain)


_Standard = Annotated[Standard, PlainValidator(_standard), PlainSerializer(_plain_standard)]
_Similarity = Annotated[Similarity, PlainValidator(_similarity), PlainSerializer(_plain_similarity)]
_Confidence = Annotated[
    Confidence, PlainValidator(_confidence), PlainSerializer(Confidence.to_dict)
]


@dataclass(frozen=True)
class Frozen:
    """What is fixed before any neighbour is looked for.

    Attributes
    ----------
    recipe : Recipe
    data_hash : str
        Content hash of the bars.
    code_version : str
        Of the code that decided its numbers (`tasks.version`).
    engine : str
        What computed trajectories, outcomes and neighbours: "cpu" or "gpu".
    first_bar, last_bar : datetime
        Start of bar 0, from which positions count, and of the last bar.
    bars : int
        Number of bars.
    spans : Spans
    stride : int
        Every how many bars the library takes a path.
    standard : Standard
        Mean and deviation of the 64 dimensions on the library span.
    similarity : Similarity
        What similar means, learnt there.
    log_sigma : float
        Mean logarithm of a bar's deviation there.
    base_rate : tuple of float
        Share of wins by side there, as of one outcome more that was half a win.
    lead_hashes : dict of str to str
        Content hash of the bars of each other pair that is looked at.
    pool_hashes : dict of str to str
        The same of all bars, up to the last one, of each pair of the pool.
    stream_hashes : dict of str to str
        The same of the strategy's other streams since the first bar, by "PAIR TIMEFRAME".
    """

    recipe: Recipe
    data_hash: str
    code_version: str
    engine: str
    first_bar: datetime
    last_bar: datetime
    bars: int
    spans: Spans
    stride: int
    standard: _Standard
    similarity: _Similarity
    log_sigma: float
    base_rate: tuple[float, ...]
    lead_hashes: dict[str, str] = field(default_factory=dict)
    pool_hashes: dict[str, str] = field(default_factory=dict)
    stream_hashes: dict[str, str] = field(default_factory=dict)

    def paths(self, trajectory: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the paths that are compared, float32[n, 64], of trajectories [n, 16, 4]."""
        standard = self.similarity.standard(self.standard)
        return np.asarray(unit_paths(trajectory, standard))

    def features(self, measures: Measures) -> NDArray[np.float32]:
        """Return what the local fit looks at, float32[n, 5], of measured bars."""
        volatility = log_deviation(measures.metrics) - self.log_sigma
        return features(measures.trajectory, volatility, self.standard)

    @property
    def rule(self) -> Rule:
        """How neighbours are asked."""
        chosen = self.similarity
        return Rule(self.recipe.horizon, chosen.k, chosen.strength, chosen.ridge, self.base_rate)


@dataclass(frozen=True)
class Model:
    """A frozen start and, for each side, its confidence and break-even.

    Attributes
    ----------
    model_id : str
        12 hexadecimal digits: recipe, its strategy and exit rule, data and code.
    frozen : Frozen
    confidence : Confidence
        Of both sides.
    """

    model_id: str
    frozen: Frozen
    confidence: _Confidence

    @property
    def caution(self) -> float | Literal["lower"]:
        """Caution in force: the recipe's, or what grew most on the past."""
        asked = self.frozen.recipe.caution
        return self.confidence.caution if asked is None else asked

    def predict(self, rows: Rows, unit: NDArray[np.float64]) -> pl.DataFrame:
        """Tell what is believed of bars.

        Parameters
        ----------
        rows : Rows
        unit : float64[n]
            Deviation of the horizon, as a share of the price.

        Returns
        -------
        polars.DataFrame
            position, k_eff and, for each side, confidence, lower, upper, break_even, expected
            (net gain as a share of the price), doubt (its deviation) and margin (what is left of
            it after the caution in force; a signal needs more than nothing); null where nothing
            is known of a bar. Each row depends on itself alone.
        """
        beliefs = self.confidence.tell(rows)
        columns: dict[str, Any] = {"position": rows.position, "k_eff": rows.k_eff}
        margins, breaks = self.margins(beliefs), self.confidence.break_even
        for side, name in enumerate(SIDES):
            for column in ("confidence", "lower", "upper"):
                columns[f"{column}_{name}"] = getattr(beliefs, column)[:, side]
            columns[f"break_even_{name}"] = np.full(len(rows), breaks[side])
            columns[f"expected_{name}"] = beliefs.expected[:, side] * unit
            columns[f"doubt_{name}"] = beliefs.doubt[:, side] * unit
            columns[f"margin_{name}"] = margins[:, side]
        return pl.DataFrame(columns, nan_to_null=True)

    def margins(self, beliefs: Beliefs) -> NDArray[np.float64]:
        """Return what is left after the caution in force, float64[n, 2].

        In deviations of the horizon; in probability under the caution "lower".
        """
        if self.caution == "lower":
            return np.asarray(beliefs.lower - self.confidence.break_even)
        return np.asarray(beliefs.expected - self.caution * beliefs.doubt)
