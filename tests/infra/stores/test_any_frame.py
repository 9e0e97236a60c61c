"""Any valid bars come back bit for bit; any mangled file gives rows, quarantine or one error."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import text

from infra.bars import PRICES, QUOTES, SCHEMA, content_hash
from infra.postgres import database as db
from infra.postgres.models import Bar
from infra.sources.columns import SourceError
from infra.sources.registry import SOURCES
from infra.stores.bulk import BarStore
from tasks.intake.rows import planted_rows
from tasks.intake.validation import validate
from tests.infra.sources.test_publishers import (
    to_histdata,
    to_lean,
    to_metatrader_4,
    to_metatrader_5,
)
from tests.infra.sources.test_ticks import to_dukascopy, to_export, to_truefx

SUNDAY = datetime(2018, 1, 7, 22, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
YEARS = int((datetime(2024, 12, 31, tzinfo=UTC) - datetime(1971, 1, 1, tzinfo=UTC)) / MINUTE)


def examples(n: int) -> hypothesis_settings:
    quiet = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    return hypothesis_settings(max_examples=n, deadline=None, suppress_health_check=quiet)


PRICE = st.floats(min_value=5e-324, allow_infinity=False) | st.sampled_from([5e-324, 1 / 3, 1.2])
VOLUME = st.none() | st.sampled_from([-0.0, 0.0]) | st.floats(min_value=0, allow_infinity=False)


@st.composite
def four_prices(draw: st.DrawFn) -> tuple[float, float, float, float]:
    low, *between, high = sorted(draw(st.tuples(PRICE, PRICE, PRICE, PRICE)))
    open_, close = draw(st.permutations(between))
    return open_, high, low, close


def apart(sides: tuple[tuple[float, ...], tuple[float, ...]]) -> tuple[float, ...]:
    """Bid and ask of which the ask is nowhere below."""
    bid, ask = sides
    return bid + tuple(map(max, bid, ask))


@st.composite
def valid_bars(draw: st.DrawFn) -> pl.DataFrame:
    """Bars as the schema has them: any positive doubles, volume and quotes known or not."""
    drawn = draw(st.sets(st.integers(0, YEARS), min_size=1, max_size=12))
    minutes = sorted(drawn | {min(drawn) + 1})  # two that follow one another: bars of a minute
    quotes = st.tuples(four_prices(), four_prices()).map(apart)
    unknown = st.just((None,) * len(QUOTES))
    rows = [
        (
            datetime(1971, 1, 1, tzinfo=UTC) + minute * MINUTE,
            *draw(four_prices()),
            draw(VOLUME),
            *draw(quotes if n == 0 else quotes | unknown),
        )
        for n, minute in enumerate(minutes)
    ]
    bars = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    return bars if draw(st.booleans()) else bars.drop(QUOTES)


def same(bars: pl.DataFrame, others: pl.DataFrame) -> bool:
    """Whether two frames are equal in every bit."""
    return others.columns == bars.columns and content_hash(bars) == content_hash(others)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@examples(25)
@given(bars=valid_bars())
def test_bars_survive_a_file(kind: str, bars: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars"
    (bars.write_csv if kind == "csv" else bars.write_parquet)(path)
    told = validate(SOURCES[kind]().read(path), timeframe="M1")
    assert told.quarantined.is_empty()
    assert same(told.bars, bars)


@examples(40)
@given(bars=valid_bars())
def test_bars_survive_the_bulk_store(
    bars: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = BarStore(tmp_path_factory.mktemp("store"))
    store.write("EUR_USD", "M1", bars)
    assert same(store.read("EUR_USD", "M1"), bars)


@examples(40)
@given(bars=valid_bars())
def test_bars_survive_postgresql(bars: pl.DataFrame, database: str) -> None:
    keyed = bars.with_columns(pair=pl.lit("EUR_USD"), timeframe=pl.lit("M1"))
    with db.engine().begin() as connection:
        connection.execute(text("DELETE FROM bars"))
        assert db.copy_frame(keyed, Bar, connection=connection) == bars.height
        back = db.read_frame("SELECT * FROM bars ORDER BY timestamp", connection=connection)
    assert same(back.select(bars.columns), bars)


@dataclass(frozen=True)
class Sample:
    """A file of a source, and how many of its lines are no rows."""

    source: str
    content: bytes
    head: int = 0
    clock: str | None = None
    name: str = "20180107.csv"


def _samples() -> dict[str, Sample]:
    n = 24
    times = [SUNDAY + minute * MINUTE for minute in range(n)]
    bars = pl.DataFrame(
        {"timestamp": times, **dict.fromkeys((*PRICES, *QUOTES), [1.25] * n), "volume": [5.0] * n},
        schema_overrides=SCHEMA,
    )
    ticks = [(at, 1.2, 1.2001) for at in times]
    parquet, zipped = io.BytesIO(), io.BytesIO()
    bars.write_parquet(parquet)
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("20180107_quote.csv", to_lean(bars))
    ticked = {"dukascopy": (to_dukascopy, 1), "truefx": (to_truefx, 0), "truefx 2": (to_export, 1)}
    lined: dict[str, tuple[Callable[[Any], str], int]] = {
        "csv": (lambda bars: bars.write_csv(), 1),
        "histdata": (to_histdata, 0),
        "metatrader": (to_metatrader_5, 1),
        "metatrader 4": (to_metatrader_4, 0),
        "lean": (to_lean, 0),
    }
    texts = {name: (write(bars), head) for name, (write, head) in lined.items()}
    texts |= {name: (write(ticks), head) for name, (write, head) in ticked.items()}
    clocks = {"lean": "UTC"}
    samples = {
        name: Sample(name.split()[0], content.encode(), head, clocks.get(name))
        for name, (content, head) in texts.items()
    }
    samples["metatrader in UTF-16"] = Sample("metatrader", texts["metatrader"][0].encode("utf-16"))
    samples["lean, zipped"] = Sample("lean", zipped.getvalue(), 0, "UTC", "20180107_quote.zip")
    samples["parquet"] = Sample("parquet", parquet.getvalue())
    return samples


SAMPLES = _samples()
ROWS = 24
PREAMBLE = 25


PATCHES = [b"\n", b"\0", b"\xff", b";,", b"9" * 30]
HEADED = ("metatrader", "truefx")
"""Sources that take files with a header and without."""


def place(n: int) -> st.SearchStrategy[int]:
    return st.integers(0, n) | st.integers(max(0, n - 40), n) | st.integers(0, min(40, n))


@st.composite
def mangled(draw: st.DrawFn, content: bytes) -> bytes:
    """Bytes of which some are others, gone, doubled, or come from nowhere."""
    for _ in range(draw(st.integers(1, 3))):
        at, until = sorted(draw(st.tuples(place(len(content)), place(len(content)))))
        patch = draw(st.binary(max_size=4) | st.sampled_from(PATCHES))
        content = draw(
            st.sampled_from(
                [
                    content[:at] + patch + content[at + len(patch) :],
                    content[:at] + patch + content[at:],
                    content[:at] + content[until:],
                    content[:until] + content[at:],
                    content[:at],
                ]
            )
        )
    return content


def lines(content: bytes) -> int:
    """Lines that are not blank."""
    kept = content.decode(errors="replace").split("\n")
    return sum(bool(line.strip(" \r\ufeff")) for line in kept)


def wide(content: bytes) -> bool:
    """Whether it may be UTF-16: every other byte is zero."""
    return 4 * content.count(0) > len(content)


def rows_of(sample: Sample, path: Path) -> int:
    """How many rows of a file became bars or went into quarantine."""
    source = SOURCES[sample.source](**({"clock": sample.clock} if sample.clock else {}))
    rows = source.read(path)
    try:
        told = validate(rows, timeframe="M1", clock=source.clock)
    except SourceError as error:  # of the rows as a whole: `ingest` says of which file
        raise SourceError(f"{path}: {error}") from error
    ticks = sample.source in ("dukascopy", "truefx")
    good = int(told.bars["volume"].sum()) if ticks else told.bars.height
    return good + told.quarantined.height


def assert_whole_or_refused(sample: Sample, content: bytes, path: Path) -> None:
    path.write_bytes(content)
    try:
        rows = rows_of(sample, path)
    except SourceError as error:
        message = str(error)
    else:
        filled, headed = lines(content), int(sample.source in HEADED)
        if sample.source == "parquet" or sample.name.endswith("zip"):
            assert rows == ROWS
        elif not content.startswith(b"PK") and b'"' not in content and not wide(content):
            if sample.source == "csv":  # what comes before a header is no row
                assert filled - PREAMBLE <= rows < filled
            else:
                assert rows in (
                    filled - sample.head,
                    filled - headed,
                    filled - sample.head + headed,
                )
        return
    assert str(path) in message


@pytest.mark.parametrize("name", [name for name in SAMPLES if name != "parquet"])
@examples(60)
@given(data=st.data())
def test_mangled_file_gives_all_its_rows_or_one_error(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    sample = SAMPLES[name]
    content = data.draw(mangled(sample.content))
    assert_whole_or_refused(sample, content, tmp_path / sample.name)


@pytest.mark.slow
@examples(25)
@given(content=mangled(SAMPLES["parquet"].content))
def test_mangled_parquet_gives_all_its_rows_or_one_error(content: bytes, tmp_path: Path) -> None:
    assert_whole_or_refused(SAMPLES["parquet"], content, tmp_path / "bars.parquet")


@pytest.mark.parametrize(
    ("compression", "at", "byte"),
    [("zstd", 286, 123), ("zstd", 288, 106), ("uncompressed", 928, 102)],
)
def test_damage_that_takes_the_reader_along_is_one_error(
    compression: Any, at: int, byte: int, tmp_path: Path
) -> None:
    """Bytes that made Polars panic, or ask for exabytes and abort its process."""
    path = tmp_path / "bars.parquet"
    rows = planted_rows(ROWS, timeframe="M1", seed=1).select("timestamp", *PRICES)
    rows.write_parquet(path, compression=compression)
    content = bytearray(path.read_bytes())
    content[at] = byte
    assert_whole_or_refused(SAMPLES["parquet"], bytes(content), path)


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_good_as_they_are(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    path = tmp_path / sample.name
    path.write_bytes(sample.content)
    source = SOURCES[sample.source](**({"clock": sample.clock} if sample.clock else {}))
    told = validate(source.read(path), timeframe="M1", clock=source.clock)
    assert (told.bars.height, told.quarantined.height) == (ROWS, 0)
