"""Gates for the self-test to find fault with; worker processes import them by name."""

from __future__ import annotations

from tasks.gate.checks import Check
from tasks.gate.evidence import Search, Unseen

NAMES = ("profit", "luck")


def generous(found: Unseen, search: Search, *, seed: int = 0) -> list[Check]:
    """Passes everything."""
    return [Check(name, float(found.trades), 0.0, passed=True, why="always") for name in NAMES]


def stubborn(found: Unseen, search: Search, *, seed: int = 0) -> list[Check]:
    """Passes nothing."""
    return [Check(name, None, seed, passed=False, why="never") for name in NAMES]
