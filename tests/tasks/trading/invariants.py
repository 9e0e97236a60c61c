"""What must hold in every world, judged by the venue's own books and not by the journal alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import select

from infra.brokers.book import Book
from infra.brokers.broker import Entry, Price, Transaction
from infra.clock import Clock
from infra.postgres.database import session
from infra.postgres.models import Base, Signal
from infra.postgres.trading import (
    Control,
    Equity,
    Fill,
    Intent,
    IntentEvent,
    Lease,
    Position,
    Venue,
)
from tasks.trading.booking import LATE
from tasks.trading.journal import PREFIX
from tasks.trading.lease import Held
from tasks.trading.report import Report

if TYPE_CHECKING:
    from tests.tasks.trading.world import World


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


ENDS = {"DENIED", "EXPIRED", "FILLED", "CANCELLED", "REJECTED", "DROPPED"}
UNDECIDED = {"PREPARED", "SENT", "UNKNOWN"}
NEAR = Decimal("1.10")
"""Prices move between the thought and the bytes."""


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
        if line.kind == "fill" and line.opened is not None and _is_name(line.client_id):
            found[str(line.client_id)].append(line)
    return found


def own_trades(book: Book) -> set[str]:
    """Return the trades of ours that are open."""
    return {held.id for held in book.trades.values() if _is_name(held.client_id)}


# at a send


def may_be_sent(world: World, lease: Held, entry: Entry) -> None:
    """An entry is about to leave: nothing may stand against it."""
    world.counts["sends"] += 1
    is_sent_once(world, entry)
    nothing_forbids(world, lease, entry)
    within_limits(world, entry)


def is_sent_once(world: World, entry: Entry) -> None:
    """No name is sent a second time, by whomever."""
    assert world.sent[entry.client_id] == 1, f"{entry.client_id} is sent again"
    assert entry.client_id not in openings(world.venue.book), f"{entry.client_id} is filled already"


def nothing_forbids(world: World, lease: Held, entry: Entry) -> None:
    """Nobody halted, disarmed, expired or fenced sends an entry."""
    now = world.clock.now()
    with session() as opened:
        signal = opened.get_one(Signal, int(entry.client_id.rpartition("-")[2]))
        token = opened.scalar(select(Lease.token).where(Lease.name == world.name))
        valid_until = signal.valid_until
    assert valid_until > now, f"the signal was valid until {valid_until}, and it is {now}"
    assert not world.halted, "an entry is sent while halted"
    assert world.armed or not world.real, "an entry is sent with real money, and not armed"
    silent = now - world.beaten
    assert not world.dead_man or abs(silent) <= timedelta(minutes=world.dead_man), "a dead man's"
    assert token == lease.token, f"the lease is {token}'s, and {lease.token} sends"
    others = [
        intent
        for intent in intents(world)
        if intent.kind == "entry" and intent.pair == entry.pair and intent.state in UNDECIDED
        if intent.client_id != entry.client_id and intent.state != "PREPARED"
    ]
    assert not others, f"{entry.pair} is in doubt: {others[0].client_id} is {others[0].state}"
    orphans = [p for p in positions(world) if p.orphan and p.closed_at is None]
    assert entry.pair not in {p.pair for p in orphans}, f"{entry.pair} has a late fill"


def within_limits(world: World, entry: Entry) -> None:
    """The venue's own figures, and what is under way, leave room for an entry."""
    book, limits = world.venue.book, world.limits
    flying = [
        i for i in intents(world)
        if i.kind == "entry" and i.state in ("SENT", "UNKNOWN") and i.client_id != entry.client_id
        and i.client_id not in openings(book)
    ]  # fmt: skip
    price = world.venue.price(entry.pair)
    assert price.tradeable, f"{entry.pair} is not traded now"
    held = list(book.trades.values())
    against = [h for h in held if h.pair == entry.pair and (h.units > 0) != (entry.side == "long")]
    assert not against, f"trade {against[0].id} is open the other way round"
    count = len(held) + len(flying) + 1
    own = len(own_trades(book)) + len(flying) + 1
    assert own <= (limits.max_own_trades or own), f"{own} trades of ours would be open"
    assert count <= (limits.max_trades or count), f"{count} trades would be open"
    _units_fit(world, entry, [(h.pair, abs(h.units)) for h in held], flying)
    _risk_fits(world, entry, flying)
    floor = limits.static_drawdown
    if floor is not None:
        assert book.equity > (1 - floor) * world.deposit, f"equity is {book.equity}"


def _units_fit(
    world: World, entry: Entry, held: list[tuple[str, Decimal]], flying: list[Intent]
) -> None:
    most = world.limits.max_units
    under_way = [(i.pair, i.units or Decimal(0)) for i in flying]
    used = sum((u for pair, u in [*held, *under_way] if pair == entry.pair), entry.units)
    assert most is None or used <= most, f"{used} units of {entry.pair}"


def _risk_fits(world: World, entry: Entry, flying: list[Intent]) -> None:
    """What a trade, and all trades, lose if their stops fill."""
    book, limits = world.venue.book, world.limits
    price = world.venue.price(entry.pair)
    quoted = price.ask if entry.side == "long" else price.bid
    own = abs(quoted - entry.stop) * entry.units * (price.loss or 1)
    assert own <= limits.max_risk * book.equity * NEAR, f"{own} is at risk in one trade"
    if limits.max_open_risk is None:
        return
    lost = own
    for held in book.trades.values():
        mark = world.venue.price(held.pair)
        leaves = mark.bid if held.units > 0 else mark.ask
        until = abs(leaves - held.stop.price) if held.stop is not None else leaves
        lost += until * abs(held.units) * (mark.loss or 1)
    assert lost <= limits.max_open_risk * book.equity * NEAR, f"{lost} is at risk in all"


def is_ours(world: World, trade: str) -> None:
    """Nothing is done to trades of others."""
    opened = next((each for each in world.venue.book.log if str(each.id) == trade), None)
    assert opened is not None, f"trade {trade} was never there"
    assert _is_name(opened.client_id), f"trade {trade} is {opened.client_id}'s, and is touched"


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
        if line.kind == "fill" and line.opened is not None and _is_name(line.client_id):
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
    """The state of each intent is an end, and its events tell of just that one."""
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


def _is_name(client_id: str | None) -> bool:
    return (client_id or "").startswith(PREFIX)


def _side(units: Decimal) -> str:
    return "long" if units > 0 else "short"
