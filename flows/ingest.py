"""Bars from a source into the stores: fetch, validate, store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from prefect import flow, get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run
from pydantic import Field

from tasks.folder import RunFolder
from tasks.ingest import IngestRequest, PairName, Source, fetch, store, validate
from tasks.quality_report import check


@flow(name="ingest", log_prints=False, persist_result=True, result_serializer="json")
def ingest(
    pair: PairName = "EUR_USD",
    timeframe: str = "H1",
    source: Source = "sample",
    path: str | None = None,
    clock: str | None = None,
    columns: dict[str, str] | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
    bars: Annotated[int, Field(ge=1, le=10_000_000)] = 5_000,
) -> dict[str, Any]:
    """Bring the bars of a source into the bulk store and PostgreSQL; bad rows to quarantine.

    Parameters
    ----------
    pair, timeframe
        What the bars are of: EUR_USD, H1.
    source
        sample (5,000 EURUSD hours), planted (a walk with a known edge), minutes (longer bars of
        the pair's M1 in the store), or a file: csv, parquet, histdata, metatrader, dukascopy and
        truefx (ticks, kept as M1), lean.
    path
        The file, on the machine of the worker.
    clock
        Clock of timestamps that name no zone: UTC, EST, New York, New York+7, any IANA name; by
        default that of the publisher (EST of histdata, New York+7 of metatrader, UTC of ticks),
        and of csv, parquet and lean none, which puts such rows into quarantine.
    columns
        Of csv and parquet: name here to name in the file, such as {"timestamp": "When"}.
    seed, bars
        Of planted: the seed of its walk and how many bars.

    Returns
    -------
    dict
        rows read, good, added, stored, quarantined, reasons, content_hash, first, last.
    """
    request = IngestRequest(
        pair=pair,
        timeframe=timeframe,
        source=source,
        path=Path(path) if path else None,
        clock=clock,
        columns=columns or {},
        seed=seed,
        bars=bars,
    )
    result = _run(request, str(flow_run.get_id()))
    _show(request, result)
    return result


def _run(request: IngestRequest, run: str) -> dict[str, Any]:
    folder = RunFolder.of("ingest", run).path
    progress = create_progress_artifact(0.0, description=_title(request))
    assert isinstance(progress, UUID)
    fetched = fetch(request, str(folder))
    update_progress_artifact(progress, 30.0)
    validated = validate(fetched, timeframe=request.timeframe)
    update_progress_artifact(progress, 60.0)
    stored = store(validated, request, run_id=run)
    update_progress_artifact(progress, 80.0)
    key = {"pair": request.pair, "timeframe": request.timeframe}
    _show_quality(request, check(fetched, validated, content=stored["content_hash"], **key))
    update_progress_artifact(progress, 100.0)
    shutil.rmtree(folder, ignore_errors=True)
    return {**stored, **{name: validated[name] for name in ("rows", "good", "reasons")}}


def _show(request: IngestRequest, result: dict[str, Any]) -> None:
    logger = get_run_logger()
    reasons: dict[str, int] = result["reasons"]
    counts = {"rows read": result["rows"], "bars": result["good"], "bars added": result["added"]}
    counts |= {f"quarantined: {reason}": n for reason, n in reasons.items()}
    table = [{"what": what, "rows": n} for what, n in counts.items()]
    key = f"ingest-{request.pair}-{request.timeframe}".lower().replace("_", "-")
    title = _title(request)
    create_table_artifact(key=key, table=table, description=title)
    create_markdown_artifact(key=f"{key}-summary", markdown=_markdown(title, result))
    logger.info("%s: %s rows, %s added", title, result["rows"], result["added"])
    if reasons:
        logger.warning("%s: rows in quarantine, by reason: %s", title, reasons)
    if "naive timestamp" in reasons:
        logger.warning("pass clock=... to say by which clock the timestamps of this file are")


def _show_quality(request: IngestRequest, told: dict[str, Any]) -> None:
    """Leave the quality of all stored bars in the Prefect UI: a table, and its pictures."""
    key = f"quality-{request.pair}-{request.timeframe}".lower().replace("_", "-")
    create_table_artifact(key=key, table=told["table"], description=told["sentence"])
    create_markdown_artifact(
        key=f"{key}-report", markdown=told["markdown"], description=told["sentence"]
    )
    get_run_logger().info("quality of %s", told["sentence"])


def _title(request: IngestRequest) -> str:
    return f"{request.pair} {request.timeframe} from {request.name}"


def _markdown(title: str, result: dict[str, Any]) -> str:
    bad = result["rows"] - result["good"]
    lines = [
        f"### {title}",
        f"- **{result['rows']:,}** rows read, **{result['added']:,}** bars added, "
        f"**{bad:,}** rows in quarantine ({result['quarantined']:,} of them new)",
        f"- **{result['stored']:,}** bars in the store, {result['first']} to {result['last']}",
        f"- content `{result['content_hash'][:16]}`",
    ]
    return "\n".join(lines + [f"- {n:,} x {reason}" for reason, n in result["reasons"].items()])
