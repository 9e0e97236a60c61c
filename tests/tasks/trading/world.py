"""A world of one seed: a venue, executors that die and compete, and all that happens to them."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from infra.brokers.broker import Entry
from tasks.trading import heartbeat
from tasks.trading.execution import Executor, cycle
from tasks.trading.lease import Held, LeaseHeld, LeaseLost, acquire
from tasks.trading.orders import go_on
from tasks.trading.report import Report
from tasks.trading.risk.limits import Limits
from tasks.trading.sizing import Fraction, Units
from tests.tasks.trading import acts, invariants
from tests.tasks.trading.hazards import Hazards, Killed
from tests.tasks.trading.switches import Switches
from tests.tasks.trading.venues import PAIRS, Venue
from tests.tasks.trading.watched import Machine, Watched

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MOST: Final = 16
"""Rounds after which no doubt prolongs a world."""
SECONDS: Final = (5, 20, 45, 60, 60, 130, 300, 300, 600, 1200)
"""Between rounds."""
WIDE: Final = Limits(
    sizing=Units(units=Decimal(1000)),
    max_own_trades=None,
    max_trades=None,
    max_entries=None,
    max_correlated_risk=None,
    daily_loss=None,
    trailing_drawdown=None,
    cool_down_after=None,
    max_spread_ratio=Decimal(20),
    weekend_hours=None,
)
LIMITS: Final = (
    WIDE,
    WIDE,
    WIDE.model_copy(update={"max_own_trades": 1, "max_entries": 4}),
    WIDE.model_copy(update={"max_trades": 3, "max_units": Decimal(2000)}),
    WIDE.model_copy(update={"sizing": Fraction(fraction=Decimal("0.004"))}),
    WIDE.model_copy(
        update={
            "sizing": Fraction(fraction=Decimal("0.009")),
            "max_open_risk": Decimal("0.015"),
            "daily_loss": Decimal("0.01"),
            "static_drawdown": Decimal("0.02"),
        }
    ),
)


@dataclass
class World:
    """One seed's world.

    Attributes
    ----------
    seed : int
    venue : Venue
    limits : Limits
    real : bool
        Whether the broker says that money is real: then entries need arming.
    """

    seed: int
    venue: Venue
    limits: Limits = WIDE
    real: bool = False
    dead_man: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    trace: list[str] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    thinned: bool = False
    unforeseen: bool = False
    hurried: int = 0
    left: int = 0
    beaten: datetime = EPOCH
    rounds: int = 0
    calm: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(f"world {self.seed}")
        self.account = f"seed-{self.seed}"
        self.clock = Machine(self.venue)
        self.deposit = self.venue.book.equity
        self.hazards = Hazards(self)
        self.switches = Switches(
            self.account, self.venue.connect(self.clock).name, self.clock, self.counts, self.note
        )

    @property
    def name(self) -> str:
        """Name of the account's lease."""
        return f"execute:{self.account}"

    def run(self) -> str:
        """Live through it; return a digest of all that happened."""
        self.beat()
        if self.real:
            self.switches.arm()
        self.left = self.rng.randint(3, 8)
        while self.left:
            self.left -= 1
            acts.between_rounds(self)
            self.hazards.plan()
            self.unforeseen = False
            self.round()
            invariants.after_each_round(self)
            self._wait()
        self._rest()
        invariants.at_rest(self)
        return self.digest()

    def _wait(self) -> None:
        if self.hurried:
            self.hurried -= 1
        self.clock.sleep(self.rng.choice(SECONDS[:3] if self.hurried else SECONDS))

    def digest(self) -> str:
        """Return a digest of the trace and of the venue's own log."""
        lines = [*self.trace, *(str(line) for line in self.venue.book.log)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def round(self, *, entries: bool = True, hazardous: bool = True) -> Report | None:
        """Let an executor make a round, as a process of its own."""
        self.rounds += 1
        holder = f"round {self.rounds}"
        try:
            lease = acquire(self.name, holder, self.clock)
        except LeaseHeld:
            self.note("lease held")
            return None
        troubles = self.venue.fired.total()
        report = self._cycle(lease, entries=entries, hazardous=hazardous)
        if report is not None:
            quiet = self.venue.fired.total() == troubles
            invariants.after_a_whole_round(self, report, quiet=quiet)
            lease.release()
        return report

    def _cycle(self, lease: Held, *, entries: bool, hazardous: bool) -> Report | None:
        try:
            report = cycle(self._executor(lease, hazardous=hazardous), lease, entries=entries)
        except Killed:
            self.note("killed")
            self.counts["killed"] += 1
            return None
        except LeaseLost:
            self.note("lease lost")
            self.counts["lease lost"] += 1
            return None
        self.note(str(report.to_dict()))
        self.counts["entered"] += len(report.entered)
        self.counts["left"] += len(report.left)
        return report

    def _executor(self, lease: Held, *, hazardous: bool) -> Executor:
        broker = Watched(self, self.venue.connect(self.clock), lease, hazardous)
        reached = self.hazards.at if hazardous else go_on
        return Executor(
            self.account,
            broker,
            self.clock,
            self.limits,
            self.limits.sizing,
            dead_man=self.dead_man,
            reached=reached,
        )

    # what is said and seen

    @property
    def armed(self) -> bool:
        """Whether real money may be moved."""
        return self.switches.armed or not self.real

    def beat(self) -> None:
        """The signal side gives a sign of life."""
        heartbeat.beat(heartbeat.SIGNALS, self.clock)
        self.beaten = self.clock.now()

    def resume(self) -> None:
        """End what people halted, unless a late fill is open: its halt is not theirs."""
        if not any(p.orphan and p.closed_at is None for p in invariants.positions(self)):
            self.switches.resume()

    def unsure(self, entry: Entry) -> None:
        """Nobody knows what became of an entry: as a rule more signals follow, and rounds."""
        self.counts["in doubt"] += 1
        if self.rng.random() < 0.8 and self.rounds < MOST and not self.calm:
            acts.follow(self, entry.pair, entry.side)
            self.hurried, self.left = 2, max(self.left, 4)

    def tell(self, what: str, detail: str) -> None:
        """Count something, and note it."""
        self.counts[what] += 1
        self.note(f"{what}: {detail}")

    def note(self, line: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self.venue.clock.now().isoformat()} {line}")

    # the end

    def _rest(self) -> None:
        """A calm time: nothing fails any more, and all comes to its end."""
        self.calm = True
        self.venue.calm()
        self.clock.offset = timedelta(0)
        self.hazards.clear()
        self.beat()
        self.suspended.clear()
        self.thinned = False
        self._until_open()
        for seconds in (130, 3700, 50, 50, 130, 7300, 50, 50, 50):
            self.clock.sleep(seconds)
            self.beat()
            self._until_open()
            self.resume()
            fresh = seconds > 3600  # all signals have died
            report = self.round(entries=fresh)
            invariants.after_each_round(self)
            if report is not None and invariants.has_ended(self):
                return

    def _until_open(self) -> None:
        while not all(self.venue.price(pair).tradeable for pair in PAIRS):
            self.clock.sleep(1800)
