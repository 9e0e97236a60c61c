"""What must hold when an entry leaves, judged by the venue's own books."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from sqlalchemy import select

from infra.brokers.broker import Entry
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, Lease
from tasks.trading.lease import Held
from tests.tasks.trading.invariants import (
    UNDECIDED,
    intents,
    is_name,
    openings,
    own_trades,
    positions,
)

if TYPE_CHECKING:
    from tests.tasks.trading.world import World

NEAR = Decimal("1.10")
"""Prices move between the thought and the bytes."""


class Broken(BaseException):
    """What must hold does not: no executor may take it for a trouble of one pair and go on."""


@contextmanager
def judged() -> Iterator[None]:
    """Let nobody but the test itself catch what fails."""
    try:
        yield
    except AssertionError as error:
        raise Broken(str(error)) from error


@judged()
def may_be_sent(world: World, lease: Held, entry: Entry) -> None:
    """An entry is about to leave: nothing may stand against it."""
    world.counts["sends"] += 1
    is_sent_once(world, entry)
    is_leased(world, lease)
    nothing_forbids(world, entry)
    if not world.unforeseen:
        within_limits(world, entry)
    world.unforeseen = False


def is_sent_once(world: World, entry: Entry) -> None:
    """No name is sent a second time, by whomever."""
    assert world.sent[entry.client_id] == 1, f"{entry.client_id} is sent again"
    assert entry.client_id not in openings(world.venue.book), f"{entry.client_id} is filled already"


@judged()
def may_be_closed(world: World, lease: Held, trade: str) -> None:
    """A trade is about to be closed: it is ours, and so is the lease."""
    is_ours(world, trade)
    is_leased(world, lease)


@judged()
def may_be_protected(world: World, trade: str) -> None:
    """A trade is about to get its stop: it is ours."""
    is_ours(world, trade)


def is_leased(world: World, lease: Held) -> None:
    """Nobody sends anything whose lease has passed to another, or has run out."""
    with session() as opened:
        token = opened.scalar(select(Lease.token).where(Lease.name == world.name))
    assert token == lease.token, f"the lease is {token}'s, and {lease.token} sends"
    assert lease.remaining() > 0, f"the lease ran out {-lease.remaining():.0f} s ago"


def nothing_forbids(world: World, entry: Entry) -> None:
    """Nobody halted, disarmed, expired or fenced sends an entry."""
    now = world.clock.now()
    with session() as opened:
        signal = opened.get_one(Signal, int(entry.client_id.rpartition("-")[2]))
        valid_until = signal.valid_until
    assert valid_until > now, f"the signal was valid until {valid_until}, and it is {now}"
    halted = world.switches.halted
    assert not world.switches.against(entry.pair), f"{entry.pair} is sent, and {halted} is halted"
    assert world.armed, "an entry is sent with real money, and not armed"
    silent = now - world.beaten
    assert not world.dead_man or abs(silent) <= timedelta(minutes=world.dead_man), "a dead man's"
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
    assert is_name(opened.client_id), f"trade {trade} is {opened.client_id}'s, and is touched"
