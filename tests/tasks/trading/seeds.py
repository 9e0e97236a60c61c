"""Seeds: worlds of the executor at a venue that fails, each wholly told by its number."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from infra.clock import VirtualClock
from infra.market import instruments
from infra.postgres import database
from infra.postgres.database import session
from tests.tasks.trading.desk import model
from tests.tasks.trading.simulated import SimulatedVenue
from tests.tasks.trading.venues import BookVenue, Market, Venue
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


def live(seed: int, venue: Venue) -> Lived:
    """Live through a seed's world at a venue."""
    rng = random.Random(f"limits {seed}")
    empty()
    world = World(
        seed,
        venue,
        rng.choice(LIMITS),
        real=rng.random() < 0.15,
        dead_man=rng.choice((0.0, 0.0, 10.0)),
    )
    digest = world.run()
    return Lived(digest, world.counts + Counter({f"! {k}": n for k, n in venue.fired.items()}))


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
        pool_reset_on_return=None,
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
