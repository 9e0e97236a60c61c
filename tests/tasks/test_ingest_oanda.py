"""OANDA as a source of `ingest`: steps against a real database and a venue over HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
from pydantic import ValidationError

import tasks.intake.candles
from infra.brokers.simulator.market import Market, coarser, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.postgres import database as db
from infra.settings import Settings
from infra.sources.candles import INCOMPLETE, REPLACED
from infra.sources.columns import SourceError
from tasks.folder import bar_store
from tasks.ingest import fetch_rows, store_rows, validate_rows
from tasks.intake.candles import REREAD, begin_at
from tasks.intake.request import IngestRequest

pytestmark = pytest.mark.usefixtures("database")

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTES = 12_000
NOW = START + timedelta(minutes=MINUTES, seconds=-20)
KEY = ("EUR_USD", "M1")
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def minutes() -> pl.DataFrame:
    return open_market(random_minutes(START, MINUTES, seed=2))


def open_market(minutes: pl.DataFrame) -> pl.DataFrame:
    """Leave out the weekends, which begin on Friday at 17:00 New York."""
    late = pl.col("time").dt.convert_time_zone("America/New_York") + timedelta(hours=7)
    return minutes.filter(late.dt.weekday() <= 5)


@pytest.fixture
def venue(
    home: Path, minutes: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Simulator]:
    shutil.rmtree(home / "bars", ignore_errors=True)
    with Simulator(Market({"EUR_USD": minutes}, NOW)).serve() as simulator:
        monkeypatch.setenv("SEP_OANDA_TOKEN", simulator.token)
        monkeypatch.setenv("SEP_OANDA_URL", simulator.url)
        yield simulator


def ask(**values: Any) -> IngestRequest:
    return IngestRequest(**{"source": "oanda", "timeframe": "M1", **values})


def parts(request: IngestRequest, folder: Path) -> Iterator[dict[str, Any]]:
    begin = datetime.fromisoformat(begin_at(request))
    request, after = request.model_copy(update={"start": begin}), None
    while True:
        fetched = fetch_rows(request, str(folder), after)
        validated = validate_rows(fetched, timeframe=request.timeframe)
        yield {**fetched, **validated, **store_rows(validated, request)}
        if (after := fetched["next"]) is None:
            return


def times(minutes: pl.DataFrame) -> list[datetime]:
    """The beginnings of minutes that are over."""
    return minutes.filter(pl.col("time") + MINUTE <= NOW)["time"].to_list()


def asked(venue: Simulator) -> list[datetime]:
    """From when on each request asked."""
    queries = [parse_qs(urlsplit(path).query) for _, path in venue.requests]
    return [datetime.fromisoformat(query["from"][0]) for query in queries]


def cursor() -> datetime:
    found = db.read_frame(
        "SELECT last_timestamp FROM ingest_cursor WHERE source = 'oanda' AND pair = 'EUR_USD'"
    )
    moment = found["last_timestamp"].item()
    assert isinstance(moment, datetime)
    return moment


def test_candles_reach_both_stores(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_SHARED_BARS", "50")
    (result,) = parts(ask(start=START), tmp_path)
    known = times(minutes)
    assert (result["pages"], result["good"], result["reasons"]) == (2, len(known), {})
    bars = bar_store().read(*KEY)
    assert bars["timestamp"].to_list() == known
    bids = minutes.head(len(known))
    assert bars["bid_close"].to_list() == bids["bid_c"].to_list()
    assert (bars["ask_close"] > bars["close"]).all()
    assert (
        db.read_frame("SELECT * FROM bars ORDER BY timestamp")
        .select(bars.columns)
        .equals(bars.tail(50))
    )
    assert cursor() == known[-1]


def test_parts_come_to_the_same(
    venue: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (whole,) = parts(ask(start=START), tmp_path)
    shutil.rmtree(bar_store().root)
    monkeypatch.setattr(tasks.intake.candles, "PAGES", 1)
    venue.requests.clear()
    pieces = list(parts(ask(start=START), tmp_path))
    assert [piece["pages"] for piece in pieces] == [1, 1]
    assert sum(piece["added"] for piece in pieces) == whole["added"]
    assert pieces[-1]["content_hash"] == whole["content_hash"]
    assert 0 < pieces[0]["reached"] < pieces[1]["reached"] == 1
    assert len(set(asked(venue))) == len(venue.requests) == 2


def test_next_run_goes_on_a_little_before_the_last_bar(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    known = times(minutes)
    venue.market.now = known[6_000]
    list(parts(ask(start=START), tmp_path))
    venue.market.now = NOW
    venue.requests.clear()
    (result,) = parts(ask(), tmp_path)
    assert asked(venue)[0] == known[5_999] - REREAD * MINUTE
    assert (result["stored"], result["revised"]) == (len(known), 0)
    assert result["added"] == len(known) - 6_000


def test_nothing_new_changes_nothing(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    (before,) = parts(ask(start=START), tmp_path)
    (result,) = parts(ask(start=times(minutes)[-1] + MINUTE), tmp_path)
    assert (result["rows"], result["shared"]) == (0, 0)
    assert result["content_hash"] == before["content_hash"]
    assert cursor() == times(minutes)[-1]


def test_newest_row_of_a_revised_candle_wins(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    list(parts(ask(start=START), tmp_path))
    moment = times(minutes)[-30]
    higher = pl.when(pl.col("time") == moment).then(1.5).otherwise(pl.col("ask_h"))
    venue.market.minutes["EUR_USD"] = minutes.with_columns(ask_h=higher)
    (result,) = parts(ask(), tmp_path)
    assert (result["added"], result["revised"], result["shared"]) == (0, 1, 1)
    (again,) = parts(ask(), tmp_path)
    assert (again["added"], again["revised"], again["shared"]) == (0, 0, 0)
    query = "SELECT ask_high FROM bars WHERE timestamp = %s"
    assert db.read_frame(query, [moment])["ask_high"].item() == 1.5
    assert bar_store().read(*KEY, moment, moment + MINUTE)["ask_high"].item() == 1.5


def test_earlier_span_does_not_move_the_cursor_back(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    known = times(minutes)
    list(parts(ask(start=known[6_000]), tmp_path))
    (earlier,) = parts(ask(start=known[100], end=known[4_000]), tmp_path)
    assert earlier["added"] == 3_900
    assert cursor() == known[-1]


@pytest.mark.parametrize(("timeframe", "days"), [("M1", 365), ("H1", 365), ("D1", 5_000)])
def test_first_read_covers_a_year_or_enough_bars(timeframe: str, days: int) -> None:
    begin = datetime.fromisoformat(begin_at(ask(timeframe=timeframe)))
    assert timedelta(0) <= datetime.now(UTC) - timedelta(days=days) - begin < MINUTE


@pytest.mark.parametrize(
    ("start", "hours"),
    [
        (datetime(2024, 3, 5, tzinfo=UTC), [22, 22, 22, 21, 21, 21]),
        (datetime(2024, 10, 29, tzinfo=UTC), [21, 21, 21, 22, 22, 22]),
    ],
    ids=["spring", "autumn"],
)
def test_days_begin_at_five_in_new_york(
    venue: Simulator, start: datetime, hours: list[int], tmp_path: Path
) -> None:
    minutes = open_market(random_minutes(start, 9 * 1440, seed=3))
    venue.market = Market({"EUR_USD": minutes}, start + timedelta(days=9))
    (result,) = parts(ask(timeframe="D1", start=start), tmp_path)
    bars = bar_store().read("EUR_USD", "D1")
    assert result["reasons"] == {}
    assert bars["timestamp"].dt.hour().to_list() == hours
    days = coarser(minutes, "D").filter(pl.col("time") >= start).head(bars.height)
    assert bars["bid_high"].to_list() == days["bid_h"].to_list()


def test_candle_that_is_not_over_by_our_clock_waits(venue: Simulator, tmp_path: Path) -> None:
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - 60 * MINUTE
    walk = random_minutes(begin, 120, missing=0, level=30_000.0)
    venue.market = Market({"BTC_USD": walk}, begin + 100 * MINUTE)  # whatever the day of the week
    (result,) = parts(ask(start=begin, pair="BTC_USD"), tmp_path)
    assert result["reasons"] == {}
    assert 60 <= result["good"] < 100


def test_impossible_candle_is_set_aside_once(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    moment = times(minutes)[-7]
    turned = pl.when(pl.col("time") == moment).then(0.5).otherwise(pl.col("bid_h"))
    venue.market.minutes["EUR_USD"] = minutes.with_columns(bid_h=turned)
    (first,) = parts(ask(start=START), tmp_path)
    (again,) = parts(ask(), tmp_path)
    assert first["quarantined"] == 1
    assert again["quarantined"] == 0
    row = db.read_frame("SELECT source_row, reason, raw->>'bid_high' AS high FROM quarantine")
    assert row.rows() == [(int(moment.timestamp()), first["reasons"].popitem()[0], "0.5")]


def noted() -> list[tuple[Any, ...]]:
    """What the quarantine holds: second, reason, volume."""
    query = "SELECT source_row, reason, (raw->>'volume')::float AS volume FROM quarantine"
    return db.read_frame(f"{query} ORDER BY id").rows()


def test_candle_that_stays_incomplete_is_noted_and_asked_for_until_it_comes(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    known = times(minutes)
    late = [known[500], known[4_000]]
    venue.market.stuck = set(late)
    (first,) = parts(ask(start=START), tmp_path)
    assert first["reasons"] == {INCOMPLETE: 2}
    assert (first["good"], first["added"]) == (len(known) - 2, len(known) - 2)
    assert [row[:2] for row in noted()] == [(moment.timestamp(), INCOMPLETE) for moment in late]
    assert cursor() == known[-1]
    venue.requests.clear()
    (again,) = parts(ask(), tmp_path)
    assert asked(venue)[0] == late[0]
    assert (again["added"], again["revised"], again["quarantined"]) == (0, 0, 0)
    venue.market.stuck = {late[1]}
    (then,) = parts(ask(), tmp_path)
    assert (then["added"], then["reasons"]) == (1, {INCOMPLETE: 1})
    assert begin_at(ask()) == late[1].isoformat()
    venue.market.stuck = set()
    (then,) = parts(ask(), tmp_path)
    assert (then["added"], then["stored"], then["reasons"]) == (1, len(known), {})
    assert begin_at(ask()) == (known[-1] - REREAD * MINUTE).isoformat()
    assert len(noted()) == 2


def test_candle_that_comes_and_is_no_bar_is_not_asked_for_again(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    moment = times(minutes)[1_000]
    venue.market.stuck = {moment}
    list(parts(ask(start=START), tmp_path))
    assert begin_at(ask()) == moment.isoformat()
    turned = pl.when(pl.col("time") == moment).then(0.5).otherwise(pl.col("bid_h"))
    venue.market.minutes["EUR_USD"] = minutes.with_columns(bid_h=turned)
    venue.market.stuck = set()
    list(parts(ask(), tmp_path))
    assert len(noted()) == 2
    assert begin_at(ask()) == (cursor() - REREAD * MINUTE).isoformat()


def test_candle_that_never_comes_is_asked_for_no_longer_than_that(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = times(minutes)
    venue.market.stuck = {known[10], known[2_000]}
    list(parts(ask(start=START), tmp_path))
    assert begin_at(ask()) == known[10].isoformat()
    monkeypatch.setattr(tasks.intake.candles, "AWAITED", known[-1] - known[10] - MINUTE)
    assert begin_at(ask()) == known[2_000].isoformat()


def test_what_another_pair_or_source_lacks_is_not_asked_for(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    moment = times(minutes)[10]
    without = minutes.filter(pl.col("time") != moment)
    venue.market = Market({"EUR_GBP": minutes, "EUR_USD": without}, NOW, stuck={moment})
    list(parts(ask(start=START, pair="EUR_GBP"), tmp_path))
    list(parts(ask(start=START), tmp_path))
    assert begin_at(ask(pair="EUR_GBP")) == moment.isoformat()
    assert begin_at(ask()) == (cursor() - REREAD * MINUTE).isoformat()


@pytest.mark.parametrize("pages", [1, 20])
@pytest.mark.parametrize("place", [4_998, 4_999, 5_000])
def test_candle_incomplete_at_the_end_of_a_part_comes_to_the_same(
    venue: Simulator,
    minutes: pl.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pages: int,
    place: int,
) -> None:
    monkeypatch.setattr(tasks.intake.candles, "PAGES", pages)
    known = times(minutes)
    venue.market.stuck = {known[place]}
    pieces = list(parts(ask(start=START), tmp_path))
    assert len(pieces) == (2 if pages == 1 else 1)
    stored = bar_store().read(*KEY)["timestamp"].to_list()
    assert stored == known[:place] + known[place + 1 :]
    assert [row[0] for row in noted()] == [known[place].timestamp()]


def test_newest_candles_under_way_are_not_noted(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    known = times(minutes)
    venue.market.stuck = set(known[-2:])
    (first,) = parts(ask(start=START), tmp_path)
    assert (first["reasons"], cursor(), noted()) == ({}, known[-3], [])
    venue.market.stuck = set()
    (then,) = parts(ask(), tmp_path)
    assert then["added"] == 2


def test_candle_that_comes_twice_is_stored_once(
    venue: Simulator, minutes: pl.DataFrame, tmp_path: Path
) -> None:
    known = times(minutes)
    venue.faults.extend([Fault("twice", 200, candle=7), Fault("otherwise", 200, candle=70)])
    (result,) = parts(ask(start=START), tmp_path)
    moment, volume = known[5_070], minutes["volume"][5_070]
    assert result["reasons"] == {REPLACED: 1}
    assert noted() == [(moment.timestamp(), REPLACED, volume)]
    assert bar_store().read(*KEY)["timestamp"].to_list() == known
    assert bar_store().read(*KEY, moment, moment + MINUTE)["volume"].item() == volume + 1


@pytest.mark.parametrize(
    ("spoil", "values", "message"),
    [
        (lambda venue: setattr(venue, "token", "another"), {}, "set SEP_OANDA_TOKEN"),
        (lambda venue: None, {"pair": "EUR_RON"}, "'instrument'.*: EUR_USD"),
        (lambda venue: venue.faults.append(Fault("status", 403)), {}, "refuses the token"),
    ],
)
def test_refusal_says_what_to_do_and_changes_nothing(
    venue: Simulator,
    spoil: Callable[[Simulator], Any],
    values: dict[str, str],
    message: str,
    tmp_path: Path,
) -> None:
    spoil(venue)
    with pytest.raises(SourceError, match=message):
        list(parts(ask(start=START, **values), tmp_path))
    assert bar_store().pairs() == []
    assert len([path for _, path in venue.requests if "candles" in path]) == 1


def test_without_a_token_it_says_where_to_get_one(
    venue: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SEP_OANDA_TOKEN")
    with pytest.raises(SourceError, match=r"practice account.*SEP_OANDA_TOKEN"):
        list(parts(ask(start=START), tmp_path))
    assert venue.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "http://api-fxpractice.oanda.com",
        "http://127.0.0.1.example.com",
        "https://user@host",
        "http://127.0.0.1@example.com",
        "demo",
    ],
)
def test_token_is_not_sent_in_clear(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_OANDA_URL", url)
    with pytest.raises(ValidationError, match="https"):
        Settings()
