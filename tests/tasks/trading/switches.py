"""What people switch on and off for an account of a seed: halts, of pairs too, and arming."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from infra.clock import Clock
from infra.postgres.database import session
from infra.postgres.trading import Control
from tasks.trading import control

ALL = "*"
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass
class Switches:
    """How they stand, and a hand on them.

    Attributes
    ----------
    account, venue : str
    clock : Clock
    counts : Counter
    note : callable
        Is told of each change.
    halted : set of str
        Pairs that are halted; ``*``: all are.
    armed : bool
        Whether live trading is allowed.
    """

    account: str
    venue: str
    clock: Clock
    counts: Counter[str]
    note: Callable[[str], None]
    halted: set[str] = field(default_factory=set)
    armed: bool = False

    def against(self, pair: str) -> bool:
        """Say whether a halt stands against a pair."""
        return not self.halted.isdisjoint((ALL, pair))

    def halt(self, pair: str = ALL) -> None:
        """Let nothing be entered."""
        if pair not in self.halted:
            self._say(pair, on=True)
            self.halted.add(pair)
            self.counts["halts" if pair == ALL else "halts of a pair"] += 1

    def resume(self) -> None:
        """Let all be entered again."""
        for pair in sorted(self.halted):
            self._say(pair, on=False)
        self.halted.clear()

    def arm(self) -> None:
        """Allow live trading."""
        control.arm(self.account, self.venue, "me", "seed", FOREVER, self.clock.now())
        self.armed = True
        self.note("arm")

    def disarm(self) -> None:
        """Forbid it."""
        if self.armed:
            control.disarm("me", "seed")
            self.armed = False
            self.counts["disarmed"] += 1
            self.note("disarm")

    def _say(self, pair: str, *, on: bool) -> None:
        said = {"who": "me", "why": "seed", "detail": {}}
        with session() as opened:
            opened.add(Control(name="halt", account=self.account, scope=pair, on=on, **said))
        self.note(f"halt {pair} {on}")
