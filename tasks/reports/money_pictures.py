"""Pictures of money: equity with its bands, from gross to net, and the plateau of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Any, Final

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from kernels.statistics.bootstrap import LEAST, block_length, percentiles, stationary_draws
from tasks.reports.drawing import (
    BAND,
    INK,
    LONG,
    MUTED,
    SHORT,
    SLICES,
    Floats,
    Ints,
    Look,
    date_axis,
    entitle,
    panels,
    percent_label,
    png,
    say,
    thin,
    times_of,
    values_of,
)

DRAWS: Final = 500
LEVEL: Final = 0.9
LOSS_TO_GAIN: Final = LinearSegmentedColormap.from_list("gain", [SHORT, "white", LONG])
NOTE: Final[Look] = {
    "va": "center",
    "ha": "left",
    "fontsize": 10,
    "color": INK,
    "textcoords": "offset points",
}


def draw_equity(equity: pl.DataFrame) -> bytes:
    """Draw the equity curve, net of costs, in its bands, and its drawdown."""
    figure, (above, below) = panels(2, height=4.6, ratios=(2.2, 1), sharex=True)
    entitle(above, "Equity", "change since the start, after costs, 90 % band")
    entitle(below, "Drawdown", "below the highest point so far")
    if equity.is_empty():
        return png(say(figure, above, "no bars were traded"))
    _draw_bands(above, equity)
    growth, drawdown = 100 * (values_of(equity, "equity") - 1), 100 * values_of(equity, "drawdown")
    for axis, values, colour in ((above, growth, LONG), (below, drawdown, SHORT)):
        rows = thin(values)
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.plot(times_of(equity[rows]), values[rows], color=colour, linewidth=1.5)
        axis.yaxis.set_major_formatter(FuncFormatter(percent_label))
    rows = thin(drawdown)
    fill: Look = {"color": SHORT, "alpha": 0.12, "linewidth": 0}
    below.fill_between(times_of(equity[rows]), drawdown[rows], 0, **fill)
    below.set_ylim(top=max(-float(drawdown.min()), 0.1) * 0.05)
    date_axis(below)
    return png(figure)


def equity_bands(equity: Floats, seed: int = 0) -> tuple[Ints, Floats, Floats] | None:
    """Return where equity might have stood: the growth of stretches drawn anew in blocks.

    Parameters
    ----------
    equity : float64[n]
        At the close of each bar, above 0.
    seed : int

    Returns
    -------
    rows : int64[s]
        The last bar of each stretch, `SLICES` at most.
    low, high : float64[s]
        Pointwise bounds of 90 %; None, all of it, where too little moved.
    """
    rows = np.unique(np.linspace(0, len(equity) - 1, SLICES + 1).astype(np.int64))
    if not len(equity) or len(rows) <= LEAST or not (equity[rows] > 0).all():
        return None
    growth = np.diff(np.log(equity[rows]))
    if np.ptp(growth) == 0:
        return None
    draws = stationary_draws(len(growth), block_length(growth), DRAWS, seed)
    paths = np.exp(np.stack([growth[drawn].cumsum() for drawn in draws]))
    low, high = percentiles(paths, LEVEL)
    return rows[1:], low, high


def _draw_bands(axis: Axes, equity: pl.DataFrame) -> None:
    found = equity_bands(values_of(equity, "equity"))
    if found is not None:
        rows, low, high = found
        band: Look = {"color": BAND, "alpha": 0.25, "linewidth": 0}
        axis.fill_between(times_of(equity[rows]), 100 * (low - 1), 100 * (high - 1), **band)


def draw_waterfall(steps: Sequence[Mapping[str, Any]]) -> bytes:
    """Draw what became of the gross gain: each cost takes from it, the last bar is what is left.

    Parameters
    ----------
    steps : sequence of dict
        ``name`` and ``gain``: the gross gain, what each cost changed, and the net gain.
    """
    figure, (axis,) = panels(1, height=1.2 + 0.42 * len(steps))
    entitle(axis, "From gross to net", "summed over the trades")
    gains = 100 * np.array([step["gain"] for step in steps], np.float64)
    starts, place = np.concatenate([[0.0], gains[:-1].cumsum()]), np.arange(len(steps))
    ends = {0}
    if is_sum(steps):
        starts[-1] = 0.0
        ends.add(len(steps) - 1)
    colours = [INK if i in ends else LONG if gain >= 0 else SHORT for i, gain in enumerate(gains)]
    axis.barh(place, gains, left=starts, height=0.6, color=colours)
    axis.axvline(0, color=MUTED, linewidth=0.8)
    axis.set_yticks(place, [str(step["name"]) for step in steps])
    for i, gain in enumerate(gains.tolist()):
        end = max(starts[i], starts[i] + gain)
        axis.annotate(percent_label(gain), (end, i), xytext=(4, 0), **NOTE)
    axis.margins(x=0.16)
    axis.grid(visible=False)
    axis.xaxis.set_major_formatter(FuncFormatter(percent_label))
    axis.invert_yaxis()
    return png(figure)


def is_sum(steps: Sequence[Mapping[str, Any]]) -> bool:
    """Say whether the last step is what all before it leave."""
    *before, last = (step["gain"] for step in steps)
    return bool(before) and isclose(sum(before), last, rel_tol=1e-6, abs_tol=1e-9)


def is_map(plateau: Mapping[str, Any]) -> bool:
    """Say whether a plateau is known at every point of a grid, so that it can be drawn."""
    return {"x", "y", "value", "chosen"} <= plateau.keys()


def draw_plateau(plateau: Mapping[str, Any]) -> bytes:
    """Draw what neighbouring parameters would have brought: a plateau, or a spike.

    Parameters
    ----------
    plateau : dict
        ``x`` and ``y`` (``name``, ``values``), ``value`` (``name``, ``rows``: a list of one
        number for each x, for each y) and ``chosen`` (the x and the y in force).
    """
    x, y, value = plateau["x"], plateau["y"], plateau["value"]
    rows = np.array(value["rows"], np.float64)
    figure, (axis,) = panels(1, height=1.6 + 0.3 * len(y["values"]))
    entitle(axis, "Neighbouring parameters", value["name"])
    top = float(np.nanmax(np.abs(rows), initial=1e-12))
    look: Look = {"cmap": LOSS_TO_GAIN, "vmin": -top, "vmax": top, "aspect": "auto"}
    figure.colorbar(axis.imshow(rows, origin="lower", **look), ax=axis, pad=0.02)
    axis.grid(visible=False)
    axis.set_xticks(range(len(x["values"])), [f"{each:g}" for each in x["values"]])
    axis.set_yticks(range(len(y["values"])), [f"{each:g}" for each in y["values"]])
    axis.set_xlabel(x["name"], color=MUTED)
    axis.set_ylabel(y["name"], color=MUTED)
    at_x, at_y = plateau["chosen"]
    corner = x["values"].index(at_x) - 0.5, y["values"].index(at_y) - 0.5
    for colour, width in (("white", 5.0), (INK, 2.2)):
        axis.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor=colour, linewidth=width))
    return png(figure)
