"""Files as traders have them (`tests/cases`): what comes of each, and what is refused how."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from infra.settings import PROJECT
from tests.infra.sources.reading import Outcome, read

CASES = PROJECT / "tests" / "cases"
MONDAY = datetime(2024, 6, 3, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
NEW_YORK = ZoneInfo("America/New_York")
PRICES = ("open", "high", "low", "close")


def ask(name: str, timeframe: str = "H1", **options: Any) -> Outcome:
    return read(
        **{"source": "csv", "path": CASES / name, "timeframe": timeframe, "pair": "EUR_USD"}
        | options
    )


def cells(name: str, separator: str = ",") -> list[dict[str, str]]:
    """The rows of a file, by the standard library, under lower-case names."""
    with (CASES / name).open(encoding="utf-8-sig", newline="") as file:
        names, *rows = csv.reader(file, delimiter=separator)
    plain = [name.strip("<>").lower() for name in names]
    return [dict(zip(plain, row, strict=True)) for row in rows]


def prices(rows: list[dict[str, str]]) -> list[tuple[float, ...]]:
    return [tuple(float(row[name].replace(",", ".")) for name in PRICES) for row in rows]


def assert_whole(outcome: Outcome, rows: list[dict[str, str]], step: timedelta = HOUR) -> None:
    """Every row is a bar, the first one at Monday's midnight UTC."""
    assert outcome.known.height == len(rows), outcome.reasons
    assert outcome.times == [MONDAY + n * step for n in range(len(rows))]
    assert outcome.known.select(PRICES).rows() == prices(rows)


def is_closed(moment: datetime) -> bool:
    """Friday 17:00 to Sunday 17:00 New York."""
    local = moment.astimezone(NEW_YORK)
    minute = (local.weekday() * 24 + local.hour) * 60 + local.minute
    return (4 * 24 + 17) * 60 <= minute < (6 * 24 + 17) * 60


@pytest.mark.parametrize(
    "options",
    [{"clock": "New York+7"}, {"source": "metatrader"}],
    ids=["declared", "metatrader"],
)
def test_epoch_seconds_of_a_wall_clock(options: dict[str, Any]) -> None:
    assert_whole(ask("mt5_rates.csv", **options), cells("mt5_rates.csv"))


def test_forexite_needs_no_columns() -> None:
    outcome = ask("forexite.txt", "M1", pair="AUD_JPY", clock="UTC")
    assert_whole(outcome, cells("forexite.txt"), MINUTE)


def test_a_ticker_of_another_pair_is_refused() -> None:
    outcome = ask("forexite.txt", "M1", pair="EUR_USD", clock="UTC")
    assert outcome.refusal is not None
    assert "AUDJPY" in outcome.refusal.replace("AUD_JPY", "AUDJPY")
    assert "pair" in outcome.named


def test_times_without_their_zeros_are_never_guessed() -> None:
    outcome = ask("forexite_excel.csv", "M1", pair="AUD_JPY", clock="UTC")
    if outcome.refusal is not None:
        assert outcome.named & {"time_format", "columns"}, outcome.refusal
        return
    rows = prices(cells("forexite_excel.csv"))
    right = {MONDAY + n * MINUTE: row for n, row in enumerate(rows)}
    bars = outcome.known.select("timestamp", *PRICES).rows()
    assert [row[1:] for row in bars] == [right.get(row[0]) for row in bars]
    assert len(bars) + sum(outcome.reasons.values()) == len(rows)


def test_times_without_their_zeros_are_read_where_declared() -> None:
    told = {"pair": "AUD_JPY", "clock": "UTC", "time_format": "%Y%m%d %H%M%S"}
    assert_whole(ask("forexite_excel.csv", "M1", **told), cells("forexite_excel.csv"), MINUTE)


@pytest.mark.parametrize("timeframe", ["H4", "D1", "M1", "M30"])
def test_rows_of_another_length_are_refused(timeframe: str) -> None:
    refusal = ask("h1_told_h4.csv", timeframe).refusal
    assert refusal is not None
    assert "timeframe=H1" in refusal


def test_rows_of_the_length_asked_for_are_bars() -> None:
    outcome, rows = ask("h1_told_h4.csv", "H1"), cells("h1_told_h4.csv")
    assert outcome.times == [datetime.fromisoformat(row["timestamp"]) for row in rows]


def test_closed_time_holds_no_bars() -> None:
    outcome, rows = ask("weekend_flats.csv"), cells("weekend_flats.csv")
    times = [datetime.fromtimestamp(int(row["timestamp"]) / 1000, UTC) for row in rows]
    is_open = [moment for moment in times if not is_closed(moment)]
    assert 0 < len(is_open) < len(times)
    assert outcome.times == is_open
    assert sum(outcome.reasons.values()) == len(times) - len(is_open)


def test_newest_first_is_turned_round() -> None:
    assert_whole(ask("newest_first.csv"), cells("newest_first.csv")[::-1])


@pytest.mark.parametrize("options", [{}, {"time_format": "month-first"}, {"decimal": "."}])
def test_daily_gold_with_thousands(options: dict[str, str]) -> None:
    told = {"pair": "XAU_USD", "clock": "New York", **options}
    bars = ask("investing_gold.csv", "D1", **told).known
    rows = cells("investing_gold.csv")[::-1]
    written = [
        tuple(float(row[name].replace(",", "")) for name in ("open", "high", "low", "price"))
        for row in rows
    ]
    assert bars.select(PRICES).rows() == written
    days = [step.days for step in bars["timestamp"].diff().drop_nulls()]
    assert days == [1, 1, 1, 1, 3, 1, 1]
    assert abs(bars["timestamp"][0] - MONDAY) < timedelta(days=1)
    assert bars["volume"].null_count() == len(rows)


def test_a_volume_that_is_none_costs_no_bar() -> None:
    outcome = ask("zero_nan.csv")
    assert outcome.times == [MONDAY + hour * HOUR for hour in (0, 3, 4, 5)]
    known, thousands, *unknown = outcome.known["volume"]
    assert (known, unknown) == (5, [None, None])
    assert thousands in (68_180, None)
    assert sum(outcome.reasons.values()) == 3


def test_day_and_month_that_nothing_tells_apart_are_refused() -> None:
    outcome = ask("us_dates.csv", clock="UTC")
    assert "time_format" in outcome.named, outcome.refusal


@pytest.mark.parametrize("form", ["month-first", "%m/%d/%Y %I:%M %p"])
def test_us_dates_and_a_clock_of_twelve_hours(form: str) -> None:
    assert_whole(ask("us_dates.csv", clock="UTC", time_format=form), cells("us_dates.csv"))


def test_the_same_dates_with_the_day_first() -> None:
    outcome = ask("us_dates.csv", clock="UTC", time_format="day-first")
    march = datetime(2024, 3, 6, tzinfo=UTC)
    assert outcome.times == [march + hour * HOUR for hour in range(24)]


def test_offsets_in_each_cell() -> None:
    assert_whole(ask("duka_bars_local.csv"), cells("duka_bars_local.csv"))


def test_a_clock_in_the_header() -> None:
    assert_whole(ask("duka_bars_gmt.csv"), cells("duka_bars_gmt.csv"))


def test_a_clock_declared_against_the_header_is_not_ignored() -> None:
    outcome = ask("duka_bars_gmt.csv", clock="Asia/Tokyo")
    if outcome.refusal is not None:
        assert "clock" in outcome.named
        return
    written = prices(cells("duka_bars_gmt.csv"))
    by_tokyo = {MONDAY + (n - 9) * HOUR: row for n, row in enumerate(written)}
    bars = outcome.known.select("timestamp", *PRICES).rows()
    assert [row[1:] for row in bars] == [by_tokyo.get(row[0]) for row in bars]


@pytest.mark.parametrize("options", [{}, {"decimal": ","}])
def test_semicolons_and_decimal_commas(options: dict[str, str]) -> None:
    assert_whole(ask("excel_de.csv", **options), cells("excel_de.csv", ";"))


@contextmanager
def venue(body: bytes) -> Iterator[str]:
    """Serve one answer to whatever is asked; the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.usefixtures("home")
def test_an_ask_below_its_bid_is_set_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    # another Monday, which is over by whatever clock
    body = Path(CASES / "oanda_crossed.json").read_text().replace("2026-11-23", f"{MONDAY:%F}")
    candles = body.count('"complete"')
    with venue(body.encode()) as address:
        monkeypatch.setenv("SEP_OANDA_TOKEN", "made-up")
        monkeypatch.setenv("SEP_OANDA_URL", address)
        outcome = read(source="oanda", pair="EUR_USD", timeframe="M1", start=MONDAY)
    assert outcome.known.is_empty()
    assert outcome.reasons == {"crossed quotes": candles}
