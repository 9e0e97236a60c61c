"""Seeds: worlds of the executor at a venue that fails, each wholly told by its number."""

from __future__ import annotations

import gc
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from infra.brokers.simulator.faults import DRAWN
from infra.clock import VirtualClock
from infra.market import instruments
from infra.postgres import database
from infra.postgres.database import session
from tests.tasks.trading import hazards
from tests.tasks.trading.desk import model
from tests.tasks.trading.simulated import SimulatedVenue
from tests.tasks.trading.venues import BY_HAND, BookVenue, Market, Venue
from tests.tasks.trading.world import LIMITS, World

MINUTES = 4 * 24 * 60
"""Of a seed's market: over a weekend."""
FILLED = (
    "fill", "position", "equity", "venue", "intent_event", "intent", "lease", "control",
    "heartbeat", "signal",
)  # fmt: skip
"""Tables that a seed writes, each before those that it names."""


@dataclass(frozen=True)
class Lived:
    """What came of a seed: a digest of all that happened, and counts."""

    digest: str
    counts: Counter[str]


def check(seed: int) -> Lived:
    """Live through a seed's world at the cheap venue."""
    rng = random.Random(f"venue {seed}")
    start = start_of(rng)
    clock = VirtualClock(start)
    market = Market.of(seed, start - timedelta(hours=3), MINUTES)
    return live(seed, BookVenue(clock, market, rng, rates_of(rng)))


def check_simulated(seed: int) -> Lived:
    """Live through a seed's world at the simulated venue."""
    return live(seed, SimulatedVenue(seed))


def check_served(seed: int) -> Lived:
    """Live through a seed's world at the simulated venue, over sockets of loopback."""
    venue = SimulatedVenue(seed)
    with venue.served():
        return live(seed, venue)


def told(number: int, counts: Counter[str]) -> str:
    """Return counts for people: faults of the venue are marked."""
    shown = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    return f"{number:,} seeds: {shown}"


def rare(number: int, counts: Counter[str]) -> dict[str, int]:
    """Return what came less than once in a hundred seeds."""
    return {name: counts[name] for name in CATALOGUE if counts[name] * 100 < number}


def live(seed: int, venue: Venue) -> Lived:
    """Live through a seed's world at a venue."""
    rng = random.Random(f"limits {seed}")
    empty()
    world = World(
        seed,
        venue,
        rng.choice(LIMITS),
        real=rng.random() < 0.25,
        dead_man=rng.choice((0.0, 0.0, 10.0)),
    )
    digest = world.run()
    faults = Counter({f"! {name}": n for name, n in venue.fired.items()})
    return Lived(digest, world.counts + faults + marks(venue))


USUAL = ("LINKED_TRADE_CLOSED", "CLIENT_REQUEST", "CLIENT_REQUEST_REPLACED")
CATALOGUE = (
    *(f"! {fault}" for fault in DRAWN),
    *(f"hazard {name}" for name in hazards.NAMES),
    "! stray applied", "* BOUNDS_VIOLATION", "* DAILY_FINANCING", "* FIFO_VIOLATION",
    "* INSUFFICIENT_LIQUIDITY", "* MARKET_HALTED", "* MARKET_ORDER_MARGIN_CLOSEOUT",
    "* STOP_LOSS_ON_FILL_LOSS", "* STOP_LOSS_ORDER", "* TAKE_PROFIT_ORDER",
    "* TRADE_DOESNT_EXIST", "* gap through stop", "clock steps", "closed by hand",
    "delivered again", "disarmed", "entry dropped", "entry expired", "exit cancelled",
    "exit denied", "exit dropped", "exit rejected", "foreign trades", "halts", "halts of a pair",
    "in doubt", "jumps", "killed", "late fills", "lease lost", "nights without executors",
    "ruins", "stops taken away", "suspensions", "thin markets",
)  # fmt: skip
"""All that befalls an executor at the simulated venue: each once in a hundred seeds, or more."""


def marks(venue: Venue) -> Counter[str]:
    """Count what the market did to the account, by the venue's log."""
    found: Counter[str] = Counter()
    stops = {}
    for line in venue.book.log:
        if line.type == "STOP_LOSS_ORDER" and line.price is not None:
            stops[str(line.trade)] = line.price
        elif line.client_id == BY_HAND:
            found["* by hand"] += line.kind == "fill"
        elif (line.kind == "cancel" and line.reason not in USUAL) or line.kind == "reject":
            found[f"* {line.reason}"] += 1
        elif line.kind == "fill" and line.opened is None:
            found[f"* {line.reason}"] += 1
            stop = stops.get(str(line.trade))
            if line.reason == "STOP_LOSS_ORDER" and line.price is not None and stop is not None:
                worse = line.price < stop if line.units < 0 else line.price > stop
                found["* gap through stop"] += worse
        elif line.kind == "financing":
            found["* DAILY_FINANCING"] += 1
    return found


def start_of(rng: random.Random) -> datetime:
    """Return when a world begins: at any hour of a week, often before the weekend."""
    monday = datetime(2026, 1, 12, tzinfo=UTC)
    hour = rng.choice((rng.uniform(1, 110), rng.uniform(1, 110), rng.uniform(114, 117.8)))
    return (monday + timedelta(hours=hour)).replace(microsecond=0)


def rates_of(rng: random.Random) -> dict[str, float]:
    """Return how often each fault fires: in some worlds one alone, in some hardly any."""
    faults = ("refuse", "lose", "mute", "delay", "naked")
    many = rng.choice((0.03, 0.1, 0.25))
    rates = {fault: many * rng.random() for fault in faults}
    if rng.random() < 0.3:
        rates[rng.choice(faults)] = 0.6
    return {**rates, "deaf": rng.choice((0.0, 0.005, 0.03))}


@contextmanager
def quick() -> Iterator[None]:
    """The present database made ready for seeds: nobody asks for it again, nor waits for disks."""
    address = database.url()
    fixed = create_engine(
        address,
        connect_args={"options": "-c synchronous_commit=off"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEP_BROKER", "oanda")
        patch.setenv("SEP_OANDA_ENVIRONMENT", "live")  # worlds in which money is real
        patch.setattr(database, "engine", lambda role=None: fixed)
        catalogue = instruments.known()
        patch.setattr(instruments, "known", lambda: catalogue)
        with session() as opened:
            opened.merge(model())
        gc.freeze()
        yield
    fixed.dispose()


def empty() -> None:
    """Forget the seed before: all its rows, and how far numbers were counted."""
    deletes = [f"DELETE FROM {table}" for table in FILLED]
    restarts = [
        f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1, false)"
        for table in ("fill", "position", "intent_event", "intent", "control", "signal")
    ]
    statement = "; ".join(["SET LOCAL session_replication_role = replica", *deletes, *restarts])
    with database.engine().begin() as connection:
        connection.exec_driver_sql(statement)
