"""A picture of bars: candles, or a line where they are many, and how complete they are."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.dates import date2num
from matplotlib.patches import Patch

from infra.bars import PRICES
from infra.market.calendar import Calendar, filled
from infra.market.timeframes import bar_length
from tasks.reports.drawing import (
    BAND,
    INK,
    LONG,
    SHORT,
    Floats,
    Look,
    date_axis,
    entitle,
    in_slices,
    known,
    panels,
    png,
    times_of,
    values_of,
)
from tasks.reports.quality_pictures import CLASSES

CANDLES: Final = 240
"""More bars than these are a line within the band of their highs and lows."""

STRIPES: Final = 200


def draw_bars(bars: pl.DataFrame, pair: str, timeframe: str) -> bytes:
    """Draw the prices, and below which of the bars that sessions ought to hold are there.

    Parameters
    ----------
    bars : polars.DataFrame
        At least one, sorted by `timestamp`.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    """
    figure, (above, below) = panels(2, height=4.6, ratios=(9, 1), sharex=True)
    first, last = (f"{time:%Y-%m-%d %H:%M}" for time in bars["timestamp"][[0, -1]])
    entitle(above, f"{pair} {timeframe}", f"{bars.height:,} bars, {first} to {last}")
    (_draw_candles if bars.height <= CANDLES else _draw_line)(above, bars)
    share = _draw_strip(below, bars, timeframe)
    entitle(below, "Completeness", "no session" if share is None else f"{100 * share:.3g} %")
    patches = [Patch(color=colour, label=name) for name, (_, colour) in CLASSES.items()]
    look: Look = {"frameon": False, "fontsize": 10, "labelcolor": INK, "handlelength": 1.0}
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), **look)
    date_axis(below)
    return png(figure)


def completeness(bars: pl.DataFrame, timeframe: str) -> pl.DataFrame:
    """Return the bars that sessions ought to hold: `timestamp`, and whether each is `there`.

    Parameters
    ----------
    bars : polars.DataFrame
        Sorted by `timestamp`.
    timeframe : str
        Such as `H1`.
    """
    times = bars["timestamp"]
    expected = Calendar.of(times, timeframe).expected_between(times, timeframe)
    return pl.DataFrame({"timestamp": expected, "there": filled(expected, times, timeframe)})


def _draw_candles(axis: Axes, bars: pl.DataFrame) -> None:
    when = date2num(times_of(bars))  # type: ignore[no-untyped-call]
    opened, high, low, closed = (values_of(bars, name) for name in PRICES)
    colours = [LONG if up else SHORT for up in closed >= opened]
    axis.add_collection(LineCollection(_sticks(when, low, high), colors=colours, linewidths=0.8))
    step = np.diff(when).min(initial=1.0)
    least = 0.002 * (high.max() - low.min())
    body: Look = {"width": 0.7 * step, "linewidth": 0, "color": colours, "align": "center"}
    axis.bar(
        when, np.maximum(abs(closed - opened), least), bottom=np.minimum(opened, closed), **body
    )
    axis.autoscale_view()
    axis.xaxis_date()


def _sticks(when: Floats, low: Floats, high: Floats) -> list[Floats]:
    ends = np.stack([np.stack([when, low], axis=1), np.stack([when, high], axis=1)], axis=1)
    return list(ends)


def _draw_line(axis: Axes, bars: pl.DataFrame) -> None:
    rows = in_slices(bars, known("low").min(), known("close").last(), known("high").max())
    when = times_of(rows)
    axis.fill_between(when, rows["low"], rows["high"], color=BAND, alpha=0.35, linewidth=0)
    axis.plot(when, rows["middle"], color=INK, linewidth=1.0)


def _draw_strip(axis: Axes, bars: pl.DataFrame, timeframe: str) -> float | None:
    """Draw a stripe for each part of the time; return the share of bars that are there."""
    axis.grid(visible=False)
    axis.set_yticks([])
    expected = completeness(bars, timeframe)
    if expected.is_empty():
        return None
    length = bar_length(timeframe)
    begin, end = bars["timestamp"][0], bars["timestamp"][-1] + length
    stripes = min(STRIPES, (end - begin) // length)
    edges = [begin + (end - begin) * number / stripes for number in range(stripes + 1)]
    stripe = pl.Series(edges).search_sorted(expected["timestamp"], side="right").to_numpy() - 1
    there = expected["there"].to_numpy()
    wanted = np.bincount(stripe, minlength=stripes)[:stripes]
    came = np.bincount(stripe, there, minlength=stripes)[:stripes]
    shares = np.full((1, stripes), np.nan)
    np.divide(came, wanted, out=shares[0], where=wanted > 0)
    colours = [colour for _, colour in CLASSES.values()][::-1]
    bounds = sorted(begin for begin, _ in CLASSES.values())
    norm = BoundaryNorm([*bounds, 1.01], len(colours))
    when = [edge.replace(tzinfo=None) for edge in edges]
    drawn: Look = {"cmap": ListedColormap(colours), "norm": norm}
    axis.pcolormesh(date2num(when), [0, 1], shares, **drawn)  # type: ignore[no-untyped-call]
    return float(there.mean())
