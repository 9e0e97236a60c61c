"""A world of one seed: a venue, executors that die and compete, and all that happens to them."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from sqlalchemy.dialects.postgresql import insert

from infra.market import fills
from infra.market.timeframes import bar_length
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Control
from tasks.trading import control, heartbeat
from tasks.trading.execution import Executor, cycle
from tasks.trading.lease import LENGTH, Held, LeaseHeld, LeaseLost, acquire
from tasks.trading.report import Report
from tasks.trading.risk.limits import Limits
from tasks.trading.sizing import Fraction, Units
from tests.tasks.trading import invariants
from tests.tasks.trading.venues import PAIRS, Venue
from tests.tasks.trading.watched import Machine, Watched

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS: Final = (5, 20, 45, 60, 60, 130, 300, 300, 600, 1200)
"""Between rounds."""
ABSURD: Final[Sequence[dict[str, Any]]] = (
    {"confidence": None},
    {"lower": float("nan")},
    {"break_even": float("inf")},
    {"stop_distance": 0.0},
    {"stop_distance": -1.0},
    {"stop_distance": float("nan")},
    {"stop_distance": 50.0},
    {"target_distance": 1e9},
)
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


class Killed(BaseException):
    """The process dies here."""


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
    halted: bool = False
    armed: bool = True
    beaten: datetime = EPOCH
    hazards: dict[int, Callable[[], None]] = field(default_factory=dict)
    events: int = 0
    rounds: int = 0
    calm: bool = False

    def __post_init__(self) -> None:
        self.rng = random.Random(f"world {self.seed}")
        self.account = f"seed-{self.seed}"
        self.clock = Machine(self.venue)
        self.deposit = self.venue.book.equity

    @property
    def name(self) -> str:
        """Name of the account's lease."""
        return f"execute:{self.account}"

    def run(self) -> str:
        """Live through it; return a digest of all that happened."""
        self._beat()
        if self.real:
            self._arm(on=True)
        for _ in range(self.rng.randint(3, 8)):
            self._act()
            self._plan_hazards()
            self.round()
            invariants.after_each_round(self)
            self.clock.sleep(self.rng.choice(SECONDS))
        self._rest()
        invariants.at_rest(self)
        return self.digest()

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
            self._note("lease held")
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
            self._note("killed")
            self.counts["killed"] += 1
            return None
        except LeaseLost:
            self._note("lease lost")
            self.counts["lease lost"] += 1
            return None
        self._note(str(report.to_dict()))
        self.counts["entered"] += len(report.entered)
        self.counts["left"] += len(report.left)
        return report

    def _executor(self, lease: Held, *, hazardous: bool) -> Executor:
        broker = Watched(self, self.venue.connect(self.clock), lease, hazardous)
        reached = self.happened if hazardous else _nothing
        return Executor(
            self.account,
            broker,
            self.clock,
            self.limits,
            self.limits.sizing,
            dead_man=self.dead_man,
            reached=reached,
        )

    def happened(self, event: str) -> None:
        """An executor has come to its next step, or has an answer: it may die now."""
        self.events += 1
        hazard = self.hazards.pop(self.events, None)
        if hazard is not None:
            hazard()

    # what happens between rounds

    def _act(self) -> None:
        acts: Sequence[tuple[float, Callable[[], None]]] = (
            (0.85, self._beat),
            (0.75, self._publish),
            (0.6, self._publish),
            (0.4, self._publish),
            (0.12, self._foreign),
            (0.04, self._close_ours_by_hand),
            (0.04, self._take_a_stop_away),
            (0.5 if self.halted or not self.armed else 0.06, self._switch),
            (0.06, self._step),
            (0.10, self._timer),
        )
        for chance, act in acts:
            if self.rng.random() < chance:
                act()

    def _publish(self) -> None:
        """A signal, fresh as a rule, and as a rule once."""
        rng, now = self.rng, self.venue.clock.now()
        pair, timeframe = rng.choice(PAIRS), rng.choice(("M5", "M5", "M15"))
        length = bar_length(timeframe)
        began = now - (now - EPOCH) % length - length * rng.choice((1, 1, 1, 1, 2, 0))
        side = rng.choice(("long", "short"))
        values: dict[str, Any] = {
            "strategy": rng.choice(("damped", "other")),
            "pair": pair,
            "timeframe": timeframe,
            "bar_ts": began,
            "side": side,
            "action": "BUY" if side == "long" else "SELL",
            "confidence": 0.7,
            "lower": 0.6,
            "upper": 0.8,
            "break_even": 0.5,
            "expected": 1e-4,
            "doubt": 1e-5,
            "margin": 1e-4,
            "coherence": 0.9,
            "stop_distance": round(rng.uniform(10, 60) * (0.01 if "JPY" in pair else 0.0001), 5),
            "target_distance": None,
            "horizon": rng.randint(1, 5),
            "valid_until": fills.valid_until(began, pair, timeframe),
            "mode": "live",
            "model_id": "m",
        }
        kind = rng.choices(("good", "absurd", "stale", "shadow", "close"), (80, 8, 6, 3, 3))[0]
        if kind == "good" and rng.random() < 0.3:
            values["target_distance"] = values["stop_distance"] * 1.5
        values |= {
            "absurd": rng.choice(ABSURD),
            "stale": {"valid_until": now - length},
            "shadow": {"mode": "shadow"},
            "close": {"action": "CLOSE"},
        }.get(kind, {})
        with session() as opened:
            for _ in range(rng.choice((1, 1, 3))):
                self.counts["published"] += 1
                opened.execute(insert(Signal).values(**values).on_conflict_do_nothing())
        self._note(f"published {pair} {timeframe} {side} {kind}")

    def _beat(self) -> None:
        heartbeat.beat(heartbeat.SIGNALS, self.clock)
        self.beaten = self.clock.now()

    def _foreign(self) -> None:
        """Somebody trades on the same account by hand."""
        pair, units = self.rng.choice(PAIRS), self.rng.choice((-3000, -700, 500, 2000))
        if self.venue.price(pair).tradeable:
            self.venue.trade_by_hand(pair, units)
            self.counts["foreign trades"] += 1
            self._note(f"foreign {pair} {units}")

    def _close_ours_by_hand(self) -> None:
        self._by_hand("closed by hand", self.venue.close_by_hand)

    def _take_a_stop_away(self) -> None:
        self._by_hand("stops taken away", self.venue.unprotect_by_hand)

    def _by_hand(self, what: str, change: Callable[[str], None]) -> None:
        ours = sorted(invariants.own_trades(self.venue.book))
        if ours:
            number = self.rng.choice(ours)
            if self.venue.price(self.venue.book.trades[number].pair).tradeable:
                change(number)
                self.counts[what] += 1
                self._note(f"{what}: {number}")

    def _switch(self) -> None:
        if self.real and self.rng.random() < 0.5:
            self._arm(on=not self.armed)
        elif self.halted:
            self._resume()
        else:
            self._halt()

    def _halt(self) -> None:
        self._say("halt", on=True)
        self.halted = True
        self.counts["halts"] += 1

    def _resume(self) -> None:
        self._say("halt", on=False)
        self.halted = False

    def _say(self, name: str, *, on: bool, **detail: Any) -> None:
        with session() as opened:
            opened.add(
                Control(name=name, account=self.account, on=on, who="me", why="seed", detail=detail)
            )
        self._note(f"{name} {on}")

    def _arm(self, *, on: bool) -> None:
        if on:
            control.arm(
                self.account,
                self.venue.connect(self.clock).name,
                "me",
                "seed",
                datetime(9999, 1, 1, tzinfo=UTC),
                self.clock.now(),
            )
        else:
            control.disarm("me", "seed")
            self.counts["disarmed"] += 1
        self.armed = on
        self._note(f"arm {on}")

    def _step(self) -> None:
        """The executor's clock is set."""
        seconds = self.rng.choice((-3600, -130, -20, 20, 130, 3600))
        self.clock.step(timedelta(seconds=seconds))
        if abs(self.clock.offset) > timedelta(hours=2):
            self.clock.offset = timedelta(0)
        self.counts["clock steps"] += 1
        self._note(f"clock steps to {self.clock.offset}")

    def _timer(self) -> None:
        """The timer makes a round of exits."""
        self.round(entries=False, hazardous=False)

    # what happens in a round

    def _plan_hazards(self) -> None:
        """At which step of the coming round something happens, and what."""
        self.hazards.clear()
        for _ in range(self.rng.choice((0, 0, 1, 1, 2))):
            at = self.events + self.rng.randint(1, 18)
            names = ("die", "die", "die", "nap", "oversleep", "rival", "halt", "disarm", "step")
            name = self.rng.choice(names)
            self.hazards[at] = lambda name=name: self._hazard(name)  # type: ignore[misc]

    def _hazard(self, name: str) -> None:
        self.counts[f"hazard {name}"] += 1
        self._note(f"hazard {name} at {self.events}")
        match name:
            case "die":
                raise Killed
            case "nap":
                self.clock.sleep(self.rng.choice((3, 40, 95)))
            case "oversleep":
                self.clock.sleep(LENGTH.total_seconds() + 1)
                self.round(hazardous=False)
            case "rival":
                self.round(hazardous=False)
            case "halt" if not self.halted:
                self._halt()
            case "disarm" if self.real and self.armed:
                self._arm(on=False)
            case "step":
                self._step()

    # the end

    def _rest(self) -> None:
        """A calm time: nothing fails any more, and all comes to its end."""
        self.calm = True
        self.venue.calm()
        self.clock.offset = timedelta(0)
        self.hazards.clear()
        self._beat()
        if self.halted:
            self._resume()
        self._until_open()
        for seconds in (130, 3700, 50, 50, 130, 7300, 50, 50, 50):
            self.clock.sleep(seconds)
            self._beat()
            self._until_open()
            fresh = seconds > 3600  # all signals have died
            report = self.round(entries=fresh)
            invariants.after_each_round(self)
            if report is not None and invariants.has_ended(self):
                return

    def _until_open(self) -> None:
        while not all(self.venue.price(pair).tradeable for pair in PAIRS):
            self.clock.sleep(1800)

    def _note(self, line: str) -> None:
        self.trace.append(f"{self.venue.clock.now().isoformat()} {line}")


def _nothing(event: str) -> None:
    """Go on."""
