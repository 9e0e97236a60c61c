"""Bars in files of a user's own: exported, and drawn."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import typer

from deployments.sep.bar_tables import read
from infra.files import replaced
from infra.settings import settings
from infra.stores.catalog import NoSeries

_TIME = "%Y-%m-%dT%H:%M:%S%.6fZ"


def export(
    pair: str,
    timeframe: str,
    file: Path,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
) -> int:
    """Write bars to a file, whole or not at all; return how many.

    Parameters
    ----------
    pair, timeframe : str
        As somebody typed them.
    file : Path
        `.csv` or `.parquet`; one that is there is replaced.
    start, end, as_of : datetime or None
        With a zone.

    Raises
    ------
    typer.BadParameter
        If the file's ending is another, or its folder is not there.
    """
    kind = file.suffix.lower()
    if kind not in (".csv", ".parquet"):
        raise typer.BadParameter(f"{file} ends with neither .csv nor .parquet")
    _require_folder(file)
    bars = _some(pair, timeframe, start, end, as_of)
    with replaced(file) as draft:
        if kind == ".csv":
            bars.write_csv(draft, datetime_format=_TIME)
        else:
            bars.write_parquet(draft)
    return bars.height


def plot(
    pair: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    file: Path | None,
) -> Path:
    """Draw bars, and return where the picture is.

    Parameters
    ----------
    pair, timeframe : str
        As somebody typed them.
    start, end : datetime or None
        With a zone.
    file : Path or None
        None: under the home, in the place of the one before.
    """
    from tasks.reports.bar_pictures import draw_bars

    bars = _some(pair, timeframe, start, end, None)
    if file is None:
        file = settings().home / "plots" / f"{pair}_{timeframe}.png"
        file.parent.mkdir(mode=0o700, exist_ok=True)
    _require_folder(file)
    with replaced(file) as draft:
        draft.write_bytes(draw_bars(bars, pair, timeframe))
    return file


def _some(
    pair: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
) -> pl.DataFrame:
    bars = read(pair, timeframe, start, end, as_of=as_of)
    if bars.is_empty():
        raise NoSeries(f"there are no bars of {pair} {timeframe} in that span")
    return bars


def _require_folder(file: Path) -> None:
    if not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
