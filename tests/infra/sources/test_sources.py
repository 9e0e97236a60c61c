"""Sources read rows without judging them; a file that is not of bars is one clear error."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sys
import zipfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import PRICES, QUOTES
from infra.sources import sample
from infra.sources.columns import SourceError, map_columns
from infra.sources.csv import read_csv
from infra.sources.parquet import read_parquet
from infra.sources.regular import files
from infra.sources.times import read_times

NOWHERE = Path("bars.csv")


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "some bars [1].csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,open,high,low,close",
        "Time,Open,High,Low,Close",
        "DATE,OPEN,HIGH,LOW,CLOSE",
        "datetime, open , high , low , close",
        ",Open,High,Low,Close",
        "Gmt time,Open,High,Low,Close",
        "<DATETIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>",
    ],
)
def test_columns_are_found_whatever_their_case(header: str) -> None:
    names = header.split(",")
    columns = map_columns(names, NOWHERE)
    assert columns.time == (names[0],)
    assert list(columns.values.values()) == names[1:]


@pytest.mark.parametrize(
    "name",
    [
        lambda side, price: f"{side}_{price}",
        lambda side, price: f"{side.title()}{price.title()}",
        lambda side, price: f" {side.upper()} {price} ",
        lambda side, price: f"{side}-{price[0]}",
    ],
)
def test_quotes_are_found(name: Callable[[str, str], str]) -> None:
    names = [name(*quote.split("_")) for quote in QUOTES]
    columns = map_columns(["time", *names], NOWHERE)
    assert columns.values == dict(zip(QUOTES, names, strict=True))


def test_date_and_time_of_day_are_put_together(tmp_path: Path) -> None:
    path = written(tmp_path, "Date\tTime\tOpen\tHigh\tLow\tClose\n2018.01.02\t03:04\t1\t2\t1\t2\n")
    assert read_csv(path)["timestamp"].to_list() == ["2018.01.02 03:04"]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_come_as_text_with_their_line(
    separator: str, ending: str, mark: str, tmp_path: Path
) -> None:
    lines = ["time,open,high,low,close,volume", "t1,1.10,2,1,x,", "", '"t2","1",2,1,2,3,more']
    path = written(tmp_path, mark + ending.join(lines).replace(",", separator))
    assert read_csv(path).rows() == [
        (2, "t1", "1.10", "2", "1", "x", "", None),
        (4, "t2", "1", "2", "1", "2", "3", "more"),
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"PK\x03\x04\0\0\0", "is binary"),
        ("time,open\n".encode("utf-16"), "none is high"),
        ("time,open,more\n".encode("utf-16-le"), "none is high"),
        (b"<!DOCTYPE html><html><body>Log in</body></html>", "is a web page"),
        (b"time,open,high,low\n1,1,1,1\n", "none is close"),
        (b"open,high,low,close\n1,1,1,1\n", "none is timestamp"),
        (b"2018-01-01,1,1,1,1\n", "rename its columns to timestamp, open"),
        (b"time,open,high,low,close\n\n", "no bars"),
        (b"\xff\xd8\xff\xe0JFIF", "holds no bars"),
    ],
)
def test_file_that_is_not_of_bars_is_one_clear_error(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SourceError, match=problem) as caught:
        read_csv(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    for read in (read_csv, read_parquet):
        with pytest.raises(SourceError, match=r"gone.*cannot be read"):
            read(tmp_path / "gone")
        with pytest.raises(SourceError, match=str(tmp_path)):
            read(tmp_path)


ROWS = "time,open,high,low,close\n" + "2018-01-01 00:00,1,2,1,2\n" * 5


@hypothesis_settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    mangled=st.tuples(st.integers(0, len(ROWS) - 1), st.binary(max_size=6)).map(
        lambda hit: ROWS.encode()[: hit[0]] + hit[1] + ROWS.encode()[hit[0] + 1 :]
    )
)
@example(mangled=ROWS.encode() + b"\x01,\x01\x01\n")
def test_mangled_text_gives_rows_or_one_error(mangled: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, mangled)
    try:
        rows = read_csv(path).height
    except SourceError:
        return
    assert rows <= mangled.count(b"\n")


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"Date": ["x"], "Open": [1], "High": [2.5], "Low": [1], "Close": [2], "?": [0]}
    )
    path = tmp_path / "bars [1].parquet"
    frame.write_parquet(path)
    assert read_parquet(path).rows(named=True) == [
        {"source_row": 1, "timestamp": "x", "open": 1, "high": 2.5, "low": 1, "close": 2}
    ]


GERMAN = {"date": "Tag", "time": "Zeit", "open": "E", "high": "H", "low": "T", "close": "S"}
GERMAN_ROWS = {"time": ["?"], "Tag": ["2018-01-02"], "Zeit": ["03:04"], "E": ["1"], "H": ["4"]}
GERMAN_ROWS |= {"T": ["2"], "S": ["3"], "Open": ["9"]}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_any_name_are_mapped(kind: str, tmp_path: Path) -> None:
    frame, path = pl.DataFrame(GERMAN_ROWS), tmp_path / "bars"
    if kind == "csv":
        frame.write_csv(path)
        read = read_csv(path, GERMAN).drop("excess")
    else:
        frame.write_parquet(path)
        read = read_parquet(path, GERMAN)
    assert read.drop("source_row", "time_of_day").rows() == [
        ("2018-01-02 03:04", "1", "4", "2", "3")
    ]


def test_parquet_with_date_and_time_of_day(tmp_path: Path) -> None:
    at = pl.Series([datetime(2018, 1, 2, 3, 4)])  # noqa: DTZ001
    frame = pl.DataFrame({"Date": at.dt.date(), "Time": at.dt.time(), **dict.fromkeys("OHLC", 1.0)})
    frame.rename(dict(zip("OHLC", PRICES, strict=True))).write_parquet(tmp_path / "bars")
    assert read_times(read_parquet(tmp_path / "bars")["timestamp"]).naive.to_list() == at.to_list()


@pytest.mark.parametrize("whole", ["", ".000"])
@pytest.mark.parametrize("zone", ["", "Z", "+00:00", " +0000"])
@pytest.mark.parametrize("turned", [False, True])
def test_fractions_of_some_times_are_read_beside_whole_ones(
    whole: str, zone: str, turned: bool
) -> None:
    cells = [f"2018-01-07 22:00:00{whole}{zone}", f"2018-01-07 22:00:00.001000{zone}"]
    reading = read_times(pl.Series(cells[::-1] if turned else cells))
    assert reading.times.dt.microsecond().sort().to_list() == [0, 1000]
    assert (reading.aware if zone else reading.naive).null_count() == 0


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"price": "open"}, "maps 'price': map any of timestamp, date"),
        ({"open": "Price"}, r"no column 'Price', as columns= says: it has 'time', 'open'"),
        ({"open": "close"}, "none is close"),
    ],
)
def test_mapping_that_makes_no_sense_says_why(
    mapping: dict[str, str], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=problem):
        read_csv(written(tmp_path, ROWS), mapping)


def zipped(folder: Path, members: dict[str, str | bytes]) -> Path:
    path = folder / "bars.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_the_csv_of_a_zip_is_read(tmp_path: Path) -> None:
    packed = zipped(tmp_path, {"bars.csv": ROWS, "readme.txt": "about"})
    assert read_csv(packed).equals(read_csv(written(tmp_path, ROWS)))


def test_utf_16_is_read(tmp_path: Path) -> None:
    plain = read_csv(written(tmp_path, ROWS))
    assert read_csv(written(tmp_path, ROWS.encode("utf-16"))).equals(plain)


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({}, "holds 0 CSV files"),
        ({"bars.doc": ROWS}, "holds 0 CSV files"),
        ({"a.csv": ROWS, "b.csv": ROWS}, "holds 2 CSV files, not one: unpack"),
        ({"a.csv": b"0" * 30_000_000}, "unpack to 30,000,000 bytes"),
        ({"a.csv": ""}, "is empty"),
    ],
)
def test_zip_that_is_not_one_of_bars_is_one_clear_error(
    members: dict[str, str | bytes], problem: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=problem):
        read_csv(zipped(tmp_path, members))


@hypothesis_settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_mangled_zip_gives_the_rows_or_one_error(at: int, byte: int, tmp_path: Path) -> None:
    path = zipped(tmp_path, {"bars.csv": ROWS})
    whole, content = read_csv(path), bytearray(path.read_bytes())
    content[at % len(content)] = byte
    path.write_bytes(content)
    with contextlib.suppress(SourceError):
        assert read_csv(path).equals(whole)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"time,open\n", b"PAR1" + b"\0" * 90 + b"PAR1"])
def test_parquet_that_is_none_is_one_clear_error(content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SourceError, match="Parquet") as caught:
        read_parquet(path)
    assert str(path) in str(caught.value)


def test_parquet_without_rows_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    names = ("time", "open", "high", "low", "close")
    pl.DataFrame(
        {name: [] for name in names}, schema=dict.fromkeys(names, pl.Float64)
    ).write_parquet(path)
    with pytest.raises(SourceError, match="no rows"):
        read_parquet(path)


def test_sample_is_read_where_pip_put_it() -> None:
    rows = sample.read_sample()
    assert rows.height == 5_000
    assert rows["timestamp"][0] == "2017-04-19 09:00:00"
    assert rows["timestamp"][-1] == "2018-02-07 15:00:00"
    assert "backtesting" not in sys.modules


def test_missing_sample_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(sample, "files", lost)
    with pytest.raises(SourceError, match=r"sep-trader\[sample\]"):
        sample.read_sample()


@pytest.mark.parametrize("name", ["/tmp/other.csv", "../other.csv", "C:/other.csv"])
def test_zip_never_leads_out_of_itself(name: str, tmp_path: Path) -> None:
    packed = zipped(tmp_path, {"bars.csv": ROWS, name: ROWS})
    with pytest.raises(SourceError, match="lies outside of it"):
        files(packed)


def test_texts_of_a_zip_are_files(tmp_path: Path) -> None:
    packed = zipped(tmp_path, {"b/two.csv": ROWS, "one.csv": ROWS, "readme.txt": "about"})
    found = files(packed)
    assert found == [packed / "b/two.csv", packed / "one.csv"]
    assert [read_csv(path).height for path in found] == [5, 5]


def test_surplus_without_content_is_nothing(tmp_path: Path) -> None:
    lines = ROWS.strip().split("\n")
    path = written(tmp_path, "\n".join([lines[0], *(f"{line},, " for line in lines[1:])]))
    assert read_csv(path)["excess"].null_count() == 5


@pytest.mark.parametrize("time", ["Date", "Datetime"])
def test_three_lines_of_yfinance_are_a_header(time: str, tmp_path: Path) -> None:
    head = f"Price,Close,High,Low,Open,Volume\nTicker,{','.join(['EURUSD=X'] * 5)}\n{time},,,,,\n"
    rows = read_csv(written(tmp_path, head + "2018-01-08 00:00:00+00:00,1.2,1.3,1.1,1.25,0\n"))
    assert rows.select("ticker", "open", "close").rows() == [("EURUSD=X", "1.25", "1.2")]


def test_two_columns_of_one_price_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, "time,Open,High,Low,Close,Open\nx,1,2,1,2,3\n")
    with pytest.raises(SourceError, match="two columns 'Open'"):
        read_csv(path)
