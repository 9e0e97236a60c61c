"""Single moments of a calendar: the same as its series say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bars import TIME
from infra.market.calendar import Calendar
from infra.market.moments import after, is_open, next_open, open_time
from infra.market.week import Week

FOREX = Calendar(Week.forex())
BREAKS = Calendar(Week.forex(break_minutes=5))
ALWAYS = Calendar(Week.always(), ())
CALENDARS = st.sampled_from([FOREX, BREAKS, ALWAYS])
SECONDS = st.integers(0, 8 * 365 * 86_400) | st.integers(2192 * 86_400, 2205 * 86_400)
"""Since 2011-12-20; the second half are those around Christmas of 2017."""
MOMENTS = SECONDS.map(lambda seconds: datetime(2011, 12, 20, tzinfo=UTC) + timedelta(0, seconds))


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2018, 1, day, hour, minute, tzinfo=UTC)


@given(CALENDARS, MOMENTS, st.booleans())
def test_a_moment_is_open_as_the_series_says(
    calendar: Calendar, moment: datetime, surely: bool
) -> None:
    expected = calendar.is_open(pl.Series([moment], dtype=TIME), surely=surely)[0]
    assert is_open(calendar, moment, surely=surely) == expected


@given(CALENDARS, MOMENTS, MOMENTS, st.booleans())
def test_open_time_is_that_of_the_series(
    calendar: Calendar, start: datetime, end: datetime, surely: bool
) -> None:
    series = [pl.Series([moment], dtype=TIME) for moment in (start, end)]
    assert (
        open_time(calendar, start, end, surely=surely)
        == (calendar.open_time(*series, surely=surely)[0])
    )


@given(CALENDARS, MOMENTS, st.timedeltas(timedelta(microseconds=1), timedelta(days=800)))
def test_after_is_the_first_moment_with_so_much_open_time(
    calendar: Calendar, start: datetime, length: timedelta
) -> None:
    found = after(calendar, start, length)
    assert open_time(calendar, start, found) == length
    assert open_time(calendar, start, found - timedelta.resolution) < length


@given(CALENDARS, MOMENTS)
def test_the_next_opening_is_the_first_open_moment(calendar: Calendar, moment: datetime) -> None:
    opened = next_open(calendar, moment)
    assert is_open(calendar, opened)
    assert open_time(calendar, moment, opened) == timedelta(0)
    assert opened >= moment


@pytest.mark.parametrize(
    ("start", "hours", "end"),
    [
        (at(10, 12), 5, at(10, 17)),
        (at(12, 20), 2, at(12, 22)),
        (at(12, 20), 3, at(14, 23)),
        (at(13, 12), 1, at(14, 23)),
    ],
    ids=["Wednesday", "to the close", "over the weekend", "from within it"],
)
def test_after_counts_the_time_of_an_open_market(
    start: datetime, hours: int, end: datetime
) -> None:
    assert after(FOREX, start, timedelta(hours=hours)) == end
