"""How well probabilities foretold the test span: Brier skill with its bound, calibration error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from kernels.evaluation import brier_skill, calibration_error
from kernels.outcomes import SIDES

Floats = NDArray[np.float64]
_RESOLVED = ("confidence", "won", "base", "own")
_SAID = ("brier_skill", "skill_low", "skill_bounds", "calibration_error")


def calibration(
    predictions: pl.DataFrame, horizon: int, *, seed: int = 0, draws: int = 1000
) -> dict[str, Any]:
    """Judge confidence against the base rate, both sides of each test bar together.

    Parameters
    ----------
    predictions : polars.DataFrame
        The metrics frame: ``split``, and by side ``confidence`` and ``win``.
    horizon : int
        Bars from entry to the time exit.
    seed, draws : int
        Of the block bootstrap.

    Returns
    -------
    dict
        ``outcomes``, ``block``, ``draws``, ``seed``, ``brier_skill``, ``skill_low`` (its 5 %
        bound), ``skill_bounds`` (its 95 % interval), ``calibration_error``; None where it cannot
        be said.
    """
    rows = _resolved(predictions)
    bars = rows["bar"].to_numpy()
    confidence, won, base, own = (rows[name].to_numpy() for name in _RESOLVED)
    block = _block_length(bars, horizon)
    facts = {"outcomes": rows.height, "block": block, "draws": draws, "seed": seed}
    if not np.isfinite(base).all() or (base == won).all():
        return facts | dict.fromkeys(_SAID)
    losses = [
        np.bincount(bars, (share - won) ** 2).astype(float) for share in (confidence, base, own)
    ]
    skills = _skills(losses, block, seed=seed, draws=draws)
    return facts | {
        "brier_skill": finite(brier_skill(confidence, won, base)),
        "skill_low": None if skills is None else finite(np.quantile(skills, 0.05)),
        "skill_bounds": None if skills is None else np.quantile(skills, (0.025, 0.975)).tolist(),
        "calibration_error": finite(calibration_error(confidence, won)),
    }


def opined(predictions: pl.DataFrame, opinions: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return predictions whose confidence is the opinion of another, on the same bars.

    Where it says nothing, it says the base rate; where confidence said nothing, nothing.

    Parameters
    ----------
    predictions : polars.DataFrame
    opinions : polars.DataFrame
        ``timestamp`` or ``position``, and a probability by side, ``{name}_long`` ...
    name : str
    """
    key = "position" if "position" in opinions.columns else "timestamp"
    columns = {side: pl.col(f"{name}_{side}").cast(pl.Float64) for side in SIDES}
    said = opinions.select(key, **{f"said_{side}": told for side, told in columns.items()})
    rows = predictions.join(said, on=key, how="left", maintain_order="left")
    for side in SIDES:
        told, confidence = pl.col(f"said_{side}"), pl.col(f"confidence_{side}").cast(pl.Float64)
        base = pl.lit(base_rate(predictions, side), dtype=pl.Float64)
        opinion = pl.when(told.is_finite()).then(told).otherwise(base)
        rows = rows.with_columns(
            pl.when(confidence.is_finite()).then(opinion).alias(f"confidence_{side}")
        )
    return rows


def base_rate(predictions: pl.DataFrame, side: str) -> float | None:
    """Return the share of wins of a side on the library span.

    Parameters
    ----------
    predictions : polars.DataFrame
    side : {"long", "short"}
    """
    win = pl.col(f"win_{side}")
    return mean(predictions.filter((pl.col("split") == "library") & (win >= 0)), f"win_{side}")


def mean(frame: pl.DataFrame, name: str) -> float | None:
    """Return the mean of a column; None where there is none.

    Parameters
    ----------
    frame : polars.DataFrame
    name : str
    """
    return finite(frame[name].cast(pl.Float64).fill_nan(None).mean())


def finite(value: Any) -> float | None:
    """Return a number as JSON has it: None for what is none."""
    return float(value) if value is not None and math.isfinite(value) else None


def _resolved(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return each resolved side of each test bar: confidence, outcome and two base rates.

    `base` is the library's, known beforehand; `own` that of the test span itself.
    """
    test = predictions.filter(pl.col("split") == "test").with_row_index("bar")
    parts = []
    for side in SIDES:
        confidence, won = (
            pl.col(f"{name}_{side}").cast(pl.Float64) for name in ("confidence", "win")
        )
        resolved = test.filter(confidence.is_finite() & (won >= 0))
        base = pl.lit(base_rate(predictions, side), dtype=pl.Float64).fill_null(math.nan)
        columns = dict(zip(_RESOLVED, (confidence, won, base, won.mean()), strict=True))
        parts.append(resolved.select("bar", **columns))
    return pl.concat(parts).with_columns(pl.col("bar").cast(pl.Int64))


def _block_length(bars: NDArray[np.int64], horizon: int) -> int:
    """At least four outcomes' length, and no more than a thousand blocks."""
    n = int(bars.max()) + 1 if bars.size else 0
    return min(max(4 * (horizon + 1), math.ceil(n / 1000)), max(1, n // 4))


def _skills(losses: list[Floats], block: int, *, seed: int, draws: int) -> Floats | None:
    """Draw the Brier skill by a circular block bootstrap over the bars.

    Against whichever of the library's and the test span's own base rate did better in the draw:
    a confidence that never moves must not win by a shift of the level alone.
    """
    n = losses[0].size
    starts = np.random.default_rng(seed).integers(0, n, (draws, math.ceil(n / block)))
    totals = []
    for loss in losses:
        running = np.concatenate([[0.0], np.cumsum(np.concatenate([loss, loss[:block]]))])
        totals.append((running[starts + block] - running[starts]).sum(axis=1))
    reference = np.minimum(*totals[1:])
    if not (reference > 0).all():
        return None
    skills: Floats = 1 - totals[0] / reference
    return skills
