"""The day of losses: since when it lasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from tasks.trading.risk.limits import Limits


def day_start(now: datetime, limits: Limits) -> datetime:
    """Return when the present day of losses began, in UTC.

    A reset that the clock leaps over in spring comes when the clock has leapt; of two in autumn it
    is the first.

    Parameters
    ----------
    now : datetime
        With a zone.
    limits : Limits
        Of which time and zone of the reset count.

    Raises
    ------
    ValueError
        If `now` has no zone.
    """
    if now.utcoffset() is None:
        raise ValueError(f"the time {now} has no zone")
    zone = ZoneInfo(limits.daily_zone)
    date = now.astimezone(zone).date()
    resets = (
        datetime.combine(date + timedelta(days=back), limits.daily_reset, zone).astimezone(UTC)
        for back in (0, -1, -2)
    )
    return next(reset for reset in resets if reset <= now)
