"""Bars with another future: what was complete at a time stays, what came later is not as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

Change = Callable[[pl.DataFrame, int], pl.DataFrame]

WILD: Final = 0.7
"""Deviation of the logarithm of what poison multiplies prices by, bar for bar."""


def truncated(bars: pl.DataFrame, known: int) -> pl.DataFrame:
    """Return what was complete alone.

    Parameters
    ----------
    bars : polars.DataFrame
    known : int
        Bars that were complete.
    """
    return bars.head(known)


def poisoned(bars: pl.DataFrame, known: int) -> pl.DataFrame:
    """Return bars whose later prices are wild: each of them its own times what it was.

    Parameters
    ----------
    bars : polars.DataFrame
    known : int
        Bars that were complete.
    """
    later = bars.height - known
    factors = np.exp(np.random.default_rng(known).normal(0, WILD, later))
    by = pl.Series(np.concatenate([np.ones(known), factors]))
    columns = [name for name in bars.columns if bars[name].dtype == pl.Float64]
    wild = [(bars[name] * by).alias(name) for name in columns]
    return pl.concat([bars.head(known), bars.with_columns(wild).tail(later)])


def twinned(bars: pl.DataFrame, known: int) -> pl.DataFrame:
    """Return bars whose future lives the newest past again: each path has a twin to come.

    Parameters
    ----------
    bars : polars.DataFrame
    known : int
        Bars that were complete.
    """
    later = bars.height - known
    length = min(known, max(1, later // 2))
    rows = np.arange(bars.height)
    rows[known:] = known - length + np.arange(later) % length
    again = bars.select(pl.exclude("timestamp").gather(rows))
    return bars.select("timestamp").hstack(again).select(bars.columns)


CHANGES: Final[Mapping[str, Change]] = MappingProxyType(
    {"truncation": truncated, "poison": poisoned, "future twin": twinned}
)
"""By detector."""
