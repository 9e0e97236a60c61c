"""`sep ingest FILE`: the README's commands on such files, what is shown, and a run to the end."""

from __future__ import annotations

import gzip
import os
import pty
import re
import shlex
import signal
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fastexcel  # noqa: F401
import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from deployments.sep.cli import app
from deployments.sep.ingest import IngestFailed, as_options
from infra.settings import PROJECT
from tests.stack import Stack

README = (PROJECT / "README.md").read_text()
COMMANDS = re.findall(
    r"^\| .* \| `sep (ingest .*)` \|$",
    README.partition("<!-- files:")[2].partition("<!-- /files -->")[0],
    re.MULTILINE,
)
START = datetime(2018, 1, 8, tzinfo=UTC)
BARS = 24


def rows(step: timedelta, form: str, ahead: int = 0) -> list[tuple[str, list[str]]]:
    """Times on a clock some hours ahead of UTC, and prices."""
    prices = [
        ["1.20000", "1.20050", "1.19950", "1.20010"],
        ["1.20010", "1.20040", "1.19990", "1.20020"],
    ]
    times = [START + n * step + timedelta(hours=ahead) for n in range(BARS)]
    return [(at.strftime(form), prices[n % 2]) for n, at in enumerate(times)]


def lines(form: str, *, minutes: int = 60, ahead: int = 0, separator: str = ",") -> list[str]:
    told = rows(timedelta(minutes=minutes), form, ahead)
    return [separator.join([at, *prices]) for at, prices in told]


def text(header: str, body: list[str]) -> bytes:
    return "\n".join([header, *body] if header else body).encode()


def zipped(name: str, content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)

    return write


def ticks(form: str, fields: str) -> list[str]:
    return [fields.format(at=at) for at, _ in rows(timedelta(minutes=1), form)]


def as_is(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


HEADER = "timestamp,open,high,low,close"
ZONED = text(HEADER, lines("%Y-%m-%dT%H:%M:%SZ"))
RATES = [
    (int(START.timestamp()) + 3600 * (n + 2), 1.2, 1.21, 1.19, 1.2, 9, 1, 0) for n in range(BARS)
]
RATE_TYPES = [
    *(("time", "<i8"), ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8")),
    *(("tick_volume", "<u8"), ("spread", "<i4"), ("real_volume", "<u8")),
]


def frame() -> pl.DataFrame:
    times = [START + n * timedelta(hours=1) for n in range(BARS)]
    return pl.DataFrame({"time": times, "open": 1.2, "high": 1.21, "low": 1.19, "close": 1.2})


def workbook(path: Path) -> None:
    """Write the least that a spreadsheet is: text cells of a sheet."""
    told = [
        HEADER.split(","),
        *([at, *p] for at, p in rows(timedelta(hours=1), "%Y-%m-%d %H:%M:%S")),
    ]
    cells = (
        "".join(f'<c t="inlineStr"><is><t>{word}</t></is></c>' for word in row) for row in told
    )
    sheet = "".join(f"<row>{row}</row>" for row in cells)
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    kinds = "http://schemas.openxmlformats.org/package/2006/content-types"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{kinds}"><Default Extension="xml" '
        'ContentType="application/xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" '
        f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>'
        '<sheet name="bars" sheetId="1" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}"><Relationship Id="r1" '
        f'Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{sheet}</sheetData>'
        "</worksheet>",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def folder(path: Path) -> None:
    path.mkdir()
    for name in ("one.csv", "two.csv"):
        (path / name).write_bytes(ZONED)


def part(path: Path) -> None:
    path.write_bytes(gzip.compress(ZONED))


def gold(path: Path) -> None:
    told = rows(timedelta(days=1), "%m/%d/%Y")[:5]
    body = [f'"{at}","1,320.10","1,319.50","1,325.00","1,310.20","12.5K","0.1%"' for at, _ in told]
    path.write_bytes(text('"Date","Price","Open","High","Low","Vol.","Change %"', body[::-1]))


HOURS = rows(timedelta(hours=1), "%Y-%m-%dT%H:%M:%SZ")
FOREXITE = [f"EURUSD,{line},1" for line in lines("%Y%m%d,%H%M%S", minutes=1)]
STOOQ = [f"EURUSD,60,{line},0,0" for line in lines("%Y%m%d,%H%M%S")]
LEAN = [f"{60000 * n},1.2,1.21,1.19,1.2,0,1.2001,1.2101,1.1901,1.2001,0" for n in range(BARS)]
FILES: dict[str, Callable[[Path], None]] = {
    "DAT_ASCII_EURUSD_M1_2018.zip": zipped(
        "DAT_ASCII_EURUSD_M1_2018.csv",
        text("", [f"{line};0" for line in lines("%Y%m%d %H%M%S", minutes=1, separator=";")]),
    ),
    "DAT_ASCII_EURUSD_T_201801.zip": zipped(
        "DAT_ASCII_EURUSD_T_201801.csv", text("", ticks("%Y%m%d %H%M%S001", "{at},1.2,1.2001,0"))
    ),
    "EURUSD_H1.csv": as_is(
        text(
            "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>",
            [f"{line}\t5\t0\t2" for line in lines("%Y.%m.%d\t%H:%M:%S", ahead=2, separator="\t")],
        )
    ),
    "EURUSD_rates.npy": lambda path: np.save(path, np.array(RATES, dtype=RATE_TYPES)),
    "EURUSD_Candlestick_1_Hour_BID.csv": as_is(
        text(
            "Gmt time,Open,High,Low,Close,Volume",
            [f"{line},9.5" for line in lines("%d.%m.%Y %H:%M:%S.000")],
        )
    ),
    "EURUSD_Ticks_2018.csv": as_is(
        text(
            "Gmt time,Ask,Bid,AskVolume,BidVolume",
            ticks("%d.%m.%Y %H:%M:%S.005", "{at},1.2001,1.2,1,1"),
        )
    ),
    "EURUSD-2018-01.zip": zipped(
        "EURUSD-2018-01.csv", text("", ticks("%Y%m%d %H:%M:%S.005", "EUR/USD,{at},1.2,1.2001"))
    ),
    "20180108_quote.zip": zipped("20180108_eurusd_minute_quote.csv", text("", LEAN)),
    "080118.txt": as_is(
        text("<TICKER>,<DTYYYYMMDD>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>", FOREXITE)
    ),
    "XAU_USD Historical Data.csv": gold,
    "EURUSD=X.csv": as_is(
        text(
            "Date,Open,High,Low,Close,Adj Close,Volume",
            [f"{line},1.2,0" for line in lines("%Y-%m-%d", minutes=1440)[:5]],
        )
    ),
    "eurusd_h.txt": as_is(
        text("<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>", STOOQ)
    ),
    "fx_intraday_60min_EUR_USD.csv": as_is(text(HEADER, lines("%Y-%m-%d %H:%M:%S")[::-1])),
    "OANDA_EURUSD, 60.csv": as_is(
        text("time,open,high,low,close,Volume", [f"{line},7" for line in lines("%s")])
    ),
    "EURUSD.xlsx": workbook,
    "EURUSD_de.csv": as_is(
        b"\xef\xbb\xbf"
        + text(HEADER.replace(",", ";"), lines("%Y-%m-%dT%H:%M:%SZ", separator=";"))
        .replace(b".", b",")
        .replace(b"\n", b"\r\n")
    ),
    "EURUSD_us.csv": as_is(text("Date,Time,Open,High,Low,Close", lines("%m/%d/%Y,%I:%M %p"))),
    "USDJPY_points.csv": as_is(
        text(HEADER, [f"{at},103681,103690,103600,103650" for at, _ in HOURS])
    ),
    "EURUSD_ends.csv": as_is(text(HEADER, lines("%Y-%m-%dT%H:%M:%SZ", ahead=1))),
    "EURUSD_named.csv": as_is(text("timestamp,E,H,L,S", lines("%Y-%m-%dT%H:%M:%SZ"))),
    "EURUSD_bare.csv": as_is(text("", lines("%Y-%m-%dT%H:%M:%SZ"))),
    "EURUSD_H1.parquet": lambda path: frame().write_parquet(path),
    "EURUSD_2018": folder,
    "EURUSD_part_*.csv.gz": lambda path: part(path.with_name("EURUSD_part_1.csv.gz")),
}
FEW = {"XAU_USD Historical Data.csv": 5, "EURUSD=X.csv": 5}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_read_such_files(command: str, here: Path) -> None:
    name, arguments, *options = shlex.split(command)
    FILES[arguments](here / arguments)
    done = CliRunner().invoke(app, [name, arguments, *options, "--dry-run"])
    assert done.exception is None, done.exception
    assert f"{FEW.get(arguments, BARS)} bars" in done.stdout
    assert "Nothing was stored" in done.stdout


def test_the_readme_names_every_kind_of_file() -> None:
    assert {shlex.split(command)[1] for command in COMMANDS} == set(FILES)


def test_refusals_name_the_options_of_the_command(here: Path) -> None:
    (here / "EURUSD.csv").write_bytes(text(HEADER, lines("%Y-%m-%d %H:%M")))
    done = CliRunner().invoke(app, ["ingest", "EURUSD.csv"])
    assert isinstance(done.exception, IngestFailed)
    assert "--clock UTC, --clock EST" in str(done.exception)
    assert as_options("say time_format=day-first.") == "say --time-format day-first."
    assert as_options('columns={"open": "..."}, by name') == "--columns open=NAME, by name"
    assert as_options("clock='New York+7' (x)") == "--clock 'New York+7' (x)"


def test_nobody_there_to_ask_is_told(here: Path) -> None:
    (here / "EURUSD.csv").write_bytes(ZONED)
    done = CliRunner().invoke(app, ["ingest", "EURUSD.csv"])
    assert "--yes" in str(done.exception)


def test_a_file_of_no_bars_is_told_before_anything_runs(here: Path) -> None:
    (here / "EURUSD.csv").write_bytes(ZONED.replace(b"1.2", b"-1.2").replace(b"1.19", b"-1.19"))
    done = CliRunner().invoke(app, ["ingest", "EURUSD.csv", "--yes", "--timeframe", "H1"])
    assert "no row is a bar" in str(done.exception)
    assert "non-positive price" in done.stdout


def test_a_file_reaches_the_store(stack: Stack, tmp_path: Path) -> None:
    path = tmp_path / "AUDNZD_H1.csv"
    path.write_bytes(ZONED)
    screen = stack.sep("ingest", str(path), "--yes").stdout
    assert "24 bars added, 0 revised" in screen
    assert "AUD_NZD H1" in screen
    pictures = [Path(word) for word in screen.split() if word.endswith(".png")]
    assert pictures
    assert all(picture.is_file() for picture in pictures)


@pytest.mark.parametrize(
    "options",
    [
        ("--scale", "0"),
        ("--source", "blah"),
        ("--stamp", "foo"),
        ("--decimal", "x"),
        ("--timeframe", "H2"),
        ("--columns", "open"),
    ],
)
def test_option_that_is_none_is_one_sentence(options: tuple[str, str], here: Path) -> None:
    (here / "EURUSD.csv").write_bytes(ZONED)
    done = CliRunner().invoke(app, ["ingest", "EURUSD.csv", *options])
    assert isinstance(done.exception, IngestFailed)
    assert options[0].strip("-") in str(done.exception)
    assert "pydantic" not in str(done.exception)


def test_ctrl_c_at_the_question_ends_it(here: Path) -> None:
    (here / "EURUSD.csv").write_bytes(ZONED)
    child, terminal = pty.fork()
    if child == 0:
        os.execv(
            sys.executable, [sys.executable, "-m", "deployments.sep.cli", "ingest", "EURUSD.csv"]
        )
    screen = b""
    while b"[Y/n]" not in screen:
        screen += os.read(terminal, 4096)
    ended, status, deadline = 0, -1, time.monotonic() + 20
    while not ended and time.monotonic() < deadline:
        os.write(terminal, b"\x03")
        time.sleep(0.5)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert ended == child
    assert os.waitstatus_to_exitcode(status) in (1, -signal.SIGINT)
