"""What a user may name instead of a file of bars: each is one message, and nothing hangs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import polars as pl
import pytest

from infra.sources.columns import SourceError
from infra.sources.csv import read_csv
from infra.sources.parquet import read_parquet
from infra.sources.regular import regular
from tasks.ingest import fetch_rows
from tasks.intake.request import IngestRequest

pytestmark = pytest.mark.timeout(30)


def pipe(place: Path) -> Path:
    os.mkfifo(place / "pipe")
    return place / "pipe"


def loop(place: Path) -> Path:
    (place / "one").symlink_to(place / "two")
    (place / "two").symlink_to(place / "one")
    return place / "one"


def listening(place: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "socket"))
    return place / "socket"


@pytest.mark.parametrize("source", ["csv", "parquet", "histdata", "lean"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (pipe, "is a pipe, which may never end"),
        (lambda place: "/dev/zero", "is a device, which may never end"),
        (lambda place: place, "holds 0 files of bars"),
        (lambda place: place / "*.csv", "holds 0 files of bars"),
        (loop, "cannot be read: .*(loop|levels of symbolic links)"),
        (listening, "is a socket"),
        (lambda place: "~nosuchuser/x.csv", "cannot be read: .*home"),
        (lambda place: "bars\0.csv", "cannot be read: .*null"),
        (lambda place: place / "missing.csv", "cannot be read: No such file"),
        (lambda place: place / ("x" * 300), "cannot be read: File name too long"),
    ],
)
def test_what_is_no_file_is_told(make: object, message: str, source: str, tmp_path: Path) -> None:
    assert callable(make)
    keys = {"histdata": {"timeframe": "M1"}}.get(source, {})
    request = IngestRequest(source=source, path=Path(make(tmp_path)), **keys)
    with pytest.raises(SourceError, match=message):
        fetch_rows(request, str(tmp_path))


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "bars.csv").write_text("time,open,high,low,close\n")
    (tmp_path / "link").symlink_to(tmp_path / "bars.csv")
    assert regular(tmp_path / "link") == (tmp_path / "bars.csv").resolve()


def test_a_header_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"column_{n}" for n in range(8_000)) + "\n1,2,3\n")
    with pytest.raises(SourceError, match="first line of more than 65,536 bytes"):
        read_csv(path)


@pytest.mark.parametrize("column", ["timestamp", "open", "volume"])
def test_nested_columns_are_named(column: str, tmp_path: Path) -> None:
    bars = pl.DataFrame(
        {
            "timestamp": [1],
            "open": [1.0],
            "high": [1.0],
            "low": [1.0],
            "close": [1.0],
            "volume": [1],
        }
    )
    nested = bars.with_columns(pl.struct(pl.col(column)).alias(column), pl.lit([1]).alias("more"))
    nested.write_parquet(tmp_path / "nested.parquet")
    with pytest.raises(SourceError, match=rf"'{column}' \(Struct.*write a plain column"):
        read_parquet(tmp_path / "nested.parquet")
    bars.with_columns(more=pl.lit([1])).write_parquet(tmp_path / "beside.parquet")
    assert read_parquet(tmp_path / "beside.parquet").height == 1
