"""Training fanned out: two homes, one server and database, no pair trained twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from infra.postgres.database import engine, read_frame
from infra.servers import postgres, prefect
from infra.stores.bulk import BarStore
from tasks.folder import bar_store
from tasks.gate.promotion import promote
from tasks.intake.rows import planted_rows
from tasks.research import registry
from tests.stack import Stack

BARS = 3_000
PAIRS = ("PLANTED", "PLANTED_FAT")
QUICK = {"strategy": "damped", "tries": 2, "engine": "cpu"}


def plant(pairs: tuple[str, ...]) -> None:
    for seed, pair in enumerate(pairs):
        rows = planted_rows(BARS, timeframe="H1", seed=seed, pair=pair, size=2.5)
        bar_store().write(pair, "H1", rows.drop("source_row"))
        with engine().begin() as connection:
            connection.execute(text("INSERT INTO pairs VALUES (:pair, 'H1')"), {"pair": pair})


@pytest.fixture
def planted(stack: Stack) -> Stack:
    stack.empty()
    plant(PAIRS)
    return stack


@pytest.fixture
def helper(stack: Stack) -> Iterator[Path]:
    """The home of a second machine, whose worker takes trainings."""
    home = stack.home.parent / "helper"
    variables = {
        "SEP_HOME": str(home),
        "SEP_SITE": "helper",
        "SEP_DATABASE_URL": str(postgres.find(stack.home)),
        "SEP_PREFECT_API_URL": stack.api_url,
        "PREFECT_API_AUTH_STRING": str(prefect.password(stack.home, stack.api_url)),
    }
    stack.sep("up", extra=variables)
    yield home
    stack.sep("down", extra=variables)


def children(stack: Stack, parent: str) -> list[dict[str, Any]]:
    with stack.api() as api:
        query = {"flow_runs": {"parent_flow_run_id": {"any_": [parent]}}}
        return list(api.post("/flow_runs/filter", query))


def table(stack: Stack, parent: str) -> list[dict[str, Any]]:
    with stack.api() as api:
        query = {"artifacts": {"flow_run_id": {"any_": [parent]}, "type": {"any_": ["table"]}}}
        newest = api.post("/artifacts/filter", query)[-1]
    return list(json.loads(newest["data"]))


def test_two_machines_share_and_a_killed_parent_finds_its_children(
    planted: Stack, helper: Path
) -> None:
    stack = planted
    run = stack.begin("train_all/droplet", **QUICK)
    stack.wait_until(lambda: len(children(stack, run)) >= 1, seconds=60)
    stack.kill("worker-droplet")
    stack.sep("up")
    assert stack.state(run) == "CRASHED"
    assert stack.retry(run) == "COMPLETED", said(stack, run)
    assert len(children(stack, run)) == len(PAIRS)
    rows = table(stack, run)
    assert [(row["pair"], row["state"]) for row in rows] == [
        (pair, "Completed") for pair in sorted(PAIRS)
    ]
    assert all(row["verdict"] and row["gate"] and row["machine"] for row in rows)

    folders = [Path(path) for path in read_frame("SELECT path FROM model")["path"]]
    assert {folder.is_relative_to(helper) for folder in folders} == {True, False}
    assert BarStore(helper / "bars").pairs() == []
    for name in ("bar_file", "bar_want"):
        assert read_frame(f"SELECT * FROM {name}").is_empty()
    (helper / "runs").rename(helper / "out of reach")
    away = next(each for each in registry.entries() if "fetched" in each.folder)
    _serves(stack, away)


def _serves(stack: Stack, away: registry.Entry) -> None:
    """A model of the other machine is asked by the gate and speaks in the live cycle here."""
    assert away.folder.startswith(str(stack.home))
    promotion = promote(away.model_id, bar_store(), who="me", engine="cpu")
    assert len(promotion.checks) >= 8, promotion.reasons
    newest = bar_store().starts(away.pair, "H1", None)[-1] + timedelta(hours=1)
    run = stack.begin("signals/H1", pairs=[away.pair], as_of=newest.isoformat(), bars=200)
    assert stack.wait(run) == "COMPLETED", said(stack, run)
    assert "paused" not in said(stack, run)


@pytest.mark.proof
def test_a_pool_with_one_place_is_the_childs_and_none_stops_another(planted: Stack) -> None:
    stack, short = planted, planted_rows(200, timeframe="H1", seed=9, pair="PLANTED_GAPS")
    bar_store().write("PLANTED_GAPS", "H1", short.drop("source_row"))
    with stack.api() as api:
        api.patch("/work_pools/local-gpu", {"concurrency_limit": 1})
    try:
        run = stack.begin("train_all/droplet", pairs=["PLANTED", "PLANTED_GAPS"], **QUICK)
        assert stack.wait(run) == "FAILED"
        assert [row["state"] for row in table(stack, run)] == ["Completed", "Failed"]
        assert "1 of 2 failed: PLANTED_GAPS H1" in said(stack, run)
        assert stack.retry(run) == "FAILED"
    finally:
        with stack.api() as api:
            api.patch("/work_pools/local-gpu", {"concurrency_limit": None})
    again = {each["parameters"]["pair"]: each["run_count"] for each in children(stack, run)}
    assert again == {"PLANTED": 1, "PLANTED_GAPS": 2}


def said(stack: Stack, run: str) -> str:
    return " ".join(stack.prefect("flow-run", "logs", run).split())
