"""What a file as a whole proves: options, timeframe, level, hours of trade."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

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
