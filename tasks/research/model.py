"""A model: what was frozen on the past, so that a later bar's confidence can be told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import PlainSerializer, PlainValidator

from kernels.confidence import Confidence
from kernels.outcomes import SIDES
from kernels.paths import Standard
from tasks.research.recipe import Recipe
from tasks.research.spans import Spans


def _standard(plain: Any) -> Standard:
    if isinstance(plain, Standard):
        return plain
    return Standard(**{name: np.array(values) for name, values in plain.items()})


def _plain_standard(standard: Standard) -> dict[str, list[float]]:
    return {"mean": standard.mean.tolist(), "deviation": standard.deviation.tolist()}


def _confidence(plain: Any) -> Confidence:
    return plain if isinstance(plain, Confidence) else Confidence.from_dict(plain)


_Standard = Annotated[Standard, PlainValidator(_standard), PlainSerializer(_plain_standard)]
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


@dataclass(frozen=True)
class Model:
    """A frozen start and, for each side, its confidence and break-even.

    Attributes
    ----------
    model_id : str
        12 hexadecimal digits: recipe, data and code.
    frozen : Frozen
    confidence : dict[str, Confidence]
        By side.
    break_even : dict[str, float]
        p* by side (mathematics, section 7), on the library span.
    """

    model_id: str
    frozen: Frozen
    confidence: dict[str, _Confidence]
    break_even: dict[str, float]

    def predict(self, counts: pl.DataFrame) -> pl.DataFrame:
        """Tell the confidence of each counted bar.

        Parameters
        ----------
        counts : polars.DataFrame
            What `search` returned: position, k_eff, wins_long, wins_short.

        Returns
        -------
        polars.DataFrame
            position, k_eff and, for each side, posterior, confidence, lower, upper and
            break_even; null where a bar has no neighbours. Each row depends on itself alone.
        """
        k_eff = counts["k_eff"].to_numpy()
        columns: dict[str, Any] = {"position": counts["position"], "k_eff": k_eff}
        for side in SIDES:
            wins = counts[f"wins_{side}"].to_numpy()
            confidence, lower, upper = self.confidence[side].apply(wins, k_eff)
            columns[f"posterior_{side}"] = self.confidence[side].posterior(wins, k_eff)
            columns |= {
                f"confidence_{side}": confidence,
                f"lower_{side}": lower,
                f"upper_{side}": upper,
                f"break_even_{side}": np.full(len(wins), self.break_even[side]),
            }
        return pl.DataFrame(columns).fill_nan(None)
