"""Execution: a signal is traded at most once, by one executor, and never when in doubt."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import select, text

from infra.brokers.paper import PaperBroker
from infra.postgres import models
from infra.postgres.database import engine, read_frame, session
from infra.postgres.models import Fill, Intent, IntentEvent, Position, Signal
from infra.stores.bulk import BarStore
from tasks.trading import execution
from tasks.trading.execution import Done, Executor, refusal
from tasks.trading.journal import Journal
from tasks.trading.lease import Held, LeaseHeld, LeaseLost, acquire

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
NAME = "execute:paper"


@pytest.fixture
def store(tmp_path: Path, database: str) -> BarStore:
    closes = [1.0 + 0.01 * (n % 7) for n in range(40)]
    opens = [closes[0], *closes[:-1]]
    bars = pl.DataFrame(
        {
            "timestamp": [START + n * HOUR for n in range(40)],
            "open": opens,
            "high": [max(p) + 0.001 for p in zip(opens, closes, strict=True)],
            "low": [min(p) - 0.001 for p in zip(opens, closes, strict=True)],
            "close": closes,
            "volume": [1.0] * 40,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    bars_store = BarStore(tmp_path)
    bars_store.write("PLANTED", "H1", bars)
    with session() as opened:
        opened.add(model())
    return bars_store


def model() -> models.Model:
    return models.Model(
        model_id="m",
        pair="PLANTED",
        timeframe="H1",
        strategy="damped",
        parameters={},
        data_hash="d",
        code_version="c",
        trained_from=START,
        trained_until=START,
        path="p",
        metrics={},
    )


def publish(bar: int, side: str = "long", **changes: object) -> None:
    values: dict[str, object] = {
        "strategy": "damped",
        "pair": "PLANTED",
        "timeframe": "H1",
        "bar_ts": START + bar * HOUR,
        "side": side,
        "action": "BUY" if side == "long" else "SELL",
        "confidence": 0.7,
        "lower": 0.6,
        "upper": 0.8,
        "break_even": 0.5,
        "horizon": 4,
        "valid_until": START + (bar + 2) * HOUR,
        "mode": "live",
        "model_id": "m",
    }
    with session() as opened:
        opened.add(Signal(**{**values, **changes}))


def published() -> Signal:
    with session() as opened:
        signal = opened.scalars(select(Signal)).one()
        opened.expunge_all()
    return signal


def executor(store: BarStore, holder: str = "one") -> Executor:
    return Executor(PaperBroker(store), Journal("paper", acquire(NAME, holder)))


def run(store: BarStore, *bars: int) -> Done:
    done = Done()
    for bar in bars:
        done.add(execution.step(executor(store), START + bar * HOUR))
    return done


def count(table: type[models.Base]) -> int:
    return len(read_frame(f'SELECT * FROM "{table.__tablename__}"'))


def test_a_fresh_signal_is_entered_once_and_left_at_its_time(store: BarStore) -> None:
    publish(2)
    done = run(store, 3, 3, 4, 5, 6, 7, 8)
    assert [row["price"] for row in done.entered] == [pytest.approx(1.02)]
    assert [row["reason"] for row in done.left] == ["time"]
    with session() as opened:
        position = opened.scalars(select(Position)).one()
        assert position.opened_at == START + 3 * HOUR
        assert position.closed_at == START + 7 * HOUR
        assert position.profit == pytest.approx((1.06 - 1.02) * 10_000)
    assert count(Fill) == 2
    assert count(Intent) == 2


def test_every_step_of_an_order_is_journalled(store: BarStore) -> None:
    publish(2)
    run(store, 3, 7)
    with session() as opened:
        events = opened.scalars(select(IntentEvent.event).order_by(IntentEvent.id)).all()
    assert events == ["claimed", "filled", "filled"]


def test_a_shadow_signal_is_never_executed(store: BarStore) -> None:
    publish(2, mode="shadow")
    assert run(store, 3) == Done()


def test_what_a_market_trades_is_refused_until_the_gate_exists(store: BarStore) -> None:
    publish(2, pair="EUR_USD")
    done = run(store, 3)
    assert not done.entered
    assert "passed the gate" in done.refused[0]["reason"]


@pytest.mark.parametrize("name", ["confidence", "lower", "break_even"])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_number_is_refused(name: str, value: float | None) -> None:
    numbers = {"confidence": 0.7, "lower": 0.6, "break_even": 0.5, name: value}
    assert refusal(Signal(pair="PLANTED", **numbers)) is not None


def test_an_expired_signal_is_not_traded(store: BarStore) -> None:
    publish(2)
    assert run(store, 4) == Done()


def test_a_signal_is_not_traded_before_its_bar_has_closed(store: BarStore) -> None:
    publish(2)
    done = execution.step(executor(store), START + 2.5 * HOUR)
    assert not done.entered
    assert "closes" in done.refused[0]["reason"]


def test_a_signal_on_a_bar_with_an_open_position_is_ignored(store: BarStore) -> None:
    for bar in (2, 3, 6, 7):
        publish(bar)
    done = run(store, *range(3, 13))
    assert [row["bar"] for row in done.entered] == [
        (START + bar * HOUR).isoformat() for bar in (2, 7)
    ]


def test_an_opposite_signal_closes_and_waits_for_the_next_bar(store: BarStore) -> None:
    publish(2)
    publish(4, "short")
    publish(5, "short")
    done = run(store, 3, 4, 5, 5, 6)
    assert [row["reason"] for row in done.left] == ["opposite"]
    assert [(row["side"], row["at"]) for row in done.entered] == [
        ("long", (START + 3 * HOUR).isoformat()),
        ("short", (START + 6 * HOUR).isoformat()),
    ]


def test_a_replay_that_runs_again_trades_nothing_again(store: BarStore) -> None:
    publish(2)
    publish(9, "short")
    first = run(store, *range(3, 12))
    assert (len(first.entered), len(first.left)) == (2, 1)
    assert run(store, *range(3, 12)) == Done()


def test_one_executor_at_a_time(store: BarStore) -> None:
    first = acquire(NAME, "one")
    with pytest.raises(LeaseHeld):
        acquire(NAME, "two")
    assert acquire(NAME, "one").token == first.token
    first.release()
    assert acquire(NAME, "two").token == first.token + 1


def test_an_executor_that_lost_its_lease_writes_nothing(store: BarStore) -> None:
    publish(2)
    paused = executor(store, "one")
    paused.journal.lease.release()
    acquire(NAME, "two")
    with pytest.raises(LeaseLost):
        execution.step(paused, START + 3 * HOUR)
    assert count(Intent) == 0


def test_racing_claims_of_a_signal_give_one_intent(store: BarStore) -> None:
    publish(2)
    signal = published()
    journal = executor(store).journal
    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(lambda _: journal.claim(signal, 1.0), range(8)))
    assert sum(claim is not None for claim in claims) == 1
    assert count(Intent) == 1


def test_a_run_that_died_between_claim_and_order_is_taken_up(store: BarStore) -> None:
    publish(2)
    dead = executor(store)
    signal = published()
    assert dead.journal.claim(signal, 10_000.0) is not None
    done = run(store, 3)
    assert len(done.entered) == 1
    assert count(Fill) == 1


def test_a_claim_that_outlived_its_signal_is_refused(store: BarStore) -> None:
    publish(2)
    signal = published()
    executor(store).journal.claim(signal, 10_000.0)
    done = run(store, 9)
    assert "valid until" in done.refused[0]["reason"]
    assert run(store, 10) == Done()


def test_without_a_price_nothing_is_filled(store: BarStore) -> None:
    publish(60)
    done = run(store, 61)
    assert "price" in done.refused[0]["reason"]
    assert count(Fill) == 0
    assert count(Position) == 0


def test_the_stop_of_a_signal_becomes_a_price_and_ends_the_trade(store: BarStore) -> None:
    publish(5, stop_distance=0.03)
    done = run(store, 6, 7, 8)
    assert [row["reason"] for row in done.left] == ["stop"]
    with session() as opened:
        position = opened.scalars(select(Position)).one()
        assert position.stop_price == pytest.approx(1.05 - 0.03)


def test_a_lease_runs_out(database: str) -> None:
    first = acquire(NAME, "one")
    with engine().begin() as connection:
        connection.execute(text("UPDATE lease SET expires_at = now() - interval '1 second'"))
    second = acquire(NAME, "two")
    assert (first.token, second.token) == (1, 2)
    with session() as opened, pytest.raises(LeaseLost):
        Held(NAME, "one", 1).fence(opened)


def yen(store: BarStore, *, side: str = "long", opened: int = 3) -> None:
    """A position in USD_JPY, from 150 yen a dollar, that is due four bars after its signal's."""
    publish(opened - 1, side, pair="USD_JPY")
    with session() as changing:
        changing.add(
            Position(
                account="paper",
                strategy="damped",
                pair="USD_JPY",
                timeframe="H1",
                signal_id=published().id,
                side=side,
                units=10_000.0,
                entry_price=150.0,
                opened_at=START + opened * HOUR,
            )
        )
    bars = store.read("PLANTED", "H1")
    prices = [pl.lit(153.0).alias(name) for name in ("open", "high", "low", "close")]
    store.write("USD_JPY", "H1", bars.with_columns(prices))


def booked() -> tuple[float | None, float]:
    """The profit of the only position, and the last balance."""
    with session() as opened:
        profit = opened.scalars(select(Position.profit)).one()
    return profit, float(read_frame("SELECT balance FROM equity ORDER BY timestamp")["balance"][-1])


@pytest.mark.parametrize(("side", "sign"), [("long", 1), ("short", -1)])
def test_yen_are_booked_as_the_dollars_they_were_worth(
    store: BarStore, side: str, sign: int
) -> None:
    yen(store, side=side)
    (left,) = run(store, 7).left
    # half of 1.4 pips of spread; 10,000 units earn yen, of which 153 make a dollar
    truth = 10_000 * (sign * 3.0 - 0.007) / 153.0
    assert left["profit"] == pytest.approx(truth)
    assert left["currency"] == "USD"
    assert [*booked()] == pytest.approx([truth, 100_000 + truth])


def test_yen_that_nobody_can_change_are_not_booked_and_told(store: BarStore) -> None:
    yen(store)
    broker = PaperBroker(store, currency="EUR")
    (left,) = execution.step(
        Executor(broker, Journal("paper", acquire(NAME, "one"))), START + 7 * HOUR
    ).left
    assert left["profit"] is None
    assert "JPY cannot be told in EUR" in left["unknown"]
    assert booked() == (None, 100_000.0)
    detail = read_frame("SELECT detail::text FROM intent_event ORDER BY id")["detail"][-1]
    assert "JPY cannot be told in EUR" in detail
    assert json.loads(detail)["quoted"] == pytest.approx(29_930)


def test_they_are_booked_once_a_rate_has_come(store: BarStore) -> None:
    yen(store)
    broker = PaperBroker(store, currency="EUR")

    def step(bar: int) -> Done:
        journal = Journal("paper", acquire(NAME, "one"))
        return execution.step(Executor(broker, journal), START + bar * HOUR)

    step(7)
    bars = store.read("PLANTED", "H1")
    prices = [pl.lit(1.25).alias(name) for name in ("open", "high", "low", "close")]
    store.write("EUR_USD", "H1", bars.with_columns(prices))
    truth = 29_930 / 153 / 1.25
    step(8)
    assert [*booked()] == pytest.approx([truth, 100_000 + truth])
    step(9)
    assert [*booked()] == pytest.approx([truth, 100_000 + truth])
