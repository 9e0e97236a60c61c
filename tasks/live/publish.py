"""Models and signals into PostgreSQL: each signal once, whoever publishes it how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from infra.bars import TIME
from infra.market.fills import valid_until
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
    "size",
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


def publish(
    signals: pl.DataFrame,
    trained: Mapping[str, Model],
    *,
    run_id: str | None = None,
    shadow: bool = False,
) -> Published:
    """Publish signals; one that is there already stays as it is.

    Parameters
    ----------
    signals : polars.DataFrame
        As `tasks.rules.signals.signals` returns.
    trained : mapping of str to Model
        By the strategy's exit rule, each registered before (`register`): a signal bears the one
        of its rule.
    run_id : str, optional
        The run that publishes.
    shadow : bool
        Whether they are recorded and resolved, never executed: of a model that has not passed the
        gate, or that was demoted.

    Notes
    -----
    The key is (strategy, pair, timeframe, bar). A signal is valid until the market has been open
    for a bar since its own ended (`valid_until`). Those of a bar at whose end it closes are there
    only if the recipe trades over closures: the strategy leaves the others out.
    """
    recipe = next(iter(trained.values())).frozen.recipe
    ids = {rule: model.model_id for rule, model in trained.items()}
    mode = "shadow" if shadow else "live"
    # a CLOSE is against whatever is held
    frame = signals.with_columns(pl.col("side").fill_null("long")).select(
        *COLUMNS,
        strategy=pl.lit(recipe.strategy),
        pair=pl.lit(recipe.pair),
        timeframe=pl.lit(recipe.timeframe),
        bar_ts="timestamp",
        horizon="horizon",
        valid_until=_deaths(signals["timestamp"], recipe.pair, recipe.timeframe),
        mode=pl.lit(mode),
        model_id=pl.col("rule").replace_strict(ids, return_dtype=pl.String),
        run_id=pl.lit(run_id, pl.String),
    )
    new = copy_frame(frame.fill_nan(None), models.Signal, update=False)
    return Published(new, len(frame) - new, mode)


def _deaths(bars: pl.Series, pair: str, timeframe: str) -> pl.Series:
    return pl.Series([valid_until(bar, pair, timeframe) for bar in bars], dtype=TIME)
