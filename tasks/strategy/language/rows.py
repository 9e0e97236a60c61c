"""Rows of signals: what triggered, at most one a bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from infra.bars import TIME
from infra.market.days import bar_end
from infra.market.hours import calendar_of
from tasks.strategy.language.builtins.engine import BELIEFS, belief
from tasks.strategy.language.compilation import Signal
from tasks.strategy.language.graph import Node
from tasks.strategy.language.plan import Run
from tasks.strategy.language.registry import Bars

SCHEMA: Final[dict[str, pl.DataType]] = {
    "timestamp": TIME,
    "signal": pl.String(),
    "side": pl.String(),
    "action": pl.String(),
    "stop": pl.Float64(),
    "target": pl.Float64(),
    "horizon": pl.Int64(),
    "size": pl.Float64(),
    **{name: pl.Float64() for name in BELIEFS},
}
"""Columns of signals: bar, the signal's name, "long", "short" or null, BUY, SELL or CLOSE,
distances in price, bars, share of equity, and what is believed; null where there is none."""


def signals(run: Run, made: Sequence[Signal], columns: Mapping[int, pl.Series]) -> pl.DataFrame:
    """Return the rows of the signals that triggered.

    Of several on one bar CLOSE wins, then the greater expected net gain after caution, then the
    one that is written first.

    Parameters
    ----------
    run : Run
        Whose base frame has what is believed of each exit rule.
    made : sequence of Signal
    columns : Mapping of int to polars.Series
        By the number of their node.
    """
    base = run.frames[run.base]
    if base.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    closing = _closing(run, base) if any(s.side and not s.weekend for s in made) else None
    parts = []
    for number, signal in enumerate(made):
        given = {
            name: columns[node.number] for name, node in _nodes(signal).items() if node is not None
        }
        fires = _fires(signal, given)
        if closing is not None and signal.side and not signal.weekend:
            fires = fires & ~closing
        parts.append(_rows(base, run, signal, given, fires).with_columns(order=pl.lit(number)))
    return _one_a_bar(pl.concat(parts))


def _nodes(signal: Signal) -> dict[str, Node | None]:
    return {
        name: getattr(signal, name) for name in ("trigger", "stop", "target", "size", "confidence")
    }


def _fires(signal: Signal, given: Mapping[str, pl.Series]) -> pl.Series:
    """Return where a signal triggers and lacks nothing that it says."""
    fires = given["trigger"].fill_null(value=False)
    for name, values in given.items():
        if name in ("stop", "target", "size"):
            fires = fires & (values > 0).fill_null(value=False)
        elif name == "confidence":
            fires = fires & values.is_not_null()
    return fires


def _rows(
    base: pl.DataFrame, run: Run, signal: Signal, given: Mapping[str, pl.Series], fires: pl.Series
) -> pl.DataFrame:
    stream = run.streams[run.base]
    bars = Bars(stream.pair, stream.timeframe, frozenset(base.columns))
    believed = {
        name: pl.lit(None) if signal.side is None else belief(bars, name, signal.side, signal.name)
        for name in BELIEFS
    }
    chosen = base.filter(fires).select("timestamp", **believed)
    own = {name: given[name].filter(fires) for name in given if name != "trigger"}
    told = chosen.with_columns(
        signal=pl.lit(signal.name),
        side=pl.lit(signal.side),
        action=pl.lit(signal.action),
        horizon=pl.lit(signal.horizon),
        **{name: pl.lit(None) for name in ("stop", "target", "size") if name not in own},
        **own,
    )
    return told.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())


def _one_a_bar(found: pl.DataFrame) -> pl.DataFrame:
    closes = pl.col("action") != "CLOSE"
    ordered = found.sort(
        "timestamp", closes, "margin", "order",
        descending=[False, False, True, False], nulls_last=True,
    )  # fmt: skip
    return ordered.unique("timestamp", keep="first", maintain_order=True).select(*SCHEMA)


def _closing(run: Run, base: pl.DataFrame) -> pl.Series:
    """Return at the close of which bars the market closes by schedule."""
    if "closing" in base.columns:
        return base["closing"].fill_null(value=False)
    stream = run.streams[run.base]
    ends = bar_end(base["timestamp"], stream.timeframe)
    return ~calendar_of(stream.pair).is_open(ends)
