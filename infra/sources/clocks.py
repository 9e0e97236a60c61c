"""Clocks of files: which instant a local time is, on the days that daylight saving changes too.

A clock is named by a time zone (`UTC`, `America/New_York`, `New York`, `London`), `EST` (UTC-5
the whole year), an offset (`UTC-5`, `+02:00`), or a zone and hours: `New York+7` is seven hours
ahead of New York, as the servers of many brokers are, and changes when New York does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

import polars as pl

from infra.bars import TIME
from infra.errors import SepError
from infra.sources.readings import NAIVE

MISSING: Final = "local time does not exist"
AMBIGUOUS: Final = "ambiguous local time"
_ZONES = {"EST": "Etc/GMT+5", "London": "Europe/London", "New York": "America/New_York"}
_SHIFTED = re.compile(r"(?P<zone>.*?)(?P<sign>[+-])(?P<hours>\d{1,2})(?::(?P<minutes>[0-5]\d))?h?")
_FURTHEST = timedelta(hours=14)


class ClockError(SepError, ValueError):
    """A name is of no clock; the message shows some that are."""


@dataclass(frozen=True)
class Clock:
    """A time zone, and how far ahead of it a clock is set.

    Attributes
    ----------
    zone : str
        IANA name.
    ahead : timedelta
    """

    zone: str
    ahead: timedelta = timedelta(0)

    @classmethod
    def of(cls, name: str) -> Clock:
        """Return the clock of a name such as `UTC`, `EST`, `New York+7`, `UTC-5`.

        Raises
        ------
        ClockError
            If there is none.
        """
        plain = re.sub(r"\s*([+-])\s*(\d+)\s*(h?)$", r"\1\2\3", name.strip())
        shifted = _SHIFTED.fullmatch(plain)
        if _known(zone := _ZONES.get(plain, plain)):
            return cls(zone)
        if shifted is not None:
            zone = shifted["zone"] or "UTC"
            hours, minutes = int(shifted["hours"]), int(shifted["minutes"] or 0)
            ahead = timedelta(hours=hours, minutes=minutes)
            if _known(zone := _ZONES.get(zone, zone)) and ahead <= _FURTHEST:
                return cls(zone, -ahead if shifted["sign"] == "-" else ahead)
        raise ClockError(
            f"clock {name!r} is not known: take one such as UTC, EST, New York, New York+7, "
            "Europe/Athens, UTC-5"
        )

    def to_utc(self, local: pl.Series, *, length: timedelta | None = None) -> pl.DataFrame:
        """Tell which instants local times are.

        An hour that the clock shows twice is told apart where it comes twice in a row: rows up to
        the one place where time goes back by half the hour or more are of the first, those
        behind it of the second. Of bars as long as that hour, the second of two with the same
        time is the second.

        Parameters
        ----------
        local : polars.Series
            `Datetime("us")` without zone, in the order of the file.
        length : timedelta, optional
            Of bars; left out for ticks.

        Returns
        -------
        polars.DataFrame
            `timestamp` (`Datetime("us", "UTC")`, null where it cannot be told) and `fault`
            (String: `MISSING`, `AMBIGUOUS` or null).
        """
        base = local.cast(NAIVE) - self.ahead
        early, late = self._utc(base, "earliest"), self._utc(base, "latest")
        frame = pl.DataFrame({"base": base, "early": early, "late": late})
        frame = frame.with_columns(twice=pl.col("early") != pl.col("late"))
        time = _told_apart(frame, length) if frame["twice"].any() else early
        lost = pl.when(early.is_null()).then(pl.lit(MISSING)).otherwise(pl.lit(AMBIGUOUS))
        fault = pl.when(base.is_not_null() & time.is_null()).then(lost)
        return pl.select(time.alias("timestamp"), fault.cast(pl.String).alias("fault"))

    def _utc(self, local: pl.Series, which: Literal["earliest", "latest"]) -> pl.Series:
        zoned = local.dt.replace_time_zone(self.zone, ambiguous=which, non_existent="null")
        return zoned.dt.convert_time_zone("UTC").cast(TIME)


def _known(zone: str) -> bool:
    try:
        pl.Series([], dtype=NAIVE).dt.replace_time_zone(zone)
    except pl.exceptions.ComputeError:
        return False
    return bool(zone)


def _told_apart(frame: pl.DataFrame, length: timedelta | None) -> pl.Series:
    """Times in UTC, null where an hour comes twice and the rows do not say which one it is."""
    base, hour = pl.col("base"), pl.col("late") - pl.col("early")
    back = base.shift(1) - base
    again = back * 2 >= hour
    if length is not None:
        again |= (back == timedelta(0)) & (hour == length)
    within = (pl.col("block"), base.dt.date())
    rows = frame.with_row_index("row").filter(base.is_not_null())
    rows = rows.with_columns(block=pl.col("twice").rle_id()).filter("twice")
    rows = rows.with_columns(again=again.over(*within).fill_null(False).cast(pl.Int32))
    second, turns = pl.col("again").cum_sum().over(*within), pl.col("again").sum().over(*within)
    shift = pl.when(turns == 1).then(
        pl.when(second == 1).then(pl.col("late")).otherwise(pl.col("early"))
    )
    rows = rows.select("row", told=shift)
    return frame["early"].scatter(rows["row"], rows["told"])
