"""Bars from a source into the stores: fetch, validate, store."""

from __future__ import annotations

import logging
import shutil
from datetime import datetime
from pathlib import Path
from typing import Any, Final
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
from infra.errors import SepError
from tasks.folder import RunFolder
from tasks.ingest import begin, fetch, store, validate
from tasks.intake.request import IngestRequest
from tasks.reports.markdown import escape
from tasks.reports.quality_report import check

QUARANTINED: Final = 0.05
"""Share of rows in quarantine that a user should know of."""

REVISED: Final = 0.2
"""Share of bars that replace stored ones with other values, from which a user should know of it."""

_COUNTED = ("pages", "rows", "good", "added", "revised", "shared", "quarantined")


class NothingStored(SepError, RuntimeError):
    """No row of a source is a bar; the message says why."""


@flow_of(IngestRequest, run_name="ingest {pair} {timeframe} {source}")
def ingest(request: IngestRequest) -> dict[str, Any]:
    """Bring the bars of a source into the bulk store and PostgreSQL; bad rows to quarantine.

    Returns pages and rows read, good, added, revised, stored, quarantined, reasons, content_hash,
    first, last, what the source was taken for and the verdict on all stored bars. A run that finds
    no bar in what it read has failed.
    """
    result = _run(request, str(flow_run.get_id()))
    _show(request, result)
    _refuse_nothing(request, result)
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
    report = check(part, part, content=part["content_hash"], **key)
    _show_quality(request, report)
    update_progress_artifact(progress, 100.0)
    shutil.rmtree(folder, ignore_errors=True)
    return {**result, **{name: report[name] for name in ("verdict", "sentence", "pictures")}}


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
    notes: dict[str, int] = dict(result.get("notes", {}))
    for note, n in part["notes"].items():
        notes[note] = notes.get(note, 0) + n
    return {**state, **counts, "reasons": reasons, "notes": notes, "facts": part["facts"]}


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
    logger.info("%s: taken for %s", title, _taken(result["facts"]))
    for note, n in result["notes"].items():
        logger.warning("%s: %s %s", title, f"{n:,}", note)
    if reasons:
        share = (result["rows"] - result["good"]) / result["rows"]
        level = logging.WARNING if share > QUARANTINED else logging.INFO
        shown = f"{share:.1%} of the rows are in quarantine"
        logger.log(level, "%s: %s, by reason: %s", title, shown, reasons)
    if result["revised"] > REVISED * max(result["good"], 1):
        logger.warning(
            "%s: %s stored bars have other values now: was it read by another clock, or is it of "
            "another side? `sep bars remove` takes the run back",
            title,
            f"{result['revised']:,}",
        )
    if "naive timestamp" in reasons:
        logger.warning("say clock=, by which clock the times are that name no zone")
    if "bars that move while the market is closed" in result["notes"]:
        logger.warning("prices that move while the market is closed have a wrong clock: see clock=")


def _show_quality(request: IngestRequest, report: dict[str, Any]) -> None:
    """Leave the quality of all stored bars in the Prefect UI: a table, and its pictures."""
    key = f"quality-{request.pair}-{request.timeframe}".lower().replace("_", "-")
    create_table_artifact(key=key, table=report["table"], description=report["sentence"])
    create_markdown_artifact(
        key=f"{key}-report", markdown=report["markdown"], description=report["sentence"]
    )
    level = logging.WARNING if report["verdict"] == "bad" else logging.INFO
    get_run_logger().log(level, "quality of %s", report["sentence"])


def _refuse_nothing(request: IngestRequest, result: dict[str, Any]) -> None:
    """Fail where rows were read and none is a bar, but for candles that are yet to come."""
    reasons = {reason for reason in result["reasons"] if reason != "incomplete candle"}
    if result["good"] == 0 and reasons:
        counts = ", ".join(f"{n:,} x {reason}" for reason, n in result["reasons"].items())
        raise NothingStored(
            f"{_title(request)}: none of {result['rows']:,} rows is a bar ({counts}); they are in "
            "the table quarantine, each with its reason"
        )


def _taken(facts: dict[str, str]) -> str:
    return ", ".join(f"{name} {fact}" for name, fact in facts.items() if fact)


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
