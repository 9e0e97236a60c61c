"""What flows are asked for, at the door: from the command line, by the API, and in a run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort
from pydantic import ValidationError

from deployments.api import PrefectError
from flows.backtest import BacktestRequest, backtest
from flows.execute import execute
from flows.ingest import ingest
from flows.signals import signals
from infra.errors import SepError
from infra.market.financing import Financing
from infra.market.spreads import BUILT_IN, SHAPE
from tests.flows.test_ingest import latest_run
from tests.flows.test_ingest_oanda import logs
from tests.stack import Stack

NAIVE = datetime(2024, 3, 1, 12)  # noqa: DTZ001


def runs(stack: Stack) -> int:
    with stack.api() as api:
        return int(api.post("/flow_runs/count", {}))


@pytest.mark.parametrize(
    ("deployment", "options", "reason"),
    [
        ("backtest/local", ["-p", "pair=../EUR"], "'../EUR' does not match"),
        ("backtest/local", ["-p", f"pair={'A' * 33}"], "is too long"),
        ("backtest/local", ["-p", "timeframe=H7"], "'H7' is not one of"),
        ("backtest/local", ["-p", "engine=tpu"], "'tpu' is not one of"),
        ("backtest/local", ["-p", "horizon=0"], "0 is less than the minimum"),
        ("backtest/local", ["-p", "hroizon=8"], "hroizon"),
        ("signals/H1", ["-p", 'pairs=["€"]'], "pairs"),
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


@pytest.mark.parametrize(
    "asked",
    [
        {"pair": "EUR_USD", "timeframe": "H1"},
        {"pair": "OANDA:eur/usd", "spread": "35 points", "slippage": 0.00001},
        {"pair": "XAUUSD.m", "spread_pips": 5000},
    ],
)
def test_values_within_bounds_make_a_run_that_bears_their_names(
    stack: Stack, asked: dict[str, Any]
) -> None:
    options = [part for name, value in asked.items() for part in ("-p", f"{name}={value}")]
    said = stack.prefect("deployment", "run", "backtest/local", *options, "--start-in", "1 day")
    with stack.api() as api:
        (run,) = api.post("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
        assert run["id"] in said
        assert run["parameters"] == asked
        httpx.delete(f"{api.url}/flow_runs/{run['id']}", headers=api._client.headers)


@pytest.mark.usefixtures("prefect_server", "database", "cache")
def test_a_pair_goes_by_its_one_name() -> None:
    with pytest.raises(SepError, match="there are no bars"):
        backtest(pair="sgd/chf", timeframe="H4")
    assert latest_run().name == "backtest SGD_CHF H4"


@pytest.mark.usefixtures("prefect_server", "database", "cache")
@pytest.mark.parametrize(
    ("flow", "asked"),
    [
        (backtest, {"pair": "EUR_UDS"}),
        (ingest, {"pair": "EUR_UDS", "source": "oanda"}),
        (signals, {"pairs": ["EURUSD", "EUR_UDS"]}),
    ],
)
def test_a_pair_that_nobody_knows_begins_no_run(flow: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(Exception, match=r"'EUR_UDS': the nearest are EUR_USD"):
        flow(**asked)
    with get_client(sync_client=True) as client:
        newest = FlowRunSort.EXPECTED_START_TIME_DESC
        (run,) = client.read_flow_runs(sort=newest, limit=1)
        states = [state.name for state in client.read_flow_run_states(run.id)]
    assert states == ["Pending", "Failed"]


@pytest.mark.parametrize(
    ("asked", "spread", "slippage"),
    [
        ({}, 1.4 * 0.0001, 0.2 * 0.0001),
        ({"spread_pips": 1.5, "slippage_pips": 0}, 1.5 * 0.0001, 0.0),
        ({"spread": "1.5 pips", "slippage": "3 points"}, 1.5 * 0.0001, 3 * 1e-5),
        ({"spread": 0.0002, "slippage": "0.00001"}, 0.0002, 0.00001),
        ({"pair": "gold", "spread_pips": 5000}, 50.0, 4 * 0.01),
    ],
)
def test_costs_are_in_any_unit(asked: dict[str, Any], spread: float, slippage: float) -> None:
    recipe = BacktestRequest(**asked).recipe()
    assert (recipe.spread, recipe.slippage, recipe.spread_share) == (spread, slippage, 0.0)


def test_spreads_by_the_hour_are_asked_for() -> None:
    recipe = BacktestRequest(spread="hours").recipe()
    assert (recipe.spread, recipe.spread_hours) == (1.4 * 0.0001, SHAPE)
    assert recipe.spread_source == BUILT_IN
    usual = BacktestRequest().recipe()
    assert (usual.spread, usual.spread_hours, usual.spread_source) == (1.4 * 0.0001, (), "")


@pytest.mark.parametrize(
    ("swap", "rates"),
    [("broker", (-0.02, 0.01)), ("none", (0.0, 0.0)), ([-0.03, 0.004], (-0.03, 0.004))],
)
def test_swap_is_asked_for(
    swap: Any, rates: tuple[float, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert BacktestRequest().recipe().costs.financing == Financing()
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    entry = "[EUR_USD]\nlong_rate = -0.02\nshort_rate = 0.01\n"
    (tmp_path / "instruments.toml").write_text(entry)
    recipe = BacktestRequest(swap=swap).recipe()
    assert (recipe.swap_long, recipe.swap_short) == rates


def test_commission_is_a_distance() -> None:
    assert BacktestRequest().recipe().commission == 0.0
    assert BacktestRequest(commission="0.35 pips").recipe().commission == 0.35 * 0.0001


def test_trades_over_a_closure_are_asked_for() -> None:
    assert not BacktestRequest().recipe().weekend
    assert BacktestRequest(strategy="damped", weekend=True).recipe().weekend


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"leads": ["EUR_USD"]}, "leads are other pairs than EUR_USD"),
        ({"weekend": True}, "weekend is for strategy=damped"),
        ({"strategy": "trend_following", "horizon": 5}, "horizon is for strategy=damped"),
        ({"strategy": ""}, "at least 1 character"),
    ],
)
def test_what_a_text_says_itself_is_not_asked_for(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        BacktestRequest(**asked)


def test_a_text_brings_its_own_series_and_the_default_one_the_usual_horizon() -> None:
    own = BacktestRequest(strategy="multi_timeframe")
    assert (own.series, own.parameters()) == (("EUR_USD", "M1"), {})
    recipe = BacktestRequest(strategy="multi_timeframe", pair="gbpusd").recipe()
    assert (recipe.pair, recipe.timeframe) == ("GBP_USD", "M1")
    usual = BacktestRequest(timeframe="M1", stop_deviations=3)
    name = "damped_consensus"
    assert usual.parameters() == {f"{name}.horizon": 60.0, f"{name}.deviations": 3.0}


def test_a_spread_may_be_a_share_of_the_price() -> None:
    recipe = BacktestRequest(pair="BTCUSD", spread="0.02%").recipe()
    assert (recipe.pair, recipe.spread, recipe.spread_share) == ("BTC_USD", 0.0, 0.0002)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"spread": "1.4 dollars"}, "no distance of price"),
        ({"spread": -1.0}, "no distance|greater than or equal to 0"),
        ({"spread": "1 pip", "spread_pips": 1}, "say the same"),
        ({"slippage": "0.1%"}, "slippage is the same at all times"),
        ({"commission": "0.1%"}, "commission is the same at all times"),
        ({"commission": -1.0}, "no distance|greater than or equal to 0"),
        ({"spread": "hours", "spread_pips": 1}, "say the same"),
        ({"slippage": "hours"}, "no distance of price"),
        ({"swap": [-2.0, 0.0]}, "greater than or equal to -1"),
        ({"swap": "OANDA"}, "'broker' or 'none'"),
        ({"spread_pips": float("inf")}, "finite"),
    ],
)
def test_costs_that_are_none_are_refused(asked: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        BacktestRequest(**asked)


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
