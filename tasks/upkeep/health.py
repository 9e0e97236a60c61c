"""What the tasks know of the system's health, beside what it stands on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from infra import health
from infra.health import Check, Finding
from infra.settings import settings
from infra.stores import hot
from tasks.folder import bar_store
from tasks.research import registry
from tasks.research.registry import Entry, ModelRefused
from tasks.upkeep.standing import pointed


def checks() -> list[Check]:
    """Return all checks that there are."""
    return [*health.shared_checks(settings().home), check_models, check_live, check_standing]


def look_after() -> list[dict[str, Any]]:
    """Look at everything, and remember what was found.

    Returns
    -------
    list of dict
        `what`, `state` (ok, note or problem), `text`, `since` (ISO time).
    """
    findings = health.remember(settings().home, health.look(checks()), whole=True)
    return [_row(finding) for finding in findings]


def _row(finding: Finding) -> dict[str, Any]:
    since = finding.since and finding.since.isoformat()
    return {"what": finding.topic, "state": finding.state, "text": str(finding), "since": since}


def note_model(chosen: Entry, refused: ModelRefused | None) -> None:
    """Remember whether a model in force could be used.

    Parameters
    ----------
    chosen : Entry
        The model in force.
    refused : ModelRefused, optional
        Why it could not be used.
    """
    health.remember(settings().home, [_of_model(chosen, refused)])


def check_models() -> Iterator[Finding]:
    """Say of each model in force whether it fits the bars and the code that are here."""
    here = bar_store().pairs()  # a machine that only executes has neither bars nor models
    for chosen in registry.champions() if here else ():
        try:
            registry.in_force(chosen, bar_store())
        except ModelRefused as error:
            yield _of_model(chosen, error)
        else:
            yield _of_model(chosen, None)


def check_live() -> Iterator[Finding]:
    """Say what the live cycle measured last, as long as it is remembered."""
    for kept in hot.kept("metrics"):
        measured = hot.take("metrics", kept.pair, kept.timeframe, version=kept.version)
        if measured is not None and measured.height:
            topic, newest = f"signals {kept.pair} {kept.timeframe}", measured["timestamp"][-1]
            yield Finding(topic, "ok", f"measured the bar of {newest}")


def check_standing() -> Iterator[Finding]:
    """Say of each model that was demoted why it was."""
    for own in pointed():
        if own.state == "demoted":
            yield Finding(f"standing {own.model_id}", "note", own.words)


def _of_model(chosen: Entry, refused: ModelRefused | None) -> Finding:
    topic = f"model {chosen.pair} {chosen.timeframe} {chosen.strategy}"
    if refused is None:
        return Finding(topic, "ok", f"{chosen.model_id} is in force")
    return Finding(topic, "problem", f"paused: {refused}")
