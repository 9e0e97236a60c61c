"""What `prefect.yaml` declares, and what the server makes of it."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from deployments import registration
from deployments.api import PrefectError
from deployments.automations import ZOMBIES, ensure_automations
from deployments.pools import POOLS, ensure_pools
from infra.market.timeframes import TIMEFRAMES
from tests.deployments import scratch
from tests.stack import Stack

NAMES = {
    "ingest/local",
    "backtest/local",
    "train/local",
    "train_all/droplet",
    *(f"signals/{timeframe}" for timeframe in TIMEFRAMES),
    "execute/droplet",
    "maintain/local",
    "maintain/droplet",
}


MORE = "(folder: str, more: int = 1) -> int:\n    return store"


def flow_of(item: dict[str, Any]) -> Flow[..., Any]:
    path, _, name = item["entrypoint"].partition(":")
    flow = getattr(import_module(path.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(flow, Flow)
    return flow


def test_every_entrypoint_is_a_flow() -> None:
    declared = registration.declared()
    assert {f"{flow_of(item).name}/{item['name']}" for item in declared} == NAMES
    assert len(declared) == len(NAMES)


def test_parameters_are_those_of_the_flow() -> None:
    for item in registration.declared():
        flow_of(item).validate_parameters(item.get("parameters", {}))


def test_pools_queues_and_heartbeats() -> None:
    for item in registration.declared():
        pool = item["work_pool"]
        assert pool["name"] == ("droplet" if item["name"] == "droplet" else "local-gpu")
        assert pool.get("work_queue_name", "default") in {*POOLS[pool["name"]], "default"}
        assert "job_variables" not in pool  # the pools take none; the worker passes its own on


def test_schedules_are_off_and_in_utc() -> None:
    schedules = [s for item in registration.declared() for s in item.get("schedules", [])]
    assert len({s["slug"] for s in schedules}) == len(schedules) == 10
    assert all(s["active"] is False and s["timezone"] == "UTC" and s["slug"] for s in schedules)


def test_only_the_live_cycle_is_limited() -> None:
    limits = [(e["entrypoint"], e.get("concurrency_limit")) for e in registration.declared()]
    one = {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    live = [("flows/signals.py:signals", one)] * len(TIMEFRAMES)
    assert [limited for limited in limits if limited[1]] == live


def test_the_server_knows_them(stack: Stack) -> None:
    with stack.api() as api:
        assert registration.missing(api) == []
        for name in NAMES:
            found = api.get(f"/deployments/name/{name}")
            assert not any(schedule["active"] for schedule in found["schedules"])
            step = found["pull_steps"][0]["prefect.deployments.steps.set_working_directory"]
            assert step == {"directory": "{{ $SEP_ROOT }}"}
        signals = api.get("/deployments/name/signals/H1")
        execute = api.get("/deployments/name/execute/droplet")
    assert signals["global_concurrency_limit"]["limit"] == 1
    assert signals["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    assert signals["work_queue_name"] == "live"
    assert execute["global_concurrency_limit"] is None
    assert execute["work_pool_name"] == "droplet"


def test_pools_are_made_once_and_left_alone(stack: Stack) -> None:
    with stack.api() as api:
        path = "/work_pools/local-gpu/queues/research"
        api.patch(path, {"concurrency_limit": 5})
        ensure_pools(api)
        assert api.get(path)["concurrency_limit"] == 5
        api.patch(path, {"concurrency_limit": 2})
        pools = {pool["name"]: pool["type"] for pool in api.post("/work_pools/filter", {})}
    assert pools == {"local-gpu": "process", "droplet": "process"}


def test_a_schedule_switched_on_stays_on_when_registered_anew(stack: Stack) -> None:
    scratch.register(stack)
    with stack.api() as api:
        found = api.get("/deployments/name/scratch/local")
        path = f"/deployments/{found['id']}/schedules/{found['schedules'][0]['id']}"
        api.patch(path, {"active": True})
        wait_for_scheduled_runs(stack, found["id"])
        flow = scratch.project(stack) / "flows" / "scratch.py"
        flow.write_text(flow.read_text() + "\n")
        assert not scratch.register(stack)
        more = flow.read_text().replace("(folder: str) -> int:\n    return store", MORE)
        flow.write_text(more)
        assert scratch.register(stack)
        assert not scratch.register(stack)
        found = api.get("/deployments/name/scratch/local")
        assert [schedule["active"] for schedule in found["schedules"]] == [True]
        api.patch(path, {"active": False})


def wait_for_scheduled_runs(stack: Stack, deployment: str) -> None:
    """A cron schedule makes runs within 15 s; an incompatible SQLAlchemy makes none, in silence."""
    query = {
        "deployments": {"id": {"any_": [deployment]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }
    with stack.api() as api:
        stack.wait_until(lambda: len(api.post("/flow_runs/filter", query)) >= 3, seconds=15)


def test_what_cannot_be_registered_is_named(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "prefect.yaml").write_text(scratch.DECLARATION.format(project=tmp_path))
    with (
        stack.api() as api,
        pytest.raises(PrefectError, match=r"cannot be imported: .*flows/scratch"),
    ):
        registration.register(api, {"PREFECT_API_URL": api.url}, tmp_path)


def test_the_zombie_automation_is_there_once(stack: Stack) -> None:
    query = {"automations": {"name": {"any_": [ZOMBIES["name"]]}}}
    with stack.api() as api:
        (found,) = api.post("/automations/filter", query)
        api.put(f"/automations/{found['id']}", {**ZOMBIES, "enabled": False})
        ensure_automations(api)
        (found,) = api.post("/automations/filter", query)
    assert found["enabled"] is True
    assert found["trigger"]["posture"] == "Proactive"
    assert found["trigger"]["within"] == 90
    assert found["trigger"]["after"] == ["prefect.flow-run.heartbeat"]
    assert found["actions"][0]["state"] == "CRASHED"


@pytest.mark.slow
def test_a_zombie_is_marked_crashed(stack: Stack, tmp_path: Path) -> None:
    """The automation as it is, but for ten seconds in the place of ninety."""
    scratch.register(stack)
    (tmp_path / "wait").touch()
    quick = {**ZOMBIES, "name": "quick", "trigger": {**ZOMBIES["trigger"], "within": 10}}
    with stack.api() as api:
        automation = api.post("/automations/", quick)
        try:
            run = stack.begin("scratch/local", folder=str(tmp_path))
            stack.wait(run, "RUNNING")
            stack.wait_until(lambda: stack.beats(run))
            stack.kill("worker-local-gpu")
            assert stack.state(run) == "RUNNING"
            assert stack.wait(run) == "CRASHED"
        finally:
            api.delete(f"/automations/{automation['id']}")
