"""How much a pair swings in a year, of its latest hours."""

from __future__ import annotations

import math
from typing import Final

from infra.market.hours import calendar_of
from tasks.trading.risk.exposure import LEAST_RETURNS
from tasks.trading.risk.situation import Situation

_WEEKS: Final = 365.25 / 7


def volatility(pair: str, situation: Situation) -> float | None:
    """Return the deviation of a pair's returns in a year of open hours; None where nobody knows.

    Hours without any move are left out: where another pair trades on, they are closed ones.

    Parameters
    ----------
    pair : str
    situation : Situation
    """
    moves = [each for each in situation.returns.get(pair, ()) if each != 0]
    if len(moves) < LEAST_RETURNS:
        return None
    hours = calendar_of(pair).week.minutes / 60 * _WEEKS
    yearly = math.sqrt(math.fsum(each * each for each in moves) / len(moves) * hours)
    return yearly if math.isfinite(yearly) else None
