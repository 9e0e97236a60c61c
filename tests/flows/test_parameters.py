"""What flows are asked for, at the door: from the command line, by the API, and in a run."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import httpx
import pytest

from deployments.api import PrefectError
from flows.backtest import backtest
from flows.execute import execute
from flows.ingest import ingest
from flows.signals import signals
from infra.errors import SepError
from tests.flows.test_ingest_oanda import logs
from tests.stack import Stack

NAIVE = datetime(2024, 3, 1, 12)  # noqa: DTZ001


def runs(stack: Stack) -> int:
    with stack.api() as api:
        return int(api.post("/flow_runs/count", {}))


@pytest.mark.parametrize(
    ("deployment", "options", "reason"),
    [
        ("backtest/local", ["-p", "pair=EUR/USD"], "'EUR/USD' does not match"),
        ("backtest/local", ["-p", f"pair={'A' * 33}"], "is too long"),
        ("backtest/local", ["-p", "timeframe=H7"], "'H7' is not one of"),
        ("backtest/local", ["-p", "engine=tpu"], "'tpu' is not one of"),
        ("backtest/local", ["-p", "horizon=0"], "0 is less than the minimum"),
        ("backtest/local", ["-p", "hroizon=8"], "hroizon"),
        ("signals/H1", ["-p", 'pairs=["x"]'], "pairs"),
        ("execute/droplet", ["-p", "account=a b"], "'a b' does not match"),
    ],
)
def test_a_value_out_of_bounds_makes_no_run(
    stack: Stack, deployment: str, options: list[str], reason: str
) -> None:
    before = runs(stack)
    said = stack.prefect("deployment", "run", deployment, *options, check=False)
    assert reason in " ".join(said.split()), said
    assert runs(stack) == before


def test_values_within_bounds_make_a_run_that_bears_their_names(stack: Stack) -> None:
    options = ["-p", "pair=EUR_USD", "-p", "timeframe=H1", "--start-in", "1 day"]
    said = stack.prefect("deployment", "run", "backtest/local", *options)
    with stack.api() as api:
        (run,) = api.post("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
        assert run["id"] in said
        assert run["parameters"] == {"pair": "EUR_USD", "timeframe": "H1"}
        httpx.delete(f"{api.url}/flow_runs/{run['id']}", headers=api._client.headers)


def test_the_api_refuses_what_the_command_does(stack: Stack) -> None:
    with pytest.raises(PrefectError, match="'H7' is not one of"):
        stack.begin("backtest/local", timeframe="H7")


@pytest.mark.usefixtures("prefect_server", "database", "cache")
@pytest.mark.parametrize(
    ("flow", "asked"),
    [
        (backtest, {"pair": "USD_CHF", "timeframe": "H4", "start": NAIVE}),
        (signals, {"timeframe": "H4", "as_of": NAIVE}),
        (ingest, {"source": "oanda", "start": NAIVE}),
    ],
)
def test_a_time_without_a_zone_is_utc_and_said_to_be(flow: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(SepError):  # no bars, no model, no token: not a crash over a zone
        flow(**asked)
    assert "2024-03-01 12:00:00 names no zone: taken as UTC" in logs()


@pytest.mark.usefixtures("prefect_server", "database")
def test_execution_takes_it_for_utc_too() -> None:
    assert execute(as_of=NAIVE)["entered"] == 0
    assert "names no zone: taken as UTC" in logs()
