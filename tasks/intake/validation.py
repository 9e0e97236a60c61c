"""Which rows are bars: every row of a source either passes or is set aside with its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final

import pandera.polars as pa
import polars as pl
from pandera.polars import PolarsData

from infra.bars import PRICES, QUOTES, SCHEMA
from infra.market.timeframes import bar_length, bar_seconds
from infra.sources.clocks import AMBIGUOUS, MISSING
from infra.sources.columns import SourceError
from infra.sources.readings import shown as written
from tasks.intake.hours import closed_out
from tasks.intake.order import in_order, refuse_folded
from tasks.intake.parts import refuse_contrary
from tasks.intake.reading import Options, read

_HOUR = 3600
_FEW: Final = 3
_AHEAD: Final = 0.05
"""Share of rows in the future from which the times are wrong, not the rows."""


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
_CROSSED: Final = pl.any_horizontal(
    pl.col(f"ask_{price}") < pl.col(f"bid_{price}") for price in PRICES
)
_PARTIAL: Final = pl.sum_horizontal(pl.col(name).is_null() for name in QUOTES).is_between(1, 7)
QUOTE_FAULTS: Final = {
    "incomplete quotes": _PARTIAL,
    "impossible quotes": pl.any_horizontal(
        fault for side in ("bid_", "ask_") for fault in _price_faults(side).values()
    ),
    "crossed quotes": _CROSSED,
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
    facts : dict of str to str
        What the file was taken for.
    notes : dict of str to int
        What is to be known of bars that passed, and of how many.
    """

    bars: pl.DataFrame
    quarantined: pl.DataFrame
    facts: dict[str, str] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)


def validate(
    raw: pl.DataFrame,
    *,
    timeframe: str,
    clock: str | None = None,
    pair: str = "",
    options: Options | None = None,
    now: datetime | None = None,
) -> Validated:
    """Tell bars from rows that are none.

    Of rows with the same timestamp the last good one counts, as across files; rows may come in any
    order. `bars` and `quarantined` together have every row of `raw` once, less those of other
    instruments.

    Parameters
    ----------
    raw : polars.DataFrame
        What a source read: `source_row`, `timestamp`, prices, `volume`, quotes, `excess`, `fault`.
        Times of day without a zone are naive; numbers may be text.
    timeframe : str
        Such as `H1`.
    clock : str, optional
        Clock of naive timestamps, such as `New York+7`, where `options` has none.
    pair : str
        Whose bounds and market hours count; left out, none do.
    options : Options, optional
        What is declared of the file.
    now : datetime, optional
        A bar that is not over by then lies in the future; the present by default.

    Returns
    -------
    Validated

    Raises
    ------
    infra.sources.columns.SourceError
        If the file as a whole has no one meaning, or not the one declared.
    """
    options = options or Options(clock=clock)
    meant = read(raw, timeframe, pair, options)
    raw, rows = meant.raw, meant.rows
    faults = {**_time_faults(timeframe, now or datetime.now(UTC)), **_number_faults(rows)}
    faults |= meant.bounds.beyond
    if "excess" in raw.columns:
        rows = rows.with_columns(raw["excess"])
        faults = {"more fields than the header": pl.col("excess").is_not_null(), **faults}
    rows = _judged(rows, faults, raw["fault"] if "fault" in raw.columns else None)
    ends = options.stamp is None and "header_ends" not in raw.columns
    rows, notes = closed_out(rows, timeframe, pair, ask_ends=ends, any_clock=options.any_level)
    _refuse_future(rows, meant.facts)
    rows = in_order(rows, timeframe)
    refuse_folded(raw, rows)
    refuse_contrary(raw, rows)
    good = rows["reason"].is_null()
    bars = rows.filter(good).select(name for name in SCHEMA if name in rows.columns)
    if not bars["timestamp"].is_sorted():
        bars = bars.sort("timestamp")
    notes |= meant.notes | _zero_spreads(bars)
    bad = _set_aside(raw, rows, ~good)
    # lazily: names, types and nulls alone, as the faults are the schema's own checks of values
    bars = BarSchema.validate(bars.lazy()).collect()
    return Validated(bars, bad, meant.facts, notes)


def _refuse_future(rows: pl.DataFrame, facts: dict[str, str]) -> None:
    """Refuse times of which a part has not come yet: they are read wrongly."""
    ahead = int((rows["reason"] == "future timestamp").sum())
    if ahead >= _FEW and ahead > _AHEAD * rows.height:
        raise SourceError(
            f"{ahead:,} of {rows.height:,} rows lie in the future, with times read by "
            f"{facts['times'] or 'their type'} and the clock {facts['clock']}: say another "
            "time_format= or clock="
        )


def _judged(rows: pl.DataFrame, faults: dict[str, pl.Expr], told: pl.Series | None) -> pl.DataFrame:
    """Add `reason`: what the source told of a row, or its first fault; null where it has none."""
    if told is not None:
        rows = rows.with_columns(told=told)
        faults = {"told": pl.col("told").is_not_null(), **faults}
    bad = rows.select(pl.any_horizontal(faults.values()).fill_null(value=False)).to_series()
    reason = pl.repeat(None, rows.height, dtype=pl.String, eager=True)
    if bad.any():
        few = rows.filter(bad)
        first = _first({name: fault for name, fault in faults.items() if name != "told"})
        known = pl.coalesce("told", first) if told is not None else first
        reason = reason.scatter(bad.arg_true(), few.select(known).to_series())
    return rows.drop("told", strict=False).with_columns(reason=reason)


def _set_aside(raw: pl.DataFrame, rows: pl.DataFrame, bad: pl.Series) -> pl.DataFrame:
    reasons = rows.filter(bad).select("source_row", "reason")
    said = ("source_row", "fault", "time_of_day", "header_clock", "header_ends", "header_local")
    shown = pl.struct(pl.exclude(said)).struct.json_encode()
    cells = raw.filter(bad)
    cells = cells.with_columns(written(cells["timestamp"])).select(raw=shown)
    # PostgreSQL's JSON has no NUL
    cells = cells.select(pl.col("raw").str.replace_all("\\u0000", "\\ufffd", literal=True))
    return pl.concat([reasons, cells], how="horizontal")


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


def _zero_spreads(bars: pl.DataFrame) -> dict[str, int]:
    """Count bars whose ask is somewhere the bid: their costs are the usual ones."""
    if "bid_open" not in bars.columns:
        return {}
    zero = pl.any_horizontal(pl.col(f"ask_{name}") <= pl.col(f"bid_{name}") for name in PRICES)
    count = int(bars.select(zero.fill_null(value=False).sum()).item())
    return {"bars with a spread of zero": count} if count else {}
