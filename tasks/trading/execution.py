"""A cycle of the executor: reconcile, leave what is due, enter what is fresh, look again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Select, or_, select

from infra.brokers.broker import Broker, BrokerError
from infra.clock import Clock
from infra.market.timeframes import bar_length
from infra.postgres.database import every, first, reading
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, Position
from tasks.trading import control, equity, exits, heartbeat, orders
from tasks.trading.control import Switches
from tasks.trading.journal import Journal
from tasks.trading.lease import Held
from tasks.trading.orders import Desk, go_on
from tasks.trading.plan import judged, plan, refusal
from tasks.trading.reconcile import Reconciled, reconcile
from tasks.trading.report import Report
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Situation, situation
from tasks.trading.sizing import Sizing

FRESH: Final = timedelta(seconds=2)
"""What was known of account and prices is asked anew after so long."""
TURN: Final = 30.0
"""Seconds of entering after which exits have their turn."""


@dataclass(frozen=True)
class Executor:
    """Who trades for an account.

    Attributes
    ----------
    account : str
        Name of the account in the journal.
    broker : Broker
    clock : Clock
    limits : Limits
    sizing : Sizing
    dead_man : float
        Minutes without a word from the signal side after which nothing is entered; 0: never.
    unfit : str or None
        Why the limits cannot be relied on: nothing is entered then, and exits go on.
    reached : callable
        Is told of each step of an order.
    """

    account: str
    broker: Broker
    clock: Clock
    limits: Limits
    sizing: Sizing
    dead_man: float = 0.0
    unfit: str | None = None
    reached: Callable[[str], None] = go_on


def cycle(executor: Executor, lease: Held, *, entries: bool = True) -> Report:
    """Bring an account up to date; safe at any time, however often.

    Parameters
    ----------
    executor : Executor
    lease : Held
        Of the account.
    entries : bool
        Whether fresh signals are entered, too.

    Raises
    ------
    LeaseLost
        If another executor took over.
    """
    report = Report()
    desk = Desk(Journal(executor.account, lease, executor.clock), executor.broker, executor.reached)
    done = _reconciled(desk, report)
    if done is None:
        _leave_anyway(desk, report)
        return report
    equity.record(executor.account, done.account, executor.clock.now())
    exits.leave_due(desk, done.own, report)
    if entries and done.mismatch is None:
        _enter(executor, desk, report)
    if report.is_empty():  # nothing was sent: what was read still holds
        exits.keep_stops(desk, done.own, report)
        return report
    done = _reconciled(desk, report)
    if done is not None:
        exits.keep_stops(desk, done.own, report)
        equity.record(executor.account, done.account, executor.clock.now())
    return report


def exit_cycle(executor: Executor, lease: Held) -> Report:
    """Reconcile, check stops and leave what is due; enter nothing.

    Parameters
    ----------
    executor : Executor
    lease : Held
        Of the account.
    """
    return cycle(executor, lease, entries=False)


def _reconciled(desk: Desk, report: Report) -> Reconciled | None:
    try:
        done = reconcile(desk)
    except BrokerError as error:
        report.finding(f"the broker does not tell how things stand, nothing is entered: {error}")
        return None
    if done.mismatch is not None:
        report.finding(f"journal and broker disagree, entries are halted: {done.mismatch}")
    return done


def _leave_anyway(desk: Desk, report: Report) -> None:
    """Without the log nothing is entered; what is open is left in time, and keeps its stop."""
    with report.each("exits wait"):
        trades = {trade.id: trade for trade in desk.broker.account().trades}
        exits.leave_due(desk, trades, report)
        exits.keep_stops(desk, trades, report)


@dataclass
class _Known:
    """What is known of the account, for a moment and until an order goes out."""

    at: datetime
    switches: Switches
    fenced: set[str]
    situations: dict[str, Situation] = field(default_factory=dict)


@dataclass
class _Entering:
    """What entering needs."""

    executor: Executor
    desk: Desk
    report: Report
    known: _Known | None = None

    def look(self) -> _Known:
        """Return what is known; what was found out too long ago is asked anew."""
        executor, now = self.executor, self.executor.clock.now()
        if self.known is None or abs(now - self.known.at) > FRESH:
            switches = control.present(executor.account, now)
            self.known = _Known(now, switches, self.desk.journal.fenced())
        return self.known

    def situation(self, pair: str) -> Situation:
        executor, known = self.executor, self.look()
        if pair not in known.situations:
            now = executor.clock.now()
            known.situations[pair] = situation(
                executor.account, executor.broker, [pair], executor.limits, now
            )
        return known.situations[pair]

    def row(self, signal: Signal, **figures: Any) -> dict[str, Any]:
        return {
            "signal": signal.id,
            "pair": signal.pair,
            "bar": signal.bar_ts.isoformat(),
            "side": signal.side,
            **figures,
        }


def _enter(executor: Executor, desk: Desk, report: Report) -> None:
    entering = _Entering(executor, desk, report)
    prepared = [intent for intent in desk.journal.unfinished() if intent.state == "PREPARED"]
    reason = stopped(executor)
    if reason is not None:
        report.finding(f"nothing is entered: {reason}")
    for intent in prepared:
        with report.each(f"{intent.pair}: its order waits"):
            _resume(entering, intent, reason)
    if reason is not None:
        return
    began = executor.clock.monotonic()
    for signal in fresh(executor):
        if executor.clock.monotonic() - began > TURN:
            if not _look_between(entering):
                return
            began = executor.clock.monotonic()
        with report.each(f"{signal.pair}: its signal waits"):
            _consider(entering, signal)


def _look_between(entering: _Entering) -> bool:
    """Let exits have their turn; say whether entering may go on."""
    desk, report = entering.desk, entering.report
    done = _reconciled(desk, report)
    entering.known = None
    if done is not None:
        exits.leave_due(desk, done.own, report)
        exits.keep_stops(desk, done.own, report)
    return done is not None and done.mismatch is None


def _resume(entering: _Entering, intent: Intent, halted: str | None) -> None:
    """What a dead run wrote and did not send goes the way of a new signal, by the same guards."""
    executor, desk, report = entering.executor, entering.desk, entering.report
    if intent.kind == "exit":
        desk.journal.move(intent, "DENIED", "it was not sent; the trade is looked at anew")
        return
    signal = desk.journal.signal(intent)
    late = _expired(executor, signal)
    if late is not None:
        desk.journal.move(intent, "EXPIRED", late)
        return
    if intent.units is None:
        desk.journal.move(intent, "DENIED", "a run died while it denied it")
        return
    held = _held(executor.account, signal)
    waits = halted or _waits(entering, signal, held)
    if waits is None:
        _again(entering, intent, signal, held)
    else:
        report.finding(f"{signal.pair}: its order waits: {waits}")


def _again(entering: _Entering, intent: Intent, signal: Signal, held: Position | None) -> None:
    executor, journal = entering.executor, entering.desk.journal
    reason = control.refuse_pair(executor.broker, signal.pair) or _ignored(held)
    present = entering.situation(signal.pair)
    reason = reason or judged(signal, intent, present, executor.limits)
    if reason is not None:
        journal.move(intent, "DENIED", reason)
        entering.report.refused.append(entering.row(signal, reason=reason))
    else:
        _send(entering, intent, signal, present.account.transaction)


def _consider(entering: _Entering, signal: Signal) -> None:
    executor, desk, report = entering.executor, entering.desk, entering.report
    if _expired(executor, signal):
        return
    held = _held(executor.account, signal)
    waits = _waits(entering, signal, held)
    if waits is not None:
        report.finding(f"{signal.pair}: its signal waits: {waits}")
        return
    reason = refusal(signal) or control.refuse_pair(executor.broker, signal.pair) or _ignored(held)
    if reason is not None:
        _deny(entering, signal, reason, {})
        return
    present = entering.situation(signal.pair)
    price = present.prices.get(signal.pair)
    if price is None or not price.tradeable:
        report.finding(f"{signal.pair}: its signal waits for a price")
        return
    thought = plan(signal, present, executor.limits, executor.sizing)
    if thought.refusal is not None:
        _deny(entering, signal, thought.refusal, thought.detail)
        return
    intent = desk.journal.claim(signal, thought.detail, **thought.order)
    if intent is not None:
        _send(entering, intent, signal, present.account.transaction)


def _send(entering: _Entering, intent: Intent, signal: Signal, checkpoint: int) -> None:
    executor, desk, report = entering.executor, entering.desk, entering.report
    entry = orders.entry_of(intent, signal.timeframe)
    entering.known = None

    def permit() -> str | None:
        return _expired(executor, signal) or stopped(executor, signal.pair)

    orders.enter(desk, intent, entry, checkpoint, permit)
    with reading() as opened:
        ended = opened.get_one(Intent, intent.id)
    state, note = ended.state, ended.note
    if state == "FILLED":
        report.entered.append(entering.row(signal, units=str(intent.units), note=note))
    elif state in ("UNKNOWN", "PREPARED"):
        report.finding(f"{signal.pair}: nobody knows yet what became of its order: {note}")
    else:
        report.refused.append(entering.row(signal, reason=f"{state}: {note}"))


def _deny(entering: _Entering, signal: Signal, reason: str, detail: dict[str, Any]) -> None:
    if entering.desk.journal.deny(signal, reason, detail):
        entering.report.refused.append(entering.row(signal, reason=reason))


def stopped(executor: Executor, pair: str | None = None) -> str | None:
    """Say why nothing may be entered on the account, or nothing in a pair.

    Parameters
    ----------
    executor : Executor
    pair : str, optional
        Left out: whatever the pair.
    """
    now = executor.clock.now()
    switches = control.present(executor.account, now)
    return (
        executor.unfit
        or switches.halted
        or switches.reducing
        or control.refusal(executor.broker, executor.account, switches)
        or heartbeat.silence(executor.dead_man, now)
        or (switches.halted_pairs.get(pair) if pair else None)
    )


def _expired(executor: Executor, signal: Signal) -> str | None:
    late = signal.valid_until <= executor.clock.now()
    return f"it was valid until {signal.valid_until}" if late else None


def _waits(entering: _Entering, signal: Signal, held: Position | None) -> str | None:
    """Say why a signal cannot be entered now but may be later."""
    known = entering.look()
    halted = known.switches.halted or known.switches.halted_pairs.get(signal.pair)
    if halted is not None:
        return halted
    if signal.pair in known.fenced:
        return "nobody knows yet what became of an order in this pair"
    if held is not None and held.closed_at is None and held.side != signal.side:
        return f"the {held.side} position that it closes is open still"
    return None


def _ignored(held: Position | None) -> str | None:
    """Say why a signal is never entered: a position is open, or was on the signal's bar."""
    if held is None:
        return None
    was = "is open" if held.closed_at is None else "was open on its bar"
    return f"a {held.side} position {was}"


def _held(account: str, signal: Signal) -> Position | None:
    """Return the position that is open, or was on the signal's bar."""
    same = (
        select(Position)
        .where(
            Position.account == account,
            Position.pair == signal.pair,
            Position.timeframe == signal.timeframe,
            Position.strategy == signal.strategy,
            Position.orphan.is_(False),
            or_(Position.closed_at.is_(None), Position.closed_at > signal.bar_ts),
        )
        .order_by(Position.closed_at.desc().nulls_first())
        .limit(1)
    )
    return first(same)


def fresh(executor: Executor) -> list[Signal]:
    """Return what may be entered: live, closed, alive and untouched signals, oldest first."""
    now = executor.clock.now()
    signals = every(_untouched(executor.account, now))
    return [s for s in signals if s.bar_ts + bar_length(s.timeframe) <= now]


def _untouched(account: str, now: datetime) -> Select[tuple[Signal]]:
    claimed = select(Intent.id).where(
        Intent.account == account, Intent.kind == "entry", Intent.signal_id == Signal.id
    )
    return (
        select(Signal)
        .where(Signal.mode == "live", Signal.action.in_(("BUY", "SELL")))
        .where(Signal.bar_ts < now, Signal.valid_until > now, ~claimed.exists())
        .order_by(Signal.bar_ts, Signal.id)
    )
