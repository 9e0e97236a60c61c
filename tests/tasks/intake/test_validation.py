"""Every row of a source is a bar or in quarantine with the right reason, and none is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandera.errors
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import PRICES, QUOTES
from infra.sources.columns import SourceError
from tasks.intake.reading import Options
from tasks.intake.validation import BarSchema, Validated, validate

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
GOOD = {
    "timestamp": "2026-01-05T03:00:00Z",
    "open": "1.2",
    "high": "1.4",
    "low": "1.1",
    "close": "1.3",
    "volume": "7",
    "excess": None,
}


def raw(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows as a CSV gives them; each changes one that is good, an hour after the one before."""
    hours = [f"2026-01-05T{hour:02}:00:00Z" for hour in range(len(rows))]
    filled = [{**GOOD, "timestamp": at, **row} for at, row in zip(hours, rows, strict=True)]
    names = list(dict.fromkeys(name for row in filled for name in row))
    frame = pl.DataFrame(filled, schema=dict.fromkeys(names, pl.String))
    return frame.select(pl.int_range(2, len(rows) + 2).alias("source_row"), pl.all())


def told(*rows: dict[str, Any], **options: Any) -> Validated:
    return validate(raw(*rows), timeframe="H1", now=NOW, **options)


def reasons(*rows: dict[str, Any], **options: Any) -> list[tuple[int, str]]:
    return told(*rows, **options).quarantined.select("source_row", "reason").rows()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"timestamp": ""}, "missing timestamp"),
        ({"timestamp": None}, "missing timestamp"),
        ({"timestamp": "yesterday"}, "unreadable timestamp"),
        ({"timestamp": "2026-02-30 00:00:00Z"}, "unreadable timestamp"),
        ({"timestamp": "2026-01-05 01:00:00"}, "naive timestamp"),
        ({"timestamp": "2026.01.05 01:00"}, "naive timestamp"),
        ({"timestamp": "20260105 010000"}, "naive timestamp"),
        ({"timestamp": "2026-01-05"}, "naive timestamp"),
        ({"timestamp": "2026-01-05T01:00:01Z"}, "off-grid timestamp"),
        ({"timestamp": "2026-01-05T01:00:00.000001Z"}, "off-grid timestamp"),
        ({"timestamp": "2026-01-05T12:00:00Z"}, "future timestamp"),
        ({"open": ""}, "missing price"),
        ({"close": None}, "missing price"),
        ({"high": "NaN"}, "missing price"),
        ({"open": "1,2"}, "unreadable number"),
        ({"open": "1.2 or so"}, "unreadable number"),
        ({"low": "0"}, "non-positive price"),
        ({"low": "-1.1"}, "non-positive price"),
        ({"high": "inf"}, "infinite price"),
        ({"high": "1.0", "low": "1.1"}, "high < low"),
        ({"high": "1.25"}, "high < open or close"),
        ({"low": "1.25"}, "low > open or close"),
        ({"volume": "-1"}, "negative volume"),
        ({"volume": "inf"}, "negative volume"),
        ({"excess": "8"}, "more fields than the header"),
    ],
)
def test_bad_row_is_quarantined_with_its_reason(fault: dict[str, Any], reason: str) -> None:
    result = told({}, fault, {})
    assert result.quarantined.select("source_row", "reason").rows() == [(3, reason)]
    assert result.bars.height == 2
    kept = json.loads(result.quarantined["raw"][0])
    assert kept == {**GOOD, "timestamp": "2026-01-05T01:00:00Z", **fault}


def test_last_good_row_of_a_timestamp_counts() -> None:
    at = "2026-01-05T02:00:00Z"
    rows = [{"timestamp": at}, {"timestamp": at}, {"timestamp": at, "close": "1.25"}]
    result = told(*rows, {"timestamp": at, "low": "1.35"})
    assert result.bars["close"].to_list() == [1.25]
    assert result.quarantined.select("source_row", "reason").rows() == [
        (2, "duplicate timestamp"),
        (3, "duplicate timestamp"),
        (5, "low > open or close"),
    ]


@pytest.mark.parametrize("hours", [(1, 3, 2, 4, 3, 5), (5, 4, 3, 3, 2, 1), (3, 4, 5, 1, 2, 3)])
def test_rows_may_come_in_any_order(hours: tuple[int, ...]) -> None:
    rows = [
        {"timestamp": f"2026-01-05T{hour:02}:00:00Z", "volume": str(n)}
        for n, hour in enumerate(hours)
    ]
    result = told(*rows)
    assert result.bars["timestamp"].dt.hour().to_list() == [1, 2, 3, 4, 5]
    assert result.bars["volume"][2] == max(n for n, hour in enumerate(hours) if hour == 3)
    assert [reason for _, reason in reasons(*rows)] == ["duplicate timestamp"]


@pytest.mark.parametrize("wrong", ["2026-01-04T09:00:00Z", "2025-10-05T10:00:00Z"])
@pytest.mark.parametrize("falling", [False, True])
def test_single_row_out_of_place_is_damaged(wrong: str, falling: bool) -> None:
    """A damaged time must not take the place of a row that is right."""
    days = [f"2026-01-0{2 + hour // 24}T{hour % 24:02}:00:00Z" for hour in range(60)]
    at = 40
    days[at] = wrong
    rows = [{"timestamp": day} for day in days]
    result = told(*(rows[::-1] if falling else rows))
    row = 2 + (59 - at if falling else at)
    assert result.quarantined.select("source_row", "reason").rows() == [(row, "unsorted timestamp")]
    assert result.bars.height == 59


def test_unreadable_volume_costs_the_volume() -> None:
    result = told(
        *({"volume": word} for word in ("many", "-", "N/A", "68.18K", "1.5M", "1,234", ""))
    )
    assert result.bars["volume"].to_list() == [None, None, None, 68_180, 1_500_000, 1_234, None]
    assert result.notes == {"unreadable volumes": 1}


def test_bar_that_overlaps_another_is_set_aside() -> None:
    start = datetime(2025, 9, 1, 22, tzinfo=UTC)
    days = [f"{start + n * timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}" for n in range(60)]
    days.insert(5, "2025-09-06T03:00:00Z")
    result = validate(raw(*({"timestamp": day} for day in days)), timeframe="D1", now=NOW)
    assert result.quarantined.select("source_row", "reason").rows() == [
        (7, "overlaps the bar before")
    ]


def test_bad_row_does_not_put_others_out_of_order() -> None:
    assert reasons({}, {"timestamp": "2027-01-01T00:00:00Z"}, {}) == [(3, "future timestamp")]


@pytest.mark.parametrize(
    ("text", "zone", "hour"),
    [
        ("2026-01-05T03:00:00Z", None, 3),
        ("2026-01-05 03:00:00 UTC", None, 3),
        ("2026-01-05 03:00:00+00:00", "Asia/Tokyo", 3),
        ("2026-01-05T05:30:00.000+0230", None, 3),
        ("1767582000", None, 3),
        ("1767582000000", None, 3),
        ("2026-01-05 03:00", "UTC", 3),
        ("2026/01/05 03:00:00", "America/New_York", 8),
        ("20260105 030000", "Europe/Athens", 1),
        ("2026-01-05", "UTC", 0),
    ],
)
def test_times_are_read_as_utc(text: str, zone: str | None, hour: int) -> None:
    result = told({"timestamp": text}, options=Options(clock=zone))
    assert result.bars["timestamp"].to_list() == [datetime(2026, 1, 5, hour, tzinfo=UTC)]


def test_local_hour_that_the_clock_skips_or_repeats() -> None:
    skipped, repeated = "2025-03-09 02:00:00", "2025-11-02 01:00:00"
    around = ["2025-03-09 01:00:00", skipped, "2025-03-09 03:00:00", repeated]
    zone = "America/New_York"
    assert reasons(*({"timestamp": at} for at in around), clock=zone) == [
        (3, "local time does not exist"),
        (5, "ambiguous local time"),
    ]


@pytest.mark.parametrize(
    ("timeframe", "minute", "good"),
    [("M1", 1, True), ("M5", 1, False), ("M5", 5, True), ("H4", 0, True), ("D1", 30, False)],
)
def test_grid_is_the_timeframes(timeframe: str, minute: int, good: bool) -> None:
    frame = raw({"timestamp": f"2026-01-02T22:{minute:02}:00Z"})
    assert (validate(frame, timeframe=timeframe, now=NOW).bars.height == 1) is good


def test_bar_that_is_not_over_is_in_the_future() -> None:
    at = {"timestamp": "2026-01-05T11:00:00Z"}
    frame = raw(at)
    assert validate(frame, timeframe="H1", now=NOW).bars.height == 1
    assert validate(frame, timeframe="H4", now=NOW).bars.height == 0


@pytest.mark.parametrize(
    ("column", "naive"),
    [
        (pl.Series([datetime(2026, 1, 5, 3, tzinfo=UTC)], dtype=pl.Datetime("ns", "UTC")), False),
        (pl.Series([datetime(2026, 1, 5, 3)], dtype=pl.Datetime("ms")), True),  # noqa: DTZ001
        (pl.Series([1767582000]), False),
        (pl.Series([1767582000000]), False),
        (pl.Series([1767582000000000]), False),
        (pl.Series([1767582000000000000]), False),
        (pl.Series([datetime(2026, 1, 5)]).dt.date(), True),  # noqa: DTZ001
    ],
)
def test_typed_times(column: pl.Series, naive: bool) -> None:
    numbers = {name: [float(GOOD[name] or 0)] for name in (*PRICES, "volume")}
    frame = pl.DataFrame({"source_row": [1], "timestamp": column, **numbers})
    if naive:
        with pytest.raises(SourceError, match="say by which clock they are, such as clock=UTC"):
            validate(frame, timeframe="H1", now=NOW)
    else:
        assert validate(frame, timeframe="H1", now=NOW).bars.height == 1
    declared = validate(frame, timeframe="H1", clock="UTC", now=NOW)
    assert declared.bars["timestamp"].dt.date().to_list() == [
        datetime(2026, 1, 5, tzinfo=UTC).date()
    ]


def test_column_without_any_time_is_refused() -> None:
    frame = raw({}).with_columns(timestamp=pl.lit(True))
    with pytest.raises(SourceError, match="times such as 'true' cannot be read: say time_format="):
        validate(frame, timeframe="H1", now=NOW)


def quoted(**changes: str | None) -> dict[str, str | None]:
    sides = {"bid": 0.0, "ask": 0.25}
    quotes = {
        f"{side}_{price}": str(float(GOOD[price] or 0) + shift)
        for side, shift in sides.items()
        for price in PRICES
    }
    return {**quotes, **changes}


def test_quotes_are_kept_and_checked() -> None:
    crossed = {f"ask_{price}": GOOD[price] for price in PRICES}
    rows: list[dict[str, Any]] = [
        quoted(),
        quoted(ask_high="0.5"),
        quoted(bid_low=""),
        dict.fromkeys(QUOTES, ""),
        quoted(**{f"bid_{price}": "1.5" for price in PRICES}, **crossed),
        quoted(**crossed),
    ]
    result = told(*rows)
    assert result.quarantined.select("source_row", "reason").rows() == [
        (3, "impossible quotes"),
        (4, "incomplete quotes"),
        (6, "crossed quotes"),
    ]
    assert result.bars["bid_open"].to_list() == [1.2, None, 1.2]
    assert result.notes == {"bars with a spread of zero": 1}


def test_mid_prices_come_from_quotes_where_only_those_are() -> None:
    frame = raw(quoted()).drop(*PRICES, "volume")
    bars = validate(frame, timeframe="H1", now=NOW).bars
    assert bars.select(*PRICES, "volume").row(0) == (1.325, 1.525, 1.225, 1.425, None)


def test_one_side_of_quotes_is_left_aside() -> None:
    frame = raw(quoted()).drop([name for name in QUOTES if name.startswith("ask")])
    assert "bid_open" not in validate(frame, timeframe="H1", now=NOW).bars.columns


def test_nul_bytes_do_not_reach_the_json_of_postgresql() -> None:
    result = told({"open": "1\0"})
    assert json.loads(result.quarantined["raw"][0])["open"] == "1\ufffd"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bars: bars.with_columns(high=pl.col("low") / 2),
        lambda bars: bars.with_columns(open=pl.lit(float("nan"))),
        lambda bars: bars.with_columns(open=pl.lit(None, pl.Float64)),
        lambda bars: bars[::-1],
        lambda bars: pl.concat([bars, bars]),
        lambda bars: bars.with_columns(surprise=1),
        lambda bars: bars.with_columns(pl.col("timestamp").dt.replace_time_zone(None)),
    ],
)
def test_schema_refuses_what_is_no_bar(spoil: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    bars = told({}, {}).bars
    BarSchema.validate(bars)
    with pytest.raises((pandera.errors.SchemaError, pandera.errors.SchemaErrors)):
        BarSchema.validate(spoil(bars))


numbers = st.one_of(
    st.floats(0.5, 2.0).map(str),
    st.sampled_from(["", "nan", "inf", "-1", "0", "x", "1e400", "\0", "1.0 2.0"]),
)
stamps = st.one_of(
    st.integers(0, 30).map(lambda hour: f"2026-01-{4 + hour // 24:02}T{hour % 24:02}:00:00Z"),
    st.sampled_from(
        ["", "x", "2026-01-04 05:00", "99999999999999999999", "0", "9999-12-31T23:00:00Z"]
    ),
    st.text(max_size=12),
)
rows = st.fixed_dictionaries(
    {"timestamp": stamps, **dict.fromkeys((*PRICES, "volume"), numbers)},
    optional=dict.fromkeys(QUOTES, numbers),
)


@hypothesis_settings(max_examples=50, deadline=None)
@given(values=st.lists(rows, min_size=1, max_size=24), zone=st.sampled_from([None, "Europe/Oslo"]))
@example(values=[{"timestamp": "0001-01-01", "open": "1"}], zone="Europe/Oslo")
def test_no_row_is_lost_and_no_bad_one_passes(
    values: list[dict[str, str]], zone: str | None
) -> None:
    frame = raw(*values)
    try:
        result = validate(frame, timeframe="H1", clock=zone, now=NOW)
    except SourceError:
        return
    BarSchema.validate(result.bars)
    assert result.bars.height + result.quarantined.height == frame.height
    assert result.quarantined["source_row"].is_unique().all()
    assert result.quarantined["reason"].null_count() == 0
    again = validate(frame, timeframe="H1", clock=zone, now=NOW)
    assert again.bars.equals(result.bars)
