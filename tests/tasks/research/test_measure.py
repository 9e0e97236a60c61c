"""The segments of a pair: what its calendar calls open is missed where no bar is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from infra.market.hours import calendar_of
from infra.market.instruments import UnknownInstrument
from infra.market.timeframes import bar_length
from tasks.research.measure import closing_of, segments_of
from tests import naive

RULES = {
    "EUR_USD": naive.is_forex_closure,
    "XAU_USD": naive.is_forex_closure,
    "BTC_USD": naive.is_never_closed,
    "PLANTED": naive.is_never_closed,
}
STARTS = {"spring": "2018-02-26", "autumn": "2018-10-29", "christmas": "2020-12-14"}


def utc(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=UTC)  # type: ignore[arg-type,misc]


def bars_at(moments: list[datetime]) -> pl.DataFrame:
    return pl.DataFrame({"timestamp": moments}, schema={"timestamp": pl.Datetime("us", "UTC")})


def holey(timeframe: str, start: str, seed: int) -> pl.DataFrame:
    """Bars with gaps of all lengths up to three days, and some touching the limit."""
    rng, length = np.random.default_rng(seed), bar_length(timeframe)
    most = timedelta(days=3) // length
    steps = rng.choice([1, 2, 13, 14, 16, 17, 241, 242], 60, p=[0.6, *[0.4 / 7] * 7])
    steps[rng.integers(0, 60, 15)] = rng.integers(1, most + 2, 15)
    first = datetime.fromisoformat(start).replace(tzinfo=UTC)
    return bars_at([first + int(step) * length for step in np.cumsum(np.minimum(steps, most))])


@pytest.mark.parametrize("season", STARTS)
@pytest.mark.parametrize("timeframe", ["M1", "M15", "H1"])
@pytest.mark.parametrize(("pair", "is_closed"), RULES.items())
def test_segments_match_the_reference(
    pair: str, is_closed: Callable[[datetime], bool], timeframe: str, season: str
) -> None:
    bars = holey(timeframe, STARTS[season], seed=len(timeframe))
    stamps = bars["timestamp"].dt.epoch("us").to_numpy()
    seconds = int(bar_length(timeframe).total_seconds())
    computed = segments_of(bars, pair, timeframe)
    np.testing.assert_array_equal(computed, naive.segments(stamps, seconds, is_closed))
    assert computed[-1] > 3


@pytest.mark.parametrize("pair", RULES)
def test_a_segment_ends_where_more_open_time_is_missed(pair: str) -> None:
    times = holey("H1", STARTS["christmas"], seed=7)["timestamp"]
    missed = calendar_of(pair).open_time(times[:-1] + timedelta(hours=1), times[1:])
    edges = np.diff(segments_of(times.to_frame(), pair, "H1"))
    np.testing.assert_array_equal(edges, missed > timedelta(hours=12))


@pytest.mark.parametrize("pair", RULES)
def test_an_edge_lies_in_the_two_bars_beside_it(pair: str) -> None:
    """No bar before or after moves an edge: a live window has those of the whole history."""
    bars = holey("M15", STARTS["christmas"], seed=9)
    whole = np.diff(segments_of(bars, pair, "M15"))
    for first, last in [(0, 20), (11, 60), (30, 45)]:
        part = segments_of(bars[first:last], pair, "M15")
        np.testing.assert_array_equal(np.diff(part), whole[first : last - 1])
    alone = [segments_of(bars[i : i + 2], pair, "M15")[1] for i, _ in pairwise(range(60))]
    np.testing.assert_array_equal(alone, whole)


@pytest.mark.parametrize(("pair", "parts"), [("EUR_USD", 0), ("BTC_USD", 1), ("PLANTED", 1)])
def test_a_missing_weekend_ends_a_segment_of_crypto_alone(pair: str, parts: int) -> None:
    around = [datetime(2018, 3, 2, 21, tzinfo=UTC), datetime(2018, 3, 4, 22, tzinfo=UTC)]
    assert segments_of(bars_at(around), pair, "H1").tolist() == [0, parts]


@pytest.mark.parametrize(("hours", "parts"), [(13, 0), (14, 1)])
def test_days_between_the_holidays_are_open(hours: int, parts: int) -> None:
    first = datetime(2018, 12, 27, 12, tzinfo=UTC)
    bars = bars_at([first, first + timedelta(hours=hours)])
    assert segments_of(bars, "EUR_USD", "H1").tolist() == [0, parts]


@pytest.mark.parametrize("season", STARTS)
@pytest.mark.parametrize("timeframe", ["M1", "H1", "H4", "D1"])
@pytest.mark.parametrize(("pair", "is_closed"), RULES.items())
def test_a_bar_closes_the_market_where_its_end_is_closed_time(
    pair: str, is_closed: Callable[[datetime], bool], timeframe: str, season: str
) -> None:
    bars, length = holey(timeframe, STARTS[season], seed=3), bar_length(timeframe)
    computed = closing_of(bars, pair, timeframe).tolist()
    assert computed == [is_closed(start + length) for start in bars["timestamp"]]
    assert computed == [closing_of(bars[i : i + 1], pair, timeframe)[0] for i in range(60)]


@pytest.mark.parametrize(
    ("timeframe", "last"),
    [
        ("M1", utc(2018, 3, 2, 21, 59)),  # 17:00 New York is 22:00 UTC in winter
        ("M1", utc(2018, 3, 16, 20, 59)),  # and 21:00 in summer
        ("H1", utc(2018, 3, 2, 21)),
        ("H4", utc(2018, 3, 2, 18)),
        ("H4", utc(2018, 3, 2, 20)),  # of a venue whose bars start at midnight UTC
        ("D1", utc(2018, 3, 1, 22)),
        ("D1", utc(2018, 3, 2)),
    ],
)
def test_the_last_bar_of_a_week_closes_it_and_no_other(timeframe: str, last: datetime) -> None:
    length = bar_length(timeframe)
    bars = bars_at([last + n * length for n in range(-4, 1)])
    assert closing_of(bars, "EUR_USD", timeframe).tolist() == [False] * 4 + [True]
    assert not closing_of(bars, "BTC_USD", timeframe).any()
    assert not closing_of(bars, "PLANTED", timeframe).any()


def test_five_oclock_in_new_york_closes_no_working_day() -> None:
    ends = [datetime(2018, 3, day, 22, tzinfo=UTC) for day in range(5, 9)]
    bars = bars_at([end - timedelta(minutes=1) for end in ends])
    assert not closing_of(bars, "EUR_USD", "M1").any()


@pytest.mark.parametrize("pair", RULES)
def test_one_bar_is_one_segment(pair: str) -> None:
    assert segments_of(bars_at([datetime(2018, 3, 1, tzinfo=UTC)]), pair, "D1").tolist() == [0]


def test_an_unknown_pair_is_named() -> None:
    with pytest.raises(UnknownInstrument, match="NOBODY"):
        segments_of(bars_at([datetime(2018, 3, 1, tzinfo=UTC)]), "NOBODY", "H1")
