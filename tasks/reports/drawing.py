"""What pictures have in common: panels, colours, words, numbers of frames, and PNG bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend_handler import HandlerPathCollection
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

# Okabe and Ito's palette: told apart by all common kinds of colour vision.
LONG, SHORT, BAND = "#0072B2", "#D55E00", "#56B4E9"
INK, MUTED, FAINT, GRID = "#1b2530", "#5c6773", "#9aa5b1", "#e7eaee"
COLOURS = {"long": LONG, "short": SHORT}
MARKERS = {"long": "^", "short": "v"}
DASHES = (0, (4, 3))
WIDTH, DPI, POINTS, SLICES = 6.4, 170, 4000, 240

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Look = dict[str, Any]


def thin(values: Floats, points: int = POINTS) -> Ints:
    """Rows that keep the extremes: the lowest and highest of each of points / 2 equal slices.

    Parameters
    ----------
    values : float64[n]
    points : int
        How many rows are left, about.

    Returns
    -------
    int64[m]
        Ascending, m <= points; every row where there are no more than `points`.
    """
    n = values.size
    if n <= points:
        return np.arange(n)
    slices = points // 2
    width = -(-n // slices)
    padded = np.full(slices * width, np.nan)
    padded[:n] = values
    table, start = padded.reshape(slices, width), np.arange(slices) * width
    low = start + np.where(np.isnan(table), np.inf, table).argmin(axis=1)
    high = start + np.where(np.isnan(table), -np.inf, table).argmax(axis=1)
    rows: Ints = np.unique(np.concatenate([low, high]))
    return rows[rows < n]


def panels(
    rows: int,
    *,
    height: float,
    ratios: Sequence[float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure of panels one below the other.

    Parameters
    ----------
    rows : int
    height : float
        Inches.
    ratios : sequence of float, optional
        Of their heights.
    sharex, sharey : bool
    """
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout=layout, facecolor="white")
    grid = figure.subplots(
        rows, 1, height_ratios=ratios, sharex=sharex, sharey=sharey, squeeze=False
    )
    axes = list(grid[:, 0])
    for axis in axes:
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.spines["bottom"].set_color(GRID)
        axis.grid(axis="y", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(length=0, labelsize=10.5, labelcolor=MUTED)
        axis.yaxis.set_major_locator(MaxNLocator(5))
    return figure, axes


def entitle(axis: Axes, title: str, note: str) -> None:
    """Write a title and, at the right, what to know of it.

    Parameters
    ----------
    axis : Axes
    title, note : str
    """
    axis.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axis.set_title(note, loc="right", fontsize=10, color=MUTED)


def say(figure: Figure, axis: Axes, words: str) -> Figure:
    """Write words in the middle of a panel that has nothing to show.

    Parameters
    ----------
    figure : Figure
    axis : Axes
    words : str
    """
    middle: Look = {"ha": "center", "va": "center", "transform": axis.transAxes}
    axis.text(0.5, 0.5, words, fontsize=12, color=MUTED, **middle)
    return figure


def put_legend(figure: Figure, axis: Axes) -> None:
    """Put the legend of a panel below all of them.

    Parameters
    ----------
    figure : Figure
    axis : Axes
    """
    handles, labels = axis.get_legend_handles_labels()
    look: Look = {"frameon": False, "fontsize": 10, "labelcolor": INK, "handlelength": 1.4}
    look |= {"columnspacing": 1.2, "handletextpad": 0.5}
    look["handler_map"] = {PathCollection: HandlerPathCollection(sizes=[36])}
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **look)


def png(figure: Figure, *, exact: bool = False) -> bytes:
    """Render once, then keep 256 colours: a third of the size, and nobody sees it.

    Parameters
    ----------
    figure : Figure
    exact : bool
        Keep all colours: they are data.
    """
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    if not exact:
        drawn = drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    drawn.save(buffer, format="PNG")
    return buffer.getvalue()


def percent_label(value: float, _: int | None = None) -> str:
    """Write a change in per cent with its sign.

    Parameters
    ----------
    value : float
    _ : int, optional
        Place of the tick, which matplotlib tells.
    """
    return f"{value:+.3g} %".replace("-", "−") if value else "0 %"


def share_label(value: float, _: int | None = None) -> str:
    """Write a share in per cent.

    Parameters
    ----------
    value : float
    _ : int, optional
        Place of the tick, which matplotlib tells.
    """
    return f"{100 * value:.3g} %"


def date_axis(axis: Axes) -> None:
    """Make the horizontal axis one of dates."""
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_formatter(formatter)
    axis.margins(x=0.01)


def times_of(frame: pl.DataFrame, name: str = "timestamp") -> NDArray[np.datetime64]:
    """Return the times of a column, without their zone.

    Parameters
    ----------
    frame : polars.DataFrame
    name : str
    """
    times: NDArray[np.datetime64] = frame[name].dt.replace_time_zone(None).to_numpy()
    return times


def values_of(frame: pl.DataFrame, name: str) -> Floats:
    """Return a column as float64[n], NaN where there is nothing.

    Parameters
    ----------
    frame : polars.DataFrame
    name : str
    """
    values: Floats = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values


def tested(predictions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the test span."""
    return predictions.filter(pl.col("split") == "test")


def in_slices(frame: pl.DataFrame, low: pl.Expr, middle: pl.Expr, high: pl.Expr) -> pl.DataFrame:
    """Summarise up to SLICES stretches of bars of equal length; NaN where nothing is known.

    Parameters
    ----------
    frame : polars.DataFrame
        One row a bar.
    low, middle, high : polars.Expr
        What to say of a stretch.
    """
    part = pl.int_range(pl.len()) * SLICES // max(frame.height, SLICES)
    parts = frame.group_by(part.alias("part"), maintain_order=True)
    rows = parts.agg(pl.col("timestamp").first(), low=low, middle=middle, high=high)
    return rows.with_columns(pl.col("low", "middle", "high").fill_null(np.nan))


def known(name: str) -> pl.Expr:
    """Return a column as numbers, null where there is none."""
    return pl.col(name).cast(pl.Float64).fill_nan(None)
