"""The flow `execute` against a real Prefect server and database, on paper."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import ParameterBindError, ParameterTypeError

from flows.execute import execute
from infra.postgres import database as db
from infra.postgres.database import session
from infra.servers import postgres
from infra.settings import settings
from tasks.trading import control, halt_file, statement
from tasks.trading.brokers import NoBroker
from tasks.trading.lease import acquire
from tasks.trading.rounds import holder
from tests.flows.test_ingest import artifacts, latest_run, retry
from tests.flows.test_ingest_oanda import logs
from tests.flows.test_outage import at_call, goes_away
from tests.servers import FAST
from tests.tasks.trading.desk import intents, model, positions
from tests.tasks.trading.walk import HOUR, due, flat, run, signal

pytestmark = pytest.mark.usefixtures("prefect_server", "database")


@pytest.fixture(autouse=True)
def nothing_is_there(home: Path) -> None:
    for name in ("bars", "statements"):
        shutil.rmtree(home / name, ignore_errors=True)
    halt_file.path_of(home).unlink(missing_ok=True)


@pytest.fixture
def signalled(home: Path) -> datetime:
    """Bars, and two signals on them; the hour that has begun."""
    with session() as opened:
        opened.add(model())
    last = flat(home)
    for ago in (20, 10):
        signal(last - ago * HOUR)
    return last


def replay(last: datetime, bars: int = 30, **changes: Any) -> dict[str, Any]:
    return dict(execute(as_of=last, bars=bars, **changes))


def told() -> Any:
    return artifacts(latest_run().id)["execution"]


def test_a_replay_trades_its_signals_once(signalled: datetime) -> None:
    done = replay(signalled)
    assert done["state"] == "done"
    assert done["account"] == f"replay-{signalled:%Y%m%dT%H%M}-H1-30"
    assert (done["entered"], done["left"]) == (2, 2)
    assert {each.exit_reason for each in positions()} == {"time"}
    assert "entered" in told()
    before = [each.id for each in intents()]
    again = replay(signalled)
    assert (again["entered"], again["left"], again["findings"]) == (0, 0, 1)
    assert "30 times up to it are left out" in logs()
    assert [each.id for each in intents()] == before


def test_another_replay_of_the_same_signals_is_its_own(signalled: datetime) -> None:
    assert replay(signalled)["entered"] == 2
    assert replay(signalled, 29)["entered"] == 2
    assert len(positions()) == 4


def test_a_dry_run_says_it_and_does_nothing(signalled: datetime) -> None:
    run("replay-x", signalled - 24 * HOUR)  # an account without a past cannot be judged
    leases = db.read_frame("SELECT * FROM lease")
    done = replay(signalled - 19 * HOUR, 1, account="replay-x", dry_run=True)
    assert (done["state"], done["entered"]) == ("dry run", 1)
    assert "units" in told()
    assert intents() == []
    assert db.read_frame("SELECT * FROM lease").equals(leases)


def test_a_halt_is_told_and_keeps_entries_out(signalled: datetime) -> None:
    control.halt("me", "news", signalled - 100 * HOUR)
    done = replay(signalled)
    assert (done["entered"], done["findings"]) == (0, 1)
    assert "news (me)" in told()


def test_the_present_closes_what_is_due(home: Path) -> None:
    due(home)
    done = execute()
    assert (done["account"], done["left"]) == ("paper", 1)


def test_another_executor_is_no_failure() -> None:
    acquire("execute:paper", holder("another"))
    assert execute()["state"] == "held"
    assert "another" in logs()


def test_an_outage_is_waited_for_and_the_lease_is_ours_again(home: Path) -> None:
    due(home)
    with at_call("tasks.trading.exits.leave_due", lambda: goes_away(home)):
        done = execute()
    postgres.start(home, options=FAST)
    assert (done["state"], done["left"]) == ("done", 1)
    assert "the database went away, waiting for it" in logs()
    assert len(positions()) == 1


def test_an_error_gives_the_lease_back_and_a_retry_has_another_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(home)
    with monkeypatch.context() as broken:
        broken.setattr("tasks.trading.execution.cycle", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            execute()
    failed = latest_run()
    first = db.read_frame("SELECT holder, token, expires_at <= now() AS free FROM lease")
    assert first["free"].to_list() == [True]
    assert retry(failed, execute)["left"] == 1
    second = db.read_frame("SELECT holder, token FROM lease")
    assert first["holder"][0].endswith("/1")
    assert second["holder"][0].endswith("/2")
    assert second["token"][0] > first["token"][0]


def test_the_day_that_ended_is_stated_once(home: Path) -> None:
    due(home)
    yesterday = statement.day_of(datetime.now(UTC)) - timedelta(days=1)
    start, _ = statement.span(yesterday)
    with db.engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO equity VALUES ('paper', %s, 100000, 100000, 0, 0)", (start + HOUR,)
        )
    execute()
    text = artifacts(latest_run().id)["statement"]
    assert f"# paper, {yesterday}\n" in text
    assert (home / "statements" / "paper" / f"{yesterday}.png").exists()
    execute()
    assert "statement" not in artifacts(latest_run().id)


def test_a_replay_is_on_paper_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_BROKER", "oanda")
    monkeypatch.setenv("SEP_OANDA_ACCOUNT", "101-004-1-001")
    monkeypatch.setenv("SEP_OANDA_TRADING_TOKEN", "t")
    with pytest.raises(NoBroker):
        execute(as_of=datetime.now(UTC), account="101-004-1-001")
    assert settings().broker == "oanda"


@pytest.mark.parametrize("wrong", [{"units": 5}, {"account": "a b"}, {"bars": 0}])
def test_what_it_does_not_take(wrong: dict[str, Any]) -> None:
    with pytest.raises((ParameterTypeError, ParameterBindError)):
        execute(**wrong)
