"""What is in the store: a line for each pair and timeframe, and what is meant by a name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Final

import polars as pl

from infra.errors import SepError
from infra.postgres import database
from infra.stores import warm
from infra.stores.bulk import BarStore

_TOLD: Final = """
SELECT pair, timeframe,
    (SELECT string_agg(source, ', ' ORDER BY source) FROM ingest_cursor AS cursor
        WHERE (cursor.pair, cursor.timeframe) = (series.pair, series.timeframe)
        AND source <> %s) AS sources,
    (SELECT count(*) FROM bars
        WHERE (bars.pair, bars.timeframe) = (series.pair, series.timeframe)) AS shared,
    (SELECT max(arrived_at) FROM bar_arrival AS arrival
        WHERE (arrival.pair, arrival.timeframe) = (series.pair, series.timeframe)) AS arrived_at
FROM (SELECT DISTINCT pair, timeframe FROM ingest_cursor) AS series
"""


class NoSeries(SepError, LookupError):
    """The store has no bars of a pair and timeframe; the message names the nearest there are."""


@dataclass(frozen=True)
class Series:
    """What the files tell of a pair and timeframe."""

    pair: str
    timeframe: str
    bars: int
    first: datetime
    last: datetime
    bytes: int


@dataclass(frozen=True)
class Told:
    """What the database tells of a pair and timeframe.

    Attributes
    ----------
    sources : str
        Names, by comma.
    shared : int
        Bars in PostgreSQL.
    arrived_at : datetime or None
        When any came last.
    """

    sources: str
    shared: int
    arrived_at: datetime | None


def series(store: BarStore) -> list[Series]:
    """Return what there is, by pair and timeframe; no server is asked."""
    return [_look(store, *key) for key in store.pairs()]


def told() -> dict[tuple[str, str], Told]:
    """Return what the database knows of each pair and timeframe."""
    rows = database.read_frame(_TOLD, [warm.SOURCE]).iter_rows()
    return {(pair, timeframe): Told(names or "", *more) for pair, timeframe, names, *more in rows}


def require(store: BarStore, pair: str, timeframe: str) -> None:
    """Make sure that there are bars.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
        As somebody typed them.

    Raises
    ------
    NoSeries
        If there are none; the message says what is near.
    """
    present = store.pairs()
    if (pair, timeframe) in present:
        return
    pairs = dict.fromkeys(name for name, _ in present)
    if pair in pairs:
        there = [frame for name, frame in present if name == pair]
        problem = f"the store has {pair} in {_listed(there)}, not in {timeframe}"
        raise NoSeries(f"{problem}: {_command(pair, timeframe)}")
    near = get_close_matches(_plain(pair), list(map(_plain, pairs)), n=3, cutoff=0.5)
    meant = [name for plain in near for name in pairs if _plain(name) == plain]
    if not present:
        raise NoSeries(f"the store has no bars yet: {_command(pair, timeframe)}")
    hint = f"did you mean {_listed(meant)}?" if meant else f"it has {_listed(pairs)}"
    raise NoSeries(f"the store has no bars of {pair}: {hint}; {_command(pair, timeframe)}")


def _command(pair: str, timeframe: str) -> str:
    named = f"-p pair={pair} -p timeframe={timeframe}"
    return f"`prefect deployment run ingest/local {named}` brings them"


def _look(store: BarStore, pair: str, timeframe: str) -> Series:
    time = pl.col("timestamp")
    counts = store.scan(pair, timeframe).select(pl.len(), time.min(), time.max().alias("last"))
    size = sum(file.stat().st_size for file in store.files(pair, timeframe))
    n, first, last = counts.collect().row(0)
    return Series(pair, timeframe, n, first, last, size)


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.upper()))


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
