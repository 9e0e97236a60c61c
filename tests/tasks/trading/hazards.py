"""What happens within rounds: at any step of an executor, or at the very steps of an order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tasks.trading.lease import LENGTH
from tasks.trading.orders import STEPS
from tests.tasks.trading import acts, invariants
from tests.tasks.trading.venues import PAIRS

if TYPE_CHECKING:
    from tests.tasks.trading.world import World

NAMES: Final = {
    "die": 6, "nap": 2, "oversleep": 2, "lease runs out": 2, "rival": 2, "halt": 2,
    "halt a pair": 3, "disarm": 2, "step": 2, "expire": 3, "suspend": 3, "thin": 4, "jump": 4,
    "foreign": 3, "close by hand": 5,
}  # fmt: skip
"""Hazards, and how often each comes."""
BEFORE: Final = STEPS[: STEPS.index("sent") + 1]
"""Steps of an order before it leaves."""
UNFORESEEN: Final = {"suspend", "jump", "foreign", "close by hand"}
"""What an order that is on its way cannot know of."""


class Killed(BaseException):
    """The process dies here."""


@dataclass
class Hazards:
    """What is planned for a round, and what happens.

    Attributes
    ----------
    world : World
    events : int
        How many steps executors have come to.
    anywhere : dict of int to str
        At which of them something happens, and what.
    nerves : float
        How often something happens at a step of an order, before it is sent.
    """

    world: World
    events: int = 0
    anywhere: dict[int, str] = field(default_factory=dict)
    nerves: float = 0.0

    def plan(self) -> None:
        """Say what happens in the coming round."""
        self.clear()
        rng = self.world.rng
        for _ in range(rng.choice((0, 0, 1, 1, 2))):
            self.anywhere[self.events + rng.randint(1, 18)] = self._name()
        self.nerves = rng.choice((0.0, 0.1, 0.4))

    def clear(self) -> None:
        """Let nothing happen."""
        self.anywhere.clear()
        self.nerves = 0.0

    def _name(self) -> str:
        return self.world.rng.choices([*NAMES], [*NAMES.values()])[0]

    def at(self, event: str) -> None:
        """An executor has come to its next step, or has an answer: something may happen now."""
        self.events += 1
        names = [self.anywhere.pop(self.events, None)]
        if event in BEFORE and self.world.rng.random() < self.nerves:
            names.append(self._name())
        for each in filter(None, names):
            self._happens(each)

    def _happens(self, name: str) -> None:
        world = self.world
        world.counts[f"hazard {name}"] += 1
        world.note(f"hazard {name} at {self.events}")
        world.unforeseen |= name in UNFORESEEN
        happens: dict[str, Callable[[], None]] = {
            "die": self._die,
            "nap": lambda: world.clock.sleep(world.rng.choice((3, 40, 95))),
            "oversleep": self._oversleep,
            "lease runs out": lambda: world.clock.sleep(LENGTH.total_seconds() + 1),
            "rival": lambda: _rival(world),
            "halt": world.switches.halt,
            "halt a pair": lambda: world.switches.halt(self._pair()),
            "disarm": world.switches.disarm,
            "step": lambda: acts.step_clock(world),
            "expire": lambda: acts.expire(world),
            "suspend": lambda: acts.suspend(world, self._pair()),
            "thin": lambda: None if world.thinned else acts.thin(world),
            "jump": lambda: acts.jump(world, self._pair()),
            "foreign": lambda: acts.trade_by_hand(world, self._pair()),
            "close by hand": self._close,
        }
        happens[name]()

    def _die(self) -> None:
        raise Killed

    def _oversleep(self) -> None:
        self.world.clock.sleep(LENGTH.total_seconds() + 1)
        _rival(self.world)

    def _pair(self) -> str:
        """Return the pair of the order under way, if there is one."""
        under_way = [i for i in invariants.intents(self.world) if i.state in ("PREPARED", "SENT")]
        return under_way[-1].pair if under_way else self.world.rng.choice(PAIRS)

    def _close(self) -> None:
        """Somebody closes a trade by hand; the one that an executor is about to close, if so."""
        world = self.world
        leaving = [
            intent.trade
            for intent in invariants.intents(world)
            if intent.kind == "exit" and intent.state in ("PREPARED", "SENT")
        ]
        trade = world.venue.book.trades.get(str(leaving[-1])) if leaving else None
        if trade is None:
            acts.close_by_hand(world)
        elif world.venue.price(trade.pair).tradeable:
            world.venue.close_by_hand(trade.id)
            world.tell("closed by hand", trade.id)


def _rival(world: World) -> None:
    """Another executor makes a round in the middle of this one's."""
    world.round(hazardous=False)
