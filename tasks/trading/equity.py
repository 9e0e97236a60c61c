"""Balance and equity of an account over time, open trades included."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from infra.brokers.broker import Account
from infra.postgres.database import first, reading, session
from infra.postgres.trading import Equity


def record(account: str, state: Account, now: datetime) -> None:
    """Write how an account stands; of one moment the later word counts.

    Parameters
    ----------
    account : str
        Its name in the journal.
    state : Account
        What the broker says.
    now : datetime
        With a zone.
    """
    figures = {
        "balance": float(state.balance),
        "equity": float(state.equity),
        "margin_used": float(state.margin_used),
        "open_trades": len(state.trades),
    }
    row = insert(Equity).values(account=account, timestamp=now, **figures)
    with session() as opened:
        opened.execute(
            row.on_conflict_do_update(index_elements=["account", "timestamp"], set_=figures)
        )


def between(account: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Return `timestamp`, `balance`, `equity`, `margin_used`, `open_trades`, ascending.

    The last row before `start` comes first, as it stood then.

    Parameters
    ----------
    account : str
    start, end : datetime
        With zones; `end` itself is not in it.
    """
    mine = select(Equity).where(Equity.account == account)
    before = mine.where(Equity.timestamp < start).order_by(Equity.timestamp.desc()).limit(1)
    within = mine.where(Equity.timestamp >= start, Equity.timestamp < end)
    with reading() as opened:
        rows = [*opened.scalars(before), *opened.scalars(within.order_by(Equity.timestamp))]
        return [_plain(row) for row in rows]


def latest(account: str) -> datetime | None:
    """Return when an account was last written down; None if it never was."""
    newest = select(func.max(Equity.timestamp)).where(Equity.account == account)
    return first(newest)


def _plain(row: Equity) -> dict[str, Any]:
    names = ("timestamp", "balance", "equity", "margin_used", "open_trades")
    return {name: getattr(row, name) for name in names}
