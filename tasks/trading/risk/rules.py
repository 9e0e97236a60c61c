"""All rules, in the order in which they are told; all of them are always asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from tasks.trading.risk import activity, drawdown, exposure, market
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import Check
from tasks.trading.risk.situation import Proposal, Situation

Rule: TypeAlias = Callable[[Proposal, Situation, Limits], str | None]
"""Says why an order is denied; None if it is allowed."""

CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    *market.CHECKS,
    *exposure.CHECKS,
    *activity.CHECKS,
    *drawdown.CHECKS,
)


def _rule(check: Check) -> Rule:
    def rule(proposal: Proposal, situation: Situation, limits: Limits) -> str | None:
        outcome = check(proposal, situation, limits)
        return outcome.text if outcome.denied else None

    rule.__doc__ = check.__doc__
    return rule


RULES: Final[tuple[tuple[str, Rule], ...]] = tuple((name, _rule(check)) for name, check in CHECKS)
"""The same as rules that speak only when they deny."""
