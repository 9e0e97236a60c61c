"""When the simulated venue trades: New York's clock, with a break each day, as OANDA tells it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from infra.market.calendar import HOLIDAYS
from infra.market.days import DAY_BEGINS, NEW_YORK
from infra.market.instruments import find

ZONE: Final = ZoneInfo(NEW_YORK)
CLOSES, OPENS = time(16, 58), time(17, 3)
_ALWAYS: Final = frozenset({"crypto", "always"})
_FRIDAY, _SATURDAY, _SUNDAY = 4, 5, 6
_EVENING: Final = timedelta(hours=24 - DAY_BEGINS)
DAYS_CHARGED: Final = (1, 1, 3, 1, 1, 0, 0)
"""Days of financing at 17:00 New York, from Monday on."""


def trades_at(pair: str, at: datetime) -> bool:
    """Say whether an instrument trades at a moment.

    Parameters
    ----------
    pair : str
    at : datetime
        With a zone.
    """
    if find(pair).calendar in _ALWAYS:
        return True
    local = at.astimezone(ZONE)
    clock, day = local.time(), local.weekday()
    if day == _SATURDAY or CLOSES <= clock < OPENS:
        return False
    if (day == _FRIDAY and clock >= CLOSES) or (day == _SUNDAY and clock < OPENS):
        return False
    trading_day = local.replace(tzinfo=None) + _EVENING
    return (trading_day.month, trading_day.day) not in HOLIDAYS


def rollovers(since: datetime, until: datetime) -> Iterator[tuple[datetime, int]]:
    """Yield each 17:00 of New York after a moment, up to another, and the days it charges.

    Parameters
    ----------
    since, until : datetime
        With a zone; the first exclusive.
    """
    day = since.astimezone(ZONE).date()
    while True:
        at = datetime.combine(day, time(DAY_BEGINS), ZONE).astimezone(UTC)
        if at > until:
            return
        if at > since and (days := DAYS_CHARGED[day.weekday()]):
            yield at, days
        day += timedelta(days=1)
