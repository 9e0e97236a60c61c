"""Net returns by trading day: the rows that statistics of a strategy are taken of."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.market.days import trading_day


def days_of(timestamps: pl.Series) -> pl.Series:
    """Return the trading days of bars, each once, ascending (from 17:00 New York to 17:00).

    Parameters
    ----------
    timestamps : polars.Series
        Starts of the bars, `Datetime("us", "UTC")`.
    """
    return trading_day(timestamps).unique().sort()


def daily_returns(trades: pl.DataFrame, days: pl.Series) -> NDArray[np.float64]:
    """Return the net gain of the trades that ended on each day, float64[days]; 0 without any.

    Parameters
    ----------
    trades : polars.DataFrame
        Columns of `tasks.research.simulation.TRADES`: `exit_time` and `gain` are read.
    days : polars.Series
        `Date`, ascending, each once.
    """
    ended = trades.select(day=trading_day(trades["exit_time"]), gain="gain")
    summed = ended.group_by("day").agg(pl.col("gain").sum())
    calendar = pl.DataFrame({"day": days})
    joined = calendar.join(summed, on="day", how="left", maintain_order="left")
    return joined["gain"].fill_null(0.0).to_numpy()


def varied(returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the columns that are not constant: trials that traded.

    Parameters
    ----------
    returns : float64[days, k]
    """
    return returns[:, np.ptp(returns, axis=0) > 0] if len(returns) else returns[:, :0]
