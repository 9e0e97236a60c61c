"""The truth of planted bars, kept beside them: what their generator knows at each."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from infra.bars import TIME
from infra.settings import settings
from kernels.synthetic import PlantedWalk
from tasks.folder import keep
from tasks.intake.request import IngestRequest

SIDES = ("long", "short")


def truth_path(pair: str, timeframe: str) -> Path:
    """Return where the truth of the bars of a pair is kept.

    Parameters
    ----------
    pair, timeframe : str
    """
    return settings().home / "planted" / pair / f"{timeframe}.parquet"


def keep_truth(walk: PlantedWalk, request: IngestRequest, horizon: int) -> None:
    """Keep the truth of a walk, in place of that of the walk before.

    Parameters
    ----------
    walk : PlantedWalk
    request : IngestRequest
        What it was drawn for.
    horizon : int
        Bars of the time exit that the truth speaks of.
    """
    path = truth_path(request.pair, request.timeframe)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = {"seed": request.seed, "size": request.size, "horizon": horizon}
    sides = {
        f"{name}_{side}": getattr(walk, name)[:, column]
        for name in ("true_probability", "true_gain")
        for column, side in enumerate(SIDES)
    }
    times = pl.Series(walk.time).cast(TIME)
    columns = {"timestamp": times, "close": walk.close, **sides}
    frame = pl.DataFrame(columns)
    keep(frame.with_columns(pl.lit(value).alias(name) for name, value in drawn.items()), path)


def read_truth(pair: str, timeframe: str) -> pl.DataFrame | None:
    """Return the truth of the bars of a pair; None where none is kept.

    Parameters
    ----------
    pair, timeframe : str

    Returns
    -------
    polars.DataFrame or None
        ``timestamp``, ``close``; ``true_probability_s`` and ``true_gain_s`` for s in long and
        short; ``seed``, ``size`` and ``horizon`` of the walk, the same in each row.
    """
    path = truth_path(pair, timeframe)
    return pl.read_parquet(path, glob=False) if path.exists() else None
