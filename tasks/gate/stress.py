"""What is left of a strategy's gains if it acts a bar late, or pays half as much spread again."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.market.quotes import Costs
from tasks.rules.bench import Bench, traded

WIDER = 1.5
"""Times the spread."""


def delayed_net(bench: Bench, signals: pl.DataFrame) -> float:
    """Return the net gain of signals that each come one bar later.

    Parameters
    ----------
    bench : Bench
    signals : polars.DataFrame
        Of the bench's span.
    """
    return _net(bench.trade(later(signals, bench.bars["timestamp"])).trades)


def wider_net(bench: Bench, signals: pl.DataFrame) -> float:
    """Return the net gain of signals at a spread that is wider by half, quoted or modelled.

    Parameters
    ----------
    bench : Bench
    signals : polars.DataFrame
        Of the bench's span.
    """
    bars, costs = wider(bench.bars, bench.setup.recipe.costs, WIDER)
    return _net(traded(bars, signals, bench.segments, costs).trades)


def later(signals: pl.DataFrame, timestamps: pl.Series) -> pl.DataFrame:
    """Return signals one bar later; one of the last bar falls away.

    Parameters
    ----------
    signals : polars.DataFrame
        With `timestamp`, each of a bar.
    timestamps : polars.Series
        Of the bars, ascending.
    """
    following = pl.DataFrame({"timestamp": timestamps, "next": timestamps.shift(-1)})
    moved = signals.join(following, on="timestamp", how="left", maintain_order="left")
    return moved.with_columns(timestamp="next").drop("next").drop_nulls("timestamp")


def wider(bars: pl.DataFrame, costs: Costs, factor: float) -> tuple[pl.DataFrame, Costs]:
    """Return bars and costs at `factor` times the spread, mids where they were.

    Parameters
    ----------
    bars : polars.DataFrame
    costs : Costs
    factor : float
    """
    more = (factor - 1) / 2
    columns = []
    if set(QUOTES) <= set(bars.columns):
        for price in PRICES:
            spread = pl.col(f"ask_{price}") - pl.col(f"bid_{price}")
            columns.append((pl.col(f"bid_{price}") - more * spread).alias(f"bid_{price}"))
            columns.append((pl.col(f"ask_{price}") + more * spread).alias(f"ask_{price}"))
    dearer = replace(costs, spread=costs.spread * factor, spread_share=costs.spread_share * factor)
    return bars.with_columns(columns), dearer


def _net(trades: pl.DataFrame) -> float:
    return float(trades["gain"].sum())
