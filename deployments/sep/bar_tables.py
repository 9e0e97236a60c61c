"""Bars on the screen: what is in the store, and some of them as a table."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.asking import asked
from deployments.sep.panel import whole
from infra.bars import PRICES
from infra.market.timeframes import TIMEFRAMES, bar_length
from infra.postgres.database import DatabaseError
from infra.stores import catalog, history
from infra.stores.catalog import NoSeries, Series, Told
from infra.stores.changes import completed
from tasks.folder import bar_store

T = TypeVar("T")

LAST: Final = 10
MOST: Final = 50
"""Rows of a table; more are for a file."""

_NOTHING: Final = Told("", 0, None)


def perhaps(console: Console, what: str, ask: Callable[[], T]) -> T | None:
    """Ask the database; where it does not answer say what is missing, and go on.

    Parameters
    ----------
    console : rich.console.Console
        Where it is said.
    what : str
        That is missing then.
    ask : callable
        Asks.
    """
    try:
        with asked(what):
            return ask()
    except DatabaseError as error:
        console.print(f"[dim]{escape(str(error))}[/]", soft_wrap=True)
        return None


def show_all(console: Console) -> None:
    """List what is in the store; what only the database knows as far as it answers.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    """
    there = catalog.series(bar_store())
    if not there:
        console.print("no bars here yet: `prefect deployment run ingest/local` brings some")
        return
    told = perhaps(console, "sources, shared bars and arrivals: that", catalog.told)
    table = _table("pair", "timeframe", "bars", "first", "last", "size", *(_TOLD if told else ()))
    for each in there:
        known = (told or {}).get((each.pair, each.timeframe), _NOTHING)
        table.add_row(*_line(each), *(_known(known) if told else ()))
    whole(console, table)


def show_last(
    console: Console, pair: str, timeframe: str, count: int, as_of: datetime | None
) -> None:
    """Show the newest bars.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    count : int
        How many.
    as_of : datetime, optional
        With a zone: as the store had them then.
    """
    bars = read(pair, timeframe, as_of=as_of).tail(count)
    _show(console, pair, timeframe, bars, as_of)


def show_span(
    console: Console,
    pair: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    as_of: datetime | None,
) -> None:
    """Show the first bars with start <= timestamp < end.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    start, end : datetime or None
        With a zone.
    as_of : datetime, optional
        With a zone: as the store had them then.
    """
    bars = read(pair, timeframe, start, end, as_of=as_of)
    _show(console, pair, timeframe, bars.head(MOST), as_of)
    if bars.height > MOST:
        console.print(f"and {bars.height - MOST:,} more: `sep bars export` writes all to a file")


def show_at(
    console: Console, pair: str, timeframe: str, moment: datetime, as_of: datetime | None
) -> None:
    """Show the bar that a moment lies in, and the rows that it was before.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    moment : datetime
        With a zone.
    as_of : datetime, optional
        With a zone: as the store had it then.

    Raises
    ------
    NoSeries
        If there is no bar.
    """
    bars = read(pair, timeframe, end=moment + timedelta.resolution, as_of=as_of).tail(1)
    length = bar_length(timeframe) if timeframe in TIMEFRAMES else timedelta.max
    stamp = bars["timestamp"][0] if len(bars) else None
    if stamp is None or moment - stamp >= length:
        before = f", the one before is {_when(stamp)}" if stamp else ""
        raise NoSeries(f"there is no {pair} {timeframe} bar at {_when(moment)}{before}")
    _show(console, pair, timeframe, bars, as_of)
    if as_of is None:
        ask = partial(history.replaced_rows, pair, timeframe, stamp)
        rows = perhaps(console, "what it was before: that", ask)
        if rows is not None and len(rows):
            console.print("before:")
            console.print(_rows(rows, ("arrived", "arrived_at"), ("replaced", "replaced_at")))


def read(
    pair: str,
    timeframe: str,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    as_of: datetime | None = None,
) -> pl.DataFrame:
    """Return bars with start <= timestamp < end, as they are or as the store had them.

    Parameters
    ----------
    pair, timeframe : str
        As somebody typed them.
    start, end, as_of : datetime, optional
        With a zone.

    Raises
    ------
    NoSeries
        If the store has none of the pair and timeframe now.
    DatabaseError
        If the past is asked for and the database does not answer.
    """
    store = bar_store()
    if as_of is None:
        catalog.require(store, pair, timeframe)
        return store.read(pair, timeframe, start, end)
    with asked("what the store was"):
        bars = history.read_as_of(pair, timeframe, as_of, start, end, store=store)
    if bars.is_empty():
        catalog.require(store, pair, timeframe)
    return bars


def _show(
    console: Console, pair: str, timeframe: str, bars: pl.DataFrame, as_of: datetime | None
) -> None:
    if bars.is_empty():
        console.print(f"no bars of {pair} {timeframe} there")
        return
    ask = partial(history.with_past, pair, timeframe, completed(bars), store=bar_store())
    past = None if as_of else perhaps(console, "which were revised, and when they came: that", ask)
    if past is None:
        console.print(_rows(bars))
        return
    console.print(_rows(past, ("arrived", "arrived_at")))
    if past["revisions"].sum():
        console.print("* revised: `sep bars show --at TIME` tells what it was")


def _rows(bars: pl.DataFrame, *more: tuple[str, str]) -> Table:
    quotes = [name for name in ("bid_close", "ask_close") if name in bars and bars[name].count()]
    values = [*PRICES, "volume", *quotes]
    table = _table("", "time (UTC)", *(name.replace("_", " ") for name in values), *dict(more))
    for bar in bars.iter_rows(named=True):
        star = "*" if bar.get("revisions") else ""
        numbers = ("" if bar[name] is None else f"{bar[name]:.10g}" for name in values)
        table.add_row(star, _when(bar["timestamp"]), *numbers, *(_when(bar[at]) for _, at in more))
    return table


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    left = ("", "pair", "timeframe", "sources")
    for heading in headings:
        justify: Any = "left" if heading in left else "right"
        table.add_column(heading, no_wrap=heading != "sources", justify=justify)
    return table


_TOLD: Final = ("shared", "last arrival", "sources")


def _line(each: Series) -> tuple[str, ...]:
    span = (_when(each.first), _when(each.last))
    return each.pair, each.timeframe, f"{each.bars:,}", *span, f"{each.bytes / 2**20:,.1f} MiB"


def _known(told: Told) -> tuple[str, ...]:
    return f"{told.shared:,}", _when(told.arrived_at), escape(told.sources)


def _when(moment: datetime | None) -> str:
    """Say a time as short as it is exact."""
    if moment is None:
        return "unknown"
    return f"{moment:%Y-%m-%d %H:%M:%S}".removesuffix(":00")
