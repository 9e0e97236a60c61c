"""The paper broker: what it fills at, how trades end, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from infra.brokers.broker import Done, Entry, Refused
from infra.brokers.desk import rollovers
from infra.brokers.keeping import Database, Keeping, Memory
from infra.brokers.paper import DIGITS, PaperBroker
from infra.brokers.prices import ArrayPrices, StorePrices
from infra.clock import VirtualClock
from infra.market.quotes import Costs
from infra.stores.bulk import BarStore
from tests.infra.brokers.room import COSTS, HOUR, START, UNITS, Room, bars, fill, why


@pytest.fixture(params=["memory", "database"])
def keeping(request: pytest.FixtureRequest) -> Keeping:
    if request.param == "memory":
        return Memory()
    request.getfixturevalue("database")
    return Database("paper")


def test_an_order_fills_at_the_open_of_the_bar_that_begins_now(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1, 1.2)
    bought, sold = fill(room.buy(2)), fill(room.sell(2))
    assert float(bought.price or 0) == 1.1 + 0.01 + 0.001
    assert float(sold.price or 0) == 1.1 - 0.01 - 0.001
    assert bought.at == START + 2 * HOUR
    assert bought.opened is not None
    assert sold.opened is None  # it took the other side's units
    assert room.broker.account().trades == ()


def test_a_time_inside_a_bar_fills_at_that_moments_price_or_the_next(keeping: Keeping) -> None:
    minutes = bars(*[1.0 + n / 1000 for n in range(60)], length=timedelta(minutes=1))
    finer = {("PLANTED", "M1"): minutes}
    exact = fill(Room(keeping, 1.0, 1.1, 1.2, others=finer).buy(0.5))
    assert (exact.at, float(exact.price or 0)) == (START + HOUR / 2, 1.029 + 0.011)
    later = Room(Memory(), 1.0, 1.1, 1.2)
    assert (fill(later.buy(0.5)).at, fill(later.sell(0.5)).at) == (START + HOUR, START + HOUR)


def test_a_price_lives_for_two_bars(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1)
    assert float(fill(room.buy(3.9)).price or 0) == 1.1 + 0.01 + 0.001
    assert why(room.buy(4.5)) == "cancel MARKET_HALTED"
    assert room.at(4.5).prices(["PLANTED"]) == {}


@pytest.mark.parametrize(("missing", "told"), [(0, 2), (1, 3), (12, 14), (13, None), (100, None)])
def test_a_replayed_order_waits_for_the_next_price_but_not_beyond_a_hole(
    keeping: Keeping, missing: int, told: int | None
) -> None:
    after = bars(1.2, 1.2, start=START + (2 + missing) * HOUR)
    source = ArrayPrices({("PLANTED", "H1"): pl.concat([bars(1.0, 1.1), after])})
    room = Room(keeping, 1.0)
    room.broker = replace(room.broker, source=source)
    reply = room.buy(2)
    if told is None:
        assert why(reply) == "cancel MARKET_HALTED"
    else:
        assert (fill(reply).at, fill(reply).price) == (START + told * HOUR, Decimal("1.2"))


def test_closing_pays_no_slippage_and_a_second_time_does_no_harm(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1)
    trade = fill(room.buy(0)).opened
    assert trade is not None
    closed = fill(room.at(1).close(trade.trade, "x"))
    assert float(closed.price or 0) == 1.0 - 0.01
    assert closed.profit == Decimal("-21.0000")
    assert why(room.broker.close(trade.trade, "x")) == "reject TRADE_DOESNT_EXIST"
    assert room.broker.account().balance == Decimal(100_000) - 21


def test_part_of_a_trade_is_closed(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1)
    number = fill(room.buy(0)).id
    assert why(room.broker.close(str(number), "x", UNITS + 1)).startswith(
        "reject CLOSE_TRADE_UNITS"
    )
    fill(room.broker.close(str(number), "x", UNITS / 4))
    (left,) = room.broker.account().trades
    assert (left.units, left.stop) == (UNITS * 3 / 4, Decimal("0.1"))


@pytest.mark.parametrize(
    ("side", "levels", "closes", "ended"),
    [
        ("buy", {"stop": "0.9"}, (1.0, 1.0, 0.8, 0.8), ("STOP_LOSS_ORDER", 0.9, 2)),
        ("buy", {"stop": "0.985"}, (1.0, 1.0, 1.0), None),
        ("buy", {"target": "1.2"}, (1.0, 1.1, 1.3), ("TAKE_PROFIT_ORDER", 1.2, 2)),
        ("sell", {"stop": "1.2"}, (1.0, 1.1, 1.3), ("STOP_LOSS_ORDER", 1.2, 2)),
        ("sell", {"target": "0.9"}, (1.0, 1.0, 0.8), ("TAKE_PROFIT_ORDER", 0.9, 2)),
        ("buy", {"stop": "0.9", "target": "1.05"}, (1.0, 1.0, 0.8, 1.2),
         ("STOP_LOSS_ORDER", 0.9, 2)),
    ],
    ids=["stop", "not touched", "target", "short stop", "short target", "stop before target"],
)  # fmt: skip
def test_stops_and_targets_are_filled_while_nobody_looks(
    keeping: Keeping,
    side: str,
    levels: dict[str, str],
    closes: Sequence[float],
    ended: tuple[str, float, int] | None,
) -> None:
    room = Room(keeping, *closes)
    enter = room.buy if side == "buy" else room.sell
    fill(enter(0, **{name: Decimal(level) for name, level in levels.items()}))
    told = [] if ended is None else [(ended[0], ended[1], START + ended[2] * HOUR)]
    assert room.ends(len(closes)) == told


def test_a_gap_through_the_stop_fills_at_the_open(keeping: Keeping) -> None:
    gap = pl.concat([bars(1.0, 1.0), bars(0.7, 0.7, start=START + 2 * HOUR)])
    source = ArrayPrices({("PLANTED", "H1"): gap}, costs=lambda pair: COSTS)
    room = Room(keeping, 1.0)
    room.broker = replace(room.broker, source=source)
    fill(room.buy(0, stop=Decimal("0.9")))
    assert room.ends(2) == [("STOP_LOSS_ORDER", 0.7 - 0.01, START + 2 * HOUR)]


def test_a_bars_range_counts_only_once_it_is_closed(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.0, 0.8, 0.8)
    fill(room.buy(0, stop=Decimal("0.9")))
    assert room.ends(2.99) == []
    assert len(room.ends(3)) == 1


def test_a_trade_inside_a_bar_may_lose_by_its_range_but_not_win(keeping: Keeping) -> None:
    minutes = {("PLANTED", "M1"): bars(*[1.0] * 60, length=timedelta(minutes=1))}
    for levels, count in (({"target": Decimal("1.1")}, 0), ({"stop": Decimal("0.9")}, 1)):
        room = Room(Memory(), 1.0, 1.0, others=minutes)
        wide = bars(1.0, 1.0).with_columns(high=pl.lit(1.3), low=pl.lit(0.8))
        frames = {("PLANTED", "H1"): wide.head(1), **minutes}
        source = ArrayPrices(frames, costs=lambda pair: COSTS)
        room.broker = replace(room.broker, source=source)
        fill(room.buy(0.5, **levels))
        assert len(room.ends(1)) == count
    assert keeping is not None


def test_an_exit_in_a_downtime_gets_the_price_there_is_then(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1, 1.2, 1.3, 1.4)
    number = fill(room.buy(0)).id
    late = fill(room.at(4).close(str(number), "x"))
    assert (float(late.price or 0), late.at) == (1.3 - 0.01, START + 4 * HOUR)


def test_orders_are_refused_as_a_venue_does(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1, pair="EUR_USD")
    enter, entry = (
        room.broker.enter,
        Entry("e", "EUR_USD", "long", UNITS, Decimal(2), Decimal("0.5")),
    )
    entry = replace(entry, timeframe="H1")
    assert isinstance(enter(replace(entry, pair="NO_SUCH")), Refused)
    cases: dict[str, dict[str, Any]] = {
        "reject UNITS_INVALID": {"units": Decimal(-1)},
        "reject UNITS_MIMIMUM_NOT_MET": {"units": Decimal("0.5")},
        "reject UNITS_PRECISION_EXCEEDED": {"units": Decimal("10.5")},
        "reject UNITS_LIMIT_EXCEEDED": {"units": Decimal(10) ** 9},
        "reject PRICE_BOUND_INVALID": {"bound": Decimal(0)},
        "reject STOP_LOSS_ON_FILL_PRICE_INVALID": {"stop": Decimal("NaN")},
        "reject TAKE_PROFIT_ON_FILL_PRICE_INVALID": {"target": Decimal("Infinity")},
        "cancel BOUNDS_VIOLATION": {"bound": Decimal("1.001")},
        "cancel STOP_LOSS_ON_FILL_LOSS": {"stop": Decimal("1.2")},
        "cancel TAKE_PROFIT_ON_FILL_LOSS": {"target": Decimal("0.9")},
        "cancel INSUFFICIENT_MARGIN": {"units": Decimal(50_000_000)},
    }
    for expected, changes in cases.items():
        assert why(enter(replace(entry, **changes))) == expected
    assert why(room.at(1).protect("99", Decimal(1), None)) == "reject TRADE_DOESNT_EXIST"
    number = str(fill(enter(entry)).id)
    assert why(room.broker.protect(number, Decimal("1.2"), None)) == "reject STOP_LOSS_ON_FILL_LOSS"
    assert isinstance(room.broker.protect(number, Decimal("0.8"), Decimal("1.5")), Done)
    (trade,) = room.broker.account().trades
    assert (trade.stop, trade.target, trade.client_id) == (Decimal("0.8"), Decimal("1.5"), "e")


def test_a_closed_market_fills_nothing(keeping: Keeping) -> None:
    friday = datetime(2026, 1, 9, 20, tzinfo=UTC)
    closes = bars(1.0, 1.1, start=friday)
    monday = bars(1.2, 1.2, start=datetime(2026, 1, 11, 22, tzinfo=UTC))
    source = ArrayPrices({("EUR_USD", "H1"): pl.concat([closes, monday])}, costs=lambda _: COSTS)
    room = Room(keeping, 1.0, pair="EUR_USD")
    room.broker = replace(room.broker, source=source)
    hours = (friday - START) / HOUR
    number = str(fill(room.buy(hours)).id)
    assert why(room.buy(hours + 2)) == "cancel MARKET_HALTED"
    assert not room.broker.prices(["EUR_USD"])["EUR_USD"].tradeable
    assert why(room.broker.close(number, "x")) == "cancel MARKET_HALTED"
    assert float(fill(room.at(hours + 50).close(number, "x")).price or 0) == 1.2 - 0.01


def test_nights_are_paid_for_and_wednesday_for_three(keeping: Keeping) -> None:
    room = Room(keeping, *[1.0] * 100, pair="EUR_USD")
    fill(room.buy(1))
    told = [line for line in room.at(99).since(0) if line.kind == "financing"]
    at = [datetime(2026, 1, day, 22, tzinfo=UTC) for day in (5, 6, 7, 8)]
    assert [line.at for line in told] == at
    amounts = [line.financing for line in told]
    assert amounts[0] < 0
    assert amounts[2] == pytest.approx(3 * amounts[0], abs=Decimal("0.0002"))
    often = Room(Memory(), *[1.0] * 100, pair="EUR_USD")
    fill(often.buy(1))
    for hour in range(2, 100):
        often.at(hour).account()
    assert often.at(99).account().balance == room.at(99).account().balance


def test_a_trade_that_was_stopped_pays_for_no_night_after(keeping: Keeping) -> None:
    room = Room(keeping, *[1.0] * 30, *[0.8] * 60, pair="EUR_USD")
    fill(room.buy(1, stop=Decimal("0.9")))
    lines = room.at(80).since(0)
    assert [line.kind for line in lines if line.kind in ("financing", "fill")] == [
        "fill", "financing", "fill",
    ]  # fmt: skip


def test_nights_end_at_seventeen_in_new_york_in_summer_too() -> None:
    summer = datetime(2026, 7, 3, 20, tzinfo=UTC)  # a Friday
    nights = list(rollovers(summer, summer + timedelta(days=6)))
    assert [(at.day, at.hour, days) for at, days in nights] == [
        (3, 21, 1), (6, 21, 1), (7, 21, 1), (8, 21, 3),
    ]  # fmt: skip
    assert [at for at, _ in rollovers(nights[0][0], nights[1][0])] == [nights[1][0]]


def test_a_margin_call_closes_everything(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.0, 0.975, 0.97, pair="EUR_USD")
    number = fill(room.buy(0)).id
    fill(
        room.broker.enter(
            Entry(
                "big",
                "EUR_USD",
                "long",
                Decimal(3_000_000),
                Decimal(2),
                Decimal("0.5"),
                timeframe="H1",
            )
        )
    )
    assert number > 0
    assert {reason for reason, *_ in room.ends(3)} == {"MARKET_ORDER_MARGIN_CLOSEOUT"}
    assert room.broker.account().trades == ()


def test_profit_is_told_in_the_accounts_currency(keeping: Keeping) -> None:
    rates = {("USD_JPY", "H1"): bars(100.0, 125.0, 125.0)}
    room = Room(keeping, 100.0, 110.0, 110.0, pair="EUR_JPY", others=rates)
    number = fill(room.buy(0, bound=Decimal(200), stop=Decimal(50))).id
    closed = fill(room.at(2).close(str(number), "x"))
    assert closed.profit == ((Decimal("109.99") - Decimal("100.011")) * UNITS / 125).quantize(
        Decimal("0.0001")
    )
    unknown = Room(Memory(), 100.0, 110.0, pair="EUR_JPY")
    refused = unknown.buy(0, bound=Decimal(200), stop=Decimal(50))
    assert why(refused) == "cancel NO_HOME_CONVERSION"


def test_each_pair_pays_its_own_costs(keeping: Keeping) -> None:
    frames = {(pair, "H1"): bars(1.0, 1.0) for pair in ("PLANTED", "EUR_USD")}
    costs = {"PLANTED": Costs(0.02, 0.001), "EUR_USD": Costs(0.2, 0.01)}
    broker = PaperBroker(ArrayPrices(frames, costs=costs.__getitem__), keeping, VirtualClock(START))
    for pair, price in (("PLANTED", 1.011), ("EUR_USD", 1.11)):
        entry = Entry("e", pair, "long", UNITS, Decimal(2), Decimal("0.5"), timeframe="H1")
        assert float(fill(broker.enter(entry)).price or 0) == pytest.approx(price)


def test_candles_tell_nothing_of_the_bar_under_way_but_its_open(keeping: Keeping) -> None:
    told = Room(keeping, 1.0, 1.1, 1.2).at(2.5).candles("PLANTED", "H1", START + HOUR)
    assert [candle.complete for candle in told] == [True, False]
    assert [float(price) for price in told[0].bid] == pytest.approx([0.99, 1.09, 0.99, 1.09])
    assert set(told[1].ask) == {told[1].ask[0]}


def test_what_it_demands(keeping: Keeping) -> None:
    broker = Room(keeping, 1.0).broker
    assert (broker.real, broker.synthetic, broker.name) == (False, True, "paper")
    euro, made_up = broker.terms("EUR_USD"), broker.terms("PLANTED")
    assert euro is not None
    assert made_up is not None
    assert (euro.precision, euro.unit_precision, euro.minimum) == (5, 0, Decimal(1))
    assert made_up.precision == DIGITS
    assert broker.terms("NO_SUCH") is None


def test_the_log_is_whole_and_a_clock_set_back_changes_nothing(keeping: Keeping) -> None:
    room = Room(keeping, 1.0, 1.1, 1.0, 1.1)
    fill(room.buy(2))
    fill(room.sell(1))
    lines = room.at(0).since(0)
    assert [line.id for line in lines] == [*range(1, room.broker.last() + 1)]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert room.broker.since(lines[2].id) == lines[3:]
    assert room.broker.account().transaction == lines[-1].id


def test_a_damaged_series_keeps_no_other_from_its_stop(keeping: Keeping, tmp_path: Path) -> None:
    store = BarStore(tmp_path)
    for pair in ("PLANTED", "PLANTED_FAT"):
        store.write(pair, "H1", bars(1.0, 1.0, 0.8, 0.8))
    clock = VirtualClock(START)
    broker = PaperBroker(StorePrices(store, costs=lambda _: COSTS), keeping, clock)
    for pair in ("PLANTED", "PLANTED_FAT"):
        stop = Decimal("0.9")
        fill(broker.enter(Entry(pair, pair, "long", UNITS, Decimal(2), stop, timeframe="H1")))
    for file in (tmp_path / "PLANTED" / "H1").glob("*.parquet"):
        file.write_bytes(b"damaged")
    clock.moment = START + 3 * HOUR
    closed = [
        line.pair for line in broker.since(0) if line.reason == "STOP_LOSS_ORDER" and line.closed
    ]
    assert closed == ["PLANTED_FAT"]
    assert [trade.pair for trade in broker.account().trades] == ["PLANTED"]
