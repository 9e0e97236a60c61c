"""The step of a backtest that finds out what its trades pay."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.research.spans import before_test
from tasks.research.spreads import with_spreads
from tasks.rules.setup import Setup
from tasks.steps import step


@step("spread", version=1)
def measure_spread(folder: str) -> dict[str, Any]:
    """Take the spread by hour of the week from quoted bars of the pair before the test span.

    Parameters
    ----------
    folder : str
        The run's folder.

    Returns
    -------
    dict
        `spread` (the usual one, in price units), `source` (which bars, or that none were there).
    """
    run = RunFolder(Path(folder))
    setup, bars = Setup.read(run), pl.read_parquet(run.bars)
    end = bars["timestamp"][before_test(len(bars))]
    recipe = with_spreads(setup.recipe, bar_store(), end)
    document.write(run.strategy, replace(setup, recipe=recipe))
    return {"spread": recipe.spread, "source": recipe.spread_source}
