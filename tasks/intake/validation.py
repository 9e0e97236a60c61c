"""Which rows are bars: every row of a source either passes or is set aside with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final

import pandera.polars as pa
import polars as pl
from pandera.polars import PolarsData

from infra.bars import PRICES, QUOTES, SCHEMA
from infra.market.timeframes import bar_length, bar_seconds
from infra.sources.clocks import AMBIGUOUS, MISSING, Clock
from infra.sources.times import read_times

_HOUR = 3600
_BLANK = ("", "nan", "NaN", "NAN", "null", "NULL", "None")


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
    clock: str | None = None,
    now: datetime | None = None,
) -> Validated:
    """Tell bars from rows that are none.

    Of rows with the same timestamp the first good one counts. A row earlier than a good one
    above it is unsorted. `bars` and `quarantined` together have every row of `raw` once.

    Parameters
    ----------
    raw : polars.DataFrame
        What a source read: `source_row`, `timestamp`, prices, `volume`, quotes, `excess`, `fault`.
        Times of day without a zone are naive; numbers may be text.
    timeframe : str
        Such as `H1`.
    clock : str, optional
        Clock of naive timestamps, such as `New York+7`; left out, they are quarantined.
    now : datetime, optional
        A bar that is not over by then lies in the future; the present by default.

    Returns
    -------
    Validated
    """
    times = _times(raw["timestamp"], clock, timeframe)
    rows = pl.concat([raw.select("source_row"), times, _numbers(raw)], how="horizontal")
    faults = {**_time_faults(timeframe, now or datetime.now(UTC)), **_number_faults(rows)}
    if "excess" in raw.columns:
        rows = rows.with_columns(raw["excess"])
        faults = {"more fields than the header": pl.col("excess").is_not_null(), **faults}
    fault = raw["fault"] if "fault" in raw.columns else pl.lit(None, pl.String)
    rows = _sequence(rows.with_columns(reason=pl.coalesce(fault, _first(faults))))
    good = rows["reason"].is_null()
    bars = rows.filter(good).select(name for name in SCHEMA if name in rows.columns)
    bad = rows.filter(~good).select("source_row", "reason")
    cells = raw.filter(~good).select(
        raw=pl.struct(pl.exclude("source_row", "fault")).struct.json_encode()
    )
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
        "naive timestamp": pl.col("naive"),
        **{fault: pl.col("clock_fault") == fault for fault in (MISSING, AMBIGUOUS)},
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


def _times(column: pl.Series, clock: str | None, timeframe: str) -> pl.DataFrame:
    """Timestamps in UTC, whether a row had one, and why a local one is no instant."""
    aware, naive = read_times(column)
    fault = pl.repeat(None, len(column), dtype=pl.String, eager=True)
    if clock is not None:
        local = Clock.of(clock).to_utc(naive, length=bar_length(timeframe))
        aware, fault = aware.fill_null(local["timestamp"]), local["fault"]
    return pl.DataFrame(
        {
            "timestamp": aware,
            "written": _written(column),
            "naive": naive.is_not_null() & pl.repeat(clock is None, len(naive), eager=True),
            "clock_fault": fault,
        }
    )
