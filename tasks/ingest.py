"""The steps of `ingest`: fetch rows from a source, tell bars from others, store both."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
from sqlalchemy import Connection, select

from infra.bars import PRICES, QUOTES, TIME
from infra.market.timeframes import bar_length
from infra.postgres import database
from infra.postgres.models import IngestCursor, Pair, Quarantine
from infra.sources import sample
from infra.sources.columns import SourceError
from infra.sources.oanda import PAGE, Candles
from infra.sources.regular import regular
from infra.stores import ledger, warm
from infra.stores.bulk import Ahead, BarStore
from kernels.synthetic import planted_walk
from tasks.folder import bar_store, keep
from tasks.intake import validation
from tasks.intake.request import PLANTED_START, IngestRequest
from tasks.intake.resample import resample
from tasks.steps import step

PAGES: Final = 20
"""Pages of OANDA that reach the stores together: 100,000 candles, some 15 MB."""

REREAD: Final = 200
"""Bars' time before the last one read that is read again: OANDA revises recent candles."""

FIRST_SPAN: Final = timedelta(days=365)
FIRST_BARS: Final = 5_000
"""What the first read of a pair covers, the longer of both; a `start` reaches back further."""

_NUMBERS: Final = (*PRICES, "volume", *QUOTES)
"""Of files that live as long as the run."""


def begin_at(request: IngestRequest) -> str:
    """Tell from when on to read candles: the request's start, else where the last read ended.

    That is `REREAD` bars' time before the last bar that came from there, so that revised ones
    come again; the first time it is a year ago, or `FIRST_BARS` bars' time where that is more.

    Returns
    -------
    str
        ISO time.
    """
    length = bar_length(request.timeframe)
    with database.engine().connect() as connection:
        last = _last_read(connection, request)
    first = datetime.now(UTC) - max(FIRST_SPAN, FIRST_BARS * length)
    begin = request.start or (last - REREAD * length if last else first)
    return begin.astimezone(UTC).replace(microsecond=0).isoformat()


def fetch_rows(request: IngestRequest, folder: str, after: str | None = None) -> dict[str, Any]:
    """Read the source and keep its rows, unjudged, as Parquet in a folder of the part's own.

    A file is read as a whole, OANDA in parts of `PAGES` pages: without an `end` up to the newest
    complete candle.

    Parameters
    ----------
    request : IngestRequest
    folder : str
    after : str, optional
        `next` of the part before.

    Returns
    -------
    dict
        `raw` (path), `rows` (how many), `clock` (of stamps that name no zone), `price`
        (what `open .. close` are: bid, mid or unknown), `pages`, `next` (where the next part
        begins, None behind the last) and `reached` (share of all that has been read).

    Raises
    ------
    infra.sources.columns.SourceError
        If the file is not one of bars, the sample is not installed, or OANDA refuses or is away.
    """
    path = Path(folder) / _part_name(after) / "raw.parquet"
    path.parent.mkdir(exist_ok=True)
    whole = {"clock": None, "price": "mid", "pages": 0, "next": None, "reached": 1.0}
    if request.source == "oanda":
        rows, part = candle_rows(request, after)
        whole |= part
    else:
        rows, whole["clock"], whole["price"] = _read(request)
    keep(rows, path, "lz4")
    return {"raw": str(path), "rows": rows.height, **whole}


def validate_rows(fetched: dict[str, Any], *, timeframe: str) -> dict[str, Any]:
    """Tell bars from rows that are none; keep both as Parquet beside the rows.

    Parameters
    ----------
    fetched : dict
        What `fetch_rows` returned.
    timeframe : str

    Returns
    -------
    dict
        `bars`, `quarantine` (paths), `rows`, `good`, `reasons` (how many rows of each).
    """
    raw = Path(fetched["raw"])
    rows = pl.read_parquet(raw, glob=False)
    validated = validation.validate(rows, timeframe=timeframe, clock=fetched["clock"])
    bars, quarantine = raw.with_name("bars.parquet"), raw.with_name("quarantine.parquet")
    keep(validated.bars, bars, "lz4")
    keep(validated.quarantined, quarantine, "lz4")
    reasons = validated.quarantined["reason"].value_counts(sort=True)
    return {
        "bars": str(bars),
        "quarantine": str(quarantine),
        "rows": fetched["rows"],
        "good": validated.bars.height,
        "reasons": dict(reasons.iter_rows()),
    }


def store_rows(
    validated: dict[str, Any], request: IngestRequest, *, run_id: str | None = None
) -> dict[str, Any]:
    """Put bars into the bulk store and the newest of them into PostgreSQL; quarantine the rest.

    Doing it again changes nothing.

    Parameters
    ----------
    validated : dict
        What `validate_rows` returned.
    request : IngestRequest
    run_id : str, optional
        The flow run.

    Returns
    -------
    dict
        `added` (bars that were not there before the run), `revised` (that were there and differ),
        `stored` (bars of the pair now), `shared` (rows of PostgreSQL that changed), `quarantined`
        (rows new to the quarantine), `content_hash`, `first`, `last` (times of the pair's bars,
        None where it has none).
    """
    bulk, key = bar_store(), (request.pair, request.timeframe)
    bars = pl.read_parquet(validated["bars"], glob=False)
    # The files are seen at once, right before the commit: killed between the two, the cursor is
    # still where it was, and the same rows come again.
    with database.engine().begin() as connection:  # first: without a database nothing changes
        warm.alone(connection, *key)
        ledger.settle(bulk, *key)
        with bulk.writing(*key, bars) as ahead:
            quarantined = _quarantine(connection, validated, request, run_id)
            newest = bars["timestamp"].max()
            assert newest is None or isinstance(newest, datetime)
            counts = _arrive(connection, ahead, validated, request, run_id, bars)
            shared = _share(connection, ahead, request)
            state = _state(ahead, request)
            _advance(connection, validated, request, run_id, state["content_hash"], newest)
    if ahead.note:
        bulk.told(*key, ahead.note)
    return {**state, **counts, "shared": shared, "quarantined": quarantined}


begin = step("begin", version=1)(begin_at)
fetch = step("fetch", version=3)(fetch_rows)
validate = step("validate", version=2)(validate_rows)
store = step("store", version=3)(store_rows)


def _read(request: IngestRequest) -> tuple[pl.DataFrame, str | None, str]:
    """Return rows, the clock of times that name no zone, and what price they hold."""
    if request.source == "planted":
        rows = planted_rows(request.bars, timeframe=request.timeframe, seed=request.seed)
        return rows, None, "mid"
    if request.source == "minutes":
        return minute_rows(request.pair, request.timeframe), None, "unknown"
    if request.path is None:
        return sample.read_sample(), sample.CLOCK, "mid"
    source = request.file_source
    return source.read(regular(request.path)), source.clock, source.price


def candle_rows(request: IngestRequest, after: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Return the next candles of OANDA, and how far they reach.

    A candle that is not over by our clock waits for the next run, whatever OANDA says of it.

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
    rows = pl.concat(read) if read else _no_candles()
    over = rows.filter(pl.col("timestamp") + bar_length(request.timeframe) <= now)
    part: dict[str, Any] = {"pages": len(read)}
    full = len(read) == PAGES and read[-1].height >= PAGE - 1
    if full and over.height == rows.height:
        last = rows["timestamp"][-1]
        part["next"] = last.isoformat()
        part["reached"] = (last - request.start) / ((request.end or now) - request.start)
    seconds = pl.col("timestamp").dt.epoch("s").alias("source_row")
    return over.select(seconds, pl.all()), part


def _part_name(after: str | None) -> str:
    """Name a part: Prefect takes a step over whose inputs are those of another part."""
    return f"{datetime.fromisoformat(after):%Y%m%dT%H%M%S}" if after else "first"


def _no_candles() -> pl.DataFrame:
    return pl.DataFrame(schema={"timestamp": TIME, **dict.fromkeys(_NUMBERS, pl.Float64())})


def minute_rows(pair: str, timeframe: str) -> pl.DataFrame:
    """Return bars made of the bars of M1 in the bulk store, as a source would.

    Parameters
    ----------
    pair : str
    timeframe : str
        Longer than M1.

    Raises
    ------
    infra.sources.columns.SourceError
        If there are no such bars.
    """
    bars = resample(bar_store().read(pair, "M1"), timeframe)
    if bars.is_empty():
        raise SourceError(
            f"the store has no whole {timeframe} of minutes of {pair}: ingest M1 of it first"
        )
    return bars.select(pl.int_range(1, pl.len() + 1).alias("source_row"), pl.all())


def planted_rows(n: int, *, timeframe: str, seed: int) -> pl.DataFrame:
    """Return the first bars of a planted walk, as a source would.

    Parameters
    ----------
    n : int
        How many bars, one after the other from 2015-01-05 on.
    timeframe : str
    seed : int
    """
    walk = planted_walk(n, seed=seed)
    step_length = bar_length(timeframe)
    times = pl.datetime_range(
        PLANTED_START,
        PLANTED_START + (n - 1) * step_length,
        step_length,
        time_unit="us",
        eager=True,
    )
    prices = {name: getattr(walk, name) for name in _NUMBERS}
    return pl.DataFrame(
        {"source_row": pl.int_range(1, n + 1, eager=True), "timestamp": times.cast(TIME), **prices}
    )


def _arrive(
    connection: Connection,
    ahead: Ahead,
    validated: dict[str, Any],
    request: IngestRequest,
    run_id: str | None,
    bars: pl.DataFrame,
) -> dict[str, int]:
    """Note what the step adds and revises; outside a run each is a run of its own."""
    times = bars.select(first=pl.col("timestamp").min(), last=pl.col("timestamp").max())
    counts = ledger.arrive(
        connection,
        ahead,
        run_id=run_id or uuid4().hex,
        part=Path(validated["bars"]).parent.name,
        source=request.name,
        span=times.row(0),
    )
    return counts._asdict()


def _last_read(connection: Connection, request: IngestRequest) -> datetime | None:
    """Return the time of the last bar that came from the source."""
    key = {"pair": request.pair, "timeframe": request.timeframe, "source": request.name}
    return connection.scalar(select(IngestCursor.last_timestamp).filter_by(**key))


def _quarantine(
    connection: Connection, validated: dict[str, Any], request: IngestRequest, run_id: str | None
) -> int:
    rows = pl.read_parquet(validated["quarantine"], glob=False).with_columns(
        pair=pl.lit(request.pair),
        timeframe=pl.lit(request.timeframe),
        source=pl.lit(request.name),
        run_id=pl.lit(run_id, pl.String),
    )
    return database.copy_frame(rows, Quarantine, connection=connection, update=False)


def _share(connection: Connection, bulk: BarStore, request: IngestRequest) -> int:
    """Make PostgreSQL know the pair and hold its newest bars, and none that are older."""
    key = {"pair": request.pair, "timeframe": request.timeframe}
    database.copy_frame(pl.DataFrame(key), Pair, connection=connection, update=False)
    return warm.share(bulk, **key, connection=connection).up


def _state(bulk: BarStore, request: IngestRequest) -> dict[str, Any]:
    time = pl.col("timestamp")
    bars = bulk.scan(request.pair, request.timeframe)
    stored, first, last = (
        bars.select(pl.len(), time.min(), time.max().alias("last")).collect().row(0)
    )
    return {
        "stored": stored,
        "first": first and first.isoformat(),
        "last": last and last.isoformat(),
        "content_hash": bulk.content_hash(request.pair, request.timeframe),
    }


def _advance(
    connection: Connection,
    validated: dict[str, Any],
    request: IngestRequest,
    run_id: str | None,
    content_hash: str,
    newest: datetime | None,
) -> None:
    """Note how far the source has been read; a span read again does not move it back."""
    moments = [at for at in (newest, _last_read(connection, request)) if at is not None]
    row = {
        "pair": request.pair,
        "timeframe": request.timeframe,
        "source": request.name,
        "last_timestamp": max(moments, default=None),
        "rows": validated["rows"],
        "quarantined": validated["rows"] - validated["good"],
        "content_hash": content_hash,
        "run_id": run_id,
        "updated_at": datetime.now(UTC),
    }
    schema: dict[str, pl.DataType] = {"last_timestamp": TIME, "run_id": pl.String()}
    cursor = pl.DataFrame([row], schema_overrides=schema)
    database.copy_frame(cursor, IngestCursor, connection=connection)
