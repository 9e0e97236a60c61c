"""Ticks become minutes: none is lost, none counted twice, none moved by a clock."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import PRICES, QUOTES
from infra.sources.columns import SourceError
from infra.sources.registry import Source
from infra.sources.ticks import Dukascopy, TrueFx
from tasks.intake.validation import Validated, validate

HEADER = "Gmt time,Ask,Bid,AskVolume,BidVolume\n"
SUNDAY = datetime(2018, 1, 7, 22, tzinfo=UTC)
TICK = "EUR/USD,20180107 22:00:00.250,1.20300,1.20310\n"
Tick = tuple[datetime, float, float]


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "ticks.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def told(source: Source, path: Path) -> Validated:
    return validate(source.read(path), timeframe="M1", clock=source.clock)


def reasons(source: Source, path: Path) -> list[tuple[int, str]]:
    return told(source, path).quarantined.select("source_row", "reason").rows()


def to_truefx(ticks: list[Tick]) -> str:
    lines = [f"EUR/USD,{at:%Y%m%d %H:%M:%S.%f},{bid},{ask}" for at, bid, ask in ticks]
    return "\n".join(lines)


def to_export(ticks: list[Tick]) -> str:
    return "\n".join(["timestamp,bid,ask", *(f"{at},{bid},{ask}" for at, bid, ask in ticks)])


def to_dukascopy(ticks: list[Tick]) -> str:
    return HEADER + "\n".join(
        f"{at:%d.%m.%Y %H:%M:%S.%f},{ask},{bid},1.5,0.75" for at, bid, ask in ticks
    )


FORMATS: dict[str, tuple[Source, Callable[[list[Tick]], str]]] = {
    "truefx": (TrueFx(), to_truefx),
    "truefx, exported again": (TrueFx(), to_export),
    "dukascopy": (Dukascopy(), to_dukascopy),
}


def naive_minutes(ticks: list[Tick]) -> list[tuple[float | datetime, ...]]:
    """Time, bid, ask and middle (open, high, low, close), count; minute by minute."""
    minutes: dict[datetime, list[Tick]] = {}
    for tick in ticks:
        minutes.setdefault(tick[0].replace(second=0, microsecond=0), []).append(tick)
    rows: list[tuple[float | datetime, ...]] = []
    for at, inside in minutes.items():
        columns = [[bid for _, bid, _ in inside], [ask for _, _, ask in inside]]
        columns.append([(bid + ask) / 2 for _, bid, ask in inside])
        prices = [p for c in columns for p in (c[0], max(c), min(c), c[-1])]
        rows.append((at, *prices, float(len(inside))))
    return rows


@st.composite
def some_ticks(draw: st.DrawFn) -> list[Tick]:
    """Ticks in order, some at the same time, some with the ask below the bid."""
    gaps = draw(st.lists(st.integers(0, 90_000), min_size=1, max_size=30))
    ticks, at = [], SUNDAY
    for gap in gaps:
        at += timedelta(milliseconds=gap)
        bid, spread = draw(st.integers(100_000, 130_000)), draw(st.integers(-9, 30))
        ticks.append((at, bid / 100_000, (bid + spread) / 100_000))
    return ticks


COLUMNS = ("timestamp", *QUOTES, *PRICES, "volume")


@pytest.mark.parametrize("name", FORMATS)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ticks=some_ticks())
def test_minutes_are_those_of_the_naive_way(name: str, ticks: list[Tick], tmp_path: Path) -> None:
    source, write = FORMATS[name]
    result = told(source, written(tmp_path, write(ticks)))
    good = [(at, bid, ask) for at, bid, ask in ticks if ask >= bid]
    assert result.quarantined["reason"].to_list() == ["crossed quotes"] * (len(ticks) - len(good))
    assert result.bars.select(COLUMNS).rows() == naive_minutes(good)


@pytest.mark.parametrize("name", FORMATS)
@hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 3_000), patch=st.binary(max_size=4))
@example(at=60, patch=b"\n")
def test_every_tick_counts_or_is_set_aside(
    name: str, at: int, patch: bytes, tmp_path: Path
) -> None:
    source, write = FORMATS[name]
    ticks = [(SUNDAY + timedelta(seconds=20 * i), 1.2, 1.2001) for i in range(30)]
    content = write(ticks).encode()
    at %= len(content)
    path = written(tmp_path, content[:at] + patch + content[at + 1 :])
    lines = path.read_bytes().decode(errors="replace").split("\n")
    filled = sum(bool(line.strip(" \r\ufeff")) for line in lines)
    try:
        result = told(source, path)
    except SourceError as error:
        message = str(error)
    else:
        counted = (result.bars["volume"].sum() or 0) + result.quarantined.height
        assert counted == filled - (write is not to_truefx)
        return
    assert str(path) in message


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("EUR/USD,20180107 22:00:01.000,1.2,1.3,7\n", "more fields than the header"),
        ("EUR/USD,,1.2,1.3\n", "missing timestamp"),
        ("EUR/USD\n", "missing timestamp"),
        ("EUR/USD,1515366000,1.2,1.3\n", "unreadable timestamp"),
        ("EUR/USD,20180230 22:00:01.000,1.2,1.3\n", "unreadable timestamp"),
        ("EUR/USD,29180107 22:00:01.000,1.2,1.3\n", "future timestamp"),
        ("EUR/USD,20180107 22:00:01.000,x,1.3\n", "unreadable number"),
        ("EUR/USD,20180107 22:00:01.000,1.2\n", "unreadable number"),
        ("EUR/USD,20180107 22:00:01.000,nan,1.3\n", "unreadable number"),
        ("EUR/USD,20180107 22:00:01.000,0,1.3\n", "non-positive price"),
        ("EUR/USD,20180107 22:00:01.000,1.2,inf\n", "infinite price"),
        ("EUR/USD,20180107 22:00:00.249,1.2,1.3\n", "unsorted timestamp"),
        ("GBP/USD,20180107 22:00:01.000,1.2,1.3\n", "another pair"),
    ],
)
def test_bad_tick_is_set_aside_as_it_was(row: str, reason: str, tmp_path: Path) -> None:
    last = TICK.replace("00.250", "02.250")
    result = told(TrueFx(), written(tmp_path, TICK + row + last))
    assert result.quarantined.select("source_row", "reason").rows() == [(2, reason)]
    assert result.bars["volume"].to_list() == [2]
    shown = pl.Series([result.quarantined["raw"][0]]).str.json_path_match("$.tick.pair")
    assert shown.to_list() == [row[:7]]


def test_bad_tick_does_not_make_others_late(tmp_path: Path) -> None:
    wrong = TICK.replace("20180107", "20190107").replace("1.20300", "0")
    assert reasons(TrueFx(), written(tmp_path, TICK + wrong + TICK)) == [(2, "non-positive price")]


def test_file_without_one_good_tick_is_all_quarantine(tmp_path: Path) -> None:
    path = written(tmp_path, TICK.replace("1.20300", "-1") * 2)
    assert reasons(TrueFx(), path) == [(1, "non-positive price"), (2, "non-positive price")]


@pytest.mark.parametrize(
    ("time", "clock", "hour"),
    [
        ("Gmt time", None, 22),
        ("Time (UTC)", None, 22),
        ("Time (EET)", "Europe/Athens", 20),
        ("Gmt time", "New York", 3),
    ],
)
def test_clock_of_dukascopy_is_in_the_header(
    time: str, clock: str | None, hour: int, tmp_path: Path
) -> None:
    row = "07.01.2018 22:00:00.250,1.2031,1.2030,1.5,0.75\n"
    path = written(tmp_path, HEADER.replace("Gmt time", time) + row)
    bars = told(Dukascopy(clock), path).bars
    assert bars["timestamp"].dt.hour().to_list() == [hour]
    assert bars.select("bid_open", "ask_open").row(0) == (1.2030, 1.2031)


def test_hour_that_comes_twice_is_two_hours_of_ticks(tmp_path: Path) -> None:
    once = [f"04.11.2018 01:{minute:02}:30.000,1.3,1.2,1,1\n" for minute in range(60)]
    bars = told(Dukascopy("New York"), written(tmp_path, HEADER + "".join(once * 2))).bars
    assert bars["timestamp"].dt.strftime("%H:%M").to_list()[::59] == ["05:00", "05:59", "06:58"]
    lone = told(Dukascopy("New York"), written(tmp_path, HEADER + "".join(once)))
    assert lone.quarantined["reason"].unique().to_list() == ["ambiguous local time"]


@pytest.mark.parametrize(
    ("source", "content", "problem"),
    [
        (Dukascopy(), TICK, "no ticks of Dukascopy"),
        (
            Dukascopy(),
            "Gmt time,Open,High,Low,Close,Volume\n1,1,1,1,1,1\n",
            "source=csv for its bars",
        ),
        (Dukascopy(), HEADER.replace("AskVolume", "Bid") + "x\n", "no ticks of Dukascopy"),
        (Dukascopy(), HEADER.replace("Gmt time", "Local time") + "x\n", "clock of 'local time'"),
        (Dukascopy(), HEADER, "holds no bars"),
        (TrueFx(), HEADER + "x\n", "no ticks of TrueFX"),
    ],
)
def test_file_of_another_format_is_one_clear_error(
    source: Source, content: str, problem: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SourceError, match=problem) as caught:
        source.read(path)
    assert str(path) in str(caught.value)
