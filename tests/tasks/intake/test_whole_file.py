"""What a file as a whole proves: options, timeframe, level, hours of trade."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from infra.bars import PRICES
from infra.sources.columns import SourceError
from tasks.intake.level import refuse_other
from tasks.intake.reading import Options
from tasks.intake.validation import validate
from tests.tasks.intake.test_validation import NOW, raw, told


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (Options(clock="UTC", publisher=False), "clock=UTC cannot apply"),
        (Options(decimal=","), "decimal=, cannot apply"),
        (Options(time_format="day-first"), "time_format=day-first cannot apply"),
    ],
)
def test_declared_option_that_cannot_apply_is_an_error(options: Options, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        told({}, {}, options=options)


@pytest.mark.parametrize(
    ("step", "told_as", "fits"),
    [(1, "H4", "H1"), (1, "D1", "H1"), (4, "H1", "H4"), (24, "H1", "D1"), (24, "H4", "D1")],
)
def test_times_that_prove_another_timeframe_are_refused(step: int, told_as: str, fits: str) -> None:
    start = datetime(2025, 9, 1, tzinfo=UTC)
    frame = raw(
        *(
            {"timestamp": f"{start + n * timedelta(hours=step):%Y-%m-%dT%H:%M:%SZ}"}
            for n in range(24)
        )
    )
    with pytest.raises(SourceError, match=f"ask for timeframe={fits}"):
        validate(frame, timeframe=told_as, now=NOW)


def test_level_of_another_pair_is_refused_unless_told() -> None:
    prices = {"open": "160.1", "high": "160.3", "low": "160.0", "close": "160.2"}
    at = {"timestamp": "2026-01-05T03:00:00Z"}
    with pytest.raises(
        SourceError, match=r"cannot be those of EUR_USD.*scale=0.01.*pair=.*any_level"
    ):
        told({**prices, **at}, pair="EUR_USD")
    assert told({**prices, **at}, pair="EUR_USD", options=Options(any_level=True)).bars.height == 1
    assert told({**prices, **at}, pair="AUD_JPY").bars.height == 1


def test_scale_gives_the_price_that_was_meant() -> None:
    written = {"open": "103681", "high": "103690", "low": "103600", "close": "103650"}
    with pytest.raises(SourceError, match=r"scale=0\.001"):
        told({**written}, pair="USD_JPY")
    result = told(
        {**written, "timestamp": "2026-01-05T03:00:00Z"},
        pair="USD_JPY",
        options=Options(scale=0.001),
    )
    assert result.bars["open"].to_list() == [103.681]


def test_one_price_out_of_bounds_is_set_aside() -> None:
    far = {"open": "12", "high": "14", "low": "11", "close": "13"}
    rows = [{"timestamp": f"2026-01-05T{hour:02}:00:00Z"} for hour in range(1, 9)]
    rows[4] |= far
    result = told(*rows, pair="EUR_USD")
    assert result.quarantined.select("source_row", "reason").rows() == [(6, "price out of bounds")]


def test_closed_time_holds_no_bar() -> None:
    """Friday 17:00 to Sunday 17:00 New York, and the day of Christmas."""
    start = datetime(2025, 12, 19, tzinfo=UTC)
    hours = [start + n * timedelta(hours=1) for n in range(24 * 8)]
    rows = [{"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for at in hours]
    result = told(*rows, pair="EUR_USD")
    reasons = result.quarantined["reason"].unique().to_list()
    closed = hours[22:70] + hours[24 * 5 + 22 : 24 * 6 + 22] + hours[24 * 7 + 22 :]
    assert reasons == ["market closed"]
    assert result.quarantined["source_row"].to_list() == [2 + hours.index(at) for at in closed]
    assert result.notes == {"bars that move while the market is closed": len(closed)}


def test_times_of_the_close_are_put_back() -> None:
    result = told({"timestamp": "2026-01-05T04:00:00Z"}, options=Options(stamp="close"))
    assert result.bars["timestamp"].dt.hour().to_list() == [3]


def test_prices_that_are_not_those_stored_are_refused() -> None:
    start = datetime(2025, 9, 1, tzinfo=UTC)
    times = [start + n * timedelta(hours=1) for n in range(24)]
    stored = pl.DataFrame({"timestamp": times, "close": 1.1})
    near, other = (stored.with_columns(close=pl.lit(close)) for close in (1.12, 1.3))
    refuse_other(near, stored.lazy(), "EUR_USD")
    with pytest.raises(SourceError, match=r"18% apart from those stored of EUR_USD.*any_level"):
        refuse_other(other, stored.lazy(), "EUR_USD")
    refuse_other(other, stored.head(5).lazy(), "EUR_USD")


@pytest.mark.parametrize("stamp", [None, "open", "close"])
def test_times_of_the_close_are_seen_at_the_weeks_end(stamp: str | None) -> None:
    """Weeks from Sunday 18:00 to Friday 17:00 New York, told by the ends of their hours."""
    sunday = datetime(2025, 11, 2, 22, tzinfo=UTC)
    ends = [sunday + timedelta(weeks=week, hours=n) for week in range(3) for n in range(1, 121)]
    rows = [{"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for at in ends]
    if stamp is None:
        with pytest.raises(SourceError, match=r"in 3 weeks .* stamp=close"):
            told(*rows, pair="EUR_USD")
        return
    result = told(*rows, pair="EUR_USD", options=Options(stamp=stamp))
    assert result.bars.height == (360 if stamp == "close" else 357)


def test_times_of_the_open_are_no_question() -> None:
    sunday = datetime(2025, 11, 2, 22, tzinfo=UTC)
    times = [sunday + timedelta(weeks=week, hours=n) for week in range(3) for n in range(121)]
    rows = [{"timestamp": f"{at:%Y-%m-%dT%H:%M:%SZ}"} for at in times]
    assert told(*rows, pair="EUR_USD").bars.height == 360


def stamped(times: list[datetime], form: str) -> pl.DataFrame:
    """Rows whose times are written in a form, with one close and another in turn."""
    closes = ("1.2", "1.21")
    told = [f"{at:{form}}" for at in times]
    return raw(*({"timestamp": at, "close": closes[n % 2]} for n, at in enumerate(told)))


WEEK = [datetime(2025, 9, 1, tzinfo=UTC) + n * timedelta(hours=1) for n in range(96)]
UTC_CLOCK = Options(clock="UTC", publisher=False)


def test_twelve_hours_without_their_half_are_refused() -> None:
    frame = stamped(WEEK, "%Y-%m-%d %I:%M")
    with pytest.raises(SourceError, match=r"which half of the day.*time_format="):
        validate(frame, timeframe="H1", options=UTC_CLOCK, now=NOW)


@pytest.mark.parametrize("hours", [3, 5])
def test_bars_of_other_lengths_are_not_of_four_hours(hours: int) -> None:
    times = [WEEK[0] + n * timedelta(hours=hours) for n in range(30)]
    frame = stamped(times, "%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(SourceError, match="rows are not bars of H4"):
        validate(frame, timeframe="H4", now=NOW)


@pytest.mark.parametrize("timeframe", ["D1", "M1"])
@pytest.mark.parametrize("form", ["%Y-%m-%d", "%m/%d/%Y"])
def test_months_are_no_days(form: str, timeframe: str) -> None:
    times = [datetime(2018, month, 1, tzinfo=UTC) for month in range(1, 13)]
    with pytest.raises(SourceError, match=r"timeframe=|time_format="):
        validate(stamped(times, form), timeframe=timeframe, options=UTC_CLOCK, now=NOW)


def test_hours_alone_are_hours_where_they_make_the_timeframe() -> None:
    hours = [str(at.hour) for at in WEEK]
    rows = [{"timestamp": f"{at:%Y%m%d} {hour}"} for at, hour in zip(WEEK, hours, strict=True)]
    frame = raw(*rows).with_columns(time_of_day=pl.Series(hours))
    result = validate(frame, timeframe="H1", options=UTC_CLOCK, now=NOW)
    assert result.bars["timestamp"].to_list() == WEEK


@pytest.mark.parametrize("form", ["%d%m%y%H%M", "%d%m%Y%H%M", "%Y%m%d%H%M", "%d%m%Y%H%M%S"])
def test_bare_digits_are_read_in_the_order_that_hangs_together(form: str) -> None:
    result = validate(stamped(WEEK, form), timeframe="H1", options=UTC_CLOCK, now=NOW)
    assert result.bars["timestamp"].to_list() == WEEK


def test_times_of_which_a_part_is_yet_to_come_are_refused() -> None:
    frame = stamped(WEEK, "%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(SourceError, match=r"24 of 96 rows lie in the future.*time_format=.*clock="):
        validate(frame, timeframe="H1", now=WEEK[72])


@pytest.mark.parametrize("at", [0, -1])
def test_first_or_last_row_far_from_all_others_is_damaged(at: int) -> None:
    times = list(WEEK)
    times[at] += timedelta(days=-3_000 if at == 0 else 90)
    result = validate(stamped(times, "%Y-%m-%dT%H:%M:%SZ"), timeframe="H1", now=NOW)
    assert result.bars.height == 95
    assert result.quarantined["reason"].to_list() == ["unsorted timestamp"]


def test_days_that_begin_at_other_hours_than_those_stored_are_refused() -> None:
    days = [datetime(2025, 9, 1, 22, tzinfo=UTC) + n * timedelta(days=1) for n in range(30)]
    stored = pl.DataFrame({"timestamp": days, "close": 1.1})
    other = stored.with_columns(pl.col("timestamp") + timedelta(hours=2))
    with pytest.raises(SourceError, match=r"begin at 00:00 UTC, those stored .* 22:00.*clock="):
        refuse_other(other, stored.lazy(), "EUR_USD")


def test_dots_that_may_part_thousands_are_asked_for() -> None:
    rows = [dict.fromkeys(PRICES, "97.345")] * 3
    with pytest.raises(SourceError, match=r"decimal='\.' or decimal=','"):
        told(*rows, pair="BTC_USD")
    result = told(*rows, pair="BTC_USD", options=Options(decimal=","))
    assert result.bars["open"].to_list() == [97_345.0] * 3


def test_units_that_change_within_a_file_are_refused() -> None:
    seconds = [int(at.timestamp()) for at in WEEK]
    mixed = [n * 1_000 for n in seconds[:48]] + [n * 1_000_000 for n in seconds[48:]]
    frame = raw(*({"timestamp": str(n)} for n in mixed))
    with pytest.raises(SourceError, match=r"epoch-ms and .* epoch-us.*mixes both"):
        validate(frame, timeframe="H1", now=NOW)


def files_of(*parts: pl.DataFrame) -> pl.DataFrame:
    """Rows of several files, numbered on."""
    named = [part.with_columns(file=pl.lit(f"{n}.csv")) for n, part in enumerate(parts)]
    rows = pl.concat(named)
    return rows.with_columns(source_row=pl.int_range(1, rows.height + 1))


def test_files_of_two_timeframes_are_no_source() -> None:
    hours = stamped(WEEK, "%Y-%m-%dT%H:%M:%SZ")
    four = stamped(WEEK[::4], "%Y-%m-%dT%H:%M:%SZ")
    with pytest.raises(SourceError, match=r"1\.csv: .*ask for timeframe=H4"):
        validate(files_of(hours, four), timeframe="H1", now=NOW)


def test_files_that_contradict_each_other_are_no_source() -> None:
    hours = stamped(WEEK, "%Y-%m-%dT%H:%M:%SZ")
    other = hours.with_columns(close=pl.lit("1.35"))
    with pytest.raises(SourceError, match=r"0\.csv and 1\.csv have other prices for 96"):
        validate(files_of(hours, other), timeframe="H1", now=NOW)
    assert validate(files_of(hours, hours), timeframe="H1", now=NOW).bars.height == 96


@pytest.mark.parametrize("hours", [3, -5])
def test_clock_that_the_weeks_prove_wrong_is_refused(hours: int) -> None:
    sunday = datetime(2025, 11, 2, 22, tzinfo=UTC)
    times = [sunday + timedelta(weeks=week, hours=n) for week in range(5) for n in range(120)]
    frame = stamped([at + timedelta(hours=hours) for at in times], "%Y-%m-%dT%H:%M:%SZ")
    way = "earlier" if hours > 0 else "later"
    with pytest.raises(SourceError, match=rf"{abs(hours)} h {way}.*clock="):
        validate(frame, timeframe="H1", pair="EUR_USD", now=NOW)
    right = stamped(times, "%Y-%m-%dT%H:%M:%SZ")
    assert validate(right, timeframe="H1", pair="EUR_USD", now=NOW).bars.height == 600


def test_short_floats_are_the_numbers_they_stand_for() -> None:
    frame = told({}).bars.with_columns(source_row=pl.int_range(1, 2), close=pl.lit(1.3))
    short = frame.with_columns(pl.col(PRICES).cast(pl.Float32))
    assert validate(short, timeframe="H1", now=NOW).bars.select(PRICES).equals(frame.select(PRICES))


@pytest.mark.parametrize("price", ["43,343.24", "43.343,24", "1,043,343.24", "43 343,24"])
def test_both_marks_prove_the_decimal_one(price: str) -> None:
    result = told(dict.fromkeys(PRICES, price), pair="BTC_USD")
    assert result.bars["open"][0] % 1_000_000 == pytest.approx(43_343.24)
