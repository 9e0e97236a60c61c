"""Exits: what is due is closed, each position by itself, and every one has its stop.

Nothing here asks whether trading is halted: exits go on.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from infra.brokers.broker import BrokerError, Done, Trade
from infra.market.fills import (
    HOLE_BARS,
    HOLE_TIME,
    Due,
    exit_due,
    exit_due_by_calendar,
    lateness,
)
from infra.market.timeframes import bar_length
from infra.postgres.database import first, reading
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, Position
from tasks.trading import orders
from tasks.trading.orders import Desk
from tasks.trading.report import Report


@dataclass(frozen=True)
class Ending:
    """Why a position is closed, and by which signal, if by one."""

    reason: str
    detail: dict[str, Any]
    signal: Signal | None = None


def leave_due(desk: Desk, own: dict[str, Trade], report: Report) -> None:
    """Close what is due: late fills, opposed positions, and those whose time is up.

    Parameters
    ----------
    desk : Desk
    own : dict of str to Trade
        Open at the broker, by number.
    report : Report
        What was done is added.
    """
    _forget_unsent(desk)
    for position, signal in desk.journal.positions():
        if position.trade not in own:
            continue
        with report.each(f"{position.pair}: its exit waits"):
            ending = _ending(desk, position, signal, report)
            if ending is not None:
                close(desk, position, ending, report)


def _forget_unsent(desk: Desk) -> None:
    """End what a dead run wrote and did not send: each trade is looked at anew."""
    for intent in desk.journal.unfinished():
        if (intent.kind, intent.state) == ("exit", "PREPARED"):
            desk.journal.move(intent, "DENIED", "it was not sent; the trade is looked at anew")


def close(desk: Desk, position: Position, ending: Ending, report: Report) -> bool:
    """Close a position by its trade's number; say whether it is closed.

    Parameters
    ----------
    desk : Desk
    position : Position
    ending : Ending
    report : Report

    Raises
    ------
    BrokerError
        If the broker tells no price.
    """
    price = desk.broker.prices([position.pair]).get(position.pair)
    if price is None or not price.tradeable:
        report.finding(f"{position.pair}: its exit ({ending.reason}) waits for the market to open")
        return False
    quoted = price.bid if position.side == "long" else price.ask
    intent = desk.journal.leave(position, ending.reason, quoted, ending.detail)
    orders.leave(desk, intent, position)
    closed = intent.state == "ENDED" and _is_closed(position)
    row = {"pair": position.pair, "side": position.side, "reason": ending.reason}
    if closed:
        _claimed(desk, position, ending)
        report.left.append(row)
    else:
        report.finding(f"{position.pair}: its exit ({ending.reason}) is not done yet")
    return closed


def keep_stops(desk: Desk, own: dict[str, Trade], report: Report) -> None:
    """Give positions without a stop at the broker their stop, or close them.

    Parameters
    ----------
    desk : Desk
    own : dict of str to Trade
        As of now.
    report : Report
    """
    naked = [
        position
        for position, _ in desk.journal.positions()
        if (trade := own.get(position.trade)) is not None and trade.stop is None
    ]
    for position in naked:
        with report.each(f"{position.pair}: trade {position.trade} HAS NO STOP"):
            if _protected(desk, position):
                report.finding(f"{position.pair}: trade {position.trade} had no stop; it has now")
            else:
                close(desk, position, Ending("no stop", {}), report)


def _protected(desk: Desk, position: Position) -> bool:
    """Send the stop, and believe in it only when the broker shows it."""
    if position.stop_price is None:
        return False
    reply = desk.broker.protect(position.trade, position.stop_price, position.target_price)
    if not isinstance(reply, Done):
        return False
    trades = {trade.id: trade for trade in desk.broker.account().trades}
    present = trades.get(position.trade)
    return present is None or present.stop is not None


def _ending(desk: Desk, position: Position, signal: Signal, report: Report) -> Ending | None:
    now = desk.journal.clock.now()
    if position.orphan:
        return Ending("late", {"why": "its order had been given up"})
    opposite = _opposite(position, now)
    if opposite is not None:
        return Ending("opposite", {"signal": opposite.id}, opposite)
    return _timed(desk, position, signal, now, report)


def _timed(
    desk: Desk, position: Position, signal: Signal, now: datetime, report: Report
) -> Ending | None:
    """Say whether a position's time is up: by the bars that began, or by the calendar alone."""
    if now < _soonest(signal):
        return None
    rule = (signal.horizon, signal.pair, signal.timeframe)
    try:
        candles = desk.broker.candles(signal.pair, signal.timeframe, signal.bar_ts)
        due = exit_due([candle.time for candle in candles], *rule)
    except BrokerError as error:
        report.finding(f"{position.pair}: its bars cannot be read, the calendar decides: {error}")
        at = exit_due_by_calendar(signal.bar_ts, *rule)
        due = Due(at, "time") if at <= now else None
    if due is None:
        return None
    late = round(lateness(due.at, now).total_seconds())
    return Ending(due.reason, {"due": due.at.isoformat(), "late": late})


def _soonest(signal: Signal) -> datetime:
    """Return before when neither time nor a hole can end a trade: then nobody is asked."""
    bar = bar_length(signal.timeframe)
    return signal.bar_ts + min((signal.horizon + 1) * bar, bar + max(HOLE_BARS * bar, HOLE_TIME))


def _opposite(position: Position, now: datetime) -> Signal | None:
    """Return a fresh signal against a position that no intent of this account has used."""
    used = select(Intent.signal_id).where(
        Intent.account == position.account, Intent.kind == "entry", Intent.signal_id.is_not(None)
    )
    against = (Signal.side != position.side) | (Signal.action == "CLOSE")
    fresh = (
        select(Signal)
        .where(
            Signal.strategy == position.strategy,
            Signal.pair == position.pair,
            Signal.timeframe == position.timeframe,
            Signal.mode == "live",
            Signal.id != position.signal_id,
            Signal.bar_ts + bar_length(position.timeframe) <= now,
            Signal.bar_ts + bar_length(position.timeframe) > position.opened_at,
            Signal.valid_until > now,
            Signal.id.not_in(used),
            against,
        )
        .order_by(Signal.bar_ts)
        .limit(1)
    )
    return first(fresh)


def _claimed(desk: Desk, position: Position, ending: Ending) -> None:
    """A signal that closed a position enters nothing itself."""
    if ending.signal is not None:
        desk.journal.deny(ending.signal, f"it closed the {position.side} position", {})


def _is_closed(position: Position) -> bool:
    with reading() as opened:
        return opened.get_one(Position, position.id).closed_at is not None
