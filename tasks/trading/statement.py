"""The statement of a day: fills, what they cost, profit by pair and strategy, equity.

A day is the market's: it ends at 17:00 New York.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Row, and_, select

from infra.market.days import DAY_BEGINS, NEW_YORK
from infra.market.instruments import pip
from infra.postgres.database import session
from infra.postgres.trading import Fill, Position, Venue
from infra.settings import settings
from tasks.trading import equity

_DAY: Final = timedelta(days=1)
_ZONE: Final = ZoneInfo(NEW_YORK)

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Statement:
    """What happened on an account in a day.

    Attributes
    ----------
    account, currency : str
    day : date
    start, end : datetime
    fills : list of dict
        `at`, `pair`, `strategy`, `kind`, `side`, `units`, `price`, `slippage` (pips, above zero is
        a loss; None where no price was seen before), `spread` (half of it, money), `profit`,
        `financing`, `commission`, `reason`.
    equity : list of dict
        As `tasks.trading.equity.between` returns it.
    """

    account: str
    currency: str
    day: date
    start: datetime
    end: datetime
    fills: Rows
    equity: Rows

    @property
    def empty(self) -> bool:
        """Whether nothing is known of the day."""
        return not self.fills and not any(row["timestamp"] >= self.start for row in self.equity)

    def totals(self) -> dict[str, Any]:
        """Return the day in figures; None where there is none.

        `other` is what changed the balance beside profit and commission: financing, and what was
        paid in or out.
        """
        closing = [fill["profit"] for fill in self.fills if fill["profit"] is not None]
        profit, paid = sum(closing), sum(fill["commission"] for fill in self.fills)
        first, last = (self.equity[0], self.equity[-1]) if self.equity else (None, None)
        change = last["balance"] - first["balance"] if first and last else None
        return {
            "entries": sum(fill["kind"] == "entry" for fill in self.fills),
            "exits": sum(fill["kind"] == "exit" for fill in self.fills),
            "profit": profit,
            "half spread": sum(fill["spread"] for fill in self.fills),
            "slippage, mean pips": _mean(fill["slippage"] for fill in self.fills),
            "commission": paid,
            "financing of closed trades": sum(fill["financing"] for fill in self.fills),
            "other changes of the balance": None if change is None else change - profit + paid,
            "balance": last and last["balance"],
            "equity": last and last["equity"],
            "lowest equity": min((row["equity"] for row in self.equity), default=None),
            "open trades": last and last["open_trades"],
        }

    def by(self, name: str) -> Rows:
        """Return profit and costs of each `pair` or `strategy`, the best first."""
        groups: dict[str, Rows] = defaultdict(list)
        for fill in self.fills:
            groups[fill[name]].append(fill)
        rows = [{name: key, **_summed(fills)} for key, fills in groups.items()]
        return sorted(rows, key=lambda row: -row["profit"])


def statement(account: str, day: date) -> Statement:
    """Return the statement of a day.

    Parameters
    ----------
    account : str
    day : date
        On which it ends.
    """
    start, end = span(day)
    traded = and_(Position.account == Fill.account, Position.trade == Fill.trade)
    query = (
        select(Fill, Position.strategy, Position.exit_reason)
        .outerjoin(Position, traded)
        .where(Fill.account == account, Fill.filled_at >= start, Fill.filled_at < end)
        .order_by(Fill.filled_at, Fill.id)
    )
    with session() as opened:
        fills = [_fill(row) for row in opened.execute(query)]
        venue = opened.get(Venue, account)
        currency = venue.currency if venue else settings().account_currency
    return Statement(account, currency, day, start, end, fills, equity.between(account, start, end))


def span(day: date) -> tuple[datetime, datetime]:
    """Return when a day begins and ends."""
    ends = time(DAY_BEGINS, tzinfo=_ZONE)
    return datetime.combine(day - _DAY, ends), datetime.combine(day, ends)


def day_of(moment: datetime) -> date:
    """Return the day that a moment falls into."""
    local = moment.astimezone(_ZONE)
    return local.date() + (_DAY if local.hour >= DAY_BEGINS else timedelta(0))


def _fill(row: Row[tuple[Fill, str, str | None]]) -> dict[str, Any]:
    fill, strategy, exit_reason = row
    return {
        "at": fill.filled_at,
        "pair": fill.pair,
        "strategy": strategy or "of others",
        "kind": fill.kind,
        "side": fill.side,
        "units": float(fill.units),
        "price": float(fill.price),
        "slippage": slippage(fill.pair, fill.side, fill.price, fill.quoted),
        "spread": float(fill.cost),
        "profit": None if fill.profit is None else float(fill.profit),
        "financing": float(fill.financing),
        "commission": float(fill.commission),
        "reason": exit_reason if fill.kind == "exit" else None,
    }


def slippage(pair: str, side: str, price: Decimal, seen: Decimal | None) -> float | None:
    """Return by how many pips a fill was worse than a price; None where there is none.

    Parameters
    ----------
    pair : str
    side : str
        Of the order: long buys.
    price : Decimal
        Of the fill.
    seen : Decimal or None
    """
    if seen is None:
        return None
    worse = price - seen if side == "long" else seen - price
    return float(worse) / pip(pair)


def _summed(fills: Sequence[dict[str, Any]]) -> dict[str, Any]:
    closed = [fill["profit"] for fill in fills if fill["profit"] is not None]
    return {
        "exits": len(closed),
        "won": sum(profit > 0 for profit in closed),
        "profit": sum(closed),
        "half spread": sum(fill["spread"] for fill in fills),
        "slippage, mean pips": _mean(fill["slippage"] for fill in fills),
        "commission": sum(fill["commission"] for fill in fills),
    }


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
