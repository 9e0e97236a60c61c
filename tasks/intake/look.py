"""What a file is taken for before anything is stored: source, pair, timeframe, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from infra.market.instruments import canonical
from infra.market.timeframes import TIMEFRAMES
from infra.sources import csv, parquet
from infra.sources.columns import SourceError
from infra.sources.recognise import recognise
from infra.sources.registry import MAPPED, SOURCES
from infra.sources.regular import files
from tasks.intake.naming import known, named_by, refuse_others
from tasks.intake.reading import Options, read
from tasks.intake.request import IngestRequest
from tasks.intake.rows import file_rows
from tasks.intake.spacing import Spacing, WrongTimeframe, fitting
from tasks.intake.validation import Validated, validate

_LOOKED: Final = 5_000
"""Rows that tell how far apart they are."""


@dataclass(frozen=True)
class Look:
    """A file, looked at.

    Attributes
    ----------
    request : IngestRequest
        What brings it into the store.
    why : dict of str to str
        Name of what was told to its reason.
    rows : int
    validated : Validated
    columns : dict of str to str
        Name here to name in the file; empty where the source has fields of its own.
    """

    request: IngestRequest
    why: dict[str, str]
    rows: int
    validated: Validated
    columns: dict[str, str] = field(default_factory=dict)


def look(path: Path, declared: dict[str, Any]) -> Look:
    """Tell what a file is and read it, without storing anything.

    Parameters
    ----------
    path : Path
        A file, a folder or a pattern.
    declared : dict
        Fields of `IngestRequest` that the user has said; the others are told from the file.

    Raises
    ------
    infra.sources.columns.SourceError
        If something cannot be told; the message names the option that says it.
    """
    _check(path, declared)
    paths = files(path)
    source, why = _source(declared, paths[0])
    told = {"source": why}
    kept = {name: declared[name] for name in ("clock", "columns") if name in declared}
    if source not in MAPPED:
        kept.pop("columns", None)
    raw = file_rows(SOURCES[source](**kept), paths)
    pair, told["pair"] = _pair(declared, raw, paths)
    refuse_others(paths, pair)
    publisher = SOURCES[source](**kept)
    options = _options(declared, publisher.clock)
    timeframe, told["timeframe"] = _timeframe(declared, publisher.timeframe, raw, pair, options)
    request = IngestRequest(
        **{**declared, "path": path, "source": source, "pair": pair, "timeframe": timeframe}
    )
    validated = validate(raw, timeframe=timeframe, pair=request.pair, options=request.options)
    return Look(request, told, raw.height, validated, _columns(source, paths[0], kept))


def _columns(source: str, path: Path, kept: dict[str, Any]) -> dict[str, str]:
    """Return name here to name in the file."""
    if source not in MAPPED:
        return {}
    found = (parquet if source == "parquet" else csv).columns_of(path, kept.get("columns"))
    return {"timestamp": " and ".join(found.time), **found.values}


def _check(path: Path, declared: dict[str, Any]) -> None:
    """Refuse options that no file can have, before any is read.

    Raises
    ------
    pydantic.ValidationError
        With what is wrong of each.
    """
    source = declared.get("source") or "csv"
    held = SOURCES[source].timeframe if source in SOURCES else None
    usual = {"pair": "EUR_USD", "timeframe": held or "H1", "source": source}
    IngestRequest(**{**usual, **declared, "path": path})


def _source(declared: dict[str, Any], path: Path) -> tuple[str, str]:
    if "source" in declared:
        return declared["source"], "declared"
    source, why = recognise(path)
    if source not in MAPPED and ("columns" in declared or "time_format" in declared):
        return "csv", "its columns or times are declared"
    return source, why


def _options(declared: dict[str, Any], clock: str | None) -> Options:
    names = ("decimal", "time_format", "scale", "stamp", "any_level")
    kept = {name: declared[name] for name in names if name in declared}
    return Options(clock=clock, publisher="clock" not in declared, **kept)


def _pair(declared: dict[str, Any], raw: pl.DataFrame, paths: Sequence[Path]) -> tuple[str, str]:
    """Return the pair: declared, of the ticker column, or of the name of the file or its folder."""
    if "pair" in declared:
        return canonical(declared["pair"]), "declared"
    if "ticker" in raw.columns:
        tickers = raw["ticker"].drop_nulls().unique(maintain_order=True).to_list()
        named = [pair for ticker in tickers if (pair := known(ticker)) is not None]
        if len(set(named)) == 1:
            return named[0], "the ticker column names it"
        raise SourceError(f"the file holds {', '.join(tickers[:8])}: say which with pair=")
    for part in (paths[0].name, paths[0].parent.name, paths[0].parent.parent.name):
        if (pair := named_by(part)) is not None:
            return pair, f"{part} names it"
    raise SourceError("neither the file nor its name tells what the bars are of: say pair=EUR_USD")


def _timeframe(
    declared: dict[str, Any], held: str | None, raw: pl.DataFrame, pair: str, options: Options
) -> tuple[str, str]:
    """Return the timeframe: declared, of the source, or the one whose bars are as far apart."""
    if "timeframe" in declared or held is not None:
        told = "declared" if "timeframe" in declared else "files of this source hold it"
        return declared.get("timeframe") or str(held), told
    possible, refusals = [], []
    for name in TIMEFRAMES:
        try:
            times = read(raw.head(_LOOKED), name, pair, options).rows["timestamp"]
        except SourceError as error:
            refusals.append(error)
        else:
            possible.append((name, fitting(Spacing.of(times, name)) == name))
    apart = [name for name, fits in possible if fits]
    if len(apart) == 1:
        return apart[0], "its rows are that far apart"
    if possible:
        names = " or ".join(name for name, _ in possible)
        raise SourceError(f"the rows may be bars of {names}, too few to tell: say timeframe=")
    raise next((e for e in refusals if not isinstance(e, WrongTimeframe)), refusals[0])
