"""Candles over HTTP from a venue that misbehaves."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pydantic import SecretStr

from infra.bars import PRICES, QUOTES
from infra.brokers.simulator.market import Market, coarser, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.sources import oanda
from infra.sources.candles import INCOMPLETE, REPLACED, Page
from infra.sources.columns import SourceError
from infra.sources.oanda import Candles
from infra.sources.troubles import NoAnswer

START = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = 13_000
NOW = START + timedelta(minutes=MINUTES, seconds=-20)  # the last minute is under way


@pytest.fixture(scope="module")
def minutes() -> pl.DataFrame:
    return random_minutes(START, MINUTES, seed=1)


@pytest.fixture
def venue(minutes: pl.DataFrame, home: Path) -> Iterator[Simulator]:
    with Simulator(Market({"EUR_USD": minutes}, NOW)).serve() as simulator:
        yield simulator


@pytest.fixture
def candles(venue: Simulator) -> Candles:
    return client(venue)


def client(venue: Simulator, **options: Any) -> Candles:
    return Candles(SecretStr(venue.token), venue.url, **{"pause": 0.001, **options})


def read(source: Candles, timeframe: str = "M1", start: datetime = START, **end: Any) -> Any:
    pages = [page.rows for page in source.pages("EUR_USD", timeframe, start, **end)]
    return pl.concat(pages) if pages else None


def expected(minutes: pl.DataFrame) -> pl.DataFrame:
    """What the venue knows of whole minutes, under our names."""
    whole = minutes.filter(pl.col("time") + timedelta(minutes=1) <= NOW)
    names = dict(zip("ohlc", PRICES, strict=True))
    quotes = {f"{s}_{names[n]}": pl.col(f"{s}_{n}") for s in ("bid", "ask") for n in "ohlc"}
    return whole.select(timestamp="time", volume=pl.col("volume").cast(pl.Float64), **quotes)


def test_pages_hold_every_complete_minute_once(
    candles: Candles, venue: Simulator, minutes: pl.DataFrame
) -> None:
    bars, known = read(candles), expected(minutes)
    assert_frame_equal(bars.select(known.columns), known, check_exact=True)
    assert bars.columns == ["timestamp", *PRICES, "volume", *QUOTES, "fault"]
    assert bars["fault"].null_count() == bars.height
    mid = (bars["bid_close"] + bars["ask_close"]) / 2
    np.testing.assert_allclose(bars["close"], mid, atol=1.1e-5 / 2)
    assert len(venue.requests) == -(-bars.height // 5000)
    assert all("smooth=false" in path for _, path in venue.requests)


@pytest.mark.parametrize("bars", [4999, 5000, 5001, 9999, 10_000])
def test_a_page_may_end_anywhere(venue: Simulator, bars: int) -> None:
    full = random_minutes(START, bars + 1, missing=0)
    venue.market = Market({"EUR_USD": full}, START + timedelta(minutes=bars, seconds=5))
    found = read(client(venue))
    assert found["timestamp"].to_list() == full["time"].to_list()[:bars]


def test_the_end_is_left_out_and_the_start_is_not(candles: Candles, minutes: pl.DataFrame) -> None:
    times = minutes["time"].to_list()
    bars = read(candles, start=times[100], end=times[7000])
    assert bars["timestamp"].to_list() == times[100:7000]


def test_a_candle_that_settles_late_is_left_for_the_next_run(
    venue: Simulator, minutes: pl.DataFrame
) -> None:
    venue.market.settling = timedelta(seconds=45)
    last = read(client(venue))["timestamp"][-1]
    assert last + timedelta(minutes=1) + timedelta(seconds=45) <= NOW
    venue.market.now = NOW + timedelta(minutes=2)
    assert read(client(venue), start=last)["timestamp"][0] == last


def test_a_revised_candle_is_read_again(venue: Simulator, minutes: pl.DataFrame) -> None:
    times = minutes["time"].to_list()
    before = read(client(venue))
    revised = pl.when(pl.col("time") == times[-20]).then(1.5).otherwise(pl.col("bid_c"))
    venue.market.minutes["EUR_USD"] = minutes.with_columns(bid_c=revised)
    again = read(client(venue), start=times[-40])
    merged = before.update(again, on="timestamp")
    assert merged.filter(pl.col("timestamp") == times[-20])["bid_close"].item() == 1.5
    assert merged.height == before.height


def test_nothing_new_is_no_page(candles: Candles) -> None:
    assert read(candles, start=NOW) is None


@pytest.mark.parametrize("timeframe", ["M5", "M15", "H1", "H4", "D1"])
def test_coarser_bars_come_under_our_names(candles: Candles, timeframe: str) -> None:
    bars = read(candles, timeframe)
    length = {"M5": 5, "M15": 15, "H1": 60, "H4": 240, "D1": 1440}[timeframe]
    shortest = length if length <= 60 else length - 60  # a day in spring has 23 hours
    assert bars["timestamp"].diff().drop_nulls().min() >= timedelta(minutes=shortest)
    assert bars["timestamp"][-1] + timedelta(minutes=length) <= NOW


@pytest.mark.parametrize(
    ("month", "hours"), [(3, (22, 21)), (11, (21, 22))], ids=["spring", "autumn"]
)
def test_days_begin_at_five_in_new_york(month: int, hours: tuple[int, int]) -> None:
    start = datetime(2026, 3, 5, 12, tzinfo=UTC)
    if month == 11:
        start = datetime(2026, 10, 29, 12, tzinfo=UTC)
    days = coarser(random_minutes(start, 7 * 1440, missing=0), "D")["time"]
    seen = [day.hour for day in days]
    assert (seen[0], seen[-1]) == hours
    assert set(days.diff().drop_nulls().dt.total_hours()) == {24, 23 if month == 3 else 25}


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", 429),
        Fault("status", 500),
        Fault("html", 502),
        Fault("drop"),
        Fault("truncate"),
        Fault("garble"),
        Fault("pack"),
        Fault("late", seconds=2.0),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
def test_a_fault_in_passing_changes_nothing(
    venue: Simulator, minutes: pl.DataFrame, fault: Fault
) -> None:
    source = client(venue, timeout=1.0 if fault.kind == "late" else oanda.TIMEOUT)
    venue.faults.extend([fault, fault])
    assert read(source)["timestamp"].to_list() == expected(minutes)["timestamp"].to_list()


@pytest.mark.parametrize("bars", [3, 4999, 5000, 5001, 9999, 12_000])
@pytest.mark.parametrize("back", [1, 2])
def test_a_candle_that_stays_incomplete_is_named_and_paging_goes_on(
    venue: Simulator, minutes: pl.DataFrame, bars: int, back: int
) -> None:
    """Wherever it lies: in a page, at a page's end, at the next one's beginning."""
    full = random_minutes(START, 13_000, missing=0)
    venue.market = Market({"EUR_USD": full}, NOW)
    times = full["time"].to_list()[:-1]
    venue.market.stuck = set(times[bars - back : bars])
    found = read(client(venue))
    assert found["timestamp"].to_list() == times
    assert found.filter(pl.col("fault") == INCOMPLETE)["timestamp"].to_list() == sorted(
        venue.market.stuck
    )
    assert found["fault"].count() == back


def test_candles_under_way_at_the_end_are_not_named(
    venue: Simulator, minutes: pl.DataFrame
) -> None:
    times = expected(minutes)["timestamp"].to_list()
    venue.market.stuck = set(times[-3:])
    found = read(client(venue))
    assert found["timestamp"].to_list() == times[:-3]
    assert found["fault"].count() == 0


def test_a_page_without_a_complete_candle_is_passed(venue: Simulator) -> None:
    full = random_minutes(START, 13_000, missing=0)
    venue.market = Market({"EUR_USD": full}, NOW)
    venue.market.stuck = set(full["time"].to_list()[100:10_500])
    found = read(client(venue))
    assert found["timestamp"].to_list() == full["time"].to_list()[:-1]
    assert found["fault"].count() == 10_400


@pytest.mark.parametrize("place", [0, 10, 2500, 4999])
def test_a_candle_that_comes_twice_counts_once(
    venue: Simulator, minutes: pl.DataFrame, place: int
) -> None:
    venue.faults.append(Fault("twice", 200, candle=place))
    known = expected(minutes)
    found = read(client(venue))
    assert_frame_equal(found.select(known.columns), known, check_exact=True)
    assert found["fault"].count() == 0


@pytest.mark.parametrize("place", [0, 10, 2500, 4999])
def test_of_candles_that_differ_the_later_one_counts(
    venue: Simulator, minutes: pl.DataFrame, place: int
) -> None:
    venue.faults.append(Fault("otherwise", 200, candle=place))
    known, found = expected(minutes), read(client(venue))
    moment, volume = known.row(place)[:2]
    both = found.filter(pl.col("timestamp") == moment).select("volume", "fault").rows()
    assert both == [(volume, REPLACED), (volume + 1, None)]
    assert found.filter(pl.col("fault").is_null())["timestamp"].equals(known["timestamp"])


@pytest.mark.parametrize("seed", range(12))
def test_whatever_comes_each_candle_is_told_once(
    venue: Simulator, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Small pages, some candles stuck, some twice: good ones and noted ones are all there are."""
    chance = random.Random(seed)
    page = chance.randint(20, 40)
    monkeypatch.setattr(oanda, "PAGE", page)
    full = random_minutes(START, 400, seed=seed)
    times = full["time"].to_list()
    venue.market = Market({"EUR_USD": full}, times[-1] + MINUTE * chance.randint(0, 1))
    venue.market.stuck = set(chance.sample(times, 80))
    kinds = ["twice", "otherwise", "drop", "status", "late"]
    venue.faults.extend(
        Fault(chance.choice(kinds), 500, candle=chance.randrange(page // 3)) for _ in range(9)
    )
    found = read(client(venue, wait=lambda: None))
    known = [at for at in times if at not in venue.market.stuck and at < venue.market.now]
    good, bad = (found.filter(pl.col("fault").is_null() == which) for which in (True, False))
    assert good["timestamp"].to_list() == known
    noted = bad.filter(pl.col("fault") == INCOMPLETE)["timestamp"].to_list()
    assert noted == sorted(at for at in venue.market.stuck if at < known[-1])


def test_a_complete_candle_counts_before_an_incomplete_one() -> None:
    told = [candle(0), candle(1), candle(1, complete=False), candle(2)]
    page = Page.read({"instrument": "EUR_USD", "candles": told}, "EUR_USD", size=5000)
    assert page.rows["timestamp"].to_list() == [START + n * MINUTE for n in range(3)]
    assert page.rows["fault"].count() == 0


def test_of_three_candles_of_a_time_the_last_counts() -> None:
    told = [candle(0), candle(1), candle(0, volume=2), candle(0), candle(2)]
    page = Page.read({"instrument": "EUR_USD", "candles": told}, "EUR_USD", size=5000)
    rows = [(2.0, REPLACED), (1.0, None), (1.0, None), (1.0, None)]
    assert page.rows.select("volume", "fault").rows() == rows


def candle(minute: int, *, complete: bool = True, volume: int = 1) -> dict[str, Any]:
    quotes = {side: dict.fromkeys("ohlc", "1.1") for side in ("mid", "bid", "ask")}
    stamp = f"{START + minute * MINUTE:%Y-%m-%dT%H:%M:%S}.000000000Z"
    return {"complete": complete, "volume": volume, "time": stamp, **quotes}


def test_candles_out_of_order_are_a_bad_answer(venue: Simulator, minutes: pl.DataFrame) -> None:
    venue.faults.append(Fault("swap", 200, candle=7))
    found = read(client(venue))
    assert found["timestamp"].equals(expected(minutes)["timestamp"])
    venue.faults.extend([Fault("swap", 200, candle=7)] * oanda.TRIES)
    with pytest.raises(SourceError, match=r"candles that do not ascend\): run it again later"):
        read(client(venue))


def test_a_venue_that_sends_the_same_again_is_not_asked_for_ever() -> None:
    told = {"instrument": "EUR_USD", "candles": [candle(n) for n in range(5)]}
    assert Page.read(told, "EUR_USD", size=5).next == START + 4 * MINUTE
    with pytest.raises(NoAnswer, match="of before what was asked for"):
        Page.read(told, "EUR_USD", size=5, after=START + 4 * MINUTE)


def test_a_proxy_of_the_shell_is_not_asked_for_loopback(
    venue: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert read(client(venue), start=NOW - timedelta(minutes=30)).height


def test_requests_keep_their_distance(venue: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oanda, "REQUESTS_A_SECOND", 20)
    source = client(venue)
    for _ in range(4):
        read(source, start=NOW - timedelta(minutes=30))
    moments = [moment for moment, _ in venue.requests]
    assert moments[3] - moments[0] >= 0.9 * 3 / 20


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"count": "5001"}, 400, "Maximum value for 'count' exceeded"),
        ({"granularity": "M7"}, 400, "granularity"),
        ({"to": "2027-01-01T00:00:00Z"}, 400, "'to'. Time is in the future"),
        ({"from": "2027-01-01T00:00:00Z"}, 400, "'from'. Time is in the future"),
        ({"from": "yesterday"}, 400, "'from'"),
        ({}, 200, ""),
    ],
)
def test_the_simulator_judges_as_the_venue(
    venue: Simulator, query: dict[str, str], status: int, message: str
) -> None:
    asked = {"granularity": "M1", **query}
    got, body = venue.answer("/v3/instruments/EUR_USD/candles", asked, f"Bearer {venue.token}")
    assert got == status
    if message:
        assert message in body["errorMessage"]
    else:
        assert len(body["candles"]) == 500
        assert [candle["complete"] for candle in body["candles"]] == [True] * 499 + [False]
        assert set(body["candles"][0]) == {"complete", "volume", "time", "mid"}
