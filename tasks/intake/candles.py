"""OANDA's candles as `ingest` reads them: from when on, part after part."""

from __future__ import annotations

from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

import polars as pl
from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from sqlalchemy import Connection, func, select

from infra.bars import PRICES, QUOTES, TIME
from infra.market.timeframes import bar_length
from infra.postgres import database
from infra.postgres.models import IngestCursor, Quarantine
from infra.sources.candles import INCOMPLETE
from infra.sources.oanda import Candles
from tasks.folder import bar_store
from tasks.intake.request import IngestRequest

PAGES: Final = 20
"""Pages of OANDA that reach the stores together: 100,000 candles, some 15 MB."""

REREAD: Final = 200
"""Bars' time before the last one read that is read again: OANDA revises recent candles."""

AWAITED: Final = timedelta(days=30)
"""How long before the last bar read a candle may begin that was left out as incomplete and is
asked for again: at most 43,200 minutes, nine pages, are read for its sake."""

APART: Final = timedelta(minutes=1)
"""By how much OANDA's clock may be ahead of ours without a word."""

FIRST_SPAN: Final = timedelta(days=365)
FIRST_BARS: Final = 5_000
"""What the first read of a pair covers, the longer of both; a `start` reaches back further."""

_SCHEMA: Final = {
    "timestamp": TIME,
    **dict.fromkeys((*PRICES, "volume", *QUOTES), pl.Float64()),
    "fault": pl.String(),
}


def begin_at(request: IngestRequest) -> str:
    """Tell from when on to read candles: the request's start, else where the last read ended.

    That is `REREAD` bars' time before the last bar that came from there, so that revised ones
    come again, or the first candle of the `AWAITED` time before it that was incomplete and has
    not come since. The first time it is a year ago, or `FIRST_BARS` bars' time where that is more.

    Returns
    -------
    str
        ISO time.
    """
    begin = request.start or _behind_the_last(request) or _first(request)
    return begin.astimezone(UTC).replace(microsecond=0).isoformat()


def _behind_the_last(request: IngestRequest) -> datetime | None:
    with database.engine().connect() as connection:
        last = last_read(connection, request)
        if last is None:
            return None
        awaited = _awaited(connection, request, last - AWAITED)
    return min([last - REREAD * bar_length(request.timeframe), *awaited])


def _first(request: IngestRequest) -> datetime:
    return datetime.now(UTC) - max(FIRST_SPAN, FIRST_BARS * bar_length(request.timeframe))


def last_read(connection: Connection, request: IngestRequest) -> datetime | None:
    """Return the time of the last bar that came from the source.

    Parameters
    ----------
    connection : sqlalchemy.Connection
    request : IngestRequest
    """
    key = {"pair": request.pair, "timeframe": request.timeframe, "source": request.name}
    return connection.scalar(select(IngestCursor.last_timestamp).filter_by(**key))


def _awaited(connection: Connection, request: IngestRequest, since: datetime) -> list[datetime]:
    """Return the candles that came incomplete alone: neither as a bar nor with another fault."""
    key = {"pair": request.pair, "timeframe": request.timeframe, "source": request.name}
    incomplete = (
        select(Quarantine.source_row)
        .filter_by(**key)
        .where(Quarantine.source_row >= int(since.timestamp()))
        .group_by(Quarantine.source_row)
        .having(func.bool_and(Quarantine.reason == INCOMPLETE))
    )
    rows = connection.scalars(incomplete).all()
    noted = pl.DataFrame({"timestamp": [datetime.fromtimestamp(row, UTC) for row in rows]})
    stored = bar_store().scan(request.pair, request.timeframe).select("timestamp")
    missing = noted.lazy().cast(TIME).join(stored, on="timestamp", how="anti")
    return missing.collect()["timestamp"].to_list()


def candle_rows(request: IngestRequest, after: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the next candles of OANDA, and how far they reach.

    A candle that is not over by our clock waits for the next run, whatever OANDA says of it. Where
    it is far from over, the log of the run says that the clocks are apart.

    Parameters
    ----------
    request : IngestRequest
        Of `source="oanda"`.
    after : str, optional
        ISO time of the last candle read; None at the first part.

    Raises
    ------
    infra.sources.columns.SourceError
        If no token is set, or OANDA refuses or is away.
    """
    assert request.start is not None
    now, since = datetime.now(UTC), datetime.fromisoformat(after) if after else request.start
    key = (request.pair, request.timeframe)
    pages = Candles.of_settings().pages(*key, since, request.end, first=after is None)
    with closing(pages):  # type: ignore[type-var]
        read = list(islice(pages, PAGES))
    rows = pl.concat([pl.DataFrame(schema=_SCHEMA), *(page.rows for page in read)])
    ends = pl.col("timestamp") + bar_length(request.timeframe)
    over = rows.filter(ends <= now)
    _compare_clocks(rows.select(ends.max()).item(), now)
    part: dict[str, Any] = {"pages": len(read)}
    following = read[-1].next if len(read) == PAGES else None
    if following is not None and over.height == rows.height:
        part["next"] = following.isoformat()
        part["reached"] = (following - request.start) / ((request.end or now) - request.start)
    seconds = pl.col("timestamp").dt.epoch("s").alias("source_row")
    return over.select(seconds, pl.all()), part


def _compare_clocks(newest: datetime | None, now: datetime) -> None:
    """Warn where the end of a finished candle lies in the future."""
    if newest is None or newest - now <= APART:
        return
    with suppress(MissingContextError):  # asked outside a run: nobody listens
        get_run_logger().warning(
            "OANDA has finished candles up to %s, by this machine's clock it is %s: set the clock "
            "right, candles that are not over by it wait",
            f"{newest:%Y-%m-%d %H:%M}",
            f"{now:%Y-%m-%d %H:%M}",
        )
