"""Local times become instants: both daylight-saving changes, doubled and missing hours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.sources.clocks import AMBIGUOUS, MISSING, Clock, ClockError
from infra.sources.columns import SourceError
from infra.sources.readings import NAIVE, Reading
from infra.sources.times import check_form, read_times

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)


def naive(*texts: str) -> pl.Series:
    return pl.Series(texts, dtype=pl.String).str.to_datetime("%Y-%m-%d %H:%M", time_unit="us")


def hours(name: str, *texts: str, length: timedelta | None = HOUR) -> list[str]:
    """What each local time is in UTC, as `HH:MM`, or why it is nothing."""
    told = Clock.of(name).to_utc(naive(*texts), length=length)
    shown = told["timestamp"].dt.strftime("%H:%M")
    return [fault or time for time, fault in zip(shown, told["fault"], strict=True)]


@pytest.mark.parametrize(
    ("name", "winter", "summer"),
    [
        ("UTC", 12, 12),
        ("EST", 17, 17),
        ("UTC-5", 17, 17),
        ("-05:00", 17, 17),
        ("Etc/GMT+5", 17, 17),
        ("GMT+2", 10, 10),
        ("UTC + 2 h", 10, 10),
        ("New York", 17, 16),
        ("America/New_York", 17, 16),
        ("New York+7", 10, 9),
        ("New York + 7 h", 10, 9),
        ("America/New_York+7", 10, 9),
        ("London-5", 17, 16),
        ("Europe/Athens", 10, 9),
    ],
)
def test_clock_names_an_instant(name: str, winter: int, summer: int) -> None:
    told = Clock.of(name).to_utc(naive("2018-01-15 12:00", "2018-07-15 12:00"))
    assert told["timestamp"].dt.hour().to_list() == [winter, summer]
    assert told["fault"].to_list() == [None, None]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc", "New York+70", "EST+", "localtime"])
def test_unknown_clock_shows_some_that_are_known(name: str) -> None:
    with pytest.raises(ClockError, match=r"take one such as UTC, EST, New York, New York\+7"):
        Clock.of(name)


@pytest.mark.parametrize(
    ("name", "hour"),
    [("New York", "2018-03-11 02"), ("New York+7", "2018-03-11 09"), ("London-5", "2018-03-24 20")],
)
def test_hour_that_spring_skips(name: str, hour: str) -> None:
    assert hours(name, f"{hour}:00", f"{hour}:59") == [MISSING, MISSING]


def test_hours_around_the_one_that_spring_skips() -> None:
    assert hours("New York", "2018-03-11 01:59", "2018-03-11 03:00") == ["06:59", "07:00"]
    assert hours("New York+7", "2018-03-11 08:59", "2018-03-11 10:00") == ["06:59", "07:00"]


def minutes(hour: str, *at: int) -> list[str]:
    return [f"{hour}:{minute:02}" for minute in at]


@pytest.mark.parametrize(
    ("name", "hour"), [("New York", "2018-11-04 01"), ("New York+7", "2018-11-04 08")]
)
def test_hour_that_comes_twice_in_a_row_is_told_apart(name: str, hour: str) -> None:
    once = minutes(hour, *range(60))
    utc = [f"{hour:02}:{minute:02}" for hour in (5, 6) for minute in range(60)]
    assert hours(name, *once, *once, length=MINUTE) == utc
    assert hours(name, *once, *once, length=None) == utc


def test_bars_of_an_hour_come_as_two_with_the_same_time() -> None:
    rows = ["2018-11-04 00:00", "2018-11-04 01:00", "2018-11-04 01:00", "2018-11-04 02:00"]
    assert hours("New York", *rows) == ["04:00", "05:00", "06:00", "07:00"]
    assert hours("New York", *rows, length=MINUTE) == ["04:00", AMBIGUOUS, AMBIGUOUS, "07:00"]
    assert hours("New York", *rows, length=4 * HOUR)[1:3] == [AMBIGUOUS, AMBIGUOUS]


@pytest.mark.parametrize(
    "rows",
    [
        minutes("2018-11-04 01", *range(60)),  # one hour of the two
        minutes("2018-11-04 01", 10, 12, 11, 13),  # two rows out of place
        minutes("2018-11-04 01", *range(30), *range(29, 60)),  # one row twice
        minutes("2018-11-04 01", 0, 40, 0, 40, 0, 40),  # three times
    ],
)
def test_hour_that_the_rows_do_not_tell_apart(rows: list[str]) -> None:
    assert hours("New York", *rows, length=MINUTE) == [AMBIGUOUS] * len(rows)


def test_hour_written_again_later_is_not_the_second_one() -> None:
    once = minutes("2018-11-04 01", 0, 59)
    between = ["2018-11-04 02:00"]
    told = hours("New York", *once, *between, *once, length=MINUTE)
    assert told == [AMBIGUOUS, AMBIGUOUS, "07:00", AMBIGUOUS, AMBIGUOUS]


def test_rows_without_a_time_do_not_part_the_hours() -> None:
    once = naive(*minutes("2018-11-04 01", 0, 59)).to_list()
    local = pl.Series([*once, None, *once], dtype=NAIVE)
    told = Clock.of("New York").to_utc(local, length=MINUTE)
    assert told["fault"].to_list() == [None] * 5
    shown = told["timestamp"].dt.strftime("%H:%M").to_list()
    assert shown == ["05:00", "05:59", None, "06:00", "06:59"]


def test_each_year_is_told_apart_by_itself() -> None:
    autumns = minutes("2017-11-05 01", 0, 59, 0, 59) + minutes("2018-11-04 01", 0, 59)
    assert hours("New York", *autumns, length=MINUTE) == [
        *("05:00", "05:59", "06:00", "06:59"),
        *(AMBIGUOUS, AMBIGUOUS),
    ]


def test_week_of_a_new_york_server_begins_at_midnight() -> None:
    """Sunday 17:00 New York is Monday 00:00 there, in summer, in winter, after both changes."""
    mondays = [f"2018-{day} 00:00" for day in ("03-05", "03-12", "10-29", "11-05")]
    assert hours("New York+7", *mondays) == ["22:00", "21:00", "21:00", "22:00"]


ZONES = ("America/New_York", "Europe/London", "UTC", "Australia/Lord_Howe")


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=st.datetimes(datetime(2017, 1, 1), datetime(2019, 1, 1)),  # noqa: DTZ001
    step=st.sampled_from([1, 5, 15, 60]),
    ahead=st.integers(-7, 7),
)
def test_complete_bars_come_back_as_they_were(
    zone: str, start: datetime, step: int, ahead: int
) -> None:
    """Every bar of thirty days: those around a change are right, or ambiguous at the ends."""
    length = timedelta(minutes=step)
    first = start.replace(minute=0, second=0, microsecond=0, tzinfo=UTC)
    utc = pl.datetime_range(first, first + timedelta(days=30), length, time_unit="us", eager=True)
    local = utc.dt.convert_time_zone(zone).dt.replace_time_zone(None) + timedelta(hours=ahead)
    told = Clock.of(f"{zone}{ahead:+d}").to_utc(local, length=length)
    right = (told["timestamp"] == utc).fill_null(False)
    assert (right | (told["fault"] == AMBIGUOUS)).all()
    assert right.sum() >= utc.len() - 60 // step
    assert right[60 // step : -60 // step].all() or zone == "Australia/Lord_Howe"


@hypothesis_settings(max_examples=60, deadline=None)
@given(data=st.data(), zone=st.sampled_from(["America/New_York", "Europe/London"]))
def test_no_time_is_told_that_the_zone_denies(data: st.DataObject, zone: str) -> None:
    """Whatever the order, an instant that comes out shows the local time that went in."""
    day = {"America/New_York": datetime(2018, 11, 4), "Europe/London": datetime(2018, 3, 25)}[zone]  # noqa: DTZ001
    at = st.integers(0, 240).map(lambda minute: day + minute * MINUTE)
    local = pl.Series(data.draw(st.lists(st.none() | at, min_size=1, max_size=12)), dtype=NAIVE)
    told = Clock.of(zone).to_utc(local, length=MINUTE)
    for moment, time, fault in zip(local, told["timestamp"], told["fault"], strict=True):
        assert (moment is None) == (time is None and fault is None)
        if time is not None:
            assert time.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == moment
            assert fault is None


@pytest.mark.parametrize(
    "text",
    [
        "2018-01-02 03:04:05.123",
        "2018-01-02T03:04:05.123",
        "2018.01.02 03:04:05.123",
        "02.01.2018 03:04:05.123",
        "20180102 030405123",
        "20180102 03:04:05.123",
    ],
)
def test_forms_of_publishers_are_read(text: str) -> None:
    expected = datetime(2018, 1, 2, 3, 4, 5, 123_000)  # noqa: DTZ001
    order = "day-first" if text.startswith("02.") else None
    assert read_times(pl.Series([text]), declared=order).naive.to_list() == [expected]


WORDS = (
    *("2018-01-02 03:04", "2018.01.02 03:04:05", "20180102 030405", "2 Jan 2018 03:04"),
    *("20180102 030405123", "2018-01-02T03:04:05Z", "2018/01/02", "x", "Jan 2, 2018"),
    *("2018-01-02 03:04-05:00", "", "2018-01-02 03:04 GMT+0200", "2018-01-02 3:04 PM"),
)
"""Times that mean one thing, whatever stands beside them."""
READ = [(word, read_times(pl.Series([word, "2018-01-01"]))) for word in WORDS]
ALONE = {word: (reading.aware[0], reading.naive[0]) for word, reading in READ}


@hypothesis_settings(max_examples=100, deadline=None)
@given(words=st.lists(st.sampled_from(WORDS), max_size=90))
def test_what_is_read_of_a_text_does_not_depend_on_its_neighbours(words: list[str]) -> None:
    reading = read_times(pl.Series([*words, "2018-01-01"], dtype=pl.String))
    times = list(zip(reading.aware, reading.naive, strict=True))
    assert times[:-1] == [ALONE[word] for word in words]


def test_one_day_beyond_twelve_tells_the_order_of_all() -> None:
    dates = pl.Series(["03/04/2018", "05/04/2018", "13/04/2018"])
    assert read_times(dates).naive.dt.month().to_list() == [4, 4, 4]
    assert read_times(dates).name == "day-first"


def test_dates_that_tell_no_order_are_refused_with_the_option() -> None:
    with pytest.raises(SourceError, match=r"by time_format=day-first or .*=month-first"):
        read_times(pl.Series(["03/04/2018", "05/04/2018"]))


@pytest.mark.parametrize("order", ["day-first", "month-first", "year-first"])
def test_years_of_two_digits_need_an_order(order: str) -> None:
    word = pl.Series(["01.02.03 03:04"])
    with pytest.raises(SourceError, match=order):
        read_times(word)
    first = {"day-first": (2003, 2, 1), "month-first": (2003, 1, 2), "year-first": (2001, 2, 3)}
    expected = datetime(*first[order], 3, 4)  # noqa: DTZ001
    assert read_times(word, declared=order).naive.to_list() == [expected]


@pytest.mark.parametrize(
    ("words", "declared"),
    [
        (["2018-01-02"], "day-first"),
        (["2018-01-02"], "%d.%m.%Y"),
        (["2018-01-02"], "epoch-s"),
        (["02/01/2018"], "year-first"),
        (["13/01/2018"], "month-first"),
        (["x"], "day-first"),
    ],
)
def test_form_that_cannot_apply_is_refused(words: list[str], declared: str) -> None:
    with pytest.raises(SourceError, match=r"time_format=.* cannot apply"):
        read_times(pl.Series(words), declared=declared)


def test_a_column_of_both_orders_is_refused() -> None:
    with pytest.raises(SourceError, match="mixes both"):
        read_times(pl.Series(["13/01/2018", "01/13/2018"]))


@pytest.mark.parametrize(
    ("words", "name", "hour"),
    [
        (["1514862245", "1514865845"], "epoch-s", 3),
        (["1514862245000", "1514865845000"], "epoch-ms", 3),
        (["201801020304", "201801020404"], "%Y%m%d%H%M", 3),
        (["20180102030405"], "%Y%m%d%H%M%S", 3),
    ],
)
def test_units_are_those_that_make_hours(words: list[str], name: str, hour: int) -> None:
    def apart(readings: Sequence[Reading]) -> list[Reading]:
        return [each for each in readings if not each.naive.is_null().all()]

    reading = read_times(pl.Series(words), choose=apart)
    assert reading.name == name
    assert reading.aware.fill_null(reading.naive.dt.replace_time_zone("UTC")).dt.hour()[0] == hour


def test_zeros_that_a_spreadsheet_took_are_put_back() -> None:
    times = ["0", "100", "5900", "10000"]
    dates = pl.Series([f"20180102 {time}" for time in times])
    with pytest.raises(SourceError, match="time_format="):
        read_times(dates, pl.Series(times))
    reading = read_times(dates, pl.Series(times), declared="%Y%m%d %H%M%S")
    assert reading.naive.dt.hour().to_list() == [0, 0, 0, 1]
    assert reading.naive.dt.minute().to_list() == [0, 1, 59, 0]


def test_days_of_a_spreadsheet_must_be_declared() -> None:
    days = pl.Series(["43102.127833", "43102.1695"])
    with pytest.raises(SourceError, match="time_format=excel"):
        read_times(days)
    assert read_times(days, declared="excel").naive[0] == datetime(2018, 1, 2, 3, 4, 5)  # noqa: DTZ001


@pytest.mark.parametrize("form", ["yesterday", "day", "%Y-%m-%d %H"])
def test_form_that_is_none_is_told(form: str) -> None:
    with pytest.raises(ValueError, match="time_format"):
        check_form(form)
