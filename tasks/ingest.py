"""The steps of `ingest`: fetch rows from a source, tell bars from others, store both."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import polars as pl
from sqlalchemy import Connection

from infra.bars import TIME
from infra.market.instruments import SYNTHETIC
from infra.postgres import database
from infra.postgres.models import IngestCursor, Pair, Quarantine
from infra.sources.columns import SourceError
from infra.stores import ledger, warm
from infra.stores.bulk import Ahead, BarStore
from tasks.folder import bar_store, keep
from tasks.intake import validation
from tasks.intake.candles import begin_at, candle_rows, last_read
from tasks.intake.level import refuse_other
from tasks.intake.reading import Options
from tasks.intake.request import IngestRequest
from tasks.intake.rows import asked_walk, source_rows, walk_rows
from tasks.intake.truth import keep_truth
from tasks.research.recipe import default_horizon
from tasks.steps import step


def fetch_rows(request: IngestRequest, folder: str, after: str | None = None) -> dict[str, Any]:
    """Read the source and keep its rows, unjudged, as Parquet in a folder of the part's own.

    A file is read as a whole, OANDA in parts of `PAGES` pages: without an `end` up to the newest
    complete candle. A planted walk leaves its truth behind, too.

    Parameters
    ----------
    request : IngestRequest
    folder : str
    after : str, optional
        `next` of the part before.

    Returns
    -------
    dict
        `raw` (path), `rows` (how many), `what` (file or source), `pair`, `options` (what is
        declared of the file), `price` (what `open .. close` are: bid, mid or unknown), `pages`,
        `next` (where the next part begins, None behind the last) and `reached` (share of all that
        has been read).

    Raises
    ------
    infra.sources.columns.SourceError
        If the file is not one of bars, the sample is not installed, or OANDA refuses or is away.
    """
    path = Path(folder) / _part_name(after) / "raw.parquet"
    path.parent.mkdir(exist_ok=True)
    whole = {"price": "mid", "pages": 0, "next": None, "reached": 1.0}
    if request.source == "oanda":
        rows, part = candle_rows(request, after)
        whole |= part
    elif request.source == "planted":
        rows = _planted(request)
    else:
        rows, whole["price"] = source_rows(request)
    keep(rows, path, "uncompressed")
    declared = {"pair": request.pair, "options": asdict(request.options)}
    declared["what"] = str(request.path or request.source)
    return {"raw": str(path), "rows": rows.height, **declared, **whole}


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
        `bars`, `quarantine` (paths), `rows`, `good`, `reasons` (how many rows of each), `facts`
        (what the file was taken for), `notes` (what to know of bars that passed).

    Raises
    ------
    infra.sources.columns.SourceError
        If the rows as a whole have no one meaning, or are not of the pair and timeframe.
    """
    raw, pair, options = Path(fetched["raw"]), fetched["pair"], Options(**fetched["options"])
    rows = pl.read_parquet(raw, glob=False)
    try:
        validated = validation.validate(rows, timeframe=timeframe, pair=pair, options=options)
        if not options.any_level and pair not in SYNTHETIC:
            refuse_other(validated.bars, bar_store().scan(pair, timeframe), pair)
    except SourceError as error:
        raise SourceError(f"{fetched['what']}: {error}") from error
    bars, quarantine = raw.with_name("bars.parquet"), raw.with_name("quarantine.parquet")
    keep(validated.bars, bars, "uncompressed")
    keep(validated.quarantined, quarantine, "lz4")
    reasons = validated.quarantined["reason"].value_counts(sort=True)
    return {
        "bars": str(bars),
        "quarantine": str(quarantine),
        "rows": fetched["rows"],
        "good": validated.bars.height,
        "reasons": dict(reasons.iter_rows()),
        "facts": validated.facts,
        "notes": validated.notes,
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


begin = step("begin", version=2)(begin_at)
fetch = step("fetch", version=4)(fetch_rows)
validate = step("validate", version=3)(validate_rows)
store = step("store", version=3)(store_rows)


def _planted(request: IngestRequest) -> pl.DataFrame:
    """Return the rows of a planted walk, and keep what its generator knows of the usual trade."""
    horizon = default_horizon(request.timeframe)
    walk = asked_walk(request, horizon)
    keep_truth(walk, request, horizon)
    return walk_rows(walk)


def _part_name(after: str | None) -> str:
    """Name a part: Prefect takes a step over whose inputs are those of another part."""
    return f"{datetime.fromisoformat(after):%Y%m%dT%H%M%S}" if after else "first"


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
    moments = [at for at in (newest, last_read(connection, request)) if at is not None]
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
