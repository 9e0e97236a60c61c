"""An account's arithmetic: each rule by an example, all of it by a machine that tries anything."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import perf_counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from infra.brokers.audit import Discrepancy
from infra.brokers.book import Book
from infra.brokers.broker import Price, Transaction
from infra.brokers.holdings import Netting, Request

D = Decimal
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
EUR = Price("EUR_USD", D("1.10000"), D("1.10020"), NOW, gain=D(1), loss=D(1))


def quoted(bid: str, spread: str = "0.00020", pair: str = "EUR_USD", rate: str = "1") -> Price:
    return Price(pair, D(bid), D(bid) + D(spread), NOW, gain=D(rate), loss=D(rate))


@pytest.fixture
def book() -> Book:
    made = Book.opened("USD", D(10_000), NOW)
    made.mark(EUR, D("0.02"))
    return made


def told(lines: list[Transaction]) -> list[tuple[str, str]]:
    return [(line.type, line.reason) for line in lines]


def bought(book: Book, units: int = 1000, **more: Any) -> str:
    fill = book.enter(Request("EUR_USD", D(units), **more), NOW)[1]
    assert fill.opened is not None, fill.reason
    return fill.opened.trade


def test_an_account_begins_with_two_lines(book: Book) -> None:
    assert [(line.id, line.type) for line in book.log] == [(1, "CREATE"), (2, "TRANSFER_FUNDS")]
    assert book.account("a").balance == 10_000
    book.check()


def test_an_entry_brings_its_stop_and_target(book: Book) -> None:
    lines = book.enter(Request("EUR_USD", D(1000), "mine", D("1.1003"), D("1.09"), D("1.12")), NOW)
    assert told(lines) == [
        ("MARKET_ORDER", "CLIENT_ORDER"),
        ("ORDER_FILL", "MARKET_ORDER"),
        ("TAKE_PROFIT_ORDER", "ON_FILL"),
        ("STOP_LOSS_ORDER", "ON_FILL"),
    ]
    assert [line.id for line in lines] == [3, 4, 5, 6]
    trade = book.account("a").trades[0]
    assert (trade.id, trade.units, trade.price) == ("4", D(1000), EUR.ask)
    assert (trade.stop, trade.target, trade.client_id) == (D("1.09"), D("1.12"), "mine")
    assert trade.unrealised == D("-0.2000")
    assert trade.margin == D("22.0020")
    book.check()


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Request("EUR_USD", D(1000), bound=D("1.10019")), "BOUNDS_VIOLATION"),
        (Request("EUR_USD", D(-1000), bound=D("1.10001")), "BOUNDS_VIOLATION"),
        (Request("EUR_USD", D(1000), stop=D("1.10000")), "STOP_LOSS_ON_FILL_LOSS"),
        (Request("EUR_USD", D(-1000), stop=D("1.10020")), "STOP_LOSS_ON_FILL_LOSS"),
        (Request("EUR_USD", D(1000), target=D("1.10000")), "TAKE_PROFIT_ON_FILL_LOSS"),
        (Request("EUR_USD", D(500_000)), "INSUFFICIENT_MARGIN"),
        (Request("EUR_USD", D(1000), netting="REDUCE_ONLY"), "POSITION_CLOSEOUT_FAILED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_entry_that_cannot_be_is_cancelled(book: Book, request_: Request, reason: str) -> None:
    lines = book.enter(request_, NOW)
    assert told(lines) == [("MARKET_ORDER", "CLIENT_ORDER"), ("ORDER_CANCEL", reason)]
    assert lines[1].order == str(lines[0].id)
    assert not book.trades
    book.check()


def test_the_market_may_refuse(book: Book) -> None:
    lines = book.enter(Request("EUR_USD", D(1), "x"), NOW, refusal="MARKET_HALTED")
    assert (lines[1].reason, lines[1].client_id) == ("MARKET_HALTED", "x")
    book.check()


def test_selling_closes_the_oldest_first_and_opens_the_rest(book: Book) -> None:
    first, second = bought(book, 1000, stop=D("1.0")), bought(book, 500)
    book.mark(quoted("1.10100"))
    fill, *rest = book.enter(Request("EUR_USD", D(-1200)), NOW)[1:]
    assert [(c.trade, c.units, c.whole) for c in fill.closed] == [
        (first, D(-1000), True), (second, D(-200), False),
    ]  # fmt: skip
    assert fill.opened is None
    assert fill.profit == D("0.9600")
    assert told(rest) == [("ORDER_CANCEL", "LINKED_TRADE_CLOSED")]
    turned = book.enter(Request("EUR_USD", D(-1000), stop=D("1.2")), NOW)[1]
    assert turned.opened is not None
    assert (turned.opened.units, turned.units) == (D(-700), D(-1000))
    assert [trade.units for trade in book.trades.values()] == [-700]
    book.check()


@pytest.mark.parametrize(
    ("netting", "units", "left"),
    [
        ("DEFAULT", -1500, [-500]),
        ("REDUCE_FIRST", -1500, [-500]),
        ("REDUCE_ONLY", -1500, []),
        ("OPEN_ONLY", -1500, [1000]),
        ("OPEN_ONLY", 500, [1000, 500]),
    ],
)
def test_netting(book: Book, netting: Netting, units: int, left: list[int]) -> None:
    bought(book)
    book.enter(Request("EUR_USD", D(units), netting=netting), NOW)
    assert [trade.units for trade in book.trades.values()] == left
    book.check()


def test_few_units_fill_in_part(book: Book) -> None:
    fill = book.enter(Request("EUR_USD", D(1000)), NOW, units=D(300))[1]
    assert fill.units == 300
    book.check()


def test_a_close_by_number_is_one_order_and_one_fill(book: Book) -> None:
    trade = bought(book, stop=D("1.0"), target=D("1.2"))
    lines = book.close(trade, D(400), D("1.2"), NOW, "exit")
    assert told(lines) == [
        ("MARKET_ORDER", "TRADE_CLOSE"), ("ORDER_FILL", "MARKET_ORDER_TRADE_CLOSE"),
    ]  # fmt: skip
    assert (lines[0].client_id, lines[1].client_id, lines[1].trade) == ("exit", "exit", trade)
    assert lines[1].profit == D("39.9200")
    rest = book.close(trade, None, D("1.1"), NOW)
    assert [reason for _, reason in told(rest)[2:]] == ["LINKED_TRADE_CLOSED"] * 2
    assert book.balance == D("10000") + D("39.92") - D("0.12")
    with pytest.raises(KeyError):
        book.close(trade, None, None, NOW)
    book.check()


@pytest.mark.parametrize(
    ("reason", "cancelled"), [("STOP_LOSS_ORDER", 1), ("TAKE_PROFIT_ORDER", 1)]
)
def test_a_stop_or_target_ends_a_trade(book: Book, reason: str, cancelled: int) -> None:
    trade = bought(book, stop=D("1.0"), target=D("1.2"))
    order = book.trades[trade].stop if reason == "STOP_LOSS_ORDER" else book.trades[trade].target
    lines = book.settle(trade, D("1.05"), NOW, reason)
    assert order is not None
    assert (lines[0].order, lines[0].trade, lines[0].reason) == (order.id, trade, reason)
    assert told(lines[1:]) == [("ORDER_CANCEL", "LINKED_TRADE_CLOSED")] * cancelled
    assert not book.orders
    book.check()


def test_a_margin_closeout(book: Book) -> None:
    trade = bought(book, 400_000, stop=D("1.0"))
    book.mark(quoted("1.08500"))
    assert book.closeout >= 1
    lines = book.settle(trade, D("1.085"), NOW, "MARGIN_CLOSEOUT")
    assert lines[0].reason == "MARGIN_CLOSEOUT"
    assert lines[1].reason == "MARKET_ORDER_MARGIN_CLOSEOUT"
    assert (book.closeout, book.margin_used) == (D(0), D(0))
    book.check()


def test_a_ruined_account_is_closed_out(book: Book) -> None:
    bought(book, 400_000)
    book.mark(quoted("0.90000"))
    assert book.equity < 0
    assert book.closeout > 1
    assert book.account("a").margin_available == 0


def test_protection_is_replaced_and_taken_away(book: Book) -> None:
    trade = bought(book, stop=D("1.0"))
    assert told(book.protect(trade, {"stop": D("1.05"), "target": D("1.2")}, NOW)) == [
        ("ORDER_CANCEL", "CLIENT_REQUEST_REPLACED"),
        ("STOP_LOSS_ORDER", "REPLACEMENT"),
        ("TAKE_PROFIT_ORDER", "CLIENT_ORDER"),
    ]
    assert told(book.protect(trade, {"target": None}, NOW)) == [("ORDER_CANCEL", "CLIENT_REQUEST")]
    shown = book.account("a").trades[0]
    assert (shown.stop, shown.target) == (D("1.05"), None)
    book.check()


def test_cancelling_a_stop_leaves_the_trade(book: Book) -> None:
    trade = bought(book, stop=D("1.0"))
    book.cancel(next(iter(book.orders)), NOW)
    assert book.trades[trade].stop is None
    with pytest.raises(KeyError):
        book.cancel("99", NOW)
    book.check()


def test_a_waiting_entry_is_filled_or_cancelled(book: Book) -> None:
    request = Request("EUR_USD", D(100), "later", stop=D("1.0"))
    filled, gone = (book.wait("LIMIT", request, D("1.09"), NOW)[0] for _ in range(2))
    assert [each.client_id for each in book.account("a").pending] == ["later"] * 2
    assert told(book.trigger(str(filled.id), NOW, D("1.09")))[0] == ("ORDER_FILL", "LIMIT_ORDER")
    book.cancel(str(gone.id), NOW)
    assert not book.account("a").pending
    book.check()


def test_financing_is_the_examples(book: Book) -> None:
    book.mark(Price("EUR_USD", D("1.15826"), D("1.15826"), NOW, gain=D(1), loss=D(1)), D(0))
    trade = bought(book, 100_000)
    line = book.finance(NOW, {"EUR_USD": (D("-0.03"), D("0.01"))}, 1)[0]
    assert line.financing == D("-9.5199")
    assert line.financed == ((trade, D("-9.5199")),)
    assert book.balance == line.balance == D("9990.4801")
    assert book.trades[trade].financing == D("-9.5199")
    book.check()


def test_three_days_of_financing_are_three(book: Book) -> None:
    bought(book, 100_000)
    rates = {"EUR_USD": (D("-0.0365"), D(0))}
    assert book.finance(NOW, rates, 3)[0].financing == D("-33.0030")


def test_nothing_open_costs_nothing(book: Book) -> None:
    assert book.finance(NOW, {}, 1) == []


def test_profit_is_told_in_the_accounts_currency(book: Book) -> None:
    yen = Price("USD_JPY", D("150.000"), D("150.010"), NOW, gain=D("0.0066"), loss=D("0.0067"))
    book.mark(yen, D("0.04"))
    trade = book.enter(Request("USD_JPY", D(1000)), NOW)[1].opened
    assert trade is not None
    assert book.equity == D(10_000) - D("0.0670")
    assert book.close(trade.trade, D(500), D("151.010"), NOW)[1].profit == D("3.3000")
    assert book.close(trade.trade, D(500), D("149.010"), NOW)[1].profit == D("-3.3500")
    book.check()


def test_a_price_without_a_rate_is_refused(book: Book) -> None:
    with pytest.raises(ValueError, match="USD_JPY"):
        book.mark(Price("USD_JPY", D(1), D(2), NOW))


def test_a_rejection_takes_a_number(book: Book) -> None:
    book.reject(NOW, "MARKET_ORDER_REJECT", "UNITS_INVALID", Request("EUR_USD", D(0), "x"))
    assert (book.last, book.log[-1].kind, book.log[-1].client_id) == (3, "reject", "x")
    book.check()


def test_since_gives_what_is_behind(book: Book) -> None:
    bought(book)
    assert [line.id for line in book.since(2)] == [3, 4]
    assert book.since(4) == []
    book.log.clear()
    bought(book)
    assert [line.id for line in book.since(1)] == [5, 6]


@pytest.mark.parametrize("field", ["balance", "profit", "last", "trades", "orders"])
def test_the_check_sees_what_is_wrong(book: Book, field: str) -> None:
    trade = bought(book, stop=D("1.0"))
    if field == "trades":
        book.trades[trade].units += 1
    elif field == "orders":
        book.orders.clear()
    else:
        setattr(book, field, getattr(book, field) + 1)
    with pytest.raises(Discrepancy):
        book.check()


def test_an_operation_takes_a_hundred_microseconds(book: Book) -> None:
    rounds, best = 500, float("inf")
    for _ in range(5):
        began = perf_counter()
        for n in range(rounds):
            book.mark(EUR)
            trade = bought(book, 1000, stop=D("1.0"), target=D("1.2"), client_id=f"e{n}")
            book.close(trade, None, None, NOW, f"x{n}")
        best = min(best, (perf_counter() - began) / rounds / 2)
    print(f"{best * 1e6:.0f} microseconds an entry or exit")
    assert best < 100e-6


PRICES = st.integers(90_000, 130_000).map(lambda points: D(points).scaleb(-5))
UNITS = st.integers(-50_000, 50_000).filter(bool).map(D)


class Anything(RuleBasedStateMachine):
    """A client, a market and a venue that do what they like; the account stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book.opened("USD", D(10_000), NOW)
        self.now = NOW
        self.price(D("1.1"), D("0.0002"), D(1))

    def some(self, number: int) -> str | None:
        trades = [*self.book.trades]
        return trades[number % len(trades)] if trades else None

    @rule(bid=PRICES, spread=st.sampled_from([D("0.0001"), D("0.002")]), rate=st.just(D(1)))
    def price(self, bid: Decimal, spread: Decimal, rate: Decimal) -> None:
        self.now += timedelta(minutes=1)
        euro = Price("EUR_USD", bid, bid + spread, self.now, gain=rate, loss=rate)
        yen = Price("USD_JPY", bid * 100, bid * 101, self.now, gain=D("0.0066"), loss=D("0.0067"))
        self.book.mark(euro, D("0.02"))
        self.book.mark(yen, D("0.04"))

    @rule(
        units=UNITS,
        pair=st.sampled_from(["EUR_USD", "USD_JPY"]),
        bound=st.none() | PRICES,
        stop=st.none() | PRICES,
        goal=st.none() | PRICES,
        netting=st.sampled_from(["DEFAULT", "OPEN_ONLY", "REDUCE_FIRST", "REDUCE_ONLY"]),
        wait=st.booleans(),
    )
    def enter(
        self, units: Decimal, pair: str, goal: Decimal | None, wait: bool, **more: Any
    ) -> None:
        request = Request(pair, units, "same", target=goal, **more)
        if wait:
            self.book.wait("STOP", request, D("1.2"), self.now)
        else:
            lines = self.book.enter(request, self.now)
            assert [line.kind for line in lines[:2]] in (["order", "fill"], ["order", "cancel"])

    @rule(number=st.integers(0, 99), units=st.none() | UNITS.map(abs))
    def close(self, number: int, units: Decimal | None) -> None:
        if trade := self.some(number):
            self.book.close(trade, units, None, self.now)

    @rule(number=st.integers(0, 99), stop=st.none() | PRICES, goal=st.none() | PRICES)
    def protect(self, number: int, stop: Decimal | None, goal: Decimal | None) -> None:
        if trade := self.some(number):
            self.book.protect(trade, {"stop": stop, "target": goal}, self.now)

    @rule(
        number=st.integers(0, 99),
        price=PRICES,
        reason=st.sampled_from(["STOP_LOSS_ORDER", "TAKE_PROFIT_ORDER", "MARGIN_CLOSEOUT"]),
    )
    def settle(self, number: int, price: Decimal, reason: str) -> None:
        if trade := self.some(number):
            try:
                self.book.settle(trade, price, self.now, reason)
            except KeyError:
                assert reason != "MARGIN_CLOSEOUT"

    @rule(number=st.integers(0, 99), fills=st.booleans())
    def order(self, number: int, fills: bool) -> None:
        if waiting := [*self.book.orders.values()]:
            order = waiting[number % len(waiting)]
            if fills and order.request:
                self.book.trigger(order.id, self.now)
            else:
                self.book.cancel(order.id, self.now)

    @rule(days=st.sampled_from([1, 3]))
    def finance(self, days: int) -> None:
        rates = {"EUR_USD": (D("-0.03"), D("0.01")), "USD_JPY": (D("0.02"), D("-0.05"))}
        self.book.finance(self.now, rates, days)

    @rule()
    def reject(self) -> None:
        self.book.reject(self.now, "MARKET_ORDER_REJECT", "UNITS_INVALID")

    @rule(log=st.booleans())
    def stored(self, log: bool) -> None:
        shown = json.loads(json.dumps(self.book.to_dict(log=log)))
        again = Book.from_dict(shown)
        assert again.account("a") == self.book.account("a")
        again.check()
        if log:
            assert again == self.book
            self.book = again

    @invariant()
    def whole(self) -> None:
        self.book.check()
        account = self.book.account("a")
        assert account.equity == account.balance + sum(t.unrealised for t in account.trades)


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
