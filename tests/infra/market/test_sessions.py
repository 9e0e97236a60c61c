from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from infra.bars import TIME
from infra.market.calendar import Calendar
from infra.market.timeframes import bar_length
from infra.market.week import Week

NEW_YORK = ZoneInfo("America/New_York")
FOREX = Calendar(Week.forex())
SPRING = datetime(2018, 3, 7, 3, 30, tzinfo=UTC), datetime(2018, 3, 14, 12, tzinfo=UTC)
AUTUMN = datetime(2018, 10, 31, tzinfo=UTC), datetime(2018, 11, 7, tzinfo=UTC)
CHRISTMAS = datetime(2018, 12, 20, tzinfo=UTC), datetime(2019, 1, 4, tzinfo=UTC)
SPANS = {"spring": SPRING, "autumn": AUTUMN, "christmas": CHRISTMAS}


def stamps(moments: list[datetime]) -> pl.Series:
    return pl.Series("timestamp", moments, dtype=TIME)


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type, misc]


def in_week(moment: datetime, break_minutes: int) -> bool:
    """Whether forex trades, week and break alone: Sunday 17:00 to Friday 17:00 New York."""
    local = moment.astimezone(NEW_YORK)
    minute = local.hour * 60 + local.minute
    if 17 * 60 <= minute < 17 * 60 + break_minutes:
        return False
    if local.weekday() == 4:
        return minute < 17 * 60
    return minute >= 17 * 60 if local.weekday() == 6 else local.weekday() < 4


def in_holiday(moment: datetime, *, surely: bool) -> bool:
    """Whether a moment lies in the trading day of 25 December or 1 January, or near it."""
    local = moment.astimezone(NEW_YORK).replace(tzinfo=None)
    for day in [
        date(y, *d)
        for y in (local.year - 1, local.year, local.year + 1)
        for d in ((12, 25), (1, 1))
    ]:
        eve = day - timedelta(days=1)
        midnight = datetime.min.time()
        start = datetime.combine(eve, midnight) + timedelta(hours=17)
        end = start + timedelta(days=1)
        if surely:
            while eve.weekday() > 4:
                eve -= timedelta(days=1)
            start = datetime.combine(eve, midnight) + timedelta(hours=13)
            end += timedelta(hours=26)
        if start <= local < end:
            return True
    return False


@cache
def naive_open(moment: datetime, *, surely: bool = True, break_minutes: int = 0) -> bool:
    return in_week(moment, break_minutes) and not in_holiday(moment, surely=surely)


def naive_expected(start: datetime, end: datetime, timeframe: str, pause: int) -> list[datetime]:
    """Bars on UTC's clock of which at least half the minutes are open."""
    length = int(bar_length(timeframe).total_seconds() // 60)
    found, bar = [], start.replace(hour=0, minute=0)
    while bar < end:
        minutes = [bar + timedelta(minutes=i) for i in range(length)]
        is_open = sum(naive_open(minute, break_minutes=pause) for minute in minutes)
        if bar >= start and 2 * is_open >= length:
            found.append(bar)
        bar += timedelta(minutes=length)
    return found


@pytest.mark.parametrize("name", list(SPANS))
@pytest.mark.parametrize(("timeframe", "pause"), [("M1", 0), ("M1", 5), ("M15", 5), ("H1", 5)])
def test_expected_bars_are_those_of_the_clock_on_the_wall(
    name: str, timeframe: str, pause: int
) -> None:
    start, end = SPANS[name]
    calendar = Calendar(Week.forex(break_minutes=pause))
    wanted = naive_expected(start, end, timeframe, pause)
    assert calendar.expected(start, end, timeframe).to_list() == wanted


@pytest.mark.parametrize("surely", [True, False])
@pytest.mark.parametrize("year", range(2011, 2020))
def test_every_half_hour_around_the_holidays(year: int, surely: bool) -> None:
    moments = [utc(year, 12, 18) + timedelta(minutes=30 * i) for i in range(48 * 20)]
    told = FOREX.is_open(stamps(moments), surely=surely).to_list()
    assert told == [naive_open(moment, surely=surely) for moment in moments]


def test_the_week_opens_an_hour_later_in_winter() -> None:
    opens = FOREX.sessions(utc(2018, 3, 1), utc(2018, 3, 30))["opens"].to_list()
    assert opens == [utc(2018, 2, 25, 22), utc(2018, 3, 4, 22)] + [
        utc(2018, 3, day, 21) for day in (11, 18, 25)
    ]
    closes = FOREX.sessions(utc(2018, 10, 29), utc(2018, 11, 10))["closes"].to_list()
    assert closes == [utc(2018, 11, 2, 21), utc(2018, 11, 9, 22)]


def test_sessions_are_cut_by_breaks_and_hold_the_open_time() -> None:
    calendar = Calendar(Week.forex(break_minutes=5))
    sessions = calendar.sessions(utc(2018, 6, 3), utc(2018, 6, 9))
    assert sessions.height == 5
    lengths = (sessions["closes"] - sessions["opens"]).dt.total_minutes().to_list()
    assert lengths == [1435] * 5
    whole = calendar.open_time(stamps([utc(2018, 6, 3)]), stamps([utc(2018, 6, 10)]))
    assert whole.dt.total_minutes().to_list() == [5 * 1435]


def test_scheduled_gaps() -> None:
    gaps = {
        "weekend": (utc(2018, 6, 8, 21), utc(2018, 6, 10, 21), True),
        "weekend, an hour short": (utc(2018, 6, 8, 21), utc(2018, 6, 10, 22), False),
        "Friday evening of winter is open": (utc(2018, 1, 12, 21), utc(2018, 1, 14, 22), False),
        "Christmas": (utc(2018, 12, 24, 18), utc(2018, 12, 26, 23), True),
        "early close for a Monday": (utc(2017, 12, 22, 18), utc(2017, 12, 26, 4), True),
        "new year": (utc(2017, 12, 29, 18), utc(2018, 1, 2), True),
        "night": (utc(2018, 6, 6, 2), utc(2018, 6, 6, 3), False),
        "no gap": (utc(2018, 6, 6, 2), utc(2018, 6, 6, 2), True),
    }
    start, end, wanted = zip(*gaps.values(), strict=True)
    told = FOREX.scheduled(stamps(list(start)), stamps(list(end)))
    assert dict(zip(gaps, told, strict=True)) == dict(zip(gaps, wanted, strict=True))


@pytest.mark.parametrize("span", [SPRING, AUTUMN])
@pytest.mark.parametrize("timeframe", ["M1", "H1", "H4", "D1"])
def test_missing_bars_are_those_taken_out(span: tuple[datetime, datetime], timeframe: str) -> None:
    start, end = span[0] - timedelta(days=14), span[1] + timedelta(days=14)
    every = FOREX.expected(start, end, timeframe)
    kept = np.random.default_rng(1).random(len(every)) < 0.8
    kept[[0, -1]] = True
    assert FOREX.missing_bars(every, timeframe).is_empty()
    missing = FOREX.missing_bars(every.filter(pl.Series(kept)), timeframe)
    assert missing.to_list() == every.filter(pl.Series(~kept)).to_list()
    assert len(missing) >= 3


@pytest.mark.parametrize("hour", [0, 21, 22])
def test_daily_bars_may_start_at_any_midnight(hour: int) -> None:
    """Five bars a week, whether days begin at midnight UTC or at 17:00 New York."""
    calendar = Calendar(Week.forex(break_minutes=5))
    first = utc(2018, 5, 6, hour) if hour else utc(2018, 5, 7)
    days = [first + timedelta(days=i) for i in range(26) if i % 7 < 5]
    assert calendar.missing_bars(stamps(days), "D1").is_empty()
    gone = days[8]
    assert len(calendar.missing_bars(stamps([day for day in days if day != gone]), "D1")) == 1


def test_a_venue_may_tell_its_week() -> None:
    calendar = Calendar(Week.utc("Mon 00:00", "Fri 21:00"))
    assert str(calendar.week) == "Mon 00:00 to Fri 21:00 UTC"
    moments = [utc(2018, 6, 4), utc(2018, 6, 3, 23, 59), utc(2018, 6, 8, 20, 59)]
    moments += [utc(2018, 6, 8, 21)]
    assert calendar.is_open(stamps(moments)).to_list() == [True, False, True, False]
    assert str(Week.forex()) == "Sun 17:00 to Fri 17:00 America/New_York"
    told = "Sun 17:05 to Fri 17:00 America/New_York, less breaks of 20 minutes a week"
    assert str(Week.forex(break_minutes=5)) == told
    assert str(Week.always()) == "around the clock"
    assert Week.utc("Mon 00:00", "Mon 00:00").minutes == Week.always().minutes


@pytest.mark.parametrize(
    ("week", "kept"),
    [
        (Week.forex(), 1.0),
        (Week.forex(), 0.9),
        (Week.forex(break_minutes=5), 0.9),
        (Week.utc("Mon 00:00", "Fri 21:00"), 0.9),
        (Week.utc("Sun 22:00", "Fri 22:00"), 1.0),
    ],
)
def test_a_week_is_read_off_its_bars(week: Week, kept: float) -> None:
    """Half a year over a change of the clock, with holidays, holes and stray bars on Saturdays."""
    every = Calendar(week).expected(utc(2017, 12, 1), utc(2018, 5, 1), "M1")
    chosen = np.random.default_rng(2).random(len(every)) < kept
    stray = stamps([utc(2018, 2, 3, 12, i) for i in range(9)])
    bars = pl.concat([every.filter(pl.Series(chosen)), stray]).sort()
    seen = Week.observed(bars, "M1")
    assert (seen.zone, seen.spans, seen.inferred) == (week.zone, week.spans, True)


def test_hours_tell_a_week_too_and_one_without_weekends_has_no_holidays() -> None:
    hours = FOREX.expected(utc(2018, 1, 8), utc(2018, 6, 1), "H1")
    assert Calendar.of(hours, "H1") == Calendar(
        Week("America/New_York", Week.forex().spans, inferred=True)
    )
    always = pl.datetime_range(utc(2018, 1, 8), utc(2018, 3, 1), "1h", eager=True).cast(TIME)
    calendar = Calendar.of(always, "H1")
    assert (calendar.week.minutes, calendar.holidays) == (7 * 1440, ())
    assert calendar.is_open(stamps([utc(2018, 12, 25)])).to_list() == [True]


def test_three_weeks_tell_no_week() -> None:
    bars = FOREX.expected(utc(2018, 1, 8), utc(2018, 1, 26), "H1")
    with pytest.raises(ValueError, match="3 weeks of bars tell no week"):
        Week.observed(bars, "H1")
    assert Calendar.of(bars, "H1") == FOREX
    assert Calendar.of(bars.head(0), "H1") == FOREX


def test_nothing_in_nothing_out() -> None:
    none = stamps([])
    assert FOREX.missing_bars(none, "M1").is_empty()
    assert FOREX.is_open(none).is_empty()
    assert FOREX.scheduled(none, none).is_empty()
    assert FOREX.expected(utc(2018, 6, 4), utc(2018, 6, 4), "M1").is_empty()
    one = stamps([utc(2018, 6, 4)])
    assert FOREX.missing_bars(one, "D1").is_empty()


@pytest.mark.parametrize("spans", [(), ((5, 5),), ((10, 20), (20, 30)), ((-1, 5),), ((0, 10081),)])
def test_spans_that_are_no_week_are_refused(spans: tuple[tuple[int, int], ...]) -> None:
    with pytest.raises(ValueError, match="spans must ascend without touching"):
        Week("UTC", spans)


@pytest.mark.parametrize("moment", ["Friday 21:00", "21:00", "Fri 21", ""])
def test_a_moment_that_is_none_is_refused(moment: str) -> None:
    with pytest.raises(ValueError, match="such as 'Fri 21:00'"):
        Week.utc(closes=moment)


def test_a_bar_that_is_open_for_half_its_time_is_expected() -> None:
    start, end = utc(2018, 6, 8), utc(2018, 6, 9)
    closes = {"Fri 22:00": 20, "Fri 21:59": 16}
    for moment, last in closes.items():
        bars = Calendar(Week.utc("Mon 00:00", moment)).expected(start, end, "H4")
        assert bars[-1].hour == last


def test_an_hour_that_the_clock_has_twice_counts_from_the_first() -> None:
    week = Week("America/New_York", ((6 * 1440 + 90, 7 * 1440),))
    sessions = Calendar(week).sessions(utc(2018, 11, 4), utc(2018, 11, 4, 12))
    assert sessions["opens"].to_list() == [utc(2018, 11, 4, 5, 30)]
    sessions = Calendar(replace(week, spans=((6 * 1440 + 150, 7 * 1440),))).sessions(
        utc(2018, 3, 11), utc(2018, 3, 11, 12)
    )
    assert sessions["opens"].to_list() == [utc(2018, 3, 11, 7, 30)]


@pytest.mark.parametrize("surely", [True, False])
@pytest.mark.parametrize("span", SPANS.values(), ids=SPANS)
def test_sessions_and_closures_take_turns(span: tuple[datetime, datetime], surely: bool) -> None:
    sessions = FOREX.sessions(*span, surely=surely)
    closures = FOREX.closures(*span, surely=surely)
    edges = [*sessions["opens"], *sessions["closes"], *closures["opens"], *closures["closes"]]
    shared = {edge: edges.count(edge) for edge in edges if span[0] < edge < span[1]}
    assert len(shared) >= 2
    assert set(shared.values()) == {2}
    assert (closures["closes"] < closures["opens"]).all()


def test_the_closure_around_a_span_is_whole() -> None:
    saturday = utc(2018, 3, 10), utc(2018, 3, 10, 1)
    assert FOREX.closures(*saturday).rows() == [(utc(2018, 3, 9, 22), utc(2018, 3, 11, 21))]
    assert Calendar(Week.always(), ()).closures(*CHRISTMAS).is_empty()


def test_quiet_minutes_around_midnight_are_no_closure() -> None:
    every = FOREX.expected(utc(2018, 1, 8), utc(2018, 5, 1), "M1")
    chosen = np.random.default_rng(3).random(len(every)) < 0.3
    seen = Week.observed(every.filter(pl.Series(chosen)), "M1")
    assert len(seen.spans) == 2
    assert abs(seen.minutes - Week.forex().minutes) < 20
