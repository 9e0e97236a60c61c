"""The steps of `ingest` as plain functions, with a real database and bulk store."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from infra.bars import QUOTES
from infra.market.hours import calendar_of
from infra.market.instruments import SYNTHETIC
from infra.postgres import database as db
from infra.sources.columns import SourceError
from kernels.synthetic import INSTRUMENTS, WALKS, draw
from tasks.folder import bar_store
from tasks.ingest import fetch_rows, store_rows, validate_rows
from tasks.intake.request import IngestRequest
from tasks.intake.rows import asked_walk, planted_rows, walk_rows
from tasks.intake.truth import read_truth

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(autouse=True)
def empty_store(home: Path) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def ingest(request: IngestRequest, folder: Path, run_id: str | None = None) -> dict[str, Any]:
    validated = validate_rows(fetch_rows(request, str(folder)), timeframe=request.timeframe)
    return {**validated, **store_rows(validated, request, run_id=run_id)}


def csv_request(folder: Path, lines: list[str], **changes: Any) -> IngestRequest:
    path = folder / "bars.csv"
    path.write_text("\n".join(["time,open,high,low,close,volume", *lines]))
    return IngestRequest(**{"source": "csv", "path": path, **changes})


HOURS = [f"2018-01-02T{hour:02}:00:00Z,1.2,1.3,1.1,1.25,{hour}" for hour in range(6)]
SPOILT = [*HOURS[:2], "2018-01-02T02:00:00Z,1.2,1.0,1.1,1.25,2", *HOURS[3:], HOURS[4], "x,,,,,"]


def test_good_and_bad_rows_find_their_places(tmp_path: Path) -> None:
    result = ingest(csv_request(tmp_path, SPOILT), tmp_path, "run")
    assert (result["rows"], result["good"], result["added"]) == (8, 5, 5)
    assert result["reasons"] == {
        "high < low": 1,
        "duplicate timestamp": 1,
        "unreadable timestamp": 1,
    }
    kept = db.read_frame(
        "SELECT source, source_row, reason, raw->>'high' AS high, run_id FROM quarantine ORDER BY 2"
    )
    assert kept.rows() == [
        ("csv:bars.csv", 4, "high < low", "1.0", "run"),
        ("csv:bars.csv", 6, "duplicate timestamp", "1.3", "run"),
        ("csv:bars.csv", 9, "unreadable timestamp", "", "run"),
    ]
    stored = bar_store().read("EUR_USD", "H1")
    assert stored["volume"].to_list() == [0, 1, 3, 4, 5]
    assert db.read_frame("SELECT volume FROM bars ORDER BY timestamp")["volume"].to_list() == [
        0,
        1,
        3,
        4,
        5,
    ]


def test_second_ingest_adds_nothing(tmp_path: Path) -> None:
    request = csv_request(tmp_path, SPOILT)
    first, second = (ingest(request, tmp_path, run) for run in ("one", "two"))
    assert (second["added"], second["shared"], second["quarantined"]) == (0, 0, 0)
    assert second["content_hash"] == first["content_hash"]
    counts = "SELECT (SELECT count(*) FROM bars) AS b, (SELECT count(*) FROM quarantine) AS q"
    assert db.read_frame(counts).row(0) == (5, 3)


def test_increment_adds_what_is_new(tmp_path: Path) -> None:
    ingest(csv_request(tmp_path, HOURS[:3]), tmp_path)
    result = ingest(csv_request(tmp_path, HOURS), tmp_path)
    assert (result["added"], result["stored"], result["shared"]) == (3, 6, 3)
    cursor = db.read_frame("SELECT source, rows, last_timestamp FROM ingest_cursor ORDER BY 1")
    assert cursor.row(0)[:2] == ("csv:bars.csv", 6)
    assert cursor["last_timestamp"][0].isoformat() == "2018-01-02T05:00:00+00:00"


def test_changed_row_of_the_same_number_is_quarantined_too(tmp_path: Path) -> None:
    ingest(csv_request(tmp_path, [*HOURS, "x,1,1,1,1,1"]), tmp_path)
    assert ingest(csv_request(tmp_path, [*HOURS, "y,1,1,1,1,1"]), tmp_path)["quarantined"] == 1


def test_database_holds_the_newest_bars_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_SHARED_BARS", "2")
    ingest(csv_request(tmp_path, HOURS[:4]), tmp_path)
    result = ingest(csv_request(tmp_path, HOURS), tmp_path)
    assert (result["stored"], result["shared"]) == (6, 2)
    shared = db.read_frame("SELECT volume FROM bars ORDER BY timestamp")["volume"]
    assert shared.to_list() == [4, 5]
    monkeypatch.setenv("SEP_SHARED_BARS", "0")
    ingest(csv_request(tmp_path, HOURS), tmp_path)
    assert db.read_frame("SELECT * FROM bars").is_empty()


def test_file_without_one_good_row_is_all_quarantine(tmp_path: Path) -> None:
    below = [line.replace("1.1,", "-1.1,") for line in HOURS]
    result = ingest(csv_request(tmp_path, below), tmp_path)
    assert (result["good"], result["stored"], result["last"]) == (0, 0, None)
    assert result["reasons"] == {"non-positive price": 6}
    lines = [line.replace("Z", "") for line in HOURS]
    with pytest.raises(SourceError, match=r"bars\.csv: the times name no zone: .* clock=UTC"):
        ingest(csv_request(tmp_path, lines), tmp_path)
    declared = ingest(csv_request(tmp_path, lines, clock="America/New_York"), tmp_path)
    assert declared["first"] == "2018-01-02T05:00:00+00:00"


def test_sample_is_good_but_for_two_hours_behind_a_weeks_end(tmp_path: Path) -> None:
    result = ingest(IngestRequest(), tmp_path)
    assert (result["rows"], result["good"]) == (5_000, 4_998)
    assert result["reasons"] == {"market closed": 2}


def test_parquet_with_quotes_keeps_them(tmp_path: Path) -> None:
    rows = planted_rows(50, timeframe="M5", seed=3)
    rows.drop("source_row").write_parquet(tmp_path / "quoted.parquet")
    request = IngestRequest(
        pair="GBP_USD", timeframe="M5", source="parquet", path=tmp_path / "quoted.parquet"
    )
    assert ingest(request, tmp_path)["good"] == 50
    columns = ["timestamp", "open", *QUOTES]
    assert bar_store().read("GBP_USD", "M5").select(columns).equals(rows.select(columns))
    shared = db.read_frame("SELECT * FROM bars ORDER BY timestamp")
    assert shared.select(columns).equals(rows.select(columns))


def test_file_of_a_publisher_is_read_by_its_clock(tmp_path: Path) -> None:
    path = tmp_path / "DAT_ASCII_EURUSD_M1_2018.csv"
    path.write_text("20180107 170000;1.2;1.3;1.1;1.25;0\n20180107 170100;1.2;1.3;1.1;1.25\n")
    request = IngestRequest(source="histdata", path=path, timeframe="M1")
    fetched = fetch_rows(request, str(tmp_path))
    assert (fetched["options"]["clock"], fetched["price"]) == ("EST", "bid")
    assert ingest(request, tmp_path)["first"] == "2018-01-07T22:00:00+00:00"
    summer = request.model_copy(update={"clock": "London-5"})
    assert fetch_rows(summer, str(tmp_path))["options"]["clock"] == "London-5"


def test_longer_bars_are_made_of_stored_minutes(tmp_path: Path) -> None:
    lines = [
        f"2018-01-02T{minute // 60:02}:{minute % 60:02}:00Z,1.2,1.3,1.1,1.25,1"
        for minute in range(150)
    ]
    hours = IngestRequest(source="minutes", timeframe="H1")
    with pytest.raises(SourceError, match="ingest M1 of it first"):
        ingest(hours, tmp_path)
    ingest(csv_request(tmp_path, lines[:100], timeframe="M1"), tmp_path)
    assert ingest(hours, tmp_path)["last"] == "2018-01-02T00:00:00+00:00"
    ingest(csv_request(tmp_path, lines, timeframe="M1"), tmp_path)
    assert ingest(hours, tmp_path)["added"] == 1
    assert bar_store().read("EUR_USD", "H1")["volume"].to_list() == [60, 60]


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("When,E,H,T,S\n2018-01-02T00:00:00Z,1.2,1.3,1.1,1.25\n")
    names = {"timestamp": "When", "open": "E", "high": "H", "low": "T", "close": "S"}
    result = ingest(IngestRequest(source="csv", path=path, columns=names), tmp_path)
    assert (result["good"], result["first"]) == (1, "2018-01-02T00:00:00+00:00")


def test_planted_bars_depend_on_their_seed_alone(tmp_path: Path) -> None:
    hashes = [
        ingest(IngestRequest(pair="PLANTED", source="planted", seed=seed, bars=300), tmp_path)
        for seed in (7, 7, 8)
    ]
    assert [result["added"] for result in hashes] == [300, 0, 0]
    assert hashes[0]["content_hash"] == hashes[1]["content_hash"] != hashes[2]["content_hash"]


@pytest.mark.parametrize("pair", sorted(SYNTHETIC))
def test_a_planted_walk_goes_by_its_instrument(tmp_path: Path, pair: str) -> None:
    request = IngestRequest(pair=pair, source="planted", seed=3, bars=400, timeframe="M30")
    assert ingest(request, tmp_path)["good"] == 400
    name = INSTRUMENTS[pair]
    walk = draw(name, 400, seed=3, bar_seconds=1800)
    made = walk.leader if walk.leader and pair != WALKS[name].instrument else walk
    stored = bar_store().read(pair, "M30")
    assert stored["timestamp"].to_physical().to_list() == made.time.tolist()
    assert stored["ask_close"].to_list() == made.ask_close.tolist()


@pytest.mark.parametrize("pair", ["PLANTED", "PLANTED_LEAD", "PLANTED_LEADER"])
def test_the_truth_of_planted_bars_is_kept_beside_them(tmp_path: Path, pair: str) -> None:
    request = IngestRequest(pair=pair, source="planted", seed=3, bars=400, size=0.5)
    ingest(request, tmp_path)
    truth, stored = read_truth(pair, "H1"), bar_store().read(pair, "H1")
    assert truth is not None
    assert truth.select("timestamp", "close").equals(stored.select("timestamp", "close"))
    assert truth.select("seed", "size", "horizon").unique().rows() == [(3, 0.5, 8)]
    walk = draw(INSTRUMENTS[pair], 400, seed=3, size=0.5, horizon=8)
    made = walk.leader if walk.leader and pair == "PLANTED_LEADER" else walk
    for column, side in enumerate(("long", "short")):
        for name in ("true_probability", "true_gain"):
            told = truth[f"{name}_{side}"].to_list()
            assert told == getattr(made, name)[:, column].tolist()


def test_the_truth_is_of_the_walk_that_was_ingested_last(tmp_path: Path) -> None:
    for seed, timeframe in ((1, "H1"), (2, "H1"), (3, "H4")):
        request = IngestRequest(
            pair="PLANTED", source="planted", seed=seed, timeframe=timeframe, bars=50
        )
        ingest(request, tmp_path)
    for timeframe, seed, horizon in (("H1", 2, 8), ("H4", 3, 6)):
        truth = read_truth("PLANTED", timeframe)
        assert truth is not None
        assert truth.select("seed", "horizon").unique().rows() == [(seed, horizon)]


def test_real_bars_have_no_truth(tmp_path: Path) -> None:
    ingest(IngestRequest(), tmp_path)
    assert read_truth("EUR_USD", "H1") is None


def test_each_synthetic_instrument_has_a_walk() -> None:
    assert set(INSTRUMENTS) == set(SYNTHETIC)


def test_the_size_of_an_edge_is_of_the_walk_and_of_the_name() -> None:
    small, usual = (
        IngestRequest(pair="PLANTED_DYING", source="planted", seed=3, size=size)
        for size in (0.5, 1.0)
    )
    assert (small.name, usual.name) == ("planted:3:size=0.5", "planted:3")
    first, second = (walk_rows(asked_walk(request, 8)) for request in (small, usual))
    assert first["timestamp"].equals(second["timestamp"])
    assert not first["close"].equals(second["close"])


@pytest.mark.parametrize("timeframe", ["M1", "M30", "H1"])
def test_gaps_lie_where_the_forex_market_is_closed(timeframe: str) -> None:
    bars = {"M1": 30_000, "M30": 30_000, "H1": 40_000}[timeframe]
    times = planted_rows(bars, timeframe=timeframe, seed=1, pair="PLANTED_GAPS")["timestamp"]
    calendar = calendar_of("PLANTED_GAPS")
    assert calendar.is_open(times).all()
    assert calendar.missing_bars(times, timeframe).is_empty()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"pair": "eur/uds", "source": "csv", "path": "x"}, "nearest are EUR_USD"),
        ({"timeframe": "H2", "source": "csv", "path": "x"}, "'M1', 'M5', 'M15'"),
        ({"source": "csv"}, "path is the file"),
        ({"path": "x"}, "path is the file"),
        ({"pair": "GBP_USD"}, "the sample is EUR_USD H1"),
        ({"source": "planted"}, "never mix"),
        ({"pair": "PLANTED", "source": "csv", "path": "x"}, "never mix"),
        ({"source": "csv", "path": "x", "clock": "Mars/Olympus"}, "Mars/Olympus"),
        ({"source": "csv", "path": "x", "clock": "../etc"}, "clock"),
        ({"pair": "PLANTED", "source": "planted", "timeframe": "D1", "bars": 9_999}, "future"),
        ({"pair": "PLANTED_GAPS", "source": "planted", "timeframe": "D1", "bars": 3_200}, "future"),
        ({"pair": "PLANTED_FAT"}, "never mix"),
        ({"pair": "PLANTED", "source": "planted", "size": -1}, "size"),
        ({"source": "csv", "path": "x", "clock": "EST+99"}, "clock"),
        ({"clock": "UTC"}, "clock is of a file"),
        ({"source": "minutes", "timeframe": "M1"}, "ask for another timeframe"),
        ({"source": "histdata", "path": "x"}, "histdata files hold M1: ask for timeframe=M1"),
        ({"source": "lean", "path": "x", "columns": {"open": "o"}}, "source=csv, parquet alone"),
        ({"source": "telepathy"}, "sample"),
    ],
)
def test_request_that_makes_no_sense_says_why(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        IngestRequest(**values)


def test_file_that_is_not_of_bars_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "page.csv"
    path.write_text("<html>")
    with pytest.raises(SourceError, match=r"page\.csv is a web page"):
        ingest(IngestRequest(source="csv", path=path), tmp_path)
    assert bar_store().pairs() == []


def test_lost_database_leaves_a_step_that_can_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = csv_request(tmp_path, SPOILT)
    validated = validate_rows(fetch_rows(request, str(tmp_path)), timeframe="H1")
    with monkeypatch.context() as patch:
        patch.setenv("SEP_HOME", str(tmp_path / "elsewhere"))
        with pytest.raises(db.DatabaseError, match="sep up"):
            store_rows(validated, request)
    assert store_rows(validated, request)["quarantined"] == 3
    assert pl.read_parquet(validated["bars"]).height == 5
