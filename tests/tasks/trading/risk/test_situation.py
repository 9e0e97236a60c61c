"""What is looked up: the broker's account, and equity, entries, losses, bars on record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import polars as pl
import pytest

from infra.brokers.broker import Account, Price, Terms
from infra.postgres.database import copy_frame, session
from infra.postgres.models import Bar, Model, Pair, Signal
from infra.postgres.trading import Control, Equity, Intent, Position
from tasks.trading.risk import record
from tasks.trading.risk.engine import judge, state_of
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Proposal, Situation, situation
from tests.tasks.trading.risk.cases import NOW, PAIRS, D, account, price, proposal, terms, trade

pytestmark = pytest.mark.usefixtures("database")

HOUR = timedelta(hours=1)
DAY = NOW.replace(hour=22) - timedelta(days=1)
"""17:00 New York the evening before."""


@dataclass
class Venue:
    """A venue that answers what it is told to."""

    account_: Account = field(default_factory=account)
    asked: list[str] = field(default_factory=list)
    name: str = "venue"

    def account(self) -> Account:
        return self.account_

    def terms(self, pair: str) -> Terms | None:
        return terms(pair) if pair in PAIRS else None

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        self.asked = list(pairs)
        return {pair: price(pair) for pair in pairs if pair in PAIRS}


def look(venue: Venue | None = None, now: datetime = NOW, **said: Any) -> Situation:
    broker: Any = venue or Venue()
    return situation("a", broker, ["EUR_USD"], Limits(**said), now)


def equity(*rows: tuple[timedelta, float], account: str = "a") -> None:
    with session() as opened:
        opened.add_all(
            Equity(account=account, timestamp=DAY + after, balance=value, equity=value)
            for after, value in rows
        )


def signals(count: int) -> list[int]:
    with session() as opened:
        model = Model(
            model_id="m", pair="EUR_USD", timeframe="H1", strategy="damped", parameters={},
            data_hash="d", code_version="c", trained_from=NOW, trained_until=NOW, path="p",
            metrics={},
        )  # fmt: skip
        opened.add(model)
        opened.flush()
        rows = [
            Signal(
                strategy="damped", pair="EUR_USD", timeframe="H1", bar_ts=NOW - n * HOUR,
                side="long", action="BUY", horizon=4, valid_until=NOW, mode="live", model_id="m",
            )
            for n in range(count)
        ]  # fmt: skip
        opened.add_all(rows)
        opened.flush()
        return [row.id for row in rows]


def intent(signal_id: int, state: str, sent: datetime | None, **changes: Any) -> None:
    values: dict[str, Any] = {
        "account": "a", "kind": "entry", "signal_id": signal_id, "client_id": f"sep-{signal_id}",
        "pair": "EUR_USD", "side": "long", "units": D(10_000), "quoted": D("1.1"),
        "bound": D("1.101"), "stop_price": D("1.09"), "state": state, "token": 1, "sent_at": sent,
    }  # fmt: skip
    with session() as opened:
        opened.add(Intent(**{**values, **changes}))


def position(signal_id: int, closed: datetime | None, profit: Decimal | None) -> None:
    with session() as opened:
        opened.add(
            Position(
                account="a", strategy="damped", pair="EUR_USD", timeframe="H1",
                signal_id=signal_id, trade=str(signal_id), side="long", units=D(1),
                entry_price=D(1), opened_at=NOW - 9 * HOUR, closed_at=closed, profit=profit,
                exit_price=None if closed is None else D(1),
            )
        )  # fmt: skip


def test_nothing_on_record_is_nothing_known_and_halts() -> None:
    found = look()
    assert (found.day_start_equity, found.peak_equity, found.start_equity) == (None, None, None)
    assert state_of(found, Limits())[0] == "HALTED"
    assert not judge(proposal(), found, Limits()).allowed


def test_equity_at_the_start_of_the_day_the_highest_and_the_first() -> None:
    equity((-48 * HOUR, 90_000), (-HOUR, 101_000), (HOUR, 100_500), (2 * HOUR, 102_000))
    equity((-HOUR, 999_999), account="another")
    found = look()
    assert found.start_equity == 90_000
    assert found.day_start_equity == 101_000
    assert found.peak_equity == 102_000
    assert judge(proposal(), found, Limits()).allowed


def test_the_day_s_first_equity_counts_if_it_is_higher_or_the_only_one() -> None:
    equity((HOUR, 100_500), (2 * HOUR, 103_000))
    assert look().day_start_equity == 100_500
    equity((-HOUR, 100_000))
    assert look().day_start_equity == 100_500


def test_equity_before_since_and_after_now_is_not_looked_at() -> None:
    equity((-48 * HOUR, 200_000), (-HOUR, 100_000), (20 * HOUR, 300_000))
    found = look(since=DAY - 2 * HOUR)
    assert [found.start_equity, found.peak_equity] == [100_000, 100_000]
    assert look(start_equity=D(50_000)).start_equity == 50_000


def test_equity_that_is_no_number_halts() -> None:
    equity((-HOUR, 100_000), (HOUR, float("nan")))
    assert state_of(look(), Limits())[0] == "HALTED"


@pytest.mark.parametrize(
    ("low", "said", "hits"),
    [
        (95_000.0, {"daily_loss": D("0.05")}, {"daily"}),
        (95_000.1, {"daily_loss": D("0.05")}, set()),
        (90_000.0, {"static_drawdown": D("0.1"), "daily_loss": None}, {"static"}),
        (90_000.1, {"static_drawdown": D("0.1"), "daily_loss": None}, set()),
        (99_000.0, {"trailing_drawdown": D("0.1"), "daily_loss": None}, {"trailing"}),
        (99_000.1, {"trailing_drawdown": D("0.1"), "daily_loss": None}, set()),
        (100_000.0, {"trailing_drawdown": D("0.1"), "daily_loss": None, "share_of": "start"},
         {"trailing"}),
        (100_000.1, {"trailing_drawdown": D("0.05"), "daily_loss": None, "share_of": "start",
                     "trailing_locks": True}, set()),
        (100_000.0, {"trailing_drawdown": D("0.05"), "daily_loss": None, "share_of": "start",
                     "trailing_locks": True}, {"trailing"}),
    ],
)  # fmt: skip
def test_a_floor_that_equity_touched_stays_hit(
    low: float, said: dict[str, Any], hits: set[str]
) -> None:
    high = 110_000.0 if said.get("trailing_drawdown") else 100_000.0
    usual = {"trailing_drawdown": None, **said}
    equity((-48 * HOUR, 100_000), (-24 * HOUR, high), (-HOUR, high))
    equity((HOUR, low), (2 * HOUR, high))
    found = look(Venue(account(equity=D(high))), **usual)
    assert set(found.hits) == hits
    state, _ = state_of(found, Limits(**usual))
    assert state == ("HALTED" if hits else "ACTIVE")


def test_yesterday_s_loss_is_not_today_s() -> None:
    equity((-5 * HOUR, 100_000), (-4 * HOUR, 80_000), (-HOUR, 100_000))
    said: dict[str, Any] = {"daily_loss": D("0.05"), "trailing_drawdown": None}
    assert not look(**said).hits


def test_entries_of_the_day_are_those_that_were_sent() -> None:
    ids = signals(7)
    intent(ids[0], "FILLED", DAY)
    intent(ids[1], "FILLED", DAY - timedelta(seconds=1))
    intent(ids[2], "SENT", NOW)
    intent(ids[3], "UNKNOWN", NOW)
    intent(ids[4], "REJECTED", NOW)
    intent(ids[5], "PREPARED", None)
    intent(ids[6], "FILLED", NOW, account="another")
    assert look().entries_today == 3


def test_what_was_sent_and_is_not_in_the_account_counts_as_open() -> None:
    ids = signals(3)
    intent(ids[0], "UNKNOWN", NOW)
    intent(ids[1], "SENT", NOW)
    intent(ids[2], "FILLED", NOW)
    venue = Venue(account(trade(client_id=f"sep-{ids[1]}")))
    found = look(venue)
    assert found.inflight == (
        Proposal(ids[0], "damped", "EUR_USD", "H1", "long", D(10_000), D("1.101"), D("1.09"), D(0)),
    )
    assert len(found.own) == 2
    assert len(found.held) == 2
    assert venue.asked == ["EUR_USD", "GBP_USD"]


def test_losses_are_the_latest_closed_trades() -> None:
    ids = signals(4)
    position(ids[0], NOW - 3 * HOUR, D(5))
    position(ids[1], NOW - HOUR, D("-2.5"))
    position(ids[2], NOW - 2 * HOUR, D(-1))
    position(ids[3], None, None)
    assert look().losses == (
        (NOW - HOUR, D("-2.5")),
        (NOW - 2 * HOUR, D(-1)),
        (NOW - 3 * HOUR, D(5)),
    )


@pytest.mark.parametrize(
    ("rows", "reducing"),
    [
        ([], False),
        ([("reduce", "*", True, None)], True),
        ([("reduce", "a", True, None)], True),
        ([("reduce", "b", True, None)], False),
        ([("halt", "a", True, None)], False),
        ([("reduce", "a", True, None), ("reduce", "a", False, None)], False),
        ([("reduce", "*", True, None), ("reduce", "a", False, None)], True),
        ([("reduce", "a", True, NOW)], False),
        ([("reduce", "a", True, NOW + HOUR)], True),
    ],
)
def test_the_switch_to_reduce(rows: list[tuple[Any, ...]], reducing: bool) -> None:
    with session() as opened:
        for name, whose, on, until in rows:
            opened.add(Control(name=name, account=whose, on=on, who="x", why="y", until=until))
            opened.flush()
    assert look().reducing is reducing


def test_limits_of_pairs_come_from_their_table() -> None:
    equity((-HOUR, 100_000))
    with session() as opened:
        opened.add(Pair(pair="EUR_USD", timeframe="H1", limits={"max_units": 9_999}))
        opened.add(Pair(pair="EUR_USD", timeframe="M5", limits={"max_units": 1}))
    found = judge(proposal(), look(), Limits())
    assert [name for name, _ in found.reasons] == ["units of the pair"]
    assert "9,999" in found.reasons[0][1]


def bars(pair: str, closes: list[float], end: datetime, timeframe: str = "H1") -> None:
    starts = [end - (len(closes) - n) * HOUR for n in range(len(closes))]
    flat = {"open": closes, "high": closes, "low": closes, "close": closes}
    frame = pl.DataFrame({"timestamp": starts, **flat}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        pair=pl.lit(pair),
        timeframe=pl.lit(timeframe),
    )
    copy_frame(frame, Bar)


def test_returns_end_at_the_same_bar_and_holes_are_still() -> None:
    bars("EUR_USD", [1.0, 1.1, 1.21], NOW)
    bars("GBP_USD", [2.0, 4.0], NOW - HOUR)
    bars("AUD_USD", [1.0, 2.0], NOW - timedelta(days=40))
    bars("USD_JPY", [1.0, 2.0], NOW, "M5")
    found = record.returns(["EUR_USD", "GBP_USD", "AUD_USD", "USD_JPY"], NOW)
    assert set(found) == {"EUR_USD", "GBP_USD"}
    assert found["EUR_USD"] == pytest.approx([np.log(1.1)] * 2)
    assert found["GBP_USD"] == pytest.approx([np.log(2), 0])


@pytest.mark.parametrize(("name", "recorded"), [("paper", True), ("oanda practice", False)])
def test_prices_on_paper_are_recorded(name: str, recorded: bool) -> None:
    assert look(Venue(name=name)).recorded is recorded


def test_what_the_broker_does_not_trade_is_missing_and_denies() -> None:
    equity((-HOUR, 100_000))
    broker: Any = Venue()
    found = situation("a", broker, ["XAU_USD"], Limits(), NOW)
    assert "XAU_USD" not in found.terms
    assert not judge(replace(proposal(), pair="XAU_USD"), found, Limits()).allowed
