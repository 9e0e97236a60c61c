"""Files in publishers' own formats: what was written comes back, what is damaged is set aside."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.bars import PRICES, QUOTES
from infra.sources.columns import SourceError
from infra.sources.histdata import HistData
from infra.sources.lean import Lean
from infra.sources.metatrader import MetaTrader
from infra.sources.recognise import recognise
from infra.sources.registry import SOURCES, Source
from tasks.intake.validation import Validated, validate

SUNDAY = datetime(2018, 1, 7, 22, tzinfo=UTC)
"""The week begins: 17:00 New York."""
TICK = 1e-5
HISTDATA = "20180107 170000;1.20301;1.20320;1.20290;1.20310;0\n"
LEAN = "0,1.38710,1.38711,1.38709,1.38711,0,1.38726,1.38727,1.38726,1.38726,0\n"
VERSION_5 = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>\n"
VERSION_4 = "2018.01.08,00:00,1.20301,1.20320,1.20290,1.20310,57\n"


def written(folder: Path, content: str | bytes, name: str = "20180108.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def zipped(folder: Path, content: str, name: str, member: str) -> Path:
    path = folder / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
    return path


def told(source: Source, path: Path, timeframe: str = "M1") -> Validated:
    return validate(source.read(path), timeframe=timeframe, clock=source.clock)


def reasons(source: Source, path: Path) -> list[tuple[int, str]]:
    return told(source, path).quarantined.select("source_row", "reason").rows()


def local(bars: pl.DataFrame, zone: str, form: str, ahead: int = 0) -> pl.Series:
    time = bars["timestamp"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return (time + timedelta(hours=ahead)).dt.strftime(form)


def to_histdata(bars: pl.DataFrame) -> str:
    time = local(bars, "Etc/GMT+5", "%Y%m%d %H%M%S")
    rows = bars.select(time, *PRICES, volume=pl.lit(0))
    return rows.write_csv(separator=";", include_header=False)


def to_metatrader_5(bars: pl.DataFrame) -> str:
    day = local(bars, "America/New_York", "%Y.%m.%d", 7).alias("<DATE>")
    time = local(bars, "America/New_York", "%H:%M:%S", 7).alias("<TIME>")
    prices = [pl.col(price).alias(f"<{price.upper()}>") for price in PRICES]
    volume = pl.col("volume").cast(pl.Int64).alias("<TICKVOL>")
    rest = (pl.lit(0).alias("<VOL>"), pl.lit(7).alias("<SPREAD>"))
    return bars.select(day, time, *prices, volume, *rest).write_csv(separator="\t")


def to_metatrader_4(bars: pl.DataFrame) -> str:
    day = local(bars, "America/New_York", "%Y.%m.%d", 7)
    time = local(bars, "America/New_York", "%H:%M", 7).alias("time")
    volume = pl.col("volume").cast(pl.Int64)
    return bars.select(day, time, *PRICES, volume).write_csv(include_header=False)


def to_lean(bars: pl.DataFrame) -> str:
    time = bars["timestamp"]
    since = (time - time.dt.truncate("1d")).dt.total_milliseconds()
    bid, ask = QUOTES[:4], QUOTES[4:]
    rows = bars.select(since, *bid, pl.lit(0).alias("size"), *ask, pl.lit(0).alias("ask_size"))
    return rows.write_csv(include_header=False)


@dataclass(frozen=True)
class Format:
    source: Source
    write: Callable[[pl.DataFrame], str]
    kept: tuple[str, ...]


FORMATS = {
    "histdata": Format(HistData(), to_histdata, PRICES),
    "metatrader 5": Format(MetaTrader(), to_metatrader_5, (*PRICES, "volume")),
    "metatrader 4": Format(MetaTrader(), to_metatrader_4, (*PRICES, "volume")),
    "lean": Format(Lean("UTC"), to_lean, QUOTES),
}


@st.composite
def minutes(draw: st.DrawFn, start: datetime) -> pl.DataFrame:
    """Bars of some minutes of a day, with quotes in whole ticks of 0.00001."""
    drawn = draw(st.sets(st.integers(0, 1438), min_size=1, max_size=20))
    at = sorted(drawn | {min(drawn) + 1})  # two that follow one another: bars of a minute
    rows = []
    for minute in at:
        low, reach = draw(st.integers(90_000, 110_000)), draw(st.integers(0, 50))
        inside = st.integers(low, low + reach)
        bid = (draw(inside), low + reach, low, draw(inside))
        spread = draw(st.integers(0, 30))
        prices = [round(tick * TICK, 5) for tick in (*bid, *(tick + spread for tick in bid))]
        rows.append((start + timedelta(minutes=minute), draw(st.integers(1, 999)), *prices))
    schema = dict.fromkeys(QUOTES, pl.Float64)
    frame = pl.DataFrame(
        rows,
        schema={"timestamp": pl.Datetime("us", "UTC"), "volume": pl.Float64, **schema},
        orient="row",
    )
    return frame.with_columns(pl.col(f"bid_{price}").alias(price) for price in PRICES)


SPRING, AUTUMN = datetime(2018, 3, 12, tzinfo=UTC), datetime(2018, 11, 5, tzinfo=UTC)


@pytest.mark.parametrize("name", FORMATS)
@hypothesis_settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), day=st.sampled_from([datetime(2018, 1, 8, tzinfo=UTC), SPRING, AUTUMN]))
def test_what_was_written_comes_back(
    name: str, data: st.DataObject, day: datetime, tmp_path: Path
) -> None:
    bars, form = data.draw(minutes(day)), FORMATS[name]
    path = written(tmp_path, form.write(bars), f"{day:%Y%m%d}.csv")
    result = told(form.source, path)
    assert result.quarantined.is_empty()
    columns = ["timestamp", *form.kept]
    assert result.bars.select(columns).equals(bars.select(columns))


@pytest.mark.parametrize("name", FORMATS)
@hypothesis_settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 2_000), patch=st.binary(max_size=4))
@example(at=60, patch=b"")
@example(at=3, patch=b"9")
def test_damaged_bytes_spoil_no_row_but_their_own(
    name: str, at: int, patch: bytes, tmp_path: Path
) -> None:
    """Every row is a bar or in quarantine; rows that were not hit come out, or late in order."""
    form = FORMATS[name]
    bars = pl.DataFrame(
        {
            "timestamp": [SUNDAY + timedelta(hours=2, minutes=minute) for minute in range(30)],
            **{quote: [1.2] * 30 for quote in (*PRICES, *QUOTES)},
            "volume": [5.0] * 30,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    content = form.write(bars).encode()
    at %= len(content)
    path = written(tmp_path, content[:at] + patch + content[at + 1 :])
    try:
        result = told(form.source, path)
    except SourceError as error:
        message = str(error)
    else:
        rows = result.bars.height + result.quarantined.height
        assert rows == form.source.read(path).height
        intact = result.bars.join(
            bars.select("timestamp", *form.kept), on=["timestamp", *form.kept]
        )
        late = result.quarantined.filter(reason="unsorted timestamp").height
        assert intact.height + late >= 27 - patch.count(b"\n")
        return
    assert str(path) in message


def test_histdata_of_a_weekend(tmp_path: Path) -> None:
    """A file begins on Sunday at 17:00 New York, in winter EST; the volume of 0 is none."""
    path = zipped(tmp_path, HISTDATA, "HISTDATA_M1.zip", "DAT_ASCII_EURUSD_M1_2018.csv")
    bars = told(HistData(), path).bars
    assert bars.row(0) == (SUNDAY, 1.20301, 1.2032, 1.2029, 1.2031, None)


def test_histdata_that_follows_new_york(tmp_path: Path) -> None:
    summer = HISTDATA.replace("20180107", "20180708")
    path = written(tmp_path, summer)
    hours = [told(HistData(clock), path).bars["timestamp"][0].hour for clock in ("EST", "New York")]
    assert hours == [22, 21]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("20180107 170100;1.2;1.3;1.1\n", "missing price"),
        ("20180107 170100;1.2;1.3;1.1;1.25;0;1\n", "more fields than the header"),
        ("20180107170100;1.2;1.3;1.1;1.25;0\n", "unreadable timestamp"),
        ("1515366060;1.2;1.3;1.1;1.25;0\n", "unreadable timestamp"),
        ("20180230 170100;1.2;1.3;1.1;1.25;0\n", "unreadable timestamp"),
        ("20180107 170130;1.2;1.3;1.1;1.25;0\n", "off-grid timestamp"),
        ("20180107 170100;1,2;1.3;1.1;1.25;0\n", "unreadable number"),
    ],
)
def test_bad_row_of_histdata(row: str, reason: str, tmp_path: Path) -> None:
    assert reasons(HistData(), written(tmp_path, HISTDATA + row)) == [(2, reason)]


def test_metatrader_knows_volume_and_spread(tmp_path: Path) -> None:
    rows = "2018.01.08\t00:00:00\t1.2\t1.3\t1.1\t1.25\t57\t0\t0\n"
    rows += rows.replace("00:00", "01:00", 1).replace("0\t0\n", "0\t4\n")
    read = MetaTrader().read(written(tmp_path, VERSION_5 + rows))
    assert read["volume"].to_list() == ["57", "57"]
    assert read["spread"].to_list() == [None, "4"]
    bars = told(MetaTrader(), written(tmp_path, VERSION_5 + rows), "H1").bars
    assert bars["timestamp"].to_list() == [SUNDAY, SUNDAY + timedelta(hours=1)]
    assert "bid_open" not in bars.columns


def test_metatrader_in_utf_16(tmp_path: Path) -> None:
    rows = VERSION_5 + "2018.01.08\t00:00:00\t1.2\t1.3\t1.1\t1.25\t57\t0\t0\r\n"
    path = written(tmp_path, rows.encode("utf-16"))
    assert told(MetaTrader(), path).bars["timestamp"].to_list() == [SUNDAY]


def test_metatrader_days_have_no_time_of_day(tmp_path: Path) -> None:
    """A day of the server's begins at 17:00 New York, before and after both changes."""
    days = ("2018.01.08", "2018.03.12", "2018.10.29", "2018.11.05")
    rows = [f"{day}\t1.2\t1.3\t1.1\t1.25\t57\t0\t0" for day in days]
    path = written(tmp_path, VERSION_5.replace("<TIME>\t", "") + "\n".join(rows))
    assert told(MetaTrader(), path, "D1").bars["timestamp"].dt.hour().to_list() == [22, 21, 21, 22]


@pytest.mark.parametrize("row", ["2018-01-08,00:01,1,1,1,1,1\n", "2018.01.08,1,1,1,1,1,1\n"])
def test_time_of_another_form_is_not_metatraders(row: str, tmp_path: Path) -> None:
    path = written(tmp_path, VERSION_4 + row)
    assert reasons(MetaTrader(), path) == [(2, "unreadable timestamp")]


def test_lean_day_is_in_the_name(tmp_path: Path) -> None:
    rows = LEAN + LEAN.replace("0,", "86340000,", 1)
    path = zipped(tmp_path, rows, "20140505_quote.zip", "20140505_eurusd_minute_quote.csv")
    bars = told(Lean("EST"), path).bars
    assert bars["timestamp"].dt.strftime("%d %H:%M").to_list() == ["05 05:00", "06 04:59"]
    assert bars.select("bid_open", "ask_open", "volume").row(0) == (1.3871, 1.38726, None)
    assert bars["open"][0] == pytest.approx(1.38718)


def test_lean_without_a_clock_is_naive(tmp_path: Path) -> None:
    path = zipped(tmp_path, LEAN, "20140505_quote.zip", "20140505_eurusd_minute_quote.csv")
    with pytest.raises(SourceError, match="clock=UTC"):
        told(Lean(), path)


def test_lean_hours_hold_the_day(tmp_path: Path) -> None:
    path = zipped(tmp_path, LEAN.replace("0,", "20140505 13:00,", 1), "eurusd.zip", "eurusd.csv")
    bars = told(Lean("UTC"), path, "H1").bars
    assert bars["timestamp"].to_list() == [datetime(2014, 5, 5, 13, tzinfo=UTC)]


@pytest.mark.parametrize("since", ["86400000", "1399248000", "-60000", "60000.0", "x", "9" * 30])
def test_milliseconds_that_no_day_has(since: str, tmp_path: Path) -> None:
    path = written(tmp_path, LEAN + LEAN.replace("0,", f"{since},", 1))
    assert reasons(Lean("UTC"), path) == [(2, "unreadable timestamp")]


@pytest.mark.parametrize(
    ("source", "content", "name", "problem"),
    [
        (HistData(), VERSION_5, "x.csv", "not HistData's Generic ASCII"),
        (HistData(), "20180107 170000;1.2;0\n", "x.csv", "ticks of one side alone"),
        (MetaTrader(), HISTDATA, "x.csv", "no export of bars of MetaTrader"),
        (MetaTrader(), VERSION_5, "x.csv", "holds no bars"),
        (Lean(), HISTDATA, "x.csv", "no quotes of Lean"),
        (Lean(), "0,1,2,3,4,5\n", "20140505.csv", "no quotes of Lean"),
        (Lean(), LEAN, "eurusd.csv", "name not one day but"),
        (Lean(), LEAN, "20140505_20140506.csv", "name not one day but"),
        (Lean(), LEAN, "20140540.csv", "name not one day but"),
        (Lean(), LEAN.replace("1.", "1"), "20140505.csv", "prices of shares"),
    ],
)
def test_file_of_another_format_is_one_clear_error(
    source: Source, content: str, name: str, problem: str, tmp_path: Path
) -> None:
    path = written(tmp_path, content, name)
    with pytest.raises(SourceError, match=problem) as caught:
        source.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("content", [b"", b"\0\1\2", b"<html>", b"PK\5\6" + b"\0" * 18, b"\n\n\n"])
def test_no_source_takes_what_is_no_bars(name: str, content: bytes, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(SourceError, match=str(path)):
        SOURCES[name]().read(path)
    with pytest.raises(SourceError, match=r"gone.*cannot be read"):
        SOURCES[name]().read(tmp_path / "gone")


@pytest.mark.parametrize(
    "row",
    ["2018-01-08 00:0{n}:00,1.2,1.3,1.1,1.25,5\n", "20180108 000{n}00;1.2;1.3;1.1;1.25;5\n"],
)
@pytest.mark.parametrize("head", ["", "Time,BidOpen,BidHigh,BidLow,BidClose\n"])
def test_rows_that_may_be_anybodys_have_no_publishers_clock(
    row: str, head: str, tmp_path: Path
) -> None:
    path = written(tmp_path, head + "".join(row.format(n=n) for n in range(9)), "EURUSD.csv")
    assert recognise(path)[0] == "csv"


def test_rows_of_histdata_are_known_by_their_volume_of_zero(tmp_path: Path) -> None:
    assert recognise(written(tmp_path, HISTDATA * 3, "EURUSD.csv"))[0] == "histdata"
