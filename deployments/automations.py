"""Automations: what the Prefect server does by itself."""

from __future__ import annotations

from typing import Any

from deployments.api import Api

HEARTBEAT_SECONDS = 30
"""Between two signs of life of a flow run; the least that Prefect allows."""

ZOMBIES: dict[str, Any] = {
    "name": "Crash zombie runs",
    "description": "A flow run without a sign of life for 90 seconds is marked as crashed: "
    "its process is gone, and it would keep its concurrency slot for ever.",
    "enabled": True,
    "trigger": {
        "type": "event",
        "posture": "Proactive",
        "match": {"prefect.resource.id": ["prefect.flow-run.*"]},
        "for_each": ["prefect.resource.id"],
        "after": ["prefect.flow-run.heartbeat"],
        "expect": [
            "prefect.flow-run.heartbeat",
            "prefect.flow-run.AwaitingRetry",
            "prefect.flow-run.Cancelled",
            "prefect.flow-run.Completed",
            "prefect.flow-run.Crashed",
            "prefect.flow-run.Failed",
            "prefect.flow-run.Paused",
            "prefect.flow-run.Suspended",
        ],
        "threshold": 1,
        "within": 3 * HEARTBEAT_SECONDS,
    },
    "actions": [
        {
            "type": "change-flow-run-state",
            "state": "CRASHED",
            "message": "No sign of life for 90 seconds: the process or its machine died.",
        }
    ],
}


def ensure_automations(api: Api) -> None:
    """Create the automations, or bring them back to what they are here."""
    query = {"automations": {"name": {"any_": [ZOMBIES["name"]]}}}
    automations = api.post("/automations/filter", query)
    if not automations:
        api.post("/automations/", ZOMBIES)
    elif not _contains(automations[0], ZOMBIES):
        api.put(f"/automations/{automations[0]['id']}", ZOMBIES)


def _contains(whole: Any, part: Any) -> bool:
    """Say whether `part` is in `whole`, which may know more keys and another order."""
    if isinstance(part, dict):
        return all(key in whole and _contains(whole[key], part[key]) for key in part)
    if isinstance(part, list):
        return len(whole) == len(part) and all(any(_contains(w, p) for w in whole) for p in part)
    return bool(whole == part)
