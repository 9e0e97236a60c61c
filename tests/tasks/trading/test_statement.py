"""The statement of a day, and a venue against its paper shadow."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.brokers.broker import Account
from infra.postgres.database import session
from infra.postgres.models import Model, Signal
from infra.postgres.trading import Fill, Position, Venue
from tasks.trading import equity
from tasks.trading.shadow import compare
from tasks.trading.statement import day_of, span, statement

pytestmark = pytest.mark.usefixtures("database")

DAY = date(2026, 3, 3)
OPEN = datetime(2026, 3, 3, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def signal(number: int, pair: str = "EUR_USD") -> None:
    with session() as opened:
        if opened.get(Model, "m") is None:
            about = {"pair": pair, "timeframe": "H1", "strategy": "damped", "parameters": {}}
            kept = {"data_hash": "", "code_version": "", "path": "", "metrics": {}}
            opened.add(Model(model_id="m", trained_from=OPEN, trained_until=OPEN, **about, **kept))
            opened.flush()
        opened.add(
            Signal(
                strategy="damped",
                pair=pair,
                timeframe="H1",
                bar_ts=OPEN + number * HOUR,
                side="long",
                action="BUY",
                horizon=4,
                valid_until=OPEN + 9 * HOUR,
                mode="live",
                model_id="m",
            )
        )


def trade(
    account: str,
    number: int,
    entry: str,
    left: str | None = None,
    *,
    side: str = "long",
    quoted: str | None = None,
    pair: str = "EUR_USD",
    profit: str = "0",
) -> None:
    """A trade on a signal: its position and its fills."""
    at, back = OPEN + number * HOUR, "short" if side == "long" else "long"
    common: dict[str, Any] = {"account": account, "pair": pair, "trade": str(number)}
    units = Decimal(1000)
    with session() as opened:
        opened.add(
            Position(
                **common,
                strategy="damped",
                timeframe="H1",
                signal_id=number,
                side=side,
                units=units,
                entry_price=Decimal(entry),
                opened_at=at,
                exit_price=None if left is None else Decimal(left),
                exit_reason=None if left is None else "time",
                closed_at=None if left is None else at + HOUR,
            )
        )
        fill = {**common, "units": units, "cost": Decimal("0.05")}
        seen = None if quoted is None else Decimal(quoted)
        first = Fill(**fill, transaction=f"{number}-1", kind="entry", side=side, filled_at=at)
        first.price, first.quoted = Decimal(entry), seen
        opened.add(first)
        if left is not None:
            last = Fill(**fill, transaction=f"{number}-2", kind="exit", side=back)
            last.filled_at, last.price = at + HOUR, Decimal(left)
            last.profit, last.commission = Decimal(profit), Decimal("0.5")
            opened.add(last)


def stands(balance: str, at: datetime, gain: str = "0") -> None:
    value = Decimal(balance)
    state = Account("1", "EUR", value, value + Decimal(gain), value, value, (), (), 7)
    equity.record("one", state, at)


def test_a_day_ends_at_five_in_new_york() -> None:
    assert span(DAY)[1] == datetime(2026, 3, 3, 22, tzinfo=UTC)
    assert span(date(2026, 3, 8)) == (
        datetime(2026, 3, 7, 22, tzinfo=UTC),
        datetime(2026, 3, 8, 21, tzinfo=UTC),  # the clocks go forward
    )
    for hours, day in ((0, DAY), (-1, DAY), (25, DAY + timedelta(days=1))):
        start, end = span(day_of(OPEN + hours * HOUR))
        assert start <= OPEN + hours * HOUR < end
        assert day_of(OPEN + hours * HOUR) == day
    assert day_of(span(DAY)[1]) == DAY + timedelta(days=1)


def test_equity_of_one_moment_is_the_later_word() -> None:
    stands("100", OPEN)
    stands("90", OPEN)
    stands("95", OPEN + HOUR, gain="-3")
    rows = equity.between("one", OPEN + HOUR / 2, OPEN + 2 * HOUR)
    assert [(row["balance"], row["equity"]) for row in rows] == [(90, 90), (95, 92)]
    assert rows[0]["open_trades"] == 0
    assert equity.between("two", OPEN, OPEN + HOUR) == []


def test_a_statement_counts_what_it_cost() -> None:
    for number in (1, 2, 3):
        signal(number, "USD_JPY" if number == 3 else "EUR_USD")
    trade("one", 1, "1.10020", "1.10120", quoted="1.10010", profit="1.0")
    trade("one", 2, "1.10020", "1.10120", side="short", quoted="1.10050", profit="-1.0")
    trade("one", 3, "150.020", quoted="150.000", pair="USD_JPY")
    trade("two", 1, "1.2")
    with session() as opened:
        opened.add(
            Venue(account="one", broker="b", currency="EUR", last_transaction=1, reconciled_at=OPEN)
        )
    stands("100", OPEN - 24 * HOUR)
    stands("98.5", OPEN + 5 * HOUR, gain="-2")
    told = statement("one", DAY)
    totals = told.totals()
    assert (told.currency, totals["entries"], totals["exits"]) == ("EUR", 3, 2)
    assert totals["profit"] == pytest.approx(0)
    assert totals["commission"] == pytest.approx(1.0)
    assert totals["half spread"] == pytest.approx(0.25)
    # pips: 1 for the first; 3 for the second, which sold; 2 yen-pips for the third
    assert totals["slippage, mean pips"] == pytest.approx((1 + 3 + 2) / 3)
    # the balance fell by 1.5, a commission of 1 explains the rest but half a euro
    assert totals["other changes of the balance"] == pytest.approx(-0.5)
    assert (totals["balance"], totals["equity"], totals["lowest equity"]) == (98.5, 96.5, 96.5)
    pairs = {row["pair"]: row for row in told.by("pair")}
    assert (pairs["EUR_USD"]["exits"], pairs["EUR_USD"]["won"]) == (2, 1)
    assert pairs["USD_JPY"]["exits"] == 0
    assert told.by("strategy")[0]["strategy"] == "damped"
    assert not told.empty
    assert statement("one", DAY + timedelta(days=2)).empty


def test_a_venue_is_compared_with_paper_signal_by_signal() -> None:
    for number in (1, 2, 3, 4):
        signal(number)
    trade("one", 1, "1.10030", "1.10100")
    trade("shadow:one", 1, "1.10010", "1.10140")
    trade("one", 2, "1.10000", side="short")
    trade("shadow:one", 2, "1.10010", side="short")
    trade("one", 3, "1.3", pair="GBP_USD")
    trade("shadow:one", 4, "1.3", pair="GBP_USD")
    both = compare("one", OPEN, OPEN + 9 * HOUR)
    assert (both.alone, both.paper_alone) == ([3], [4])
    first, second = both.rows
    assert (first["entry"], first["exit"]) == (pytest.approx(2), pytest.approx(4))
    assert (second["entry"], second["exit"]) == (pytest.approx(1), None)
    (summary,) = both.summary()
    assert (summary["pair"], summary["trades"]) == ("EUR_USD", 2)
    assert summary["entry, mean"] == pytest.approx(1.5)
    assert summary["exit, worst"] == pytest.approx(4)
