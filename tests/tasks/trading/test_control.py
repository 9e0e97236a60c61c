"""Switches: what is on, for whom, until when; what cannot be read halts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infra.brokers.broker import Broker
from infra.postgres import database as db
from infra.postgres.database import DatabaseError
from tasks.trading import control, halt_file
from tasks.trading.control import NotArmed, Switches, present

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


@dataclass(frozen=True)
class Venue:
    """The parts of a broker that switches look at."""

    name: str
    real: bool
    synthetic: bool


def venue(name: str = "oanda live", *, real: bool = True, synthetic: bool = False) -> Broker:
    return cast(Broker, Venue(name, real, synthetic))


@pytest.fixture(autouse=True)
def no_halt_file(home: Path) -> Iterator[None]:
    path = halt_file.path_of(home)
    path.unlink(missing_ok=True)
    yield
    path.unlink(missing_ok=True)


def test_nothing_is_switched_on_at_first() -> None:
    assert present("paper", NOW) == Switches()


def test_a_halt_is_told_with_who_and_why_until_it_is_lifted() -> None:
    assert control.halt("me", "news", NOW) is None
    assert present("any", NOW).halted == "news (me)"
    assert present("any", NOW).against("EUR_USD") == "news (me)"
    assert control.resume("me", "done") == ["halt of all: news (me)"]
    assert present("any", NOW) == Switches()


def test_a_halt_of_a_pair_leaves_the_others() -> None:
    control.halt("me", "news", NOW, pair="EUR_USD")
    control.halt("me", "more news", NOW, pair="GBP_USD")
    now = present("paper", NOW)
    assert (now.halted, now.against("USD_JPY")) == (None, None)
    assert now.halted_pairs == {"EUR_USD": "news (me)", "GBP_USD": "more news (me)"}
    control.resume("me", "done", pair="EUR_USD")
    assert list(present("paper", NOW).halted_pairs) == ["GBP_USD"]


def test_a_halt_of_an_account_leaves_the_others() -> None:
    control.halt("me", "news", NOW, account="one")
    assert present("one", NOW).halted
    assert present("two", NOW).halted is None


def test_what_has_run_out_counts_no_more() -> None:
    control.halt("me", "news", NOW, until=NOW + HOUR)
    assert present("paper", NOW).halted == "news (me until 2026-03-02 13:00 UTC)"
    assert present("paper", NOW + HOUR).halted is None


def test_the_newest_row_counts_and_none_is_changed() -> None:
    for until in (None, NOW + HOUR):
        control.halt("me", "news", NOW, until=until)
    assert present("paper", NOW + 2 * HOUR).halted is None
    with pytest.raises(DBAPIError), db.engine().begin() as connection:
        connection.execute(text('UPDATE control SET "on" = false'))


def test_reducing_is_lifted_with_the_halts() -> None:
    control.reduce("me", "end of the week")
    assert present("paper", NOW).reducing == "end of the week (me)"
    assert present("paper", NOW).against("EUR_USD") == "end of the week (me)"
    control.resume("me", "Monday")
    assert present("paper", NOW) == Switches()


def test_without_a_database_it_is_halted_and_can_be_halted(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", NOWHERE)
    assert "cannot be read" in str(present("paper", NOW).halted)
    assert control.halt("me", "fire", NOW, pair="EUR_USD") is not None
    with pytest.raises((DatabaseError, DBAPIError)):
        control.resume("me", "out")
    monkeypatch.delenv("SEP_DATABASE_URL")
    assert present("paper", NOW).halted_pairs == {"EUR_USD": "fire (me)"}
    assert control.resume("me", "out") == ["halt EUR_USD: fire (me)"]
    assert present("paper", NOW) == Switches()


def test_a_table_that_is_gone_halts() -> None:
    with db.engine().begin() as connection:
        connection.execute(text("ALTER TABLE control RENAME TO away"))
    try:
        assert "cannot be read" in str(present("paper", NOW).halted)
    finally:
        with db.engine().begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO control"))


OF_NO_USE = [
    "[" * 100_000, "", "[]", "{", "7", "null", '["x"]', '[{"account": "*"}]', "\x00\xff",
    *('[{"account": "one", "pair": "X", "who": "", "why": "", "until": ' + until + ', "at": null}]'
      for until in ("7", '"tomorrow"', '"2020-01-01T00:00:00"')),
]  # fmt: skip


@pytest.mark.parametrize("content", OF_NO_USE)
def test_a_halt_file_that_says_nothing_of_use_halts_all(home: Path, content: str) -> None:
    halt_file.path_of(home).write_text(content)
    assert str(halt_file.path_of(home)) in str(present("paper", NOW).halted)
    assert len(control.resume("me", "read it")) == 1
    assert present("paper", NOW) == Switches()


def test_a_halt_file_that_is_a_folder_halts(home: Path) -> None:
    halt_file.path_of(home).mkdir()
    try:
        assert present("paper", NOW).halted
    finally:
        halt_file.path_of(home).rmdir()


@pytest.mark.parametrize("content", ["", "{"])
def test_a_halt_of_a_pair_lifts_no_halt_of_all(home: Path, content: str) -> None:
    halt_file.path_of(home).write_text(content)
    control.halt("me", "news", NOW, pair="EUR_USD")
    assert present("paper", NOW).halted
    assert present("paper", NOW).halted_pairs == {"EUR_USD": "news (me)"}
    assert len(control.resume("me", "over")) == 2


def test_a_disk_without_room_halts_all(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control.halt("me", "news", NOW, pair="EUR_USD")
    control.resume("me", "over")
    (home / "run" / "halt.lock").unlink(missing_ok=True)
    (home / "run" / "halt.lock").mkdir()
    try:
        control.halt("me", "news", NOW, pair="EUR_USD")
    finally:
        (home / "run" / "halt.lock").rmdir()
    assert "is empty" in str(present("paper", NOW).halted) or "cannot be read" in str(
        present("paper", NOW).halted
    )


def test_a_halt_on_file_of_something_else_is_not_enough(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the database nor the disk takes it: nobody may believe that all is halted."""
    control.halt("me", "news", NOW, pair="EUR_USD")

    def full(*_: object) -> None:
        raise OSError("read-only")

    with monkeypatch.context() as changed:
        changed.setenv("SEP_DATABASE_URL", NOWHERE)
        changed.setattr(halt_file, "add", full)
        with pytest.raises(OSError, match="read-only"):
            control.halt("me", "fire", NOW)
        assert control.halt("me", "again", NOW, pair="EUR_USD") is not None
    control.resume("me", "over")


def test_many_at_once_lose_none() -> None:
    pairs = [f"AAA_BB{letter}" for letter in "ABCDEFGH"]
    threads = [
        threading.Thread(target=control.halt, args=("me", "x", NOW), kwargs={"pair": pair})
        for pair in pairs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(present("paper", NOW).halted_pairs) == set(pairs)


def arm(**changed: Any) -> None:
    said = {"account": "001-1", "venue": "oanda live", "who": "me", "why": "go"}
    control.arm(**{**said, "until": NOW + HOUR, "now": NOW, **changed})


def refused(account: str = "001-1", broker: Broker | None = None, now: datetime = NOW) -> str:
    return control.refusal(broker or venue(), account, present(account, now)) or ""


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_BROKER", "oanda")
    monkeypatch.setenv("SEP_OANDA_ENVIRONMENT", "live")


@pytest.mark.usefixtures("live")
def test_live_trading_needs_an_arming_that_agrees() -> None:
    assert "not armed" in refused()
    arm()
    assert refused() == ""
    assert "not armed" in refused(now=NOW + HOUR)
    assert "not armed" in refused("001-2")
    assert "armed for 001-1 on oanda live, and this is 001-1 on other live" in refused(
        broker=venue("other live")
    )
    assert control.disarm("me", "stop") == ["001-1"]
    assert "not armed" in refused()


def test_an_armed_account_needs_the_setting_too(monkeypatch: pytest.MonkeyPatch) -> None:
    arm()
    assert "SEP_OANDA_ENVIRONMENT is practice" in refused()
    monkeypatch.setenv("SEP_BROKER", "oanda")
    assert "SEP_OANDA_ENVIRONMENT is practice" in refused()


def test_paper_and_practice_need_no_arming() -> None:
    for name, synthetic in (("paper", True), ("oanda practice", False)):
        assert refused(broker=venue(name, real=False, synthetic=synthetic)) == ""


@pytest.mark.parametrize("changed", [{"until": NOW}, {"account": "*"}, {"account": ""}])
def test_an_arming_without_an_end_or_an_account_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(NotArmed):
        arm(**changed)


def test_what_is_made_up_is_traded_where_all_is() -> None:
    for pair, synthetic, allowed in (
        ("PLANTED", True, True),
        ("PLANTED", False, False),
        ("PLANTED_GAPS", False, False),
        ("EUR_USD", False, True),
    ):
        said = control.refuse_pair(venue(synthetic=synthetic), pair)
        assert (said is None) == allowed
