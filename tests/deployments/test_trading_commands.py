"""Commands that stop and close, run where neither Prefect nor flows can be imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from deployments.sep.switches import BadTime, time_of
from infra.postgres.database import read_frame
from infra.servers import postgres
from tasks.trading import halt_file
from tasks.trading.lease import acquire
from tests.servers import FAST
from tests.tasks.trading.desk import positions
from tests.tasks.trading.walk import due, flat

BLOCKED = """
import sys
from importlib.abc import MetaPathFinder

class Refuse(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("prefect", "flows"):
            raise ImportError(f"{name} is blocked")

sys.meta_path.insert(0, Refuse())
sys.argv[0] = "sep"
from deployments.sep.cli import main
main()
"""
Sep: TypeAlias = Callable[..., str]

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def sep(database: str, home: Path) -> Sep:
    """Run `sep` where neither Prefect nor flows can be imported."""
    shutil.rmtree(home / "bars", ignore_errors=True)
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("SEP_", "PREFECT_"))}

    def run(*arguments: str, code: int = 0, typed: str = "", **variables: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", BLOCKED, *arguments],
            env={**plain, "SEP_HOME": str(home), "COLUMNS": "200", **variables},
            input=typed,
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        return " ".join(said.split())

    return run


def test_halt_and_resume(sep: Sep) -> None:
    assert "halted EUR_USD" in sep("halt", "--pair", "eurusd", "--why", "news", "--until", "2h")
    said = sep("live", "status")
    assert "halted EUR_USD news (" in said
    assert "halted no" in said
    sep("halt", "--reduce", "--account", "paper")
    assert "reducing by hand (" in sep("live", "status", code=1)
    said = sep("resume")
    assert "lifted: halt EUR_USD: news" in said
    assert "lifted: reduce paper: by hand" in said
    assert "nothing was halted" in sep("resume")


def test_halt_and_flatten_where_nothing_else_runs(sep: Sep, home: Path) -> None:
    postgres.stop(home)
    try:
        assert "the halt file of this machine holds" in sep("halt", "--why", "fire")
        assert "run `sep halt` on the droplet, too" in sep("halt", code=1, SEP_SITE="research")
        assert "no database runs" in sep("resume", code=1)
        assert "cannot be read" in sep("flatten", "--yes", code=1)
        assert "by hand" in halt_file.path_of(home).read_text()
    finally:
        postgres.start(home, options=FAST)
    assert "halted by hand (" in sep("live", "status", code=1)


def test_exits_closes_what_is_due(sep: Sep, home: Path) -> None:
    due(home)
    assert "paper: left pair PLANTED, side long, reason time" in sep("exits")
    assert positions()[0].closed_at is not None
    assert "nothing was due" in sep("exits", "--account", "paper")


def test_exits_leaves_it_to_another_that_acts(sep: Sep, home: Path) -> None:
    due(home)
    acquire("execute:paper", "another one")
    assert "another one holds the lease" in sep("exits")
    assert positions()[0].closed_at is None


def test_flatten_asks_halts_and_closes(sep: Sep, home: Path) -> None:
    due(home)
    said = sep("flatten", typed="n\n", code=1)
    assert "Halt, and close 1 trades on paper?" in said
    assert "halted" not in said
    assert positions()[0].closed_at is None
    said = sep("flatten", typed="y\n")
    assert "PLANTED long" in said
    assert ": closed" in said
    assert positions()[0].exit_reason == "flatten"
    assert "halted flatten (" in sep("live", "status", code=1)
    assert "no trade is open" in sep("flatten", "--yes")


def test_a_statement_of_the_day(sep: Sep, home: Path) -> None:
    assert "nothing is known of paper" in sep("statement")
    due(home)
    sep("exits")
    said = sep("statement")
    assert "By strategy" in said
    assert list((home / "statements" / "paper").glob("*.png"))
    assert "is no day" in sep("statement", "--day", "yesterday", code=1)


LIVE = {
    "SEP_BROKER": "oanda",
    "SEP_OANDA_ENVIRONMENT": "live",
    "SEP_OANDA_TRADING_TOKEN": "hunter2",
    "SEP_OANDA_ACCOUNT": "001-001-1-001",
}
ARM = ("live", "arm", "--account", "001-001-1-001", "--until", "8h", "--why", "go")


def test_arming_needs_the_live_settings_and_the_account_typed_again(sep: Sep) -> None:
    assert "here they are paper and practice" in sep(*ARM, code=1)
    for changed, said in (
        ({"SEP_OANDA_ENVIRONMENT": "practice"}, "here they are oanda and practice"),
        ({"SEP_OANDA_ACCOUNT": "001-001-2-001"}, "SEP_OANDA_ACCOUNT is 001-001-2-001"),
        ({"SEP_OANDA_TRADING_TOKEN": ""}, "set SEP_OANDA_TRADING_TOKEN"),
    ):
        assert said in sep(*ARM, code=1, **{**LIVE, **changed})
    assert "nothing is armed" in sep(*ARM, code=1, typed="001\n", **LIVE)
    assert read_frame("SELECT * FROM control").is_empty()


def test_arming_is_shown_and_taken_back(sep: Sep) -> None:
    said = sep(*ARM, typed="001-001-1-001\n", **LIVE)
    assert "Orders of real money will be sent on 001-001-1-001 of oanda live" in said
    assert "armed: 001-001-1-001" in said
    assert "armed 001-001-1-001 on oanda live until" in sep("live", "status", **LIVE)
    assert "disarmed: 001-001-1-001" in sep("live", "disarm", **LIVE)
    assert "armed no" in sep("live", "status", **LIVE)
    assert "hunter2" not in said


def test_the_database_is_asked_for_where_it_is_needed(sep: Sep) -> None:
    nowhere = {"SEP_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
    for command in (("resume",), ("exits",), ("statement",), ("live", "disarm")):
        assert "does not answer" in sep(*command, code=1, **nowhere)


def test_a_dead_broker_still_halts(sep: Sep, home: Path) -> None:
    dead = {**LIVE, "SEP_OANDA_ENVIRONMENT": "http://127.0.0.1:1"}
    said = sep("flatten", "--yes", code=1, **dead)
    assert "halted" in said
    assert "hunter2" not in said
    assert "flatten" in halt_file.path_of(home).read_text()


def test_nothing_is_entered_by_any_of_them(sep: Sep, home: Path) -> None:
    flat(home)
    for command in (("exits",), ("flatten", "--yes"), ("live", "status")):
        sep(*command, code=int(command[0] == "live"))
    assert read_frame("SELECT * FROM intent").is_empty()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("30m", NOW + timedelta(minutes=30)),
        ("+4h", NOW + timedelta(hours=4)),
        ("2d", NOW + timedelta(days=2)),
        ("2026-03-02T13:00", NOW + timedelta(hours=1)),
        ("2026-03-02T13:00+01:00", None),
        ("2026-03-02T14:00+01:00", NOW + timedelta(hours=1)),
        ("soon", None),
        ("0m", None),
    ],
)
def test_times_that_people_type(text: str | None, expected: datetime | None) -> None:
    if text is not None and expected is None:
        with pytest.raises(BadTime):
            time_of(text, NOW)
    else:
        assert time_of(text, NOW) == expected
