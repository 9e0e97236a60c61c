"""The store as it was at a moment: bars that had arrived by then, with the values they had then.

What is in the store now, the rows that were replaced, and those that were taken out, each from one
moment to another. Bars of which nobody noted when they came count as always there; those that were
taken out are known as long as their file is.
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
from sqlalchemy import Connection

from infra.bars import SCHEMA, within, without_empty_quotes
from infra.postgres import database
from infra.settings import settings
from infra.stores import ledger, versions, warm
from infra.stores.bulk import BarStore
from infra.stores.changes import completed

_REMOVED = """
SELECT file, removed_at FROM bar_removal
WHERE pair = %s AND timeframe = %s AND removed_at > %s ORDER BY removed_at
"""


def read_as_of(
    pair: str,
    timeframe: str,
    moment: datetime,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    store: BarStore | None = None,
) -> pl.DataFrame:
    """Return bars with start <= timestamp < end as the store had them at a moment, oldest first.

    Parameters
    ----------
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    moment : datetime
        With a zone; what came at that very moment is there.
    start, end : datetime, optional
        With a zone; left out: from the first, to the last.
    store : BarStore, optional
        Left out: that of the present settings.

    Raises
    ------
    ValueError
        If a time has no zone.
    infra.postgres.database.DatabaseError
        If there is no database, which alone knows of the past.
    """
    for edge in (moment, start, end):
        if edge is not None and edge.tzinfo is None:
            raise ValueError(f"{edge} has no zone: moment, start and end need one")
    store = store or BarStore(settings().home / "bars")
    with database.engine().begin() as connection:
        warm.alone(connection, pair, timeframe)
        ledger.settle(store, pair, timeframe)
        bars = completed(store.read(pair, timeframe, start, end))
        now = versions.dated(connection, pair, timeframe, bars)
        past = _past(connection, pair, timeframe, moment)
    came = pl.col("arrived_at").is_null() | (pl.col("arrived_at") <= moment)
    every = [now, *(rows.filter(*within(start, end)) for rows in past)]
    then = pl.concat([rows.filter(came).select(*SCHEMA) for rows in every])
    return without_empty_quotes(then.unique("timestamp").sort("timestamp"))


def _past(
    connection: Connection, pair: str, timeframe: str, moment: datetime
) -> list[pl.DataFrame]:
    """Return the rows that were in force until after the moment."""
    replaced = versions.earlier(connection, pair, timeframe, after=moment)
    removed = database.read_frame(_REMOVED, [pair, timeframe, moment], connection=connection)
    files = map(ledger.removed_file, removed["file"])
    return [replaced, *(pl.read_parquet(file, glob=False) for file in files if file.exists())]


def with_past(pair: str, timeframe: str, bars: pl.DataFrame, *, store: BarStore) -> pl.DataFrame:
    """Return bars of the store with when each came, of which run it is, and how often it changed.

    Parameters
    ----------
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    bars : polars.DataFrame
        Sorted by `timestamp`.
    store : BarStore
        Whose they are.
    """
    with database.engine().begin() as connection:
        warm.alone(connection, pair, timeframe)
        ledger.settle(store, pair, timeframe)
        dated = versions.dated(connection, pair, timeframe, bars)
        rows = versions.earlier(connection, pair, timeframe)
    times = rows.group_by("timestamp").agg(revisions=pl.len().cast(pl.Int64))
    dated = dated.join(times, on="timestamp", how="left", maintain_order="left")
    return dated.with_columns(pl.col("revisions").fill_null(0))


def replaced_rows(pair: str, timeframe: str, timestamp: datetime) -> pl.DataFrame:
    """Return the rows that a bar had before, oldest first.

    Parameters
    ----------
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    timestamp : datetime
        Of the bar.
    """
    with database.engine().connect() as connection:
        rows = versions.earlier(connection, pair, timeframe)
    return rows.filter(pl.col("timestamp") == timestamp)
