"""The whole way through real workers: ingest, backtest, signals, execute, and their reruns."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from infra.postgres.database import read_frame
from infra.servers import postgres
from infra.stores import hot
from kernels.device import choose_engine
from tasks import document
from tasks.folder import RunFolder
from tasks.live.publish import COLUMNS
from tasks.research.model import Model
from tasks.strategy.strategies import damped
from tests.stack import Stack

BARS = 6_000
HOUR = timedelta(hours=1)
PLANTED = {"pair": "PLANTED", "timeframe": "H1"}


@pytest.fixture(scope="module")
def tested(session_stack: Stack) -> Path:
    """A finished backtest of PLANTED: its folder."""
    session_stack.sep("up")
    session_stack.empty()
    complete(session_stack, "ingest/local", **PLANTED, source="planted", seed=5, bars=BARS)
    run = complete(session_stack, "backtest/local", **PLANTED)
    session_stack.appoint(model_of(session_stack.home / "runs" / "backtest" / run))
    return session_stack.home / "runs" / "backtest" / run


@pytest.fixture(autouse=True)
def in_force(stack: Stack, tested: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_HOME", str(stack.home))


def model_of(folder: Path) -> str:
    return str(json.loads((folder / "model.json").read_text())["value"]["model_id"])


def complete(stack: Stack, deployment: str, **parameters: Any) -> str:
    run = stack.begin(deployment, **parameters)
    state = stack.wait(run)
    assert state == "COMPLETED", stack.prefect("flow-run", "logs", run)
    return run


def told(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "predictions.parquet")


EXECUTED = 200
"""How many of the last bars, at least, are traded from a time without a position."""
NO_LIMITS = """
cool_down_after = "off"
daily_loss = "off"
max_entries = "off"
trailing_drawdown = "off"
"""
"""The simulation knows no limits of risk."""


def closes(folder: Path) -> str:
    last: datetime = told(folder)["timestamp"][-1]
    return (last + HOUR).isoformat()


def published() -> pl.DataFrame:
    return read_frame("SELECT * FROM signal WHERE pair = 'PLANTED' ORDER BY bar_ts")


def test_a_backtest_leaves_its_files_and_a_verdict(tested: Path) -> None:
    summary = json.loads((tested / "summary.json").read_text())
    assert summary["verdict"] in ("edge after costs", "no edge after costs")
    names = {path.name for path in tested.iterdir()}
    assert {"report.html", "model.json", "library.parquet", "trades.parquet"} <= names
    assert not {file.name for file in RunFolder.files("run")} & names
    assert summary["verdict"] in (tested / "report.html").read_text()
    assert not list(tested.rglob("*.pkl"))


@pytest.mark.usefixtures("stack")
def test_a_result_names_the_engine_that_all_of_it_comes_from(tested: Path) -> None:
    summary = json.loads((tested / "summary.json").read_text())
    engine = choose_engine("auto").name
    frozen = document.read(tested / "model.json", Model).frozen
    assert {summary["about"]["engine"], frozen.engine} == {engine}
    recorded = read_frame(f"SELECT metrics FROM model WHERE path = '{tested}'")["metrics"][0]
    assert json.loads(recorded)["engine"] == engine
    for name in ("learners", "caution"):
        assert json.loads(recorded)[name] == summary[name]


def test_a_backtest_says_what_each_learner_and_caution_is_worth(tested: Path) -> None:
    summary = json.loads((tested / "summary.json").read_text())
    model = document.read(tested / "model.json", Model)
    *alone, together = summary["learners"]
    assert {each["name"]: each["weight"] for each in alone} == model.confidence.weights
    assert together["brier_skill"] == summary["calibration"]["brier_skill"]
    caution = summary["caution"]
    assert (caution["in_force"], caution["chosen_by"]) == (model.caution, "past")
    (used,) = (each for each in caution["tried"] if each["caution"] == model.caution)
    assert used["trades"] == summary["trades"]["count"]
    assert math.expm1(used["test"]) == pytest.approx(summary["money"]["growth"])
    assert summary["truth"]["sentence"] in (tested / "report.html").read_text().replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_a_backtest_shows_calibration_and_what_it_hangs_on(tested: Path) -> None:
    summary = json.loads((tested / "summary.json").read_text())
    frozen = document.read(tested / "model.json", Model).frozen
    (shown,) = summary["shown"].values()
    assert shown["sides"]["long"]["why"] is None
    skills = {row["name"]: row["both"]["skill"] for row in shown["skills"]}
    assert skills["confidence"] > max(skills["sign reversal"], skills["random neighbours"])
    assert sum(row["trades"] for row in summary["periods"]["hour"]) == summary["trades"]["count"]
    assert summary["hashes"]["data"] == frozen.data_hash
    assert (tested / "coverage.png").exists()


def test_its_report_is_found_by_run_and_by_model(stack: Stack, tested: Path) -> None:
    for named in (tested.name, model_of(tested)):
        assert stack.sep("report", "show", named).stdout.strip() == str(tested / "report.html")
    same = stack.sep("report", "diff", tested.name, model_of(tested))
    assert same.stdout.strip() == "nothing differs"


def test_a_backtest_shows_its_steps_and_artifacts(stack: Stack, tested: Path) -> None:
    with stack.api() as api:
        query = {"flow_runs": {"id": {"any_": [tested.name]}}}
        steps = [run["name"].rsplit("-", 1)[0] for run in api.post("/task_runs/filter", query)]
        artifacts = api.post("/artifacts/filter", query)
    order = ["strategy", "reserve", "bars", "measure", "search", "train", "simulate", "judge"]
    order += ["report", "register"]
    assert sorted(steps) == sorted(order)
    assert {a["key"]: a["type"] for a in artifacts if a["key"]} == {
        "search": "progress",
        "backtest-table": "table",
        "backtest-report": "markdown",
    }


def test_the_replayed_live_cycle_is_the_backtest(stack: Stack, tested: Path) -> None:
    """Signals equal the backtest's row for row, and the paper broker trades as simulated."""
    bars = len(told(tested).filter(pl.col("split") == "test"))
    cycle = {"as_of": closes(tested), "bars": bars}
    complete(stack, "signals/H1", **cycle)
    signals = published()
    expected = damped(told(tested).filter(pl.col("split") == "test"))
    columns = [name for name in COLUMNS if name in expected.columns]
    assert len(expected) > 0
    assert signals["bar_ts"].to_list() == expected["timestamp"].to_list()
    assert_frame_equal(signals.select(columns), expected.select(columns), check_exact=True)
    assert signals["mode"].unique().to_list() == ["live"]
    assert signals["valid_until"].to_list() == [bar + 2 * HOUR for bar in signals["bar_ts"]]
    assert (signals["margin"] > 0).all()
    measured = hot.look("metrics", "PLANTED", "H1")
    assert measured is not None
    assert measured.rows == bars

    complete(stack, "signals/H1", **cycle)
    assert_frame_equal(published(), signals)

    (stack.home / "risk.toml").write_text(NO_LIMITS)
    simulated = pl.read_parquet(tested / "trades.parquet")
    end = datetime.fromisoformat(closes(tested))
    flat = simulated["exit_time"].filter(simulated["exit_time"] <= end - EXECUTED * HOUR).max()
    assert isinstance(flat, datetime)
    cycle["bars"] = (end - flat) // HOUR
    complete(stack, "execute/droplet", **cycle)
    trades = read_frame(
        "SELECT side, opened_at, closed_at, entry_price::float8, exit_price::float8, exit_reason "
        "FROM position "
        "WHERE closed_at IS NOT NULL ORDER BY opened_at"
    )
    everything = read_frame("SELECT * FROM position ORDER BY id")
    simulated = simulated.filter(pl.col("entry_time") > flat)
    assert len(simulated) > 0
    assert trades["opened_at"].to_list() == simulated["entry_time"].to_list()
    assert trades["exit_reason"].to_list() == simulated["exit_reason"].to_list()
    for ours, theirs in (("entry_price", "entry_price"), ("exit_price", "exit_price")):
        assert trades[ours].to_list() == pytest.approx(simulated[theirs].to_list(), rel=1e-12)

    complete(stack, "execute/droplet", **cycle)
    assert_frame_equal(read_frame("SELECT * FROM position ORDER BY id"), everything)
    doubled = read_frame("SELECT intent_id FROM fill GROUP BY intent_id HAVING count(*) > 1")
    assert len(doubled) == 0


@pytest.mark.proof
def test_a_pool_is_kept_with_its_model(stack: Stack, tested: Path) -> None:
    """The live cycle asks the pool that the backtest left, to the same answer."""
    own = {"pair": "PLANTED_REVERSAL", "timeframe": "H1"}
    complete(stack, "ingest/local", **own, source="planted", seed=5, bars=BARS)
    run = complete(stack, "backtest/local", **own, pool=["PLANTED"])
    folder = tested.parent / run
    assert (folder / "pool.parquet").exists()
    assert not (folder / "pool_bars.parquet").exists()
    assert "pooled" in document.read(folder / "model.json", Model).confidence.learners
    stack.appoint(model_of(folder))
    cycle = complete(stack, "signals/H1", pairs=[own["pair"]], as_of=closes(folder), bars=3)
    live = told(stack.home / "runs" / "signals" / cycle / own["pair"] / "damped_consensus")
    columns = [name for name in live.columns if name != "segment"]
    assert_frame_equal(live.select(columns), told(folder).tail(3).select(columns), check_exact=True)


def test_a_late_cycle_is_stale_and_publishes_nothing(stack: Stack, tested: Path) -> None:
    before = len(published())
    late = datetime.fromisoformat(closes(tested)) + 2 * HOUR
    run = complete(stack, "signals/H1", pairs=["PLANTED"], as_of=late.isoformat())
    assert "stale" in stack.prefect("flow-run", "logs", run)
    assert len(published()) == before


def test_a_failed_backtest_is_retried_from_where_it_failed(stack: Stack, tested: Path) -> None:
    run = stack.begin("backtest/local", **PLANTED, seed=9)
    folder = tested.parent / run
    stack.wait_until(lambda: (folder / "trajectory.parquet").exists())
    stack.kill("postgres")  # what comes up to the trades needs no database
    assert stack.wait(run) == "FAILED"
    made = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {"trajectory.parquet", "counts.parquet", "trades.parquet"} <= set(made)
    assert "report.html" not in made
    postgres.start(stack.home)
    assert stack.retry(run) == "COMPLETED"
    scratch = {file.name for file in RunFolder.files("run")}
    left = {name: time for name, time in made.items() if name not in scratch}
    found = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert {name: time for name, time in found.items() if name in left} == left
    assert found.keys() - left.keys() >= {"report.html", "gate.json"}
    registered = read_frame("SELECT path FROM model WHERE path = %s", (str(folder),))
    assert len(registered) == 1


def test_what_cannot_be_done_says_what_to_do(stack: Stack) -> None:
    run = stack.begin("backtest/local", pair="GBP_USD", timeframe="H1")
    assert stack.wait(run) == "FAILED"
    assert "run `ingest`" in stack.prefect("flow-run", "logs", run)
    run = stack.begin("signals/H1", pairs=["GBP_USD"])
    assert stack.wait(run) == "FAILED"
    assert "no model of GBP_USD is in force for H1" in stack.prefect("flow-run", "logs", run)


@pytest.mark.slow
def test_upkeep_runs_on_both_machines(stack: Stack, tested: Path) -> None:
    complete(stack, "maintain/local")
    complete(stack, "maintain/droplet")
    assert list((stack.home / "backups").glob("[0-9]*/manifest.json"))
    assert tested.exists()
