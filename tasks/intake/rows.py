"""The rows of a source as it wrote them: files, the sample, planted walks, minutes of the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import polars as pl

from infra.bars import PRICES, QUOTES, TIME
from infra.market.timeframes import bar_seconds
from infra.sources import sample
from infra.sources.columns import SourceError
from infra.sources.registry import Source as FileSource
from infra.sources.regular import files
from kernels.synthetic import INSTRUMENTS, WALKS, PlantedWalk, draw
from tasks.folder import bar_store
from tasks.intake.naming import refuse_others
from tasks.intake.request import IngestRequest
from tasks.intake.resample import resample

_NUMBERS: Final = (*PRICES, "volume", *QUOTES)


def source_rows(request: IngestRequest) -> tuple[pl.DataFrame, str]:
    """Return the rows of files, the sample or stored minutes as written, and their price.

    Parameters
    ----------
    request : IngestRequest

    Raises
    ------
    infra.sources.columns.SourceError
        If a file is not one of bars, or is not there.
    """
    if request.source == "minutes":
        return minute_rows(request.pair, request.timeframe), "unknown"
    if request.path is None:
        return sample.read_sample(), "mid"
    source, paths = request.file_source, files(request.path)
    refuse_others(paths, request.pair)
    return file_rows(source, paths), source.price


def file_rows(source: FileSource, paths: Sequence[Path]) -> pl.DataFrame:
    """Return the rows of files as those of one: numbered on, with the name of the file of each.

    Parameters
    ----------
    source : FileSource
    paths : sequence of Path
        At least one.

    Raises
    ------
    infra.sources.columns.SourceError
        If one is not of this kind.
    """
    if len(paths) == 1:
        return source.read(paths[0])
    parts, behind = [], 0
    for path in paths:
        rows = source.read(path)
        number = pl.col("source_row") + behind
        parts.append(rows.with_columns(number, file=pl.lit(path.name)))
        behind += rows.select(pl.col("source_row").max()).item()
    try:
        return pl.concat(parts, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        raise SourceError(
            f"the files from {paths[0].name} to {paths[-1].name} have columns of different types "
            f"({error}): ingest them one by one"
        ) from error


def minute_rows(pair: str, timeframe: str) -> pl.DataFrame:
    """Return bars made of the bars of M1 in the bulk store, as a source would.

    Parameters
    ----------
    pair : str
    timeframe : str
        Longer than M1.

    Raises
    ------
    infra.sources.columns.SourceError
        If there are no such bars.
    """
    bars = resample(bar_store().read(pair, "M1"), timeframe)
    if bars.is_empty():
        raise SourceError(
            f"the store has no whole {timeframe} of minutes of {pair}: ingest M1 of it first"
        )
    return bars.select(pl.int_range(1, pl.len() + 1).alias("source_row"), pl.all())


def planted_rows(
    n: int, *, timeframe: str, seed: int, pair: str = "PLANTED", size: float = 1.0
) -> pl.DataFrame:
    """Return the first bars of a planted walk, as a source would.

    Parameters
    ----------
    n : int
        How many bars, from 2015-01-05 on.
    timeframe : str
    seed : int
    pair : str
        Instrument of the walk, or of the leader of one.
    size : float
        Of its edge.
    """
    return walk_rows(_walk(n, timeframe=timeframe, seed=seed, pair=pair, size=size))


def asked_walk(request: IngestRequest, horizon: int) -> PlantedWalk:
    """Return the planted walk that is asked for.

    Parameters
    ----------
    request : IngestRequest
    horizon : int
        Bars of the time exit that its truth speaks of; its bars are the same for all.
    """
    return _walk(
        request.bars,
        timeframe=request.timeframe,
        seed=request.seed,
        pair=request.pair,
        size=request.size,
        horizon=horizon,
    )


def walk_rows(walk: PlantedWalk) -> pl.DataFrame:
    """Return the bars of a planted walk, as a source would."""
    prices = {name: getattr(walk, name) for name in _NUMBERS}
    times = pl.Series(walk.time).cast(TIME)
    rows = pl.DataFrame({"timestamp": times, **prices})
    return rows.select(pl.int_range(1, pl.len() + 1).alias("source_row"), pl.all())


def _walk(
    n: int, *, timeframe: str, seed: int, pair: str, size: float, horizon: int = 8
) -> PlantedWalk:
    name, bar = INSTRUMENTS[pair], bar_seconds(timeframe)
    walk = draw(name, n, seed=seed, size=size, horizon=horizon, bar_seconds=bar)
    return walk.leader if walk.leader and pair == WALKS[name].leader else walk
