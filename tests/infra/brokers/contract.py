"""What every broker must do: one body of tests, for each broker that there is.

A class of tests derives from `Contract` and has a fixture `broker`: a new account without trades,
at a venue where `PAIR` trades now and has bars of a few hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from infra.brokers.broker import Broker, Done, Entry, Refused, Reply, Side, Trade, Transaction
from infra.market.timeframes import bar_length

PAIR = "EUR_USD"
TIMEFRAME = "M1"
UNITS = Decimal(1000)
SIDES: tuple[Side, ...] = ("long", "short")


def level(broker: Broker, side: Side, pips: float) -> Decimal:
    """A price so many pips beyond the present one, in the direction that a side hopes for."""
    price, terms = broker.prices([PAIR])[PAIR], broker.terms(PAIR)
    assert terms is not None
    sign = 1 if side == "long" else -1
    far = sign * Decimal(str(pips)) * Decimal(1).scaleb(1 - terms.precision)
    start = price.ask if side == "long" else price.bid
    return (start + far).quantize(Decimal(1).scaleb(-terms.precision))


def entry(
    broker: Broker,
    side: Side = "long",
    name: str = "one",
    units: Decimal = UNITS,
    bound: float = 20,
) -> Entry:
    stop, target = level(broker, side, -60), level(broker, side, 60)
    worst = level(broker, side, bound)
    return Entry(name, PAIR, side, units, worst, stop, target, timeframe=TIMEFRAME)


def fills(lines: Sequence[Transaction]) -> list[Transaction]:
    return [line for line in lines if line.kind == "fill"]


def done(reply: Reply) -> tuple[Transaction, ...]:
    assert isinstance(reply, Done), reply
    return reply.transactions


def opened(broker: Broker, side: Side = "long", name: str = "one") -> Trade:
    """A trade that was just opened."""
    (fill,) = fills(done(broker.enter(entry(broker, side, name))))
    assert fill.opened is not None
    return next(trade for trade in broker.account().trades if trade.id == fill.opened.trade)


class Contract:
    @pytest.mark.parametrize("side", SIDES)
    def test_an_entry_is_filled_and_the_log_tells(self, broker: Broker, side: Side) -> None:
        before, order = broker.last(), entry(broker, side)
        (fill,) = fills(done(broker.enter(order)))
        signed = UNITS if side == "long" else -UNITS
        assert (fill.pair, fill.units, fill.client_id) == (PAIR, signed, "one")
        assert fill.opened is not None
        assert fill.price is not None
        assert (order.bound - fill.price) * signed >= 0
        log = broker.since(before)
        assert fills(log) == [fill]
        made = next(line for line in log if line.id == int(fill.order or 0))
        assert (made.kind, made.client_id) == ("order", "one")

    @pytest.mark.parametrize("side", SIDES)
    def test_stop_and_target_are_at_the_broker(self, broker: Broker, side: Side) -> None:
        order = entry(broker, side)
        done(broker.enter(order))
        (trade,) = broker.account().trades
        assert (trade.pair, trade.side, trade.units) == (PAIR, side, UNITS)
        assert (trade.stop, trade.target) == (order.stop, order.target)
        assert trade.client_id == "one"

    def test_a_target_may_be_left_out(self, broker: Broker) -> None:
        stop, bound = level(broker, "long", -60), level(broker, "long", 20)
        done(broker.enter(Entry("one", PAIR, "long", UNITS, bound, stop, timeframe=TIMEFRAME)))
        (trade,) = broker.account().trades
        assert (trade.stop, trade.target) == (stop, None)

    @pytest.mark.parametrize("side", SIDES)
    def test_a_close_goes_by_the_trade(self, broker: Broker, side: Side) -> None:
        first, second = opened(broker, side), opened(broker, side, "two")
        (fill,) = fills(done(broker.close(first.id, "exit")))
        (part,) = fill.closed
        assert (part.trade, abs(part.units), part.whole) == (first.id, UNITS, True)
        assert fill.opened is None
        assert [trade.id for trade in broker.account().trades] == [second.id]
        assert fill.balance == broker.account().balance

    def test_part_of_a_trade_is_closed(self, broker: Broker) -> None:
        trade = opened(broker)
        (fill,) = fills(done(broker.close(trade.id, "exit", Decimal(400))))
        (part,) = fill.closed
        assert (part.trade, abs(part.units), part.whole) == (trade.id, Decimal(400), False)
        (left,) = broker.account().trades
        assert (left.units, left.stop, left.target) == (Decimal(600), trade.stop, trade.target)

    def test_a_second_close_fills_nothing(self, broker: Broker) -> None:
        trade = opened(broker)
        done(broker.close(trade.id, "exit"))
        before = broker.last()
        again = broker.close(trade.id, "exit")
        assert isinstance(again, Done | Refused)
        if isinstance(again, Done):
            assert [line.kind for line in again.transactions] == ["reject"]
        assert fills(broker.since(before)) == []
        assert broker.account().trades == ()

    def test_a_trade_that_never_was_is_not_closed(self, broker: Broker) -> None:
        before = broker.last()
        assert isinstance(broker.close("999999", "exit"), Done | Refused)
        assert fills(broker.since(before)) == []

    def test_the_log_is_complete_and_consecutive(self, broker: Broker) -> None:
        begin = broker.last()
        opened(broker)
        opened(broker, name="two")
        for trade in broker.account().trades:
            done(broker.close(trade.id, f"exit {trade.id}"))
        log = broker.since(begin)
        assert [line.id for line in log] == list(range(begin + 1, broker.last() + 1))
        assert len(fills(log)) == 4
        assert [line.at for line in log] == sorted(line.at for line in log)
        for after in range(begin, broker.last() + 1):
            assert broker.since(after) == [line for line in log if line.id > after]

    @pytest.mark.parametrize("side", SIDES)
    def test_a_bound_that_is_violated_cancels(self, broker: Broker, side: Side) -> None:
        before = broker.last()
        lines = done(broker.enter(entry(broker, side, bound=-5)))
        assert [line.kind for line in lines][-1] == "cancel"
        assert fills(lines) == fills(broker.since(before)) == []
        assert broker.account().trades == ()

    def test_units_below_the_least_are_not_taken(self, broker: Broker) -> None:
        terms, before = broker.terms(PAIR), broker.last()
        assert terms is not None
        reply = broker.enter(entry(broker, units=terms.minimum / 2))
        if isinstance(reply, Done):
            assert [line.kind for line in reply.transactions] == ["reject"]
        else:
            assert isinstance(reply, Refused)
        assert fills(broker.since(before)) == []

    def test_the_least_units_are_taken(self, broker: Broker) -> None:
        terms = broker.terms(PAIR)
        assert terms is not None
        (fill,) = fills(done(broker.enter(entry(broker, units=terms.minimum))))
        assert fill.units == terms.minimum

    @pytest.mark.parametrize("keeps", [True, False])
    def test_protection_is_replaced(self, broker: Broker, keeps: bool) -> None:
        trade = opened(broker)
        assert trade.stop is not None
        assert trade.target is not None
        step = Decimal("0.0010")
        stop, target = trade.stop - step, trade.target + step if keeps else None
        before = broker.last()
        lines = done(broker.protect(trade.id, stop, target))
        assert {line.price for line in lines if line.kind == "order"} == {stop, target} - {None}
        (now,) = broker.account().trades
        assert (now.stop, now.target, now.units) == (stop, target, trade.units)
        assert fills(broker.since(before)) == []

    def test_a_trade_without_a_stop_gets_it_back(self, broker: Broker) -> None:
        trade = opened(broker)
        assert trade.stop is not None
        for _ in range(3):  # once more does no harm
            done(broker.protect(trade.id, trade.stop, trade.target))
        (now,) = broker.account().trades
        assert (now.stop, now.target) == (trade.stop, trade.target)

    def test_equity_is_balance_and_what_is_open(self, broker: Broker) -> None:
        empty = broker.account()
        assert empty.equity == empty.balance > 0
        assert (empty.trades, empty.pending) == ((), ())
        opened(broker)
        opened(broker, name="two")
        account = broker.account()
        open_ = sum(trade.unrealised for trade in account.trades)
        assert abs(account.equity - account.balance - open_) <= Decimal("0.0002")
        assert 0 < account.margin_used < account.equity
        assert account.margin_available <= account.equity - account.margin_used
        assert account.transaction == broker.last()

    def test_the_balance_is_what_the_log_says(self, broker: Broker) -> None:
        begin, balance = broker.last(), broker.account().balance
        for side in SIDES:
            done(broker.close(opened(broker, side, f"{side} one").id, "exit"))
        for line in broker.since(begin):
            balance += line.profit + line.financing - line.commission
            assert line.balance in (None, balance)
        assert broker.account().balance == balance

    def test_what_is_demanded_of_orders(self, broker: Broker) -> None:
        terms = broker.terms(PAIR)
        assert terms is not None
        assert (terms.pair, terms.precision, terms.unit_precision) == (PAIR, 5, 0)
        assert 0 < terms.minimum < terms.maximum
        assert 0 < terms.margin < 1
        assert broker.terms("EUR_XXX") is None

    def test_prices(self, broker: Broker) -> None:
        prices = broker.prices([PAIR, "EUR_XXX"])
        assert set(prices) == {PAIR}
        price = prices[PAIR]
        assert 0 < price.bid <= price.ask
        assert price.tradeable
        assert price.at.utcoffset() == timedelta(0)
        assert price.gain is not None
        assert price.gain > 0

    def test_candles_ascend(self, broker: Broker) -> None:
        now = broker.prices([PAIR])[PAIR].at
        since = now - 30 * bar_length(TIMEFRAME)
        candles = broker.candles(PAIR, TIMEFRAME, since)
        times = [candle.time for candle in candles]
        assert times == sorted(set(times))
        assert times[0] >= since
        assert len(times) > 10
        assert all(candle.complete for candle in candles[:-1])
        for candle in candles:
            for o, h, l, c in (candle.bid, candle.ask):  # noqa: E741
                assert 0 < l <= min(o, c) <= max(o, c) <= h
            assert candle.bid[3] <= candle.ask[3]

    def test_it_is_nobody_s_money(self, broker: Broker) -> None:
        assert not broker.real
        assert broker.name
