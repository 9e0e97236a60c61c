"""Pictures of the quality of bars: PNG bytes in the style of a backtest's pictures."""

from __future__ import annotations

from calendar import month_abbr
from typing import Final

import numpy as np
import polars as pl
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from infra.market.instruments import pip
from tasks.intake.quality import Quality, mean_deviation
from tasks.reports.drawing import (
    BAND,
    DASHES,
    INK,
    LONG,
    MUTED,
    SHORT,
    Look,
    entitle,
    panels,
    png,
    put_legend,
    say,
    share_label,
)

CAPTIONS: Final = {
    "completeness": "Bars present of those that sessions ought to hold, day by day.",
    "spread": "Spread at the close by hour of New York's day: median, and what 95 % stay below.",
    "returns": "Moves from close to close around zero; the dashed line is a normal distribution "
    "of the same mean size. A tower at zero, or gaps between towers, is rounding.",
}
CLASSES: Final = {
    "over 99.5 %": (0.995, "#d3e6f3"),
    "95 to 99.5 %": (0.95, BAND),
    "50 to 95 %": (0.5, "#f2b48a"),
    "below 50 %": (0.0, SHORT),
}
"""Share of a day's expected bars, from, and its colour."""

COLUMNS, BINS, REACH = 54, 160, 4.0


def draw_quality(quality: Quality) -> dict[str, bytes]:
    """Draw what there is to draw, by name; the spread where bid and ask are known."""
    pictures = {"completeness": draw_completeness(quality)}
    if quality.spread.height:
        pictures["spread"] = draw_spread(quality)
    return pictures | {"returns": draw_returns(quality)}


def draw_completeness(quality: Quality) -> bytes:
    """Draw a calendar: a block a year, a column a week, a row a weekday."""
    cells, years = _calendar(quality.days)
    figure, (axis,) = panels(1, height=1.2 + 0.095 * max(len(cells), 8))
    entitle(axis, "Completeness", f"a column a week, a row a weekday, {quality.week.zone}")
    axis.grid(visible=False)
    if not years:
        return png(say(figure, axis, "no session between the first and the last bar"))
    colours = [colour for _, colour in CLASSES.values()][::-1]
    edges = sorted(start for start, _ in CLASSES.values())
    norm = BoundaryNorm([*edges, 1.01], len(colours))
    lines: Look = {"edgecolors": "white", "linewidth": 0.6}
    axis.pcolormesh(cells, cmap=ListedColormap(colours), norm=norm, **lines)
    axis.invert_yaxis()
    rows = len(cells) / len(years)
    axis.set_yticks([rows * i + (rows - 1) / 2 for i in range(len(years))], map(str, years))
    axis.set_xticks([(30.44 * month + 15) / 7 for month in range(12)], month_abbr[1:])
    axis.spines["bottom"].set_visible(False)
    patches = [Patch(color=colour, label=name) for name, (_, colour) in CLASSES.items()]
    look: Look = {"frameon": False, "fontsize": 10, "labelcolor": INK, "handlelength": 1.0}
    figure.legend(handles=patches, loc="outside lower center", ncols=len(patches), **look)
    return png(figure)


def draw_spread(quality: Quality) -> bytes:
    """Draw median and 95 % of the spread for each hour of New York's day."""
    figure, (axis,) = panels(1, height=3.4)
    entitle(axis, "Spread by hour", "pips, New York time; the trading day ends at 17:00")
    hour = quality.spread["hour"].to_numpy()
    usual, high = (
        quality.spread[name].to_numpy() / pip(quality.pair) for name in ("median", "high")
    )
    axis.bar(hour, high, width=0.8, color=BAND, alpha=0.35, linewidth=0, label="95 % stay below")
    axis.bar(hour, usual, width=0.8, color=LONG, linewidth=0, label="median")
    axis.set_xticks(range(0, 24, 3), [f"{hour:02}:00" for hour in range(0, 24, 3)])
    axis.set_xlim(-0.7, 23.7)
    put_legend(figure, axis)
    return png(figure)


def draw_returns(quality: Quality) -> bytes:
    """Draw the distribution of moves within four deviations, in bins of whole price steps."""
    figure, (axis,) = panels(1, height=3.4)
    zeros = quality.zero_returns
    note = "" if zeros is None else f"{share_label(zeros)} exactly zero"
    entitle(axis, "Moves from bar to bar", note)
    deviation = mean_deviation(quality.moves) / pip(quality.pair)
    if not deviation:
        return png(say(figure, axis, "the price does not move"))
    step = 10.0 ** -(quality.decimals or 0) / pip(quality.pair)
    width = step * max(1.0, np.ceil(2 * REACH * deviation / BINS / step))
    centres, share = _histogram(quality.moves / pip(quality.pair), width, REACH * deviation)
    axis.bar(centres, share, width=0.9 * width, color=LONG, linewidth=0)
    curve = np.linspace(-REACH, REACH, 201)
    normal = np.exp(-(curve**2) / 2) / np.sqrt(2 * np.pi) * width / deviation
    axis.plot(curve * deviation, normal, color=INK, linewidth=1, linestyle=DASHES)
    axis.yaxis.set_major_formatter(FuncFormatter(share_label))
    axis.set_xlabel("pips", color=MUTED)
    return png(figure)


def _calendar(days: pl.DataFrame) -> tuple[NDArray[np.float64], list[int]]:
    """Shares of present bars, float64[year blocks, 54]; NaN where nothing is expected."""
    dates = pl.col("date")
    first = dates.dt.truncate("1y").dt.weekday() - 1
    placed = days.select(
        year=dates.dt.year(),
        day=dates.dt.weekday() - 1,
        week=(dates.dt.ordinal_day() - 1 + first) // 7,
        share=pl.col("present") / pl.col("expected"),
    )
    years = list(range(placed["year"][0], placed["year"][-1] + 1)) if placed.height else []
    rows = {day: row for row, day in enumerate(sorted(set(placed["day"])))}
    block = len(rows) + 1
    cells = np.full((len(years) * block, COLUMNS), np.nan)
    for year, day, week, share in placed.iter_rows():
        cells[(year - years[0]) * block + rows[day], week] = share
    return cells, years


def _histogram(
    moves: pl.Series, width: float, reach: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres and shares of bins around multiples of a width."""
    last = int(reach // width)
    centres: NDArray[np.float64] = np.linspace(-last * width, last * width, 2 * last + 1)
    bins = np.rint(moves.to_numpy() / width)
    inside = bins[np.abs(bins) <= last].astype(np.int64) + last
    share = np.bincount(inside, minlength=2 * last + 1) / len(moves)
    return centres, share
