"""When a bar's values came, and from which run: spans of bars that came, rows that were replaced.

A version of a bar is in force from one moment to another. Of the bars in the store the newest event
at their timestamp tells since when: a span that came over it, or the replacement of the row before.
Moments are unique within a pair and timeframe, so each names one event.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy import Connection

from infra.bars import SCHEMA, TIME
from infra.postgres import database
from infra.postgres.models import BarRevision, BarSpan
from infra.stores.changes import Change

KNOWN: Final = {"arrived_at": TIME, "arrived_by": pl.String()}
"""Since when a version is in force, and of which run it is; null where nobody noted it."""

_SPANS: Final = """
SELECT first, last, arrived_at, run_id AS arrived_by FROM bar_span
WHERE pair = %s AND timeframe = %s AND last >= %s AND first <= %s ORDER BY arrived_at
"""
_LATEST: Final = """
SELECT DISTINCT ON ("timestamp") "timestamp", replaced_at, run_id FROM bar_revision
WHERE pair = %s AND timeframe = %s AND "timestamp" BETWEEN %s AND %s
ORDER BY "timestamp", replaced_at DESC
"""
_EARLIER: Final = """
SELECT * FROM bar_revision
WHERE pair = %s AND timeframe = %s AND replaced_at > %s ORDER BY "timestamp", replaced_at
"""


def dated(connection: Connection, pair: str, timeframe: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Return bars of the store with the columns of `KNOWN`.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In whose transaction nobody else stores bars of the pair (`infra.stores.warm.alone`).
    pair, timeframe : str
    bars : polars.DataFrame
        Sorted by `timestamp`.
    """
    if bars.is_empty():
        return bars.with_columns(pl.lit(None, kind).alias(name) for name, kind in KNOWN.items())
    edges = [pair, timeframe, bars["timestamp"][0], bars["timestamp"][-1]]
    spans = database.read_frame(_SPANS, edges, connection=connection)
    newest = _painted(bars["timestamp"], spans)
    came = spans.select(pl.all().gather(newest)) if len(spans) else None
    bars = bars.with_columns(
        (came[name] if came is not None else pl.lit(None, kind)).alias(name)
        for name, kind in KNOWN.items()
    )
    latest = database.read_frame(_LATEST, edges, connection=connection)
    return _replaced(bars, latest) if len(latest) else bars


def earlier(
    connection: Connection, pair: str, timeframe: str, *, after: datetime | None = None
) -> pl.DataFrame:
    """Return the rows that were replaced, each with what is known of it.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    pair, timeframe : str
    after : datetime, optional
        Those alone that were replaced after this.

    Returns
    -------
    polars.DataFrame
        `SCHEMA`, `KNOWN`, `replaced_at`, and `run_id`: the run whose row took its place.
    """
    edges = [pair, timeframe, after or datetime.min.replace(tzinfo=UTC)]
    rows = database.read_frame(_EARLIER, edges, connection=connection)
    return rows.select(*SCHEMA, *KNOWN, "replaced_at", "run_id")


def note(
    connection: Connection,
    pair: str,
    timeframe: str,
    change: Change,
    authors: pl.DataFrame | str,
    at: datetime,
) -> pl.DataFrame:
    """Tell the database of a change; the second time it changes nothing.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    pair, timeframe : str
    change : Change
    authors : polars.DataFrame or str
        The run whose rows came: one, or by `timestamp` in `run_id`.
    at : datetime
        The moment.

    Returns
    -------
    polars.DataFrame
        The rows that were replaced, with `KNOWN`.
    """
    key = {"pair": pl.lit(pair), "timeframe": pl.lit(timeframe)}
    spans = _spans(_by(change.added, authors)).with_columns(**key, arrived_at=pl.lit(at, TIME))
    database.copy_frame(spans, BarSpan, connection=connection, update=False)
    if change.replaced.is_empty():
        return change.replaced.with_columns(arrived_by=pl.lit(None, pl.String))
    rows = _by(dated(connection, pair, timeframe, change.replaced), authors)
    rows = rows.with_columns(**key, replaced_at=pl.lit(at, TIME))
    database.copy_frame(rows, BarRevision, connection=connection, update=False)
    return rows


def _by(rows: pl.DataFrame, authors: pl.DataFrame | str) -> pl.DataFrame:
    if isinstance(authors, str):
        return rows.with_columns(run_id=pl.lit(authors))
    wanted = authors.select("timestamp", "run_id")
    return rows.join(wanted, on="timestamp", how="left", maintain_order="left")


def _spans(added: pl.DataFrame) -> pl.DataFrame:
    """Gather neighbours of one stretch and one run."""
    begins = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(name).shift()) for name in ("stretch", "run_id")
    )
    edges = added.with_columns(begins=begins.fill_null(value=True))
    ends = edges["begins"].shift(-1, fill_value=True)
    first = edges.filter("begins").select("run_id", first="timestamp")
    return first.with_columns(last=edges["timestamp"].filter(ends))


def _painted(times: pl.Series, spans: pl.DataFrame) -> pl.Series:
    """Return the row of the newest span over each timestamp, null where there is none."""
    newest = np.full(len(times), -1, dtype=np.int64)
    begin = times.search_sorted(spans["first"], side="left").to_list()
    end = times.search_sorted(spans["last"], side="right").to_list()
    for row, (start, stop) in enumerate(zip(begin, end, strict=True)):
        newest[start:stop] = row
    painted = pl.Series(newest)
    return painted.set(painted < 0, None)


def _replaced(bars: pl.DataFrame, latest: pl.DataFrame) -> pl.DataFrame:
    """Let a replacement count that is newer than the span."""
    both = bars.join(latest, on="timestamp", how="left", maintain_order="left")
    newer = (pl.col("replaced_at") > pl.col("arrived_at")).fill_null(
        pl.col("replaced_at").is_not_null()
    )
    pick = pl.when(newer)
    return both.with_columns(
        arrived_at=pick.then("replaced_at").otherwise("arrived_at"),
        arrived_by=pick.then("run_id").otherwise("arrived_by"),
    ).drop("replaced_at", "run_id")
