"""The broker's word taken where the journal cannot explain it: an account was reset, a book lost.

Nothing else ends such a mismatch, and no executor does so by itself: a person looks, and accepts.
"""

from __future__ import annotations

from sqlalchemy import update
from sqlalchemy.orm import Session

from infra.brokers.broker import Account, Trade
from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.trading import Control, Position, Venue
from tasks.trading.journal import Journal, is_ours
from tasks.trading.orders import Desk
from tasks.trading.reconcile import WHO


class CannotAccept(SepError, ValueError):
    """The journal cannot go on from where the broker stands."""


UNEXPLAINED = "unexplained"
"""Why a position ended that the broker does not have, and whose end no log tells."""


def strangers(desk: Desk, account: Account) -> list[Trade]:
    """Return trades with a name of ours that the journal does not know: `sep flatten` closes them.

    Parameters
    ----------
    desk : Desk
    account : Account
    """
    known = {position.trade for position, _ in desk.journal.positions()}
    ours = (t for t in account.trades if is_ours(t.client_id))
    return [trade for trade in ours if trade.id not in known]


def accept(desk: Desk, who: str, why: str) -> list[str]:
    """Let the journal go on from where the broker stands now; return what was given up.

    Orders in doubt are dropped, positions that the broker does not have end without a profit, and
    the log counts as read. The halt that reconciliation ordered is lifted; others stay.

    Parameters
    ----------
    desk : Desk
    who, why : str

    Raises
    ------
    BrokerError
        If the broker does not tell how the account stands.
    CannotAccept
        If its log began anew: its numbers would be those of older trades.
    """
    journal, account = desk.journal, desk.broker.account()
    _refuse_new_log(journal, account)
    said = _drop(journal, why)
    present = {trade.id for trade in account.trades}
    with session() as opened:
        journal.lease.fence(opened)
        for position, _ in journal.positions():
            if position.trade not in present:
                _end(journal, opened, position)
                said.append(f"trade {position.trade} ({position.pair}) ended {UNEXPLAINED}")
        _begin_anew(desk, opened, account)
        opened.add(
            Control(
                name="halt", account=journal.account, on=False, who=who, why=why,
                detail={"lifts": WHO}, at=journal.clock.now(),
            )
        )  # fmt: skip
    return said


def _refuse_new_log(journal: Journal, account: Account) -> None:
    with session() as opened:
        known = opened.get_one(Venue, journal.account)
        if known.last_transaction > account.transaction:
            raise CannotAccept(
                f"the broker's log began anew (it ends at {account.transaction}, and was read to "
                f"{known.last_transaction}): open another account there, SEP_OANDA_ACCOUNT names it"
            )


def _drop(journal: Journal, why: str) -> list[str]:
    said = []
    for intent in journal.unfinished():
        if intent.state == "PREPARED":
            journal.move(intent, "DENIED", why)
        if intent.state == "SENT":
            journal.move(intent, "UNKNOWN", why)
        if intent.state == "UNKNOWN":
            journal.move(intent, "DROPPED", why)
        said.append(f"order {intent.client_id} became {intent.state}")
    return said


def _end(journal: Journal, opened: Session, position: Position) -> None:
    ended = {"closed_at": journal.clock.now(), "exit_reason": UNEXPLAINED}
    opened.execute(update(Position).where(Position.id == position.id).values(ended))


def _begin_anew(desk: Desk, opened: Session, account: Account) -> None:
    stands = {
        "broker": f"{desk.broker.name} {account.id}",
        "currency": account.currency,
        "last_transaction": account.transaction,
        "reconciled_at": desk.journal.clock.now(),
        "mismatch": None,
    }
    opened.execute(update(Venue).where(Venue.account == desk.journal.account).values(stands))
