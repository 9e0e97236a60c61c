"""The way of one order: written down, sent once, and its answer written down.

The steps have names; a process may die before and after each of them (`STEPS`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from infra.brokers.broker import Broker, BrokerError, Done, Entry, Refused, Reply, Unknown
from infra.postgres.trading import Intent, Position
from tasks.trading.booking import book
from tasks.trading.journal import Journal

STEPS: Final = ("claimed", "checkpoint", "sent", "answered", "booked")
"""`claimed`: the intent is written. `checkpoint`: a line of the broker's log is known, after which
its own will be. `sent`: that it is about to be sent is written. `answered`: the broker has
answered. `booked`: what it said is written.
"""
SURE: Final = 30.0
"""Seconds that a lease must still last when an order is sent: longer than any request takes."""

Permit = Callable[[], str | None]


def go_on(step: str) -> None:
    """Go on."""


@dataclass(frozen=True)
class Desk:
    """Where orders are sent from: a journal, its broker, and who is told of each step."""

    journal: Journal
    broker: Broker
    reached: Callable[[str], None] = go_on


def enter(desk: Desk, intent: Intent, entry: Entry, checkpoint: int, permit: Permit) -> None:
    """Send the entry of a prepared intent, unless it may not be sent any more.

    Parameters
    ----------
    desk : Desk
    intent : Intent
        ``PREPARED``; its `state` is the outcome afterwards.
    entry : Entry
    checkpoint : int
        A line of the broker's log as of late: those of this order will come after it.
    permit : callable
        Says why nothing may be sent, if so; asked right before the bytes leave.
    """
    desk.reached("claimed")
    _send(desk, intent, checkpoint, lambda: desk.broker.enter(entry), permit)


def leave(desk: Desk, intent: Intent, position: Position, units: Decimal | None = None) -> None:
    """Send the exit of a prepared intent: by the trade's number, so that twice does no harm.

    Parameters
    ----------
    desk : Desk
    intent : Intent
        ``PREPARED``.
    position : Position
    units : Decimal, optional
        Left out: all.
    """
    desk.reached("claimed")
    try:
        checkpoint = desk.broker.last()
    except BrokerError as error:
        desk.journal.note(intent.id, "waits", reason=str(error))
        return
    trade, name = position.trade, intent.client_id
    _send(desk, intent, checkpoint, lambda: desk.broker.close(trade, name, units), lambda: None)


def entry_of(intent: Intent, timeframe: str) -> Entry:
    """Return the order that an intent stands for.

    Parameters
    ----------
    intent : Intent
        An entry.
    timeframe : str
        Of its signal's bars.
    """
    assert intent.units is not None
    assert intent.bound is not None
    assert intent.stop_price is not None
    return Entry(
        client_id=intent.client_id,
        pair=intent.pair,
        side="long" if intent.side == "long" else "short",
        units=intent.units,
        bound=intent.bound,
        stop=intent.stop_price,
        target=intent.target_price,
        timeframe=timeframe,
    )


def _send(
    desk: Desk, intent: Intent, checkpoint: int, send: Callable[[], Reply], permit: Permit
) -> None:
    journal = desk.journal
    desk.reached("checkpoint")
    journal.move(intent, "SENT", checkpoint=checkpoint, sent_at=journal.clock.now())
    desk.reached("sent")
    reason = permit() or _lease(journal)
    if reason is not None:
        journal.move(intent, "REJECTED", f"not sent: {reason}")
        return
    reply = send()
    desk.reached("answered")
    _answered(journal, intent, reply)
    desk.reached("booked")


def _answered(journal: Journal, intent: Intent, reply: Reply) -> None:
    match reply:
        case Done(transactions):
            news = book(journal, transactions)
            if not _about(journal, intent, news):
                journal.move(intent, "UNKNOWN", "the answer says nothing of this order")
        case Refused(reason):
            journal.move(intent, "REJECTED", reason)
        case Unknown(reason):
            journal.move(intent, "UNKNOWN", reason)


def _about(journal: Journal, intent: Intent, news: object) -> bool:
    """Say whether the answer ended the intent, and bring its state up to date."""
    present = next((each for each in journal.unfinished() if each.id == intent.id), None)
    intent.state = "ENDED" if present is None else present.state
    return bool(news) and present is None


def _lease(journal: Journal) -> str | None:
    left = journal.lease.remaining()
    return None if left > SURE else f"the lease lasts {left:.0f} s only"
