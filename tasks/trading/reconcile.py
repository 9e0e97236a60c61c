"""Journal and broker brought together: the broker's log is read, doubts are settled.

What the log does not explain halts new entries, with a report.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from infra.brokers.broker import Account, BrokerError, Trade, Transaction
from infra.postgres.database import every, first, session
from infra.postgres.trading import Control, Intent, Position, Venue
from tasks.trading.booking import LATE, book
from tasks.trading.journal import Journal, is_ours
from tasks.trading.orders import Desk

QUIET: Final = timedelta(minutes=2)
"""An order in doubt is given up only when the log has not shown it for so long..."""
SCANS: Final = 3
"""...and was read in vain so often."""
_READINGS: Final = 5
WHO: Final = "executor: reconciliation"


@dataclass
class Reconciled:
    """What came of it.

    Attributes
    ----------
    account : Account
        As it was when the log ended.
    news : list of Transaction
        Lines that were not known.
    own : dict of str to Trade
        Trades of ours that are open at the broker, by number.
    mismatch : str or None
        How journal and broker disagree.
    """

    account: Account
    news: list[Transaction] = field(default_factory=list)
    own: dict[str, Trade] = field(default_factory=dict)
    mismatch: str | None = None


def reconcile(desk: Desk) -> Reconciled:
    """Read the broker's log from where it was left, settle doubts, compare what is open.

    Parameters
    ----------
    desk : Desk

    Raises
    ------
    BrokerError
        If the broker does not tell its log; nothing is known then, and nothing may be entered.
    """
    journal = desk.journal
    account = desk.broker.account()
    known = _venue(desk, account)
    if known.last_transaction > account.transaction:  # one answer may be an old one
        account = desk.broker.account()
    strange = _stranger(known, desk, account)
    if strange is not None:
        return _halted(desk, Reconciled(account, mismatch=strange))
    account, news, strangers = _read(desk, known.last_transaction, account)
    done = Reconciled(account, news)
    positions = {position.trade: position for position, _ in journal.positions()}
    done.own = {trade.id: trade for trade in account.trades if _ours(trade, positions)}
    for intent in journal.unfinished():
        _settle(desk, intent, account)
    faults = [*_faults(done.own, positions), *strangers]
    done.mismatch = "; ".join(faults) or None
    return _halted(desk, done) if faults else _agreed(desk, done, positions.values())


def _venue(desk: Desk, account: Account) -> Venue:
    """Return how far the log was read; a new account begins with the present."""
    journal = desk.journal
    known = first(select(Venue).where(Venue.account == journal.account))
    if known is not None:
        return known
    begun = insert(Venue).values(
        account=journal.account,
        broker=f"{desk.broker.name} {account.id}",
        currency=account.currency,
        last_transaction=account.transaction,
        reconciled_at=journal.clock.now(),
    )
    with session() as opened:
        journal.lease.fence(opened)
        opened.execute(begun.on_conflict_do_nothing())
        venue = opened.get_one(Venue, journal.account)
        opened.expunge(venue)
    return venue


def _stranger(known: Venue, desk: Desk, account: Account) -> str | None:
    present = f"{desk.broker.name} {account.id}"
    if known.broker != present:
        return f"this journal is that of {known.broker}, and the broker is {present}"
    if known.currency != account.currency:
        return f"the account was in {known.currency} and is in {account.currency}"
    if known.last_transaction > account.transaction:
        return (
            f"the broker's log ends at {account.transaction}, and was read to "
            f"{known.last_transaction}: was the account reset?"
        )
    return None


def _read(desk: Desk, last: int, account: Account) -> tuple[Account, list[Transaction], list[str]]:
    """Read the log until it ends where the account stands; tell orders that nobody wrote down."""
    news: list[Transaction] = []
    strangers: list[str] = []
    if account.transaction == last and not desk.journal.unfinished():
        return account, news, strangers
    for _ in range(_READINGS):
        lines = desk.broker.since(last)
        last = lines[-1].id if lines else last
        names = desk.journal.unknown({line.client_id for line in lines if _is_entry(line)})
        strangers += [f"order {name} is not in the journal" for name in names]
        if names:  # before these lines count as read: nobody would see them again
            _switch(desk.journal, "*", WHO, on=True, why="; ".join(strangers))
        news += book(desk.journal, lines, read_to=last)
        if account.transaction == last:
            return account, news, strangers
        account = desk.broker.account()
    raise BrokerError(f"the account changed {_READINGS} times while its log was read")


def _is_entry(line: Transaction) -> bool:
    return line.kind == "order" and line.trade is None


def _ours(trade: Trade, positions: dict[str, Position]) -> bool:
    return trade.id in positions or is_ours(trade.client_id)


def _settle(desk: Desk, intent: Intent, account: Account) -> None:
    """An order that a dead run left, or that nobody knows of: the log has been read to its end."""
    journal = desk.journal
    if intent.state == "SENT":
        journal.move(intent, "UNKNOWN", "a run died before the answer")
    if intent.state != "UNKNOWN":
        return
    journal.note(intent.id, "scan", read_to=account.transaction)
    if intent.kind == "exit":
        # a second close of one trade does no harm: it need not wait
        journal.move(intent, "DROPPED", "the log does not show it; the trade is looked at again")
        return
    assert intent.sent_at is not None
    quiet = journal.clock.now() - intent.sent_at >= QUIET
    if quiet and journal.scans(intent) >= SCANS:
        journal.move(intent, "DROPPED", f"the log does not show it up to {account.transaction}")


def _faults(own: dict[str, Trade], positions: dict[str, Position]) -> Iterator[str]:
    for trade in own.values():
        held = positions.get(trade.id)
        if held is None:
            yield f"trade {trade.id} ({trade.pair}) has a name of ours and is not in the journal"
        elif (held.pair, held.side) != (trade.pair, trade.side):
            yield f"trade {trade.id} is {trade.side} {trade.pair}, not {held.side} {held.pair}"
        elif trade.units > held.units:
            yield f"trade {trade.id} has {trade.units} units, more than {held.units}"
    for number, held in positions.items():
        if number not in own:
            yield f"trade {number} ({held.pair}) is open in the journal and not at the broker"


def _halted(desk: Desk, done: Reconciled) -> Reconciled:
    assert done.mismatch is not None
    _tell(desk.journal, done.mismatch)
    _switch(desk.journal, "*", WHO, on=True, why=done.mismatch)
    return done


def _agreed(desk: Desk, done: Reconciled, positions: Iterable[Position]) -> Reconciled:
    """Journal and broker agree: halts for late fills end with the trades that they were for."""
    journal = desk.journal
    _tell(journal, None)
    orphans = {position.pair for position in positions if position.orphan}
    for pair in _halted_pairs(journal) - orphans:
        _lift(journal, pair)
    return done


def _lift(journal: Journal, pair: str) -> None:
    """End a halt for a late fill; one that somebody else said before it stands again."""
    said = (
        select(Control)
        .where(Control.name == "halt", Control.account == journal.account, Control.scope == pair)
        .where(Control.who != LATE)
        .order_by(Control.id.desc())
        .limit(1)
    )
    before = first(said)
    if before is not None and before.on:
        _switch(journal, pair, before.who, on=True, why=before.why, until=before.until)
    else:
        _switch(journal, pair, LATE, on=False, why="the trade is closed, journal and broker agree")


def _tell(journal: Journal, mismatch: str | None) -> None:
    told = {"mismatch": mismatch, "reconciled_at": journal.clock.now()}
    with session() as opened:
        journal.lease.fence(opened)
        opened.execute(update(Venue).where(Venue.account == journal.account).values(**told))


def _newest(journal: Journal) -> list[Control]:
    newest = (
        select(Control)
        .where(Control.name == "halt", Control.account == journal.account)
        .order_by(Control.scope, Control.id.desc())
        .distinct(Control.scope)
    )
    return every(newest)


def _halted_pairs(journal: Journal) -> set[str]:
    return {row.scope for row in _newest(journal) if row.on and row.who == LATE}


def _switch(
    journal: Journal, scope: str, who: str, *, on: bool, why: str, until: datetime | None = None
) -> None:
    """Write a switch, unless it stands so already."""
    present = next((row for row in _newest(journal) if row.scope == scope), None)
    if present is not None and (present.on, present.who, present.why) == (on, who, why):
        return
    with session() as opened:
        journal.lease.fence(opened)
        opened.add(
            Control(
                name="halt",
                account=journal.account,
                scope=scope,
                on=on,
                who=who,
                why=why,
                until=until,
                at=journal.clock.now(),
            )
        )
