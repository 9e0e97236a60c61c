"""A model: what was frozen on the past, so that a later bar's confidence can be told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from kernels.confidence import Confidence
from kernels.outcomes import SIDES
from kernels.paths import Standard
from tasks.research.recipe import Recipe
from tasks.research.spans import Spans


@dataclass(frozen=True)
class Frozen:
    """What is fixed before any neighbour is looked for.

    Attributes
    ----------
    recipe : Recipe
    data_hash : str
        Content hash of the bars.
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
    first_bar: datetime
    last_bar: datetime
    bars: int
    spans: Spans
    stride: int
    standard: Standard

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "recipe": self.recipe.to_dict(),
            "data_hash": self.data_hash,
            "first_bar": self.first_bar.isoformat(),
            "last_bar": self.last_bar.isoformat(),
            "bars": self.bars,
            "spans": self.spans.to_dict(),
            "stride": self.stride,
            "standard": {
                "mean": self.standard.mean.tolist(),
                "deviation": self.standard.deviation.tolist(),
            },
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Frozen:
        """Read what `to_dict` wrote."""
        return cls(
            recipe=Recipe.from_dict(data["recipe"]),
            data_hash=data["data_hash"],
            first_bar=datetime.fromisoformat(data["first_bar"]),
            last_bar=datetime.fromisoformat(data["last_bar"]),
            bars=data["bars"],
            spans=Spans.from_dict(data["spans"]),
            stride=data["stride"],
            standard=Standard(**{name: np.array(v) for name, v in data["standard"].items()}),
        )


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
    confidence: dict[str, Confidence]
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
            told = self.confidence[side].apply(wins, k_eff)
            columns[f"posterior_{side}"] = self.confidence[side].posterior(wins, k_eff)
            columns |= {
                f"confidence_{side}": told[0],
                f"lower_{side}": told[1],
                f"upper_{side}": told[2],
                f"break_even_{side}": np.full(len(wins), self.break_even[side]),
            }
        return pl.DataFrame(columns).fill_nan(None)

    def write(self, path: Path) -> None:
        """Write the model as JSON."""
        data = {
            "model_id": self.model_id,
            "frozen": self.frozen.to_dict(),
            "confidence": {side: self.confidence[side].to_dict() for side in SIDES},
            "break_even": self.break_even,
        }
        path.write_text(json.dumps(data, indent=1))

    @classmethod
    def read(cls, path: Path) -> Model:
        """Read what `write` wrote."""
        data = json.loads(path.read_text())
        return cls(
            model_id=data["model_id"],
            frozen=Frozen.from_dict(data["frozen"]),
            confidence={s: Confidence.from_dict(data["confidence"][s]) for s in SIDES},
            break_even=data["break_even"],
        )
