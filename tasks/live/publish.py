"""Models and signals into PostgreSQL: each signal once, whoever publishes it how often."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from infra.bars import TIME
from infra.market.fills import valid_until
from infra.market.instruments import SYNTHETIC
from infra.postgres import models
from infra.postgres.database import copy_frame
from tasks.research.model import Model

COLUMNS = (
    "side",
    "action",
    "confidence",
    "lower",
    "upper",
    "break_even",
    "expected",
    "doubt",
    "margin",
    "entropy",
    "coherence",
    "stability",
    "damped_value",
    "stop_distance",
    "target_distance",
)


@dataclass(frozen=True)
class Published:
    """What came of publishing: `new` rows, those `present` before, and their mode."""

    new: int
    present: int
    mode: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def mode_of(pair: str) -> str:
    """Return "live" for synthetic instruments, "shadow" for all others.

    Shadow signals are recorded and resolved, never executed. Until a model can pass the gate,
    nothing that a market trades is live.
    """
    return "live" if pair in SYNTHETIC else "shadow"


def publish(
    signals: pl.DataFrame, distances: pl.DataFrame, model: Model, *, run_id: str | None = None
) -> Published:
    """Publish signals; one that is there already stays as it is.

    Parameters
    ----------
    signals : polars.DataFrame
        What a strategy returned.
    distances : polars.DataFrame
        timestamp, stop_distance, target_distance of the same bars.
    model : Model
        Registered before (`register`).
    run_id : str, optional
        The run that publishes.

    Notes
    -----
    The key is (strategy, pair, timeframe, bar). A signal is valid until the market has been open
    for a bar since its own ended (`valid_until`). Those of a bar at whose end it closes are there
    only if the recipe trades over closures: the strategy leaves the others out.
    """
    recipe = model.frozen.recipe
    mode = mode_of(recipe.pair)
    rows = signals.join(
        distances.select("timestamp", "stop_distance", "target_distance"), on="timestamp"
    )
    finite = [pl.col(name).replace(float("inf"), None) for name in COLUMNS[-2:]]
    frame = rows.with_columns(finite).select(
        *COLUMNS,
        strategy=pl.lit(recipe.strategy),
        pair=pl.lit(recipe.pair),
        timeframe=pl.lit(recipe.timeframe),
        bar_ts="timestamp",
        horizon=pl.lit(recipe.horizon),
        valid_until=_deaths(rows["timestamp"], recipe.pair, recipe.timeframe),
        mode=pl.lit(mode),
        model_id=pl.lit(model.model_id),
        run_id=pl.lit(run_id, pl.String),
    )
    new = copy_frame(frame.fill_nan(None), models.Signal, update=False)
    return Published(new, len(frame) - new, mode)


def _deaths(bars: pl.Series, pair: str, timeframe: str) -> pl.Series:
    return pl.Series([valid_until(bar, pair, timeframe) for bar in bars], dtype=TIME)
