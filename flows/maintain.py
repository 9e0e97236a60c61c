"""Upkeep: memory tiers, outcomes of signals, backup, folders of old runs, health."""

from __future__ import annotations

from typing import Any, Literal, get_args

from prefect import get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import Field

from flows.parameters import flow_of
from infra.health import ORDER
from tasks.maintain import clean, health
from tasks.parameters import Parameters
from tasks.upkeep.backup import backup
from tasks.upkeep.standing import watch
from tasks.upkeep.tiers import move

Part = Literal["tiers", "outcomes", "backup", "runs"]
_STEPS = {"tiers": move, "outcomes": watch, "backup": backup, "runs": clean}


class MaintainRequest(Parameters):
    """What to do."""

    parts: list[Part] | None = Field(
        None,
        description="tiers (bars to the tier where they belong), outcomes (published signals are "
        "resolved, champions judged by them), backup, runs (folders of old runs are deleted); "
        "left out: all. Health is looked at in any case.",
    )


@flow_of(MaintainRequest, run_name="maintain")
def maintain(request: MaintainRequest) -> dict[str, Any]:
    """Keep the system in order; doing it again changes nothing.

    Returns what each part did, and health: the state that is worst.
    """
    parts = request.parts
    chosen = [part for part in get_args(Part) if parts is None or part in parts]
    states = {part: _STEPS[part](return_state=True) for part in chosen}
    findings = health()
    done = {part: state.result() for part, state in states.items() if state.is_completed()}
    _show(done, findings)
    for state in states.values():
        state.result()  # a part that failed did not keep the others from being done
    worst = max((row["state"] for row in findings), key=ORDER.index)
    return {**{part: _plain(did) for part, did in done.items()}, "health": worst}


def _show(done: dict[str, Any], findings: list[dict[str, str]]) -> None:
    logger = get_run_logger()
    if "tiers" in done:
        tiers = done["tiers"]
        table = tiers["table"] or [{"tiers": "no bars yet: run `ingest` first"}]
        create_table_artifact(key="memory-tiers", table=table, description=tiers["sentence"])
    if did := done.get("outcomes"):
        table = did["table"] or [{"live record": "no model is in force"}]
        create_table_artifact(key="live-record", table=table, description="Models in force")
        if did["demoted"]:
            logger.warning("%d models were demoted: `sep model list` says why", did["demoted"])
    create_table_artifact(
        key="maintain",
        table=[{"part": part, **_plain(did)} for part, did in done.items()] or [{"part": "none"}],
        description="What was done",
    )
    create_table_artifact(key="health", table=findings, description="Health")
    for row in findings:
        if row["state"] == "problem":
            logger.warning("%s: %s", row["what"], row["text"])
    logger.info("done: %s", {part: _plain(did) for part, did in done.items()})


def _plain(did: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in did.items() if name != "table"}
