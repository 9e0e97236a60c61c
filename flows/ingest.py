"""Bars from a source into the stores: fetch, validate, store."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.runtime import flow_run

from flows.parameters import flow_of
from tasks.folder import RunFolder
from tasks.ingest import begin, fetch, store, validate
from tasks.intake.request import IngestRequest
from tasks.reports.markdown import escape
from tasks.reports.quality_report import check

_COUNTED = ("pages", "rows", "good", "added", "revised", "shared", "quarantined")


@flow_of(IngestRequest, run_name="ingest {pair} {timeframe} {source}")
def ingest(request: IngestRequest) -> dict[str, Any]:
    """Bring the bars of a source into the bulk store and PostgreSQL; bad rows to quarantine.

    Returns pages and rows read, good, added, revised, stored, quarantined, reasons, content_hash,
    first, last.
    """
    result = _run(request, str(flow_run.get_id()))
    _show(request, result)
    return result


def _run(request: IngestRequest, run: str) -> dict[str, Any]:
    """Store part after part: a retry takes over those that are done and goes on behind them."""
    folder = RunFolder.of("ingest", run).path
    progress = create_progress_artifact(0.0, description=_title(request))
    assert isinstance(progress, UUID)
    if request.source == "oanda":
        begun = datetime.fromisoformat(begin(request))
        request = request.model_copy(update={"start": begun})
    part: dict[str, Any] | None = None
    result: dict[str, Any] = {}
    while part is None or part["next"]:
        part = _part(request, str(folder), run, progress, part)
        result = _added(result, part)
        if part["next"]:
            get_run_logger().info("%s: %s", _title(request), _so_far(result))
            shutil.rmtree(Path(part["raw"]).parent, ignore_errors=True)
    key = {"pair": request.pair, "timeframe": request.timeframe}
    _show_quality(request, check(part, part, content=part["content_hash"], **key))
    update_progress_artifact(progress, 100.0)
    shutil.rmtree(folder, ignore_errors=True)
    return result


def _part(
    request: IngestRequest,
    folder: str,
    run: str,
    progress: UUID,
    before: dict[str, Any] | None,
) -> dict[str, Any]:
    """Take the part behind `before` through the steps; return what they told of it."""
    after, reached = (before["next"], before["reached"]) if before else (None, 0.0)
    fetched = fetch(request, folder, after)
    third = (fetched["reached"] - reached) / 3
    update_progress_artifact(progress, 80 * (reached + third))
    validated = validate(fetched, timeframe=request.timeframe)
    update_progress_artifact(progress, 80 * (reached + 2 * third))
    stored = store(validated, request, run_id=run)
    update_progress_artifact(progress, 80 * fetched["reached"])
    return {**fetched, **validated, **stored}


def _added(result: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Return what has come of all parts up to this one."""
    reasons: dict[str, int] = dict(result.get("reasons", {}))
    for reason, n in part["reasons"].items():
        reasons[reason] = reasons.get(reason, 0) + n
    counts = {name: result.get(name, 0) + part[name] for name in _COUNTED}
    state = {name: part[name] for name in ("stored", "first", "last", "content_hash")}
    return {**state, **counts, "reasons": reasons}


def _so_far(result: dict[str, Any]) -> str:
    pages = f"{result['pages']:,} pages, " if result["pages"] else ""
    return (
        f"{pages}{result['rows']:,} rows, {result['added']:,} added, "
        f"{result['revised']:,} revised, up to {result['last']}"
    )


def _show(request: IngestRequest, result: dict[str, Any]) -> None:
    logger = get_run_logger()
    reasons: dict[str, int] = result["reasons"]
    counts = {"rows read": result["rows"], "bars": result["good"], "bars added": result["added"]}
    counts |= {"bars revised": result["revised"]}
    counts |= {"pages read": result["pages"]} if result["pages"] else {}
    counts |= {f"quarantined: {reason}": n for reason, n in reasons.items()}
    table = [{"what": what, "rows": n} for what, n in counts.items()]
    key = f"ingest-{request.pair}-{request.timeframe}".lower().replace("_", "-")
    title = _title(request)
    create_table_artifact(key=key, table=table, description=title)
    create_markdown_artifact(key=f"{key}-summary", markdown=_markdown(title, result))
    logger.info("%s: %s", title, _so_far(result))
    if reasons:
        logger.warning("%s: rows in quarantine, by reason: %s", title, reasons)
    if "naive timestamp" in reasons:
        logger.warning("pass clock=... to say by which clock the timestamps of this file are")


def _show_quality(request: IngestRequest, report: dict[str, Any]) -> None:
    """Leave the quality of all stored bars in the Prefect UI: a table, and its pictures."""
    key = f"quality-{request.pair}-{request.timeframe}".lower().replace("_", "-")
    create_table_artifact(key=key, table=report["table"], description=report["sentence"])
    create_markdown_artifact(
        key=f"{key}-report", markdown=report["markdown"], description=report["sentence"]
    )
    get_run_logger().info("quality of %s", report["sentence"])


def _title(request: IngestRequest) -> str:
    return f"{request.pair} {request.timeframe} from {request.name}"


def _markdown(title: str, result: dict[str, Any]) -> str:
    bad = result["rows"] - result["good"]
    lines = [
        f"### {escape(title)}",
        f"- **{result['rows']:,}** rows read, **{result['added']:,}** bars added, "
        f"**{result['revised']:,}** revised, "
        f"**{bad:,}** rows in quarantine ({result['quarantined']:,} of them new)",
        f"- **{result['stored']:,}** bars in the store, {result['first']} to {result['last']}",
        f"- content `{result['content_hash'][:16]}`",
    ]
    return "\n".join(lines + [f"- {n:,} x {reason}" for reason, n in result["reasons"].items()])
