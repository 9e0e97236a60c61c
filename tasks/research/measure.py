"""From bars to what the kernels say of them: events, damping trajectory, metrics of each bar."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import PRICES
from infra.errors import SepError
from infra.market.hours import calendar_of
from infra.market.timeframes import bar_length, bar_seconds
from kernels.bits import COLUMNS, encode_bits, patterns, transitions, volatility
from kernels.damping import DampingParams, damp
from kernels.momentum import MEMORIES, momentum
from kernels.segments import segments as find_segments
from tasks.research.recipe import Recipe

MOMENTUM = tuple(f"momentum_{memory:.0f}" for memory in MEMORIES)
"""Columns of the averages of returns."""


class BarsError(SepError, ValueError):
    """Bars that the pipeline must not compute on; the message says which and what to do."""


@dataclass(frozen=True)
class Measures:
    """What the kernels say of each bar, and nothing of its future.

    Attributes
    ----------
    metrics : polars.DataFrame
        One row a bar: timestamp, OHLC, entropy, coherence, stability, damped_value, decay,
        steps, converged, null_ratio, flip_ratio, rupture_ratio, sigma, segment, momentum_4,
        momentum_16, momentum_64, pattern.
    trajectory : float32[n, 16, 4]
        Damping trajectories (NaN without metrics).
    """

    metrics: pl.DataFrame
    trajectory: NDArray[np.float32]


def measure(
    bars: pl.DataFrame,
    pair: str,
    timeframe: str,
    *,
    encoder: str = "direction",
    params: DampingParams | None = None,
    engine: str = "auto",
) -> Measures:
    """Compute the damping trajectory and the metrics of each bar.

    Parameters
    ----------
    bars : polars.DataFrame
        Bars of one pair, sorted by `timestamp`.
    pair : str
        Its calendar tells which gaps are scheduled.
    timeframe : str
        Length of a bar, such as "H1".
    encoder : str
        How a bar becomes a bit (docs/mathematics.md, "Bits and events").
    params : DampingParams, optional
        Weights and decay of the recursion.
    engine : {"auto", "cpu", "gpu"}

    Raises
    ------
    BarsError
        If there are no bars, or a price is missing, NaN or not positive, or there is no column
        that the encoder reads.
    UnknownInstrument
        If no instrument goes by the pair's name.
    """
    refuse_bad_prices(bars)
    params = params or DampingParams()
    columns = _columns(bars, encoder)
    segment = segments_of(bars, pair, timeframe)
    log_price = np.log(columns["close"])
    sigma = volatility(log_price, segment, engine=engine)
    bits, valid = encode_bits(columns, segment, encoder=encoder, engine=engine)
    events = transitions(bits, valid, segment)
    averages = momentum(log_price, sigma, segment)
    damping = damp(events, log_price, sigma, segment, params=params, engine=engine)
    last = damping.trajectory[:, -1, :]
    metrics = bars.select("timestamp", *PRICES).with_columns(
        entropy=last[:, 0],
        coherence=last[:, 1],
        stability=last[:, 2],
        damped_value=last[:, 3],
        decay=damping.decay[:, -1],
        steps=damping.steps,
        converged=damping.converged,
        null_ratio=damping.state_ratios[:, 0],
        flip_ratio=damping.state_ratios[:, 1],
        rupture_ratio=damping.state_ratios[:, 2],
        sigma=sigma,
        segment=segment,
        pattern=patterns(bits, valid, segment),
        **{name: averages[:, m] for m, name in enumerate(MOMENTUM)},
    )
    return Measures(metrics, damping.trajectory)


def _columns(bars: pl.DataFrame, encoder: str) -> dict[str, NDArray[np.float64]]:
    """Return prices and what the encoder reads, NaN where unknown."""
    wanted = dict.fromkeys((*PRICES, *COLUMNS.get(encoder, ())))
    if missing := [name for name in wanted if name not in bars.columns]:
        raise BarsError(f"encoder={encoder!r} reads {', '.join(missing)}, which bars do not have")
    return {name: bars[name].cast(pl.Float64).to_numpy() for name in wanted}


def measure_by(
    recipe: Recipe, bars: pl.DataFrame, *, pair: str | None = None, engine: str = "auto"
) -> Measures:
    """Measure bars as a recipe says; see `measure`.

    Parameters
    ----------
    recipe : Recipe
    bars : polars.DataFrame
    pair : str, optional
        Of another pair than the recipe's.
    engine : {"auto", "cpu", "gpu"}
    """
    return measure(
        bars,
        pair or recipe.pair,
        recipe.timeframe,
        encoder=recipe.encoder,
        params=recipe.damping,
        engine=engine,
    )


def segments_of(bars: pl.DataFrame, pair: str, timeframe: str) -> NDArray[np.int32]:
    """Number the stretches of bars without an unscheduled gap: int32[n], ascending from 0.

    Parameters
    ----------
    bars : polars.DataFrame
        At least one, with `timestamp`, ascending.
    pair : str
        Time at which its calendar is not surely open is not missed.
    timeframe : str

    Raises
    ------
    UnknownInstrument
        If no instrument goes by the pair's name.
    """
    times = bars["timestamp"]
    closures = calendar_of(pair).closures(times[0], times[-1])
    closes, opens = (closures[name].dt.epoch("us").to_numpy() for name in ("closes", "opens"))
    numbered: NDArray[np.int32] = find_segments(
        times.dt.epoch("us").to_numpy(),
        bar_seconds=bar_seconds(timeframe),
        closures=(closes, opens),
    )
    return numbered


def closing_of(bars: pl.DataFrame, pair: str, timeframe: str) -> NDArray[np.bool_]:
    """Say at the close of which bars the market closes by schedule: bool[n].

    The calendar alone tells: a trade entered at the next open would come after the closure.

    Parameters
    ----------
    bars : polars.DataFrame
        With `timestamp`.
    pair : str
        Its market is closed when its calendar is not surely open, as for `segments_of`: also in
        the hours around holidays in which only some venues trade.
    timeframe : str

    Raises
    ------
    UnknownInstrument
        If no instrument goes by the pair's name.
    """
    opened = calendar_of(pair).is_open(bars["timestamp"] + bar_length(timeframe))
    closing: NDArray[np.bool_] = (~opened).to_numpy()
    return closing


def refuse_bad_prices(bars: pl.DataFrame) -> None:
    """Refuse bars on which nothing may be computed.

    Raises
    ------
    BarsError
        If there are no bars, their timestamps do not ascend, or a price is missing, NaN,
        infinite or not positive.
    """
    if bars.is_empty():
        raise BarsError("there are no bars: run `ingest` for this pair and timeframe first")
    if not bars["timestamp"].is_sorted() or bars["timestamp"].is_duplicated().any():
        raise BarsError("timestamps must ascend without duplicates: ingest the bars again")
    for name in PRICES:
        good = (bars[name].is_finite() & (bars[name] > 0)).fill_null(value=False)
        if not good.all():
            row = int((~good).arg_max() or 0)
            raise BarsError(
                f"{name} of the bar at {bars['timestamp'][row]} is {bars[name][row]}, "
                "not a positive number: ingest the bars again, bad rows go to quarantine"
            )
