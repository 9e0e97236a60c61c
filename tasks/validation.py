"""Which rows are bars: every row of a source either passes or is set aside with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from typing import Annotated, Final

import pandera.polars as pa
import polars as pl
from pandera.polars import PolarsData

from infra.store import PRICES, QUOTES, SCHEMA, TIME
from tasks.instruments import bar_length, bar_seconds

_HOUR = 3600
_NAIVE = pl.Datetime("us")
_BLANK = ("", "nan", "NaN", "NAN", "null", "NULL", "None")
_CLOCKS = ("%H:%M:%S%.f", "%H:%M", "%H%M%S")
_DAYS = ("%Y-%m-%d", "%Y%m%d", "%Y.%m.%d", "%Y/%m/%d")


def _price_faults(prefix: str = "") -> dict[str, pl.Expr]:
    """Return what is wrong with four prices: name of the fault to its condition."""
    open_, high, low, close = (pl.col(prefix + price) for price in PRICES)
    return {
        "non-positive price": pl.min_horizontal(open_, high, low, close) <= 0,
        "infinite price": pl.any_horizontal(p.is_infinite() for p in (open_, high, low, close)),
        "high < low": high < low,
        "high < open or close": high < pl.max_horizontal(open_, close),
        "low > open or close": low > pl.min_horizontal(open_, close),
    }


PRICE_FAULTS: Final = _price_faults()
VOLUME_FAULTS: Final = {"negative volume": (pl.col("volume") < 0) | pl.col("volume").is_infinite()}
_PARTIAL: Final = pl.sum_horizontal(pl.col(name).is_null() for name in QUOTES).is_between(1, 7)
QUOTE_FAULTS: Final = {
    "incomplete quotes": _PARTIAL,
    "impossible quotes": pl.any_horizontal(
        fault for side in ("bid_", "ask_") for fault in _price_faults(side).values()
    ),
}


class BarSchema(pa.DataFrameModel):
    """Bars: UTC, sorted, unique, with prices that a market can print."""

    timestamp: Annotated[pl.Datetime, "us", "UTC"] = pa.Field(unique=True)
    open: float
    high: float
    low: float
    close: float
    volume: float = pa.Field(nullable=True)
    bid_open: float | None = pa.Field(nullable=True)
    bid_high: float | None = pa.Field(nullable=True)
    bid_low: float | None = pa.Field(nullable=True)
    bid_close: float | None = pa.Field(nullable=True)
    ask_open: float | None = pa.Field(nullable=True)
    ask_high: float | None = pa.Field(nullable=True)
    ask_low: float | None = pa.Field(nullable=True)
    ask_close: float | None = pa.Field(nullable=True)

    class Config:
        """No column beyond these."""

        strict = True

    @pa.check("timestamp", name="sorted")
    def _sorted(cls, data: PolarsData) -> pl.LazyFrame:  # noqa: N805
        return data.lazyframe.select(pl.col(data.key).diff().dt.total_microseconds() > 0)

    @pa.dataframe_check(name="possible")
    def _possible(cls, data: PolarsData) -> pl.LazyFrame:  # noqa: N805
        faults = {**PRICE_FAULTS, **VOLUME_FAULTS}
        if "bid_open" in data.lazyframe.collect_schema():
            faults |= QUOTE_FAULTS
        return data.lazyframe.select(~pl.any_horizontal(faults.values()).fill_null(False))


@dataclass(frozen=True)
class Validated:
    """Rows of a source, told apart.

    Attributes
    ----------
    bars : polars.DataFrame
        Columns of `BarSchema`.
    quarantined : polars.DataFrame
        `source_row` Int64, `reason` String, `raw` String (the row as JSON).
    """

    bars: pl.DataFrame
    quarantined: pl.DataFrame


def validate(
    raw: pl.DataFrame,
    *,
    timeframe: str,
    timezone: str | None = None,
    now: datetime | None = None,
) -> Validated:
    """Tell bars from rows that are none.

    Of rows with the same timestamp the first good one counts. A row earlier than a good one
    above it is unsorted. `bars` and `quarantined` together have every row of `raw` once.

    Parameters
    ----------
    raw : polars.DataFrame
        What a source read: `source_row`, `timestamp`, prices, `volume`, quotes, `excess`.
        Times of day without a zone are naive; numbers may be text.
    timeframe : str
        Such as `H1`.
    timezone : str, optional
        Zone of naive timestamps; left out, they are quarantined.
    now : datetime, optional
        A bar that is not over by then lies in the future; the present by default.

    Returns
    -------
    Validated
    """
    times = _times(raw["timestamp"], timezone)
    rows = pl.concat([raw.select("source_row"), times, _numbers(raw)], how="horizontal")
    faults = {**_time_faults(timeframe, now or datetime.now(UTC)), **_number_faults(rows)}
    if "excess" in raw.columns:
        rows = rows.with_columns(raw["excess"])
        faults = {"more fields than the header": pl.col("excess").is_not_null(), **faults}
    rows = _sequence(rows.with_columns(reason=_first(faults)))
    good = rows["reason"].is_null()
    bars = rows.filter(good).select(name for name in SCHEMA if name in rows.columns)
    bad = rows.filter(~good).select("source_row", "reason")
    cells = raw.filter(~good).select(raw=pl.struct(pl.exclude("source_row")).struct.json_encode())
    # PostgreSQL's JSON has no NUL
    cells = cells.select(pl.col("raw").str.replace_all("\\u0000", "\\ufffd", literal=True))
    return Validated(BarSchema.validate(bars), pl.concat([bad, cells], how="horizontal"))


def _sequence(rows: pl.DataFrame) -> pl.DataFrame:
    """Among good rows: the first of a timestamp stays, and time only goes forward."""
    good = rows.with_row_index("row").filter(pl.col("reason").is_null())
    repeated = ~pl.col("timestamp").is_first_distinct()
    late = pl.col("timestamp") < pl.col("timestamp").cum_max()
    order = {"duplicate timestamp": repeated, "unsorted timestamp": late}
    verdict = good.select("row", order=_first(order)).filter(pl.col("order").is_not_null())
    joined = rows.with_row_index("row").join(verdict, on="row", how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("reason", "order").alias("reason"))


def _first(faults: dict[str, pl.Expr]) -> pl.Expr:
    """Return the name of the first fault that a row has, null where it has none."""
    return pl.coalesce(
        pl.when(condition).then(pl.lit(name)).otherwise(None) for name, condition in faults.items()
    )


def _time_faults(timeframe: str, now: datetime) -> dict[str, pl.Expr]:
    time = pl.col("timestamp")
    grid = min(bar_seconds(timeframe), _HOUR) * 1_000_000
    return {
        "missing timestamp": pl.col("written").not_(),
        "naive timestamp": pl.col("naive") & pl.col("zone").not_(),
        "local time missing or twice": pl.col("naive") & time.is_null(),
        "unreadable timestamp": time.is_null(),
        "off-grid timestamp": time.dt.epoch("us") % grid != 0,
        "future timestamp": time + bar_length(timeframe) > now,
    }


def _number_faults(rows: pl.DataFrame) -> dict[str, pl.Expr]:
    missing = pl.any_horizontal(pl.col(name).is_null() for name in PRICES)
    faults = {"unreadable number": pl.col("unreadable"), "missing price": missing}
    quotes = QUOTE_FAULTS if "bid_open" in rows.columns else {}
    return {**faults, **PRICE_FAULTS, **VOLUME_FAULTS, **quotes}


def _numbers(raw: pl.DataFrame) -> pl.DataFrame:
    """Prices, volume and quotes as numbers; mid prices from the quotes where only those are."""
    quotes = [name for name in QUOTES if name in raw.columns]
    names = [name for name in (*PRICES, "volume") if name in raw.columns]
    names += quotes if len(quotes) == len(QUOTES) else []
    numbers = raw.select(pl.col(names).cast(pl.Float64, strict=False).fill_nan(None))
    lost = [numbers[name].is_null() & _written(raw[name]) for name in names]
    missing = [name for name in PRICES if name not in names]
    mid = {name: (pl.col(f"bid_{name}") + pl.col(f"ask_{name}")) / 2 for name in missing}
    volume = {} if "volume" in names else {"volume": pl.lit(None, pl.Float64)}
    return numbers.with_columns(**mid, **volume, unreadable=pl.any_horizontal(lost))


def _written(column: pl.Series) -> pl.Series:
    """Whether a cell holds anything: not null, not blank, not NaN."""
    if column.dtype == pl.String:
        return column.is_not_null() & ~column.is_in(_BLANK)
    return column.is_not_null() & (column.is_not_nan() if column.dtype.is_float() else True)


def _times(column: pl.Series, timezone: str | None) -> pl.DataFrame:
    """Timestamps in UTC, and whether a row had one, without zone, that a declared zone explains."""
    aware, naive = _read_times(column)
    if timezone is not None:
        local = naive.dt.replace_time_zone(timezone, ambiguous="null", non_existent="null")
        aware = aware.fill_null(local.dt.convert_time_zone("UTC"))
    return pl.DataFrame(
        {
            "timestamp": aware,
            "written": _written(column),
            "naive": naive.is_not_null(),
            "zone": pl.repeat(timezone is not None, len(column), eager=True, dtype=pl.Boolean),
        }
    )


def _read_times(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Return times that name their zone, in UTC, and times that do not; null where neither."""
    kind = column.dtype
    if kind == pl.String:
        return _read_text(column)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        return column.dt.convert_time_zone("UTC").cast(TIME), _nothing(column, _NAIVE)
    if kind in (pl.Datetime, pl.Date):
        return _nothing(column, TIME), column.cast(_NAIVE)
    if kind.is_integer():
        return _epoch(column), _nothing(column, _NAIVE)
    return _nothing(column, TIME), _nothing(column, _NAIVE)


def _nothing(column: pl.Series, kind: pl.DataType) -> pl.Series:
    return pl.repeat(None, len(column), dtype=kind, eager=True)


def _read_text(column: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Try one form after the other on what none before it could read."""
    text = column.str.strip_chars().str.replace(r"(?i)\s*(Z|UTC|GMT)$", "+0000")
    digits = text.str.contains(r"^\d{9,19}$")
    aware, naive = _epoch(text.set(~digits, None)), _nothing(text, _NAIVE)
    for form, zoned in _forms():
        rest = (aware.is_null() & naive.is_null() & text.is_not_null()).arg_true()
        if rest.is_empty():
            break
        words = text.gather(rest)
        if zoned:
            read = words.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            aware = aware.scatter(rest, read)
        else:
            naive = naive.scatter(rest, words.str.to_datetime(form, time_unit="us", strict=False))
    return aware, naive


def _forms() -> Iterator[tuple[str, bool]]:
    """Forms of timestamps, the common ones first, and whether they name a zone."""
    for day, between, clock in product(_DAYS, ("T", " "), _CLOCKS):
        yield f"{day}{between}{clock}%#z", True
        yield f"{day}{between}{clock}", False
    for day in _DAYS:
        yield day, False


def _epoch(numbers: pl.Series) -> pl.Series:
    """Seconds, milli-, micro- or nanoseconds since 1970, told by their size."""
    n = pl.col("n")
    micro = (
        pl.when(n.abs() < 10**11)
        .then(n * 1_000_000)
        .when(n.abs() < 10**14)
        .then(n * 1_000)
        .when(n.abs() < 10**17)
        .then(n)
        .otherwise(n // 1_000)
    )
    whole = numbers.cast(pl.Int64, strict=False).alias("n").to_frame()
    return whole.select(micro.cast(TIME)).to_series()
