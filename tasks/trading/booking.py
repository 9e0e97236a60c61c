"""What the broker's log says, written into the journal: fills, positions and ends of orders.

Reading a line twice changes nothing: an answer to an order and the log tell of the same fill.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.brokers.broker import Closed, Opened, Transaction
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Control, Fill, Intent, Position, Venue
from tasks.trading.journal import Journal

LATE: Final = "executor: late fill"
"""Who halts a pair on which an order was filled after it had been given up."""

_REASONS: Final = {
    "STOP_LOSS_ORDER": "stop",
    "TRAILING_STOP_LOSS_ORDER": "stop",
    "GUARANTEED_STOP_LOSS_ORDER": "stop",
    "TAKE_PROFIT_ORDER": "target",
    "MARKET_ORDER_MARGIN_CLOSEOUT": "margin",
    "MARGIN_CLOSEOUT": "margin",
}
_SIDES: Final = ("long", "short")
_LINKED: Final = frozenset({"LINKED_TRADE_CLOSED", "CLIENT_REQUEST", "CLIENT_REQUEST_REPLACED"})
"""Why stops and targets end: no order of ours ends so."""


def book(
    journal: Journal, transactions: Iterable[Transaction], *, read_to: int | None = None
) -> list[Transaction]:
    """Write what transactions say, all of it or nothing; return those that were news to us.

    Parameters
    ----------
    journal : Journal
    transactions : iterable of Transaction
        Ascending.
    read_to : int, optional
        The last line of the log, if all up to it are there: from now on it counts as read.
        Without it financing is left to the reading of the log, which sees each line once.
    """
    whole = read_to is not None
    with session() as opened:
        journal.lease.fence(opened)
        news = [
            line for line in _named(transactions) if _booked(journal, opened, line, whole=whole)
        ]
        if read_to is not None:
            opened.execute(
                update(Venue)
                .where(Venue.account == journal.account, Venue.last_transaction <= read_to)
                .values(last_transaction=read_to, reconciled_at=journal.clock.now())
            )
    return news


def _named(transactions: Iterable[Transaction]) -> Iterator[Transaction]:
    """A line that ends an order may leave its name and trade to the line that made it."""
    orders: dict[str, Transaction] = {}
    for line in transactions:
        if line.kind == "order":
            orders[str(line.id)] = line
        made = orders.get(line.order or "")
        if made is None:
            yield line
        else:
            name, trade = line.client_id or made.client_id, line.trade or made.trade
            yield replace(line, client_id=name, trade=trade)


def _booked(journal: Journal, opened: Session, line: Transaction, *, whole: bool) -> bool:
    match line.kind:
        case "fill":
            entered = line.opened is not None and _entered(journal, opened, line, line.opened)
            left = [_left(journal, opened, line, closed) for closed in line.closed]
            return entered or any(left)
        case "cancel" | "reject":
            return _ended(journal, opened, line)
        case "financing" if whole:
            return _financed(journal, opened, line)
    return False


def _entered(journal: Journal, opened: Session, line: Transaction, trade: Opened) -> bool:
    intent = _intent(journal, opened, line.client_id)
    if intent is None or intent.kind != "entry":
        return False
    if not _fill(opened, journal, line, intent, "entry", trade.trade, trade.units, trade.price):
        return False
    late = intent.state not in ("SENT", "UNKNOWN")
    opened.add(_position(journal, opened, intent, line, trade, orphan=late))
    told = {"transaction": line.id, "trade": trade.trade, "price": str(trade.price)}
    if late:  # given up, or filled a second time: nobody wants this trade
        journal.event(opened, intent.id, "late fill", told)
        _halt(journal, opened, intent.pair, f"order {intent.client_id} was filled after all")
    else:
        journal.move_in(opened, intent.id, "FILLED", f"trade {trade.trade} at {trade.price}")
    return True


def _position(
    journal: Journal,
    opened: Session,
    intent: Intent,
    line: Transaction,
    trade: Opened,
    *,
    orphan: bool,
) -> Position:
    signal = opened.get_one(Signal, intent.signal_id)
    return Position(
        account=journal.account,
        strategy=signal.strategy,
        pair=intent.pair,
        timeframe=signal.timeframe,
        signal_id=signal.id,
        trade=trade.trade,
        side=intent.side,
        units=abs(trade.units),
        entry_price=trade.price,
        stop_price=intent.stop_price,
        target_price=intent.target_price,
        opened_at=line.at,
        orphan=orphan,
    )


def _left(journal: Journal, opened: Session, line: Transaction, closed: Closed) -> bool:
    mine = (Position.account == journal.account) & (Position.trade == closed.trade)
    position = opened.scalar(select(Position).where(mine))
    if position is None:
        return False
    intent = _exit(journal, opened, line, closed.trade)
    if not _fill(opened, journal, line, intent, "exit", closed.trade, closed.units, closed.price,
                 profit=closed.profit, financing=closed.financing, cost=closed.cost):  # fmt: skip
        return False
    reason = _REASONS.get(line.reason) or (intent.reason if intent else None)
    _reduce(opened, position, line, closed, reason or line.reason.lower().replace("_", " "))
    if intent is not None and intent.state != "DROPPED":
        note = f"{abs(closed.units)} at {closed.price}"
        journal.move_in(opened, intent.id, "FILLED", note)
    elif intent is not None:
        journal.event(opened, intent.id, "late fill", {"transaction": line.id})
    return True


def _reduce(
    opened: Session, position: Position, line: Transaction, closed: Closed, reason: str
) -> None:
    """Take what was closed from a position; the last of it ends it at the mean price."""
    sums = select(func.sum(Fill.units), func.sum(Fill.units * Fill.price)).where(
        Fill.account == position.account, Fill.trade == position.trade, Fill.kind == "exit"
    )
    units, worth = opened.execute(sums).one()
    position.profit = (position.profit or Decimal(0)) + closed.profit
    position.financing += closed.financing
    if units >= position.units:
        position.exit_price, position.exit_reason = worth / units, reason
        position.closed_at = line.at


def _ended(journal: Journal, opened: Session, line: Transaction) -> bool:
    if line.reason in _LINKED:
        return False
    intent = _intent(journal, opened, line.client_id)
    if intent is None and line.trade is not None:
        intent = _exit(journal, opened, line, line.trade)
    if intent is None or intent.state not in ("SENT", "UNKNOWN"):
        return False
    state = "CANCELLED" if line.kind == "cancel" else "REJECTED"
    journal.move_in(opened, intent.id, state, line.reason)
    return True


def _financed(journal: Journal, opened: Session, line: Transaction) -> bool:
    changed = [
        opened.scalar(
            update(Position)
            .where(Position.account == journal.account, Position.trade == trade)
            .values(financing=Position.financing + amount)
            .returning(Position.id)
        )
        for trade, amount in line.financed
    ]
    return any(number is not None for number in changed)


def _intent(journal: Journal, opened: Session, client_id: str | None) -> Intent | None:
    if client_id is None:
        return None
    mine = (Intent.account == journal.account) & (Intent.client_id == client_id)
    return opened.scalar(select(Intent).where(mine))


def _exit(journal: Journal, opened: Session, line: Transaction, trade: str) -> Intent | None:
    """Return the exit intent that a line may speak of: venues do not tell an exit's name."""
    if line.reason in _REASONS:
        return None
    tried = (
        select(Intent)
        .where(Intent.account == journal.account, Intent.trade == trade, Intent.kind == "exit")
        .where(Intent.checkpoint < line.id, Intent.state.in_(("SENT", "UNKNOWN", "DROPPED")))
        .order_by((Intent.state == "DROPPED"), Intent.id.desc())
        .limit(1)
    )
    return opened.scalar(tried)


def _fill(
    opened: Session,
    journal: Journal,
    line: Transaction,
    intent: Intent | None,
    kind: str,
    trade: str,
    units: Decimal,
    price: Decimal,
    **money: Any,
) -> bool:
    """Write a fill; False if it is there already."""
    written = (
        insert(Fill)
        .values(
            intent_id=None if intent is None else intent.id,
            account=journal.account,
            transaction=str(line.id),
            trade=trade,
            kind=kind,
            pair=line.pair,
            side=_SIDES[line.units < 0],
            units=abs(units),
            price=price,
            quoted=None if intent is None else intent.quoted,
            commission=line.commission if kind == "entry" or len(line.closed) == 1 else 0,
            filled_at=line.at,
            **money,
        )
        .on_conflict_do_nothing()
        .returning(Fill.id)
    )
    return opened.scalar(written) is not None


def _halt(journal: Journal, opened: Session, pair: str, why: str) -> None:
    opened.add(
        Control(
            name="halt",
            account=journal.account,
            scope=pair,
            on=True,
            who=LATE,
            why=why,
            at=journal.clock.now(),
        )
    )
