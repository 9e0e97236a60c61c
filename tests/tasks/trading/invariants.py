"""What must hold in every world, judged by the venue's own books and not by the journal alone."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Protocol

from sqlalchemy import select

from infra.brokers.book import Book
from infra.brokers.broker import Price, Transaction
from infra.clock import Clock
from infra.postgres.database import session
from infra.postgres.models import Base, Signal
from infra.postgres.trading import (
    Control,
    Equity,
    Fill,
    Intent,
    IntentEvent,
    Position,
    Venue,
)
from tasks.trading.booking import LATE
from tasks.trading.journal import PREFIX
from tasks.trading.report import Report


class Truth(Protocol):
    """What a venue knows of itself."""

    @property
    def book(self) -> Book: ...

    def price(self, pair: str) -> Price: ...


class Site(Protocol):
    """An account that is looked at, and the venue it is at."""

    @property
    def account(self) -> str: ...

    @property
    def venue(self) -> Truth: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def counts(self) -> Counter[str]: ...

    @property
    def sent(self) -> Counter[str]: ...


SCANS = 3
"""Readings of the log in vain after which an entry may be given up."""
ENDS = {"DENIED", "EXPIRED", "FILLED", "CANCELLED", "REJECTED", "DROPPED"}
UNEXPECTED = re.compile(r": [A-Z]\w*(Error|Exception|Violation): ")
"""What a round says of a mistake of its own."""
UNDECIDED = {"PREPARED", "SENT", "UNKNOWN"}


# what is there


def rows(kind: type[Base], account: str) -> list[Base]:
    """Return an account's rows of a table, oldest first."""
    table = kind.__table__
    query = select(kind).where(table.c.account == account).order_by(*table.primary_key)
    with session() as opened:
        found = list(opened.scalars(query))
        opened.expunge_all()
    return found


def intents(world: Site) -> list[Intent]:
    """Return all intents of a world."""
    return [row for row in rows(Intent, world.account) if isinstance(row, Intent)]


def positions(world: Site) -> list[Position]:
    """Return all positions of a world."""
    return [row for row in rows(Position, world.account) if isinstance(row, Position)]


def openings(book: Book) -> dict[str, list[Transaction]]:
    """Return the fills that opened trades under names of ours, by name."""
    found = defaultdict(list)
    for line in book.log:
        if line.kind == "fill" and line.opened is not None and is_name(line.client_id):
            found[str(line.client_id)].append(line)
    return found


def own_trades(book: Book) -> set[str]:
    """Return the trades of ours that are open."""
    return {held.id for held in book.trades.values() if is_name(held.client_id)}


# after each round, whatever happened in it


def after_each_round(world: Site) -> None:
    """What holds at any time."""
    world.venue.book.check()
    nothing_is_filled_twice(world)
    nothing_of_others_is_netted(world)
    nothing_disagrees(world)


def nothing_is_filled_twice(world: Site) -> None:
    """The venue's log shows at most one fill that opened a trade for each name."""
    for name, lines in openings(world.venue.book).items():
        assert len(lines) == 1, f"{name} was filled by {[line.id for line in lines]}"


def nothing_of_others_is_netted(world: Site) -> None:
    """No order of ours closed a trade, of others or of ours, by netting."""
    for line in world.venue.book.log:
        if line.kind == "fill" and line.opened is not None and is_name(line.client_id):
            assert not line.closed, f"{line.client_id} closed {line.closed}"


def nothing_disagrees(world: Site) -> None:
    """Journal and broker never disagreed: nothing here is beyond explaining."""
    with session() as opened:
        venue = opened.get(Venue, world.account)
        mismatch = None if venue is None else venue.mismatch
    assert mismatch is None, mismatch


# after a round that went to its end


def after_a_whole_round(world: Site, report: Report, *, quiet: bool) -> None:
    """What a round promises that neither died nor met a fault."""
    for finding in report.findings:
        assert not UNEXPECTED.search(finding), finding
    broker_knows = not any("does not tell how things stand" in each for each in report.findings)
    if quiet and broker_knows:
        all_have_stops(world)


def all_have_stops(world: Site) -> None:
    """No trade of ours is without a stop where its market is open."""
    book = world.venue.book
    for number in own_trades(book):
        held = book.trades[number]
        if world.venue.price(held.pair).tradeable:
            assert held.stop is not None, f"trade {number} ({held.pair}) has no stop"


# at rest


def has_ended(world: Site) -> bool:
    """Say whether nothing is under way any more."""
    undecided = [i for i in intents(world) if i.state in UNDECIDED]
    orphans = [p for p in positions(world) if p.orphan and p.closed_at is None]
    return not undecided and not orphans


def at_rest(world: Site) -> None:
    """What holds once all is calm."""
    assert has_ended(world), [(i.client_id, i.state) for i in intents(world)]
    each_intent_has_one_end(world)
    each_end_is_the_venues(world)
    late_fills_were_closed_and_halted(world)
    positions_are_the_venues(world)
    fills_are_the_venues(world)
    the_account_is_the_venues(world)
    all_have_stops(world)
    nothing_is_overdue(world)
    for intent in intents(world):
        world.counts[f"{intent.kind} {intent.state.lower()}"] += 1


def each_intent_has_one_end(world: Site) -> None:
    """The state of each intent is an end, and its events tell of just that one, in due time."""
    with session() as opened:
        told = opened.execute(
            select(IntentEvent.intent_id, IntentEvent.event)
            .join(Intent, Intent.id == IntentEvent.intent_id)
            .where(Intent.account == world.account)
        ).all()
    events = defaultdict(list)
    for number, event in told:
        events[number].append(event)
    for intent in intents(world):
        ends = [event for event in events[intent.id] if event in ENDS]
        assert ends == [intent.state], f"{intent.client_id}: {events[intent.id]}"
        if (intent.kind, intent.state) == ("entry", "DROPPED"):
            scans = events[intent.id].count("scan")
            assert scans >= SCANS, f"{intent.client_id} was given up after {scans} readings"


def each_end_is_the_venues(world: Site) -> None:
    """What was filled by the journal was filled by the venue, and the other way round."""
    filled = openings(world.venue.book)
    for intent in intents(world):
        if intent.kind != "entry":
            continue
        there = len(filled.pop(intent.client_id, []))
        allowed = {"FILLED": {1}, "DROPPED": {0, 1}}.get(intent.state, {0})
        assert there in allowed, f"{intent.client_id} is {intent.state}, and filled {there} times"
    assert not filled, f"{[*filled]} have no intent"


def late_fills_were_closed_and_halted(world: Site) -> None:
    """An order that was given up and filled all the same was closed, its pair halted till then."""
    late = {i.signal_id: i for i in intents(world) if i.state == "DROPPED" and i.kind == "entry"}
    fills = openings(world.venue.book)
    halts = {
        row.scope for row in rows(Control, world.account)
        if isinstance(row, Control) and row.on and row.who == LATE
    }  # fmt: skip
    orphans = {p.signal_id: p for p in positions(world) if p.orphan}
    for signal, intent in late.items():
        if intent.client_id in fills and signal is not None:
            world.counts["late fills"] += 1
            assert orphans[signal].closed_at is not None, f"{intent.client_id} is open"
            assert intent.pair in halts, f"{intent.pair} was not halted"
    assert {*orphans} <= {*late}, "an orphan whose order was not given up"


def positions_are_the_venues(world: Site) -> None:
    """Positions have the sides, units, profits and financing of the venue's log."""
    book, known = world.venue.book, {p.trade: p for p in positions(world)}
    assert {n for n, p in known.items() if p.closed_at is None} == own_trades(book)
    opened = {str(line.id): line for lines in openings(book).values() for line in lines}
    assert {*known} == {*opened}
    profits, taken, financed = _closures(book.log)
    for number, position in known.items():
        line = opened[number]
        assert line.opened is not None
        units = line.opened.units
        assert position.units == abs(units)
        assert (position.side, position.entry_price) == (_side(units), line.opened.price)
        assert (position.profit or 0) == profits[number], f"profit of {number}"
        assert position.financing == financed[number], f"financing of {number}"
        left = abs(units) - taken[number]
        there = book.trades.get(number)
        assert left == (0 if there is None else abs(there.units))
        assert (left == 0) == (position.closed_at is not None)


def _closures(
    log: Iterable[Transaction],
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    profits: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    financed: Counter[str] = Counter()
    for line in log:
        for closed in line.closed:
            profits[closed.trade] += closed.profit  # type: ignore[assignment]
            taken[closed.trade] += abs(closed.units)  # type: ignore[assignment]
            financed[closed.trade] += closed.financing  # type: ignore[assignment]
        for trade, amount in line.financed:
            financed[trade] += amount  # type: ignore[assignment]
    return profits, taken, financed


def fills_are_the_venues(world: Site) -> None:
    """There is a fill on record for each execution of a trade of ours, and no other."""
    book = world.venue.book
    mine = {str(line.id) for lines in openings(book).values() for line in lines}
    told = set()
    for line in book.log:
        if line.opened is not None and line.opened.trade in mine:
            told.add((str(line.id), line.opened.trade, abs(line.opened.units), line.opened.price))
        for closed in line.closed:
            if closed.trade in mine:
                told.add((str(line.id), closed.trade, abs(closed.units), closed.price))
    found = [row for row in rows(Fill, world.account) if isinstance(row, Fill)]
    assert {(f.transaction, f.trade, f.units, f.price) for f in found} == told
    assert len(found) == len(told)


def the_account_is_the_venues(world: Site) -> None:
    """The last word on the account is the venue's balance, and its log was read to the end."""
    book = world.venue.book
    newest = max(
        (
            row
            for row in rows(Equity, world.account)
            if isinstance(row, Equity) and row.timestamp <= world.clock.now()
        ),
        key=lambda row: row.timestamp,
    )
    with session() as opened:
        read = opened.get_one(Venue, world.account).last_transaction
    unread = [line.type for line in book.since(read) if line.kind in ("fill", "financing")]
    assert not unread, f"the log was not read to its end: {unread}"
    assert newest.balance == float(book.balance), f"{newest.balance} is not {book.balance}"


def nothing_is_overdue(world: Site) -> None:
    """No position is open an hour of trade after its time."""
    from infra.market.fills import exit_due_by_calendar

    with session() as opened:
        query = select(Position, Signal).join(Signal, Signal.id == Position.signal_id)
        mine = (Position.account == world.account) & Position.closed_at.is_(None)
        for position, signal in opened.execute(query.where(mine)):
            due = exit_due_by_calendar(signal.bar_ts, signal.horizon, signal.pair, signal.timeframe)
            late = world.clock.now() - due
            assert late < timedelta(hours=1), f"{position.trade} was due {late} ago"


def is_name(client_id: str | None) -> bool:
    """Say whether a name is one of ours."""
    return (client_id or "").startswith(PREFIX)


def _side(units: Decimal) -> str:
    return "long" if units > 0 else "short"
