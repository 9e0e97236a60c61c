"""Execution: fresh signals become orders on the paper broker, each at most once."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Select, or_, select

from infra.brokers.paper import Exit, Holding, NoPrice, Order, PaperBroker
from infra.market.instruments import SYNTHETIC
from infra.market.timeframes import bar_length
from infra.postgres.database import session
from infra.postgres.models import Intent, Position, Signal
from tasks.trading.journal import Journal


@dataclass(frozen=True)
class Executor:
    """One account's executor; its journal holds the lease."""

    broker: PaperBroker
    journal: Journal
    units: float = 10_000.0


@dataclass
class Done:
    """What a step did: rows for people, plain values for JSON."""

    entered: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def add(self, other: Done) -> None:
        """Take over what another step did."""
        self.entered += other.entered
        self.left += other.left
        self.refused += other.refused

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def step(executor: Executor, now: datetime) -> Done:
    """Settle what a dead run left, close what is due, enter what is fresh.

    Parameters
    ----------
    executor : Executor
    now : datetime
        The clock: of the wall, or of a replay. Before the account's last trade nothing is done:
        a replay that runs again trades nothing again.
    """
    done = Done()
    if now < executor.journal.latest():
        return done
    for intent_id, signal in executor.journal.unsettled():
        _send(executor, intent_id, signal, now, done)
    _close_due(executor, now, done)
    _enter_fresh(executor, now, done)
    if _book_late(executor) or done.entered or done.left:
        executor.journal.balance(now)
    return done


def refusal(signal: Signal) -> str | None:
    """Say why a signal may not be traded, whatever the market; None if it may."""
    if signal.pair not in SYNTHETIC:
        return f"no model of {signal.pair} has passed the gate"
    numbers = (signal.confidence, signal.lower, signal.break_even)
    if any(number is None or not math.isfinite(number) for number in numbers):
        return "confidence, lower or break-even is missing"
    return None


def _enter_fresh(executor: Executor, now: datetime, done: Done) -> None:
    with session() as opened:
        fresh = opened.scalars(_fresh(now)).all()
        opened.expunge_all()
    for signal in fresh:
        held = _held(executor, signal)
        reason = refusal(signal) or _too_early(signal, now) or _ignored(signal, held)
        if reason is not None:
            done.refused.append(_row(signal, reason=reason))
            continue
        intent_id = executor.journal.claim(signal, executor.units)
        if intent_id is None:
            continue
        if held is None:
            _send(executor, intent_id, signal, now, done)
        else:
            _reverse(executor, intent_id, signal, held, now, done)


def _send(executor: Executor, intent_id: int, signal: Signal, now: datetime, done: Done) -> None:
    name = f"{executor.journal.account}-{signal.id}-entry"
    order = Order(name, signal.pair, signal.timeframe, signal.side, executor.units)
    try:
        if signal.valid_until <= now:
            raise NoPrice(f"the signal was valid until {signal.valid_until}")
        executed = executor.broker.send(order, now=now, bar=bar_length(signal.timeframe))
    except NoPrice as error:
        executor.journal.refused(intent_id, str(error))
        done.refused.append(_row(signal, reason=str(error)))
        return
    executor.journal.entered(intent_id, signal, executor.units, executed)
    done.entered.append(_row(signal, price=executed.price, at=executed.at.isoformat()))


def _reverse(
    executor: Executor,
    intent_id: int,
    signal: Signal,
    held: Position,
    now: datetime,
    done: Done,
) -> None:
    """Close the opposite position; the signal that did so enters nothing itself."""
    bar = bar_length(signal.timeframe)
    name = f"{executor.journal.account}-{held.signal_id}-exit"
    order = Order(name, held.pair, held.timeframe, signal.side, held.units)
    try:
        executed = executor.broker.send(order, now=now, bar=bar, opening=False)
    except NoPrice as error:
        executor.journal.refused(intent_id, str(error))
        done.refused.append(_row(signal, reason=str(error)))
        return
    executor.journal.refused(intent_id, f"it closed the {held.side} position")
    ended = Exit(executed.price, executed.at, "opposite")
    done.left.append(_row(signal, **_leave(executor, held, ended)))


def _close_due(executor: Executor, now: datetime, done: Done) -> None:
    held = select(Position, Signal).join(Signal, Signal.id == Position.signal_id)
    with session() as opened:
        rows = [(p, s) for p, s in opened.execute(held.where(*_open(executor)))]
        opened.expunge_all()
    for position, signal in rows:
        bar = bar_length(position.timeframe)
        ended = executor.broker.exit_of(_holding(position, signal), now=now, bar=bar)
        if ended is not None:
            done.left.append(_row(signal, **_leave(executor, position, ended)))


def _leave(executor: Executor, position: Position, ended: Exit) -> dict[str, Any]:
    rate, why = executor.broker.rate(position.pair, ended.at)
    profit = executor.journal.left(position, ended, rate, why)
    money = {"profit": profit, "currency": executor.broker.currency}
    money |= {} if why is None else {"unknown": why}
    return {"price": ended.price, "reason": ended.reason, **money, "at": ended.at.isoformat()}


def _book_late(executor: Executor) -> int:
    """Book profits whose rate has come since; return how many."""
    booked = 0
    for position in executor.journal.unbooked():
        assert position.closed_at is not None
        rate, _ = executor.broker.rate(position.pair, position.closed_at)
        if rate is not None:
            executor.journal.book(position, rate)
            booked += 1
    return booked


def _fresh(now: datetime) -> Select[tuple[Signal]]:
    claimed = select(Intent.signal_id).where(Intent.kind == "entry")
    return (
        select(Signal)
        .where(Signal.mode == "live", Signal.action.in_(("BUY", "SELL")))
        .where(Signal.bar_ts < now, Signal.valid_until > now, Signal.id.not_in(claimed))
        .order_by(Signal.bar_ts)
    )


def _too_early(signal: Signal, now: datetime) -> str | None:
    closes = signal.bar_ts + bar_length(signal.timeframe)
    return None if closes <= now else f"its bar closes at {closes}"


def _held(executor: Executor, signal: Signal) -> Position | None:
    """Return the position that was open on the signal's bar or is open still."""
    same = (
        select(Position)
        .where(
            Position.account == executor.journal.account,
            Position.pair == signal.pair,
            Position.timeframe == signal.timeframe,
            Position.strategy == signal.strategy,
            or_(Position.closed_at.is_(None), Position.closed_at > signal.bar_ts),
        )
        .order_by(Position.closed_at.desc().nulls_first())
        .limit(1)
    )
    with session() as opened:
        held = opened.scalar(same)
        opened.expunge_all()
    return held


def _ignored(signal: Signal, held: Position | None) -> str | None:
    if held is None:
        return None
    if held.closed_at is not None:
        return f"a {held.side} position was open on its bar"
    return f"a {held.side} position is open" if held.side == signal.side else None


def _open(executor: Executor) -> tuple[Any, ...]:
    return (Position.account == executor.journal.account, Position.closed_at.is_(None))


def _holding(position: Position, signal: Signal) -> Holding:
    return Holding(
        pair=position.pair,
        timeframe=position.timeframe,
        side=position.side,
        signal_bar=signal.bar_ts,
        horizon=signal.horizon,
        stop_price=position.stop_price,
        target_price=position.target_price,
    )


def _row(signal: Signal, **figures: Any) -> dict[str, Any]:
    return {"bar": signal.bar_ts.isoformat(), "side": signal.side, **figures}
