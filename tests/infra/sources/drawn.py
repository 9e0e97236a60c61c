"""Bars as a market could print them, drawn by the standard library alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
MINUTES = {"M1": 1, "M5": 5, "M15": 15, "M30": 30, "H1": 60, "H4": 240, "D1": 1440}
MONDAY = datetime(2010, 1, 4)  # noqa: DTZ001  a day of any clock
_HOLIDAYS = ((1, 1), (12, 25))


@dataclass(frozen=True)
class Market:
    """Digits of a price, and in points: the range it moves in, and how far in a minute."""

    digits: int
    low: int
    high: int
    step: float


MARKETS = {
    "EUR_USD": Market(5, 102_000, 145_000, 12),
    "GBP_USD": Market(5, 115_000, 165_000, 15),
    "USD_JPY": Market(3, 80_000, 155_000, 12),
    "XAU_USD": Market(2, 110_000, 240_000, 12),
}


@dataclass(frozen=True)
class Bar:
    """One bar: its open in UTC, open, high, low and close in points, volume, spread in points.

    The prices are those of the bid where there is a spread.
    """

    time: datetime
    points: tuple[int, int, int, int]
    volume: float | None = None
    spread: int | None = None

    def off(self, by: int) -> Bar:
        """The same bar at other prices."""
        o, h, l, c = (point + by for point in self.points)  # noqa: E741
        return replace(self, points=(o, h, l, c))


@dataclass(frozen=True)
class Drawn:
    """Bars of a pair and timeframe, ascending; `anchor` says where longer ones begin."""

    pair: str
    timeframe: str
    anchor: str
    bars: list[Bar]

    @property
    def length(self) -> timedelta:
        return timedelta(minutes=MINUTES[self.timeframe])

    @property
    def digits(self) -> int:
        return MARKETS[self.pair].digits


def is_closed(moment: datetime) -> bool:
    """Friday to Sunday 17:00 New York, and the days on which no market trades."""
    local = moment.astimezone(NEW_YORK)
    hour = local.weekday() * 24 + local.hour
    days = (moment, local, local.replace(tzinfo=None) + timedelta(hours=7))
    holiday = any((day.month, day.day) in _HOLIDAYS for day in days)
    return holiday or 4 * 24 + 17 <= hour < 6 * 24 + 17


def draw(rng: Random, timeframe: str | None = None, pair: str | None = None) -> Drawn:
    """Draw bars of a pair and timeframe, each one drawn, too, where it is not given."""
    pair = pair or rng.choice(list(MARKETS))
    timeframe = timeframe or rng.choice(list(MINUTES))
    anchor = rng.choices(["New York", "UTC"], [7, 3])[0] if MINUTES[timeframe] > 60 else "UTC"
    n = rng.choices([rng.randint(1, 19), rng.randint(20, 120), rng.randint(121, 400)], [2, 6, 2])[0]
    times = _times(rng, timeframe, anchor, n)
    bars = _walk(rng, MARKETS[pair], MINUTES[timeframe], times)
    return Drawn(pair, timeframe, anchor, _with_volume(rng, bars))


def with_quotes(rng: Random, drawn: Drawn) -> Drawn:
    """The same bars as bids, with an ask an even number of points above each."""
    widest = rng.choice([2, 10, 30])
    quoted = [replace(bar, spread=2 * rng.randint(0, widest)) for bar in drawn.bars]
    return replace(drawn, bars=quoted)


def _times(rng: Random, timeframe: str, anchor: str, n: int) -> list[datetime]:
    """Open time from a day on; fewer than five bars lie in one week, without a hole."""
    day = MONDAY + timedelta(weeks=rng.randrange(770))
    step = timedelta(minutes=MINUTES[timeframe])
    if n >= 5:
        day += timedelta(days=rng.randrange(7), hours=rng.randrange(24))
    elif MINUTES[timeframe] <= 60:
        day += timedelta(hours=24 + rng.randrange(48))
    holes = rng.choice([0, 0.03]) if n >= 20 else 0
    found: list[datetime] = []
    for k in count():
        moment = _moment(day, k, step, anchor)
        if not is_closed(moment) and rng.random() >= holes:
            found.append(moment)
        if len(found) == n:
            return found
    raise AssertionError


def _moment(day: datetime, k: int, step: timedelta, anchor: str) -> datetime:
    """The k-th begin of a bar from a day on, on the grid of its anchor."""
    if anchor == "UTC":
        midnight = day.replace(hour=0, minute=0)
        whole = (day - midnight) // step * step
        return (midnight + whole + k * step).replace(tzinfo=UTC)
    evening = day.replace(hour=17, minute=0) - timedelta(days=1)
    return (evening + k * step).replace(tzinfo=NEW_YORK).astimezone(UTC)


def _walk(rng: Random, market: Market, minutes: int, times: list[datetime]) -> list[Bar]:
    sigma, bars = market.step * math.sqrt(minutes), []
    close = rng.randint(market.low, market.high)
    for moment in times:
        begin = close + rng.choice([0, 0, 0, round(rng.gauss(0, sigma / 4))])
        close = min(max(begin + round(rng.gauss(0, sigma)), market.low), market.high)
        high = max(begin, close) + round(abs(rng.gauss(0, sigma / 2)))
        low = min(begin, close) - round(abs(rng.gauss(0, sigma / 2)))
        bars.append(Bar(moment, (begin, high, low, close)))
    return bars


def _with_volume(rng: Random, bars: list[Bar]) -> list[Bar]:
    kind = rng.choice(["none", "ticks", "ticks", "lots", "holes"])
    if kind == "none":
        return bars
    most = rng.choice([50, 3_000, 80_000])
    unit = 1 if kind == "lots" else 100  # hundredths, so that a volume is the number nearest to it
    lots = [rng.randrange(100, 100 * most, unit) / 100 for _ in bars]
    known = [kind != "holes" or rng.random() < 0.8 for _ in bars]
    return [
        replace(bar, volume=lot if is_known else None)
        for bar, lot, is_known in zip(bars, lots, known, strict=True)
    ]
