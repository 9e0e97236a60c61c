"""Everything closed: own trades by their numbers, others' only if asked; read first.

With a database each close is an intent in the journal, under the account's lease; without one, or
while another executor holds the lease for too long, the broker is asked directly, and what came of
it is in its log, from where reconciliation takes it. Closing a trade twice does no harm.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from infra.brokers.broker import Account, Broker, BrokerError, Done, Pending, Refused, Trade
from infra.clock import Clock
from infra.errors import SepError
from infra.postgres.outage import reason
from tasks.trading import exits
from tasks.trading.journal import PREFIX, Journal, is_ours
from tasks.trading.lease import LeaseHeld
from tasks.trading.orders import Desk
from tasks.trading.report import Report
from tasks.trading.rounds import holder, leased

TRIES: Final = 3
PATIENCE: Final = 10.0
"""Seconds that another executor's lease is waited for."""


@dataclass(frozen=True)
class Plan:
    """What would be closed and what is left alone."""

    account: Account
    close: tuple[Trade, ...]
    leave: tuple[Trade, ...]
    pending: tuple[Pending, ...]
    journal: str | None
    """Why the journal cannot be read, if so: ours is then what has a name of ours."""


@dataclass
class Flattened:
    """What came of it: a sentence for each trade, what is open still, and how it was done."""

    said: dict[str, str] = field(default_factory=dict)
    open: tuple[Trade, ...] = ()
    direct: str | None = None


def plan(account: str, broker: Broker, *, everything: bool) -> Plan:
    """Read what is open, and say what of it would be closed.

    Parameters
    ----------
    account : str
    broker : Broker
    everything : bool
        Whether trades that are not ours are closed, too.

    Raises
    ------
    BrokerError
        If the broker does not tell.
    """
    journaled, trouble = _journaled(account)
    present = broker.account()
    ours = {trade.id for trade in present.trades if _is_ours(trade, journaled)}
    close = tuple(trade for trade in present.trades if everything or trade.id in ours)
    leave = tuple(trade for trade in present.trades if trade not in close)
    return Plan(present, close, leave, present.pending, trouble)


def flatten(account: str, broker: Broker, clock: Clock, trades: Iterable[Trade]) -> Flattened:
    """Close trades, look, and close again what is still open, three times at most.

    Parameters
    ----------
    account : str
    broker : Broker
    clock : Clock
    trades : iterable of Trade

    Raises
    ------
    BrokerError
        If the broker does not tell what is open now; what was asked of it may have happened.
    """
    done, left = Flattened(), tuple(trades)
    for attempt in range(TRIES):
        if not left:
            break
        if attempt:
            clock.sleep(1.0)
        done.direct = _close(account, broker, clock, left, done.said)
        present = {trade.id: trade for trade in broker.account().trades}
        left = tuple(present[trade.id] for trade in left if trade.id in present)
    done.open = left
    return done


def quiet(account: str, clock: Clock) -> None:
    """Wait until no other executor acts: what it was sending has come by then, and can be seen.

    Parameters
    ----------
    account : str
    clock : Clock
    """
    deadline = clock.monotonic() + PATIENCE
    while clock.monotonic() < deadline:
        try:
            with leased(account, holder("flatten")):
                return
        except LeaseHeld:
            clock.sleep(0.5)
        except (SepError, SQLAlchemyError):
            return


def _close(
    account: str, broker: Broker, clock: Clock, trades: tuple[Trade, ...], said: dict[str, str]
) -> str | None:
    """Close through the journal, or else directly; return why directly."""
    deadline = clock.monotonic() + PATIENCE
    while True:
        try:
            _by_journal(account, broker, clock, trades, said)
        except LeaseHeld as error:
            if clock.monotonic() < deadline:
                clock.sleep(0.5)
                continue
            why = str(error)
        except (SepError, SQLAlchemyError) as error:
            why = reason(error)
        else:
            return None
        _directly(broker, clock.now(), (t for t in trades if t.id not in said), said)
        return why


def _by_journal(
    account: str, broker: Broker, clock: Clock, trades: tuple[Trade, ...], said: dict[str, str]
) -> None:
    """Close what the journal knows of; others' trades have no intent there."""
    with leased(account, holder("flatten")) as lease:
        journal = Journal(account, lease, clock)
        held = {position.trade: position for position, _ in journal.positions()}
        desk = Desk(journal, broker)
        for trade in trades:
            position = held.get(trade.id)
            if position is None:
                _directly(broker, clock.now(), [trade], said)
                continue
            report = Report()
            closed = exits.close(desk, position, exits.Ending("flatten", {}), report)
            said[trade.id] = "closed" if closed else "; ".join(report.findings)


def _directly(broker: Broker, now: datetime, trades: Iterable[Trade], said: dict[str, str]) -> None:
    for trade in trades:
        name = f"{PREFIX}flatten-{trade.id}-{int(now.timestamp())}"
        match broker.close(trade.id, name):
            case Done(transactions):
                fill = next((line for line in transactions if line.kind == "fill"), None)
                why = next((line.reason for line in transactions if line.kind != "fill"), "")
                said[trade.id] = f"closed at {fill.price}" if fill else f"not closed: {why}"
            case Refused(why):
                said[trade.id] = f"refused: {why}"
            case unknown:
                said[trade.id] = f"nobody knows: {unknown.reason}"


def _journaled(account: str) -> tuple[set[str], str | None]:
    from infra.postgres.database import session
    from infra.postgres.trading import Position

    try:
        with session() as opened:
            held = opened.query(Position.trade).where(
                Position.account == account, Position.closed_at.is_(None)
            )
            return {trade for (trade,) in held}, None
    except (SepError, SQLAlchemyError) as error:
        if isinstance(error, BrokerError):
            raise
        return set(), reason(error)


def _is_ours(trade: Trade, journaled: set[str]) -> bool:
    return trade.id in journaled or is_ours(trade.client_id)
