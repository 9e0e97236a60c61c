"""What happens between rounds: signals, people on the same account, markets, clocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from infra.brokers.simulator.sessions import rollovers
from infra.market.timeframes import bar_length
from tests.tasks.trading import invariants, signals
from tests.tasks.trading.venues import PAIRS

if TYPE_CHECKING:
    from tests.tasks.trading.world import World

RECKLESS: Final = 500_000
"""Units of a trade that ruins the account."""
NIGHT: Final = timedelta(hours=9)
Act = Callable[["World"], None]


def between_rounds(world: World) -> None:
    """Do some of what may happen."""
    switch = 0.5 if world.switches.halted or not world.armed else 0.06
    acts: Sequence[tuple[float, Act]] = (
        (0.85, beat),
        (0.75, publish),
        (0.6, publish),
        (0.4, publish),
        (0.12, trade_by_hand),
        (0.04, close_by_hand),
        (0.06, take_a_stop_away),
        (switch, change_switches),
        (0.06, step_clock),
        (0.06, jump),
        (0.15, reach_a_target),
        (0.4 if world.suspended else 0.04, suspend),
        (0.4 if world.thinned else 0.09, thin),
        (0.06, ruin),
        (0.10, sleep_over),
        (0.10, timer),
    )
    for chance, act in acts:
        if world.rng.random() < chance:
            act(world)


def beat(world: World) -> None:
    """The signal side gives a sign of life."""
    world.beat()


def publish(world: World) -> None:
    """A signal, fresh as a rule, and as a rule once."""
    kind, values = signals.drawn(world.rng, world.venue.clock.now())
    publish_times(world, kind, values)


def follow(world: World, pair: str, side: str) -> None:
    """More signals come where one was acted upon a moment ago."""
    for timeframe in ("M5", "M15"):
        now = world.venue.clock.now()
        values = signals.good(world.rng, now, pair, timeframe, side)
        publish_times(world, "follows", values)


def publish_times(world: World, kind: str, values: dict[str, object]) -> None:
    """Deliver a signal once or thrice."""
    times = world.rng.choice((1, 1, 3))
    world.counts["published"] += times
    world.counts["delivered again"] += times > 1
    signals.publish(values, times)
    pair, timeframe, side = (values[name] for name in ("pair", "timeframe", "side"))
    world.note(f"published {pair} {timeframe} {side} {kind}")


# people at the same account


def trade_by_hand(world: World, pair: str | None = None) -> None:
    """Somebody trades on the same account by hand."""
    pair, units = pair or world.rng.choice(PAIRS), world.rng.choice((-3000, -700, 500, 2000))
    if world.venue.price(pair).tradeable:
        world.venue.trade_by_hand(pair, units)
        world.tell("foreign trades", f"{pair} {units}")


def close_by_hand(world: World) -> None:
    """Somebody closes a trade of ours."""
    _by_hand(world, "closed by hand", world.venue.close_by_hand)


def take_a_stop_away(world: World) -> None:
    """Somebody takes the stop of a trade of ours away."""
    _by_hand(world, "stops taken away", world.venue.unprotect_by_hand)


def _by_hand(world: World, what: str, change: Callable[[str], None]) -> None:
    ours = sorted(invariants.own_trades(world.venue.book))
    if ours:
        number = world.rng.choice(ours)
        if world.venue.price(world.venue.book.trades[number].pair).tradeable:
            change(number)
            world.tell(what, number)


def change_switches(world: World) -> None:
    """Somebody halts or resumes, arms or disarms."""
    switches, rng = world.switches, world.rng
    if world.real and rng.random() < 0.5:
        if switches.armed:
            switches.disarm()
        else:
            switches.arm()
    elif switches.halted:
        world.resume()
    else:
        switches.halt(rng.choice(("*", rng.choice(PAIRS))))


def timer(world: World) -> None:
    """The timer makes a round of exits."""
    world.round(entries=False, hazardous=False)


# clocks and markets


def step_clock(world: World) -> None:
    """The executor's clock is set."""
    seconds = world.rng.choice((-3600, -130, -20, 20, 130, 3600))
    world.clock.step(timedelta(seconds=seconds))
    if abs(world.clock.offset) > timedelta(hours=2):
        world.clock.offset = timedelta(0)
    world.tell("clock steps", f"to {world.clock.offset}")


def jump(world: World, pair: str | None = None) -> None:
    """A price jumps: over stops and targets, over bounds."""
    pair = pair or world.rng.choice(PAIRS)
    if world.venue.price(pair).tradeable:
        pips = world.rng.choice((-1, 1)) * world.rng.uniform(15, 120)
        world.venue.jump(pair, round(pips * signals.pip(pair), 5))
        world.tell("jumps", f"{pair} {pips:.0f} pips")


def reach_a_target(world: World) -> None:
    """A price jumps beyond the target of a trade of ours."""
    book = world.venue.book
    ours = [book.trades[number] for number in sorted(invariants.own_trades(book))]
    for trade in ours:
        price = world.venue.price(trade.pair)
        if trade.target is not None and price.tradeable:
            leaving = price.bid if trade.units > 0 else price.ask
            world.venue.jump(trade.pair, float((trade.target.price - leaving) * Decimal("1.1")))
            world.tell("jumps", f"{trade.pair} beyond a target")
            return


def suspend(world: World, pair: str | None = None) -> None:
    """A pair trades no more, or all trade again."""
    if world.suspended and pair is None:
        for each in sorted(world.suspended):
            world.venue.suspend(each, on=False)
        world.suspended.clear()
        world.note("all trade again")
        return
    pair = pair or world.rng.choice(PAIRS)
    world.venue.suspend(pair, on=True)
    world.suspended.add(pair)
    world.tell("suspensions", pair)


def thin(world: World) -> None:
    """Hardly anybody sells or buys, or as many as usual again."""
    world.thinned = not world.thinned
    world.venue.thin(on=world.thinned)
    if world.thinned:
        world.tell("thin markets", "")


def ruin(world: World) -> None:
    """Somebody trades by hand far too much, and the market goes against it."""
    book = world.venue.book
    used = {trade.pair for trade in book.trades.values()}
    pairs = [p for p in PAIRS if p not in used and world.venue.price(p).tradeable]
    if not pairs or not invariants.own_trades(book) or world.thinned:
        return
    pair, sign = world.rng.choice(pairs), world.rng.choice((-1, 1))
    for _ in range(2):
        world.venue.trade_by_hand(pair, sign * RECKLESS)
    held = sum((t.units for t in world.venue.book.trades.values() if t.pair == pair), Decimal(0))
    if not held:
        return
    book, price = world.venue.book, world.venue.price(pair)
    lost = (book.equity - book.margin_used / 5) / (abs(held) * (price.loss or 1))
    world.venue.jump(pair, round(-sign * float(lost), 3))
    world.tell("ruins", f"{pair} {held}")


def sleep_over(world: World) -> None:
    """All executors are down until financing was paid."""
    now = world.venue.clock.now()
    ahead = next(rollovers(now, now + NIGHT), None)
    if ahead is not None and invariants.own_trades(world.venue.book):
        world.clock.sleep((ahead[0] - now).total_seconds() + 240)
        world.tell("nights without executors", "")


def expire(world: World) -> None:
    """The executor's clock is set beyond all that signals live for."""
    world.clock.step(2 * bar_length("M15") + timedelta(seconds=1))
    world.tell("clock steps", f"to {world.clock.offset}")
