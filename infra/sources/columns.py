"""What the columns of a file of bars are called, and by what names they come."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.store import PRICES, QUOTES

_TIMES = ("timestamp", "datetime", "gmt_time", "date", "time", "")
_VOLUMES = ("volume", "vol", "tickvol", "tick_volume")
_LETTERS = {"o": "open", "h": "high", "l": "low", "c": "close"}


class SourceError(ValueError):
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


def map_columns(names: Sequence[str], path: Path) -> Columns:
    """Find the columns of bars among the names in a file, whatever their case.

    Raises
    ------
    SourceError
        If there is no time, or neither open, high, low, close nor all of bid and ask.
    """
    known = {_plain(name): name for name in reversed(names)}
    times = [known[name] for name in _TIMES if name in known and _is_time(name, names)]
    if {"date", "time"} <= known.keys() and known["date"] == next(iter(times), None):
        times = [known["date"], known["time"]]
    else:
        times = times[:1]
    values = {name: known[name] for name in (*PRICES, *QUOTES) if name in known}
    volume = next((known[name] for name in _VOLUMES if name in known), None)
    values |= {"volume": volume} if volume is not None else {}
    missing = [name for name in PRICES if name not in values]
    if not times or (missing and any(name not in values for name in QUOTES)):
        missing = missing if times else ["timestamp", *missing]
        raise SourceError(
            f"{path} holds no bars: of its columns {', '.join(map(repr, names[:20]))} none is "
            f"{', '.join(missing)}; rename its columns to timestamp, open, high, low, close, volume"
        )
    return Columns(tuple(times), values)


def _plain(name: str) -> str:
    """`<Bid Open>`, `bid-open` and `BidOpen` are `bid_open`; `Bid_O` is, too."""
    plain = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")
    plain = re.sub(r"^(bid|ask)_?(?=[a-z])", r"\1_", plain)
    head, _, tail = plain.rpartition("_")
    return f"{head}_{_LETTERS[tail]}" if head in ("bid", "ask") and tail in _LETTERS else plain


def _is_time(name: str, names: Sequence[str]) -> bool:
    """A column without a name counts as time only where it stands first."""
    return bool(name) or not names[0].strip()
