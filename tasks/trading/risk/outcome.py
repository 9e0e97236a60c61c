"""What a check comes to."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Proposal, Situation


class Outcome(NamedTuple):
    """Whether an order is denied, and the figures, as a sentence."""

    denied: bool
    text: str


Check: TypeAlias = Callable[[Proposal, Situation, Limits], Outcome]

UNLIMITED = Outcome(denied=False, text="no limit is set")


def at_most(used: Decimal, most: Decimal, words: str) -> Outcome:
    """Return the outcome of a limit that may be reached and not passed.

    Parameters
    ----------
    used, most : Decimal
    words : str
        With the figures.
    """
    return Outcome(denied=not used <= most, text=words)
