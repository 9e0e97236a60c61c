"""What the columns of a file of bars are called, and by what names they come."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.errors import SepError

_DATES: Final = ("date", "dtyyyymmdd", "yyyymmdd", "day", "datum")
_CLOCKS: Final = ("time", "hhmmss", "hour", "zeit", "uhrzeit")
"""Of a time of day, where there is a date beside it."""
_TIMES: Final = (
    "timestamp",
    "datetime",
    "date_time",
    "open_time",
    "time_open",
    *_DATES,
    "time",
    "local_time",
    "close_time",
    "time_close",
    "unix",
    "unix_timestamp",
    "unixtime",
    "epoch",
    "ts",
    "zeit",
    "unnamed_0",
    "index_level_0",
    "index",
    "",
)
_ENDS: Final = ("close_time", "time_close")
_VOLUMES: Final = ("volume", "vol", "tickvol", "tick_volume", "ticks", "total_ticks", "tickqty")
_TICKERS: Final = ("ticker", "symbol", "instrument", "pair")
_MAPPED: Final = ("timestamp", "date", "time", *PRICES, "volume", *QUOTES)
_LETTERS: Final = {"o": "open", "h": "high", "l": "low", "c": "close"}
_OTHERS: Final = {
    "open": ("eroffnung", "erster", "first"),
    "high": ("hoch",),
    "low": ("tief",),
    "close": ("schluss", "schlusskurs", "last", "price", "letzter"),
}
"""What prices are called where they are not called open, high, low, close."""

_NAMED_CLOCK: Final = re.compile(r"(?P<name>.*?)[\s_]*[(\[]\s*(?P<clock>[^)\]]+?)\s*[)\]]\s*")
_GREENWICH: Final = re.compile(r"(?:^|_)(?:gmt|utc)(?:_|$)")
SERVER: Final = "?"
"""The clock of a broker's server, which a header tells of without naming it."""


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
    ticker : str, optional
        Column that names the instrument.
    clock : str, optional
        What the header says of the clock: a name for `Clock.of`, or `SERVER`.
    ends : bool
        Whether the header says that times are those at which bars end.
    local : bool
        Whether it calls them local.
    """

    time: tuple[str, ...]
    values: dict[str, str]
    ticker: str | None = None
    clock: str | None = None
    ends: bool = False
    local: bool = False

    def said(self) -> list[pl.Expr]:
        """Return `header_clock`, `header_ends`, `header_local`, as far as the header says them."""
        words = {
            "header_clock": self.clock,
            "header_ends": "close" if self.ends else None,
            "header_local": "local" if self.local else None,
        }
        return [pl.lit(word).alias(name) for name, word in words.items() if word is not None]


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
    if twice := [name for name in columns.values() if names.count(name) > 1]:
        _refuse_twice(twice[0], columns, path)
    time = _time(columns, names)
    values = {name: columns[name] for name in (*PRICES, *QUOTES) if name in columns}
    volume = _first(columns, _VOLUMES)
    values |= {"volume": volume} if volume is not None else {}
    missing = [name for name in PRICES if name not in values]
    if not time or (missing and any(name not in values for name in QUOTES)):
        missing = missing if time else ["timestamp", *missing]
        raise SourceError(
            f"{path} holds no bars: of its columns {', '.join(map(repr, names[:20]))} none is "
            f"{', '.join(missing)}; rename its columns to timestamp, open, high, low, close, "
            'volume, or say which is which: columns={"timestamp": "...", "open": "..."}, by name, '
            "or by number from 1 where the file has no header"
        )
    return Columns(
        tuple(time),
        values,
        _first(columns, _TICKERS),
        _clock(time, columns),
        _plain(time[0]) in _ENDS,
        _plain(time[0]) == "local_time",
    )


def _refuse_twice(name: str, columns: Mapping[str, str], path: Path) -> None:
    """Refuse two columns of one name where it is that of a price: bid and ask, perhaps."""
    ours = next(our for our, theirs in columns.items() if theirs == name)
    if ours in (*PRICES, *QUOTES):
        raise SourceError(
            f"{path} has two columns {name!r}: rename them, such as to bid_{ours} and ask_{ours}"
        )


def _time(columns: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Return the column of the timestamp, or those of date and time of day."""
    times = [columns[name] for name in _TIMES if name in columns and _is_time(name, names)]
    date, clock = _first(columns, _DATES), _first(columns, _CLOCKS)
    both = date is not None and clock is not None
    if both and date == next(iter(times), None):
        return [str(date), str(clock)]
    return times[:1]


def _clock(time: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """Return the clock that a header names, `SERVER` where it is MetaTrader's for Python."""
    for name in time:
        if named := _NAMED_CLOCK.fullmatch(name.strip()):
            return named["clock"]
        if _GREENWICH.search(_letters(name)):
            return "UTC"
    return SERVER if {"tick_volume", "spread", "real_volume"} <= columns.keys() else None


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _known(names: Sequence[str], path: Path, mapping: Mapping[str, str]) -> dict[str, str]:
    """Plain name to name in the file; of times only those that the mapping names, if it does."""
    if strange := [repr(name) for name in mapping if name not in _MAPPED]:
        raise SourceError(f"columns maps {', '.join(strange)}: map any of {', '.join(_MAPPED)}")
    if absent := [repr(name) for name in mapping.values() if name not in names]:
        raise SourceError(
            f"{path} has no column {', '.join(absent)}, as columns= says: it has "
            f"{', '.join(map(repr, names[:20]))}"
        )
    timed = any(name in (*_TIMES, *_CLOCKS) for name in mapping)
    free = [name for name in reversed(names) if name not in mapping.values()]
    columns = {_plain(name): name for name in free if not (timed and _plain(name) in _TIMES)}
    return {**_named_prices(columns), **columns, **mapping}


def _named_prices(columns: Mapping[str, str]) -> dict[str, str]:
    """Return prices that go by other names: single letters where all four do."""
    if columns.keys() >= _LETTERS.keys():
        short = {name: columns[letter] for letter, name in _LETTERS.items()}
        more = {"timestamp": "t", "volume": "v"}
        return {**{name: columns[key] for name, key in more.items() if key in columns}, **short}
    found = {name: _first(columns, others) for name, others in _OTHERS.items()}
    return {name: column for name, column in found.items() if column is not None}


def _letters(name: str) -> str:
    """Lower case, words parted by `_`, letters without their marks."""
    bare = unicodedata.normalize("NFKD", name.strip().lower()).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "_", bare).strip("_")


def _plain(name: str) -> str:
    """`<Bid Open>`, `bid-open` and `BidOpen` are `bid_open`; so is `Bid_O`; clocks are left out."""
    if named := _NAMED_CLOCK.fullmatch(name.strip()):
        name = named["name"]
    plain = re.sub(r"^\d+_(?=[a-z])", "", _letters(name))
    if _GREENWICH.search(plain):
        plain = re.sub(r"_*(?:gmt|utc)(?=_|$)_*", "_", f"_{plain}").strip("_") or "time"
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
