"""What the columns of a file of bars are called, and by what names they come."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.errors import SepError

_TIMES = ("timestamp", "datetime", "gmt_time", "date", "time", "")
_VOLUMES = ("volume", "vol", "tickvol", "tick_volume")
_MAPPED = ("timestamp", "date", "time", *PRICES, "volume", *QUOTES)
_LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close"}


class SourceError(SepError, ValueError):
    """A file is not one of bars, or is not there; the message names it and what to do."""


@dataclass(frozen=True)
class Columns:
    """Where a file keeps what.

    Attributes
    ----------
    time : tuple of str
        Column of the timestamp, or those of date and time of day.
    values : dict of str to str
        Name here to name in the file: prices, volume, quotes.
    """

    time: tuple[str, ...]
    values: dict[str, str]


@dataclass(frozen=True)
class Mapped:
    """A source of files from anywhere, whose columns and clock can be told.

    Attributes
    ----------
    clock : str, optional
        Of timestamps that name no zone.
    columns : mapping of str to str
        Name here to name in the file, where a file calls its columns otherwise.
    """

    clock: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    timeframe: ClassVar[str | None] = None
    price: ClassVar[str] = "unknown"


def map_columns(
    names: Sequence[str], path: Path, mapping: Mapping[str, str] | None = None
) -> Columns:
    """Find the columns of bars among the names in a file, whatever their case.

    Parameters
    ----------
    names : sequence of str
    path : Path
        Of the file, for messages.
    mapping : mapping of str to str, optional
        Name here (`timestamp`, or `date` and `time`, prices, `volume`, quotes) to name in the
        file, where the names in the file do not tell.

    Raises
    ------
    SourceError
        If there is no time, or neither open, high, low, close nor all of bid and ask, or the
        mapping names a column that is nowhere.
    """
    columns = _known(names, path, mapping or {})
    times = [columns[name] for name in _TIMES if name in columns and _is_time(name, names)]
    if {"date", "time"} <= columns.keys() and columns["date"] == next(iter(times), None):
        times = [columns["date"], columns["time"]]
    else:
        times = times[:1]
    values = {name: columns[name] for name in (*PRICES, *QUOTES) if name in columns}
    volume = next((columns[name] for name in _VOLUMES if name in columns), None)
    values |= {"volume": volume} if volume is not None else {}
    missing = [name for name in PRICES if name not in values]
    if not times or (missing and any(name not in values for name in QUOTES)):
        missing = missing if times else ["timestamp", *missing]
        raise SourceError(
            f"{path} holds no bars: of its columns {', '.join(map(repr, names[:20]))} none is "
            f"{', '.join(missing)}; rename its columns to timestamp, open, high, low, close, volume"
        )
    return Columns(tuple(times), values)


def _known(names: Sequence[str], path: Path, mapping: Mapping[str, str]) -> dict[str, str]:
    """Plain name to name in the file; of times only those that the mapping names, if it does."""
    if strange := [repr(name) for name in mapping if name not in _MAPPED]:
        raise SourceError(f"columns maps {', '.join(strange)}: map any of {', '.join(_MAPPED)}")
    if absent := [repr(name) for name in mapping.values() if name not in names]:
        raise SourceError(
            f"{path} has no column {', '.join(absent)}: it has {', '.join(map(repr, names[:20]))}"
        )
    timed = any(name in _TIMES for name in mapping)
    free = [name for name in reversed(names) if name not in mapping.values()]
    columns = {_plain(name): name for name in free if not (timed and _plain(name) in _TIMES)}
    return {**columns, **mapping}


def _plain(name: str) -> str:
    """`<Bid Open>`, `bid-open` and `BidOpen` are `bid_open`; `Bid_O` is, too."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    plain = re.sub(r"^(bid|ask)_?(?=[a-z])", r"\1_", plain)
    head, _, tail = plain.rpartition("_")
    return f"{head}_{_LETTERS[tail]}" if head in ("bid", "ask") and tail in _LETTERS else plain


def _is_time(name: str, names: Sequence[str]) -> bool:
    """A column without a name counts as time only where it stands first."""
    return bool(name) or not names[0].strip()


def unless_zero(name: str) -> pl.Expr:
    """Return a column of text, null where it is the 0 of a publisher who does not know."""
    return pl.when(pl.col(name).str.contains(r"^0+(\.0*)?$").not_()).then(pl.col(name)).alias(name)


def strange_time(form: str, name: str = "timestamp") -> pl.Expr:
    """Return a column `fault`: why a row is none where its time is not of the publisher's form.

    Parameters
    ----------
    form : str
        Regular expression of the whole text; other forms would be read, too, and be wrong.
    name : str
    """
    strange = pl.col(name).str.contains(f"^(?:{form})$").not_()
    return pl.when(strange).then(pl.lit("unreadable timestamp")).alias("fault")
