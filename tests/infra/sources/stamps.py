"""How files write the times of their bars: columns, and what of them must be declared."""

from __future__ import annotations

import calendar
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from tests.infra.sources.drawn import Drawn

Column = tuple[str, list[str]]
"""Name in the header and cells."""


@dataclass(frozen=True)
class Stamps:
    """Columns of time.

    Attributes
    ----------
    columns : list of Column
        One, or date and time of day.
    options : dict
        What a user who knows the file declares.
    needed : frozenset of str
        Those of them without which the file would be a right one of other bars.
    """

    columns: list[Column]
    options: dict[str, Any] = field(default_factory=dict)
    needed: frozenset[str] = frozenset()


_SHIFTED = {"New York+7": ("America/New_York", 7), "New York": ("America/New_York", 0)}
_ZONES = {"UTC": "UTC", "EST": "Etc/GMT+5", "London": "Europe/London", "EET": "EET"}
_FIXED = {"UTC+3": 3, "UTC-5": -5}
CLOCKS = (
    *("UTC", "UTC", "New York+7", "New York+7", "EST", "New York", "London", "UTC+3", "UTC-5"),
    *("Europe/Athens", "Asia/Tokyo", "America/Chicago"),
)


def local(moment: datetime, clock: str) -> datetime:
    """What a clock shows at a moment; naive."""
    if clock in _FIXED:
        return moment.replace(tzinfo=None) + timedelta(hours=_FIXED[clock])
    zone, ahead = _SHIFTED.get(clock, (_ZONES.get(clock, clock), 0))
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) + timedelta(hours=ahead)


def stamps(rng: Random, drawn: Drawn, moments: list[datetime], *, headless: bool) -> Stamps:
    """Draw how the moments of bars are written."""
    opens = moments[0] == drawn.bars[0].time
    if drawn.timeframe == "D1" and opens and rng.random() < 0.6:
        return _dates(rng, moments, "New York+7" if drawn.anchor == "New York" else "UTC", headless)
    kinds: dict[Callable[[Random, list[datetime], bool], Stamps], int] = {
        _epoch: 15,
        _offset: 20,
        _in_header: 0 if headless else 15,
        _declared: 50,
    }
    return rng.choices(list(kinds), list(kinds.values()))[0](rng, moments, headless)


def _epoch(rng: Random, moments: list[datetime], headless: bool) -> Stamps:
    name = rng.choice(["timestamp", "time", "Time", "Timestamp"])
    if rng.random() < 0.15:  # of a broker's wall clock, as MetaTrader gives them to Python
        shown = [calendar.timegm(local(at, "New York+7").timetuple()) for at in moments]
        told = {"clock": "New York+7"}
        return Stamps([(name, [str(n) for n in shown])], told, frozenset(told))
    zeros = rng.choice(["", "", "000", "000000", "000000000"])
    point = rng.choice(["", "", ".0"]) if not zeros else ""
    cells = [f"{int(at.timestamp())}{zeros}{point}" for at in moments]
    return Stamps([(name, cells)], {"clock": "UTC"} if rng.random() < 0.2 else {})


def _offset(rng: Random, moments: list[datetime], headless: bool) -> Stamps:
    zone = rng.choice(
        ["UTC", "UTC", "UTC", "America/New_York", "Europe/Athens", "Asia/Kolkata", "Asia/Tokyo"]
    )
    day, between = rng.choices(
        [("%Y-%m-%d", "T"), ("%Y-%m-%d", " "), ("%Y.%m.%d", " "), ("%d.%m.%Y", " ")], [4, 4, 1, 2]
    )[0]
    clock = rng.choice(["%H:%M:%S", "%H:%M:%S", "%H:%M", "%H:%M:%S.000", "%H:%M:%S.000000"])
    ends = ["%:z", "%z", " GMT%z"]
    ends += ["Z", " UTC", " GMT"] if zone == "UTC" else []
    ends += ["%:z", "%:z", " %Z"] if zone == "America/New_York" else []
    end = rng.choice(ends)
    aware = [at.astimezone(ZoneInfo(zone)) for at in moments]
    cells = [at.strftime(day + between + clock) + _zone(at, end) for at in aware]
    return _one(rng, cells, _order(day), headless)


def _order(day: str) -> dict[str, str]:
    return {"time_format": _ORDERS[day]} if day in _ORDERS else {}


def _zone(at: datetime, end: str) -> str:
    digits = at.strftime("%z")
    return at.strftime(end.replace("%:z", f"{digits[:3]}:{digits[3:]}"))


def _in_header(rng: Random, moments: list[datetime], headless: bool) -> Stamps:
    name, clock = rng.choice(
        [
            ("Gmt time", "UTC"),
            ("Time (UTC)", "UTC"),
            ("Time (GMT)", "UTC"),
            ("Date (UTC)", "UTC"),
            ("Datetime (UTC)", "UTC"),
            ("Time (EET)", "EET"),
            ("Time (EST)", "EST"),
        ]
    )
    day = rng.choice(["%d.%m.%Y", "%Y-%m-%d", "%Y.%m.%d"])
    form = f"{day} {rng.choice(['%H:%M:%S', '%H:%M', '%H:%M:%S.000'])}"
    return Stamps([(name, [local(at, clock).strftime(form) for at in moments])], _order(day))


_DAYS = {
    "%Y-%m-%d": 20,
    "%Y.%m.%d": 10,
    "%Y/%m/%d": 6,
    "%Y%m%d": 14,
    "%d.%m.%Y": 10,
    "%d/%m/%Y": 8,
    "%d-%m-%Y": 4,
    "%m/%d/%Y": 10,
    "%m-%d-%Y": 3,
    "%m/%d/%y": 3,
    "%d/%m/%y": 2,
    "%d %b %Y": 3,
    "%b %d, %Y": 4,
    "%d-%b-%Y": 3,
    "short month-first": 4,
    "short day-first": 3,
}
_ORDERS = {
    **dict.fromkeys(("%d.%m.%Y", "%d/%m/%Y", "%d-%m-%Y", "short day-first"), "day-first"),
    **dict.fromkeys(("%m/%d/%Y", "%m-%d-%Y", "short month-first"), "month-first"),
}
_TIMES = {
    "%H:%M": 20,
    "%H:%M:%S": 20,
    "%H:%M:%S.000": 6,
    "%I:%M %p": 8,
    "%I:%M:%S %p": 6,
    "%H%M%S": 8,
    "%H%M": 8,
    "short %H:%M": 5,
    "short %I:%M %p": 3,
}
_ONE = ("timestamp", "Timestamp", "time", "Time", "date", "Date", "DATE", "datetime", "DateTime")
_TWO = (("Date", "Time"), ("date", "time"), ("<DATE>", "<TIME>"), ("DATE", "TIME"))


def _shown(at: datetime, form: str) -> str:
    """A date or time of day in a form of ours: short ones have no leading zeros."""
    if form.startswith("short "):
        form = {"month-first": "%-m/%-d/%Y", "day-first": "%-d/%-m/%Y"}.get(form[6:], form[6:])
        form = form.replace("%H", "%-H").replace("%I", "%-I")
    return at.strftime(form)


def _declared(rng: Random, moments: list[datetime], headless: bool) -> Stamps:
    clock = rng.choice(CLOCKS)
    day = rng.choices(list(_DAYS), list(_DAYS.values()))[0]
    time = rng.choices(list(_TIMES), list(_TIMES.values()))[0]
    two = rng.random() < 0.4 or (time in ("%H%M%S", "%H%M") and day != "%Y%m%d")
    between = " " if two else _between(rng, day, time)
    bare = two and time in ("%H%M%S", "%H%M") and rng.random() < 0.4
    doubtful = "%y" in day or bare or not between
    if doubtful:  # only the whole form tells, so there must be one
        day = "%m/%d/%Y" if "short" in day else day
        time = "%H:%M:%S" if ".000" in time or "short" in time else time
    told = {"clock": clock} | _form(rng, day, between, time, doubtful)
    times = [local(at, clock) for at in moments]
    dates, clocks = [_shown(at, day) for at in times], [_shown(at, time) for at in times]
    if rng.random() < 0.2:
        clocks = [cell.lower() for cell in clocks]
    if bare:  # as spreadsheets leave them
        clocks = [cell.lstrip("0") or "0" for cell in clocks]
    if two:
        return _pair(rng, dates, clocks, told, day, headless)
    cells = [between.join(pair) for pair in zip(dates, clocks, strict=True)]
    return _one(rng, cells, told, headless)


def _between(rng: Random, day: str, time: str) -> str:
    if day == "%Y%m%d" and time in ("%H%M%S", "%H%M"):
        return rng.choice(["", " "])
    return rng.choice(["T", " "]) if day == "%Y-%m-%d" and time[:2] == "%H" else " "


def _form(rng: Random, day: str, between: str, time: str, doubtful: bool) -> dict[str, str]:
    """What of `time_format` a user declares: what he must, and at times what he need not."""
    whole = {"time_format": f"{day}{between}{time}"}
    plain = "short" not in day + time and ".000" not in time
    if day in _ORDERS:
        word = {"time_format": _ORDERS[day]}
        return whole if doubtful else rng.choice([word, whole]) if plain else word
    return whole if doubtful or (plain and rng.random() < 0.15) else {}


def _dates(rng: Random, moments: list[datetime], clock: str, headless: bool) -> Stamps:
    """Days without a time, which begin at midnight of their clock."""
    day = rng.choices(list(_DAYS), list(_DAYS.values()))[0]
    cells = [_shown(local(at, clock), day) for at in moments]
    told = {"clock": clock} | _form(rng, day, "", "", "%y" in day)
    return _one(rng, cells, told, headless)


def _one(rng: Random, cells: list[str], told: dict[str, Any], headless: bool) -> Stamps:
    if not headless and rng.random() < 0.08:
        name = rng.choice(["When", "Zeitpunkt", "t", "Candle"])
        return Stamps([(name, cells)], {**told, "columns": {"timestamp": name}})
    name = "" if rng.random() < 0.04 else rng.choice(_ONE)
    return Stamps([(name, cells)], told)


def _pair(
    rng: Random, dates: list[str], clocks: list[str], told: dict[str, Any], day: str, headless: bool
) -> Stamps:
    names = rng.choice([*_TWO, ("<DTYYYYMMDD>", "<TIME>")] if day == "%Y%m%d" else _TWO)
    if not headless and rng.random() < 0.08:
        names = ("Datum", "Uhrzeit")
        told = {**told, "columns": dict(zip(("date", "time"), names, strict=True))}
    return Stamps([(names[0], dates), (names[1], clocks)], told)
