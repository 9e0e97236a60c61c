"""The picture of a sweep: Sharpe ratios of a plane of its grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from tasks.reports.drawing import FAINT, GRID, INK, MUTED, Floats, Look, panels, png
from tasks.rules.grid import AXES
from tasks.rules.swept import Swept

COLOURS: Final = "RdBu"
"""Losses red, gains blue, nothing nearly white: told apart by all common kinds of vision."""
NUMBERED: Final = 150
"""Cells up to which each has its ratio written on it."""


@dataclass(frozen=True)
class Paper:
    """Colours of what is not data."""

    ground: str
    ink: str
    muted: str
    line: str
    nothing: str


LIGHT: Final = Paper("white", INK, MUTED, GRID, GRID)
DARK: Final = Paper("#14191f", "#e6ebf0", FAINT, "#2a323b", "#2a323b")


def plane(found: Swept, axes: tuple[str, str]) -> Floats:
    """Return the ratios of two axes, the others as in the best set: float64[second, first].

    Parameters
    ----------
    found : Swept
    axes : (str, str)
        Two of `tasks.rules.grid.AXES`: across, and upwards.
    """
    place = np.unravel_index(found.best, found.grid.shape)
    across, up = (AXES.index(name) for name in axes)
    chosen = tuple(slice(None) if i in (across, up) else int(p) for i, p in enumerate(place))
    table = found.sharpe.reshape(found.grid.shape)[chosen]
    return np.asarray(table.T if across < up else table)


def draw_sweep(
    found: Swept, axes: tuple[str, str] = ("threshold", "horizon"), *, dark: bool = False
) -> bytes:
    """Draw the Sharpe ratios of two axes, the others as in the best set, which is marked.

    Parameters
    ----------
    found : Swept
    axes : (str, str)
        Across, and upwards.
    dark : bool
        For a dark page.

    Returns
    -------
    bytes
        PNG.
    """
    paper, table = DARK if dark else LIGHT, plane(found, axes)
    figure, (axis,) = panels(1, height=1.6 + 0.32 * min(max(len(table), 5), 20))
    figure.set_facecolor(paper.ground)
    axis.set_facecolor(paper.nothing)
    most = np.abs(table[np.isfinite(table)]).max(initial=0.0) or 1.0
    scale = Normalize(-most, most)
    _draw_cells(axis, table, scale, paper)
    _label(axis, found, axes, paper)
    place = np.unravel_index(found.best, found.grid.shape)
    x, y = (int(place[AXES.index(name)]) for name in axes)
    for width, colour in ((4.0, "white"), (1.8, "black")):
        look: Look = {"fill": False, "edgecolor": colour, "linewidth": width, "clip_on": False}
        axis.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, **look))
    _draw_bar(figure, axis, paper)
    return png(figure, exact=True)


def value_label(value: float) -> str:
    """Write a value of an axis; `none` for an infinite distance."""
    return "none" if math.isinf(value) else f"{value:.3g}".replace("-", "−")


def others_label(found: Swept, axes: Sequence[str]) -> str:
    """Say where the axes stand that are not drawn.

    Parameters
    ----------
    found : Swept
    axes : sequence of str
        Those that are.
    """
    values = zip(AXES, found.grid.values(found.best), strict=True)
    return ", ".join(f"{name} {value_label(v)}" for name, v in values if name not in axes)


def _draw_cells(axis: Axes, table: Floats, scale: Normalize, paper: Paper) -> None:
    axis.grid(visible=False)
    axis.imshow(table, cmap=COLOURS, norm=scale, origin="lower", aspect="auto")
    if table.size > NUMBERED:
        return
    for (y, x), ratio in np.ndenumerate(table):
        if not np.isfinite(ratio):
            axis.text(x, y, "–", ha="center", va="center", color=paper.muted, fontsize=7)
            continue
        strong = abs(float(scale(ratio)) - 0.5) > 0.33
        look: Look = {"color": "white" if strong else "black", "fontsize": 7}
        axis.text(x, y, f"{ratio:.2f}".replace("-", "−"), ha="center", va="center", **look)


def _label(axis: Axes, found: Swept, axes: tuple[str, str], paper: Paper) -> None:
    first, second = (found.grid.axes[AXES.index(name)] for name in axes)
    for ticks, values in ((axis.set_xticks, first), (axis.set_yticks, second)):
        step = math.ceil(len(values) / 14)
        shown = np.arange(0, len(values), step)
        ticks(shown, [value_label(values[i]) for i in shown])
    axis.set_xlabel(axes[0], color=paper.muted)
    axis.set_ylabel(axes[1], color=paper.muted)
    axis.tick_params(labelcolor=paper.muted, labelsize=9)
    axis.spines["bottom"].set_visible(False)
    axis.set_title(
        "Sharpe ratio of a day", loc="left", fontsize=12, fontweight="bold", color=paper.ink
    )
    axis.set_title(others_label(found, axes), loc="right", fontsize=10, color=paper.muted)


def _draw_bar(figure: Figure, axis: Axes, paper: Paper) -> None:
    bar = figure.colorbar(axis.images[0], ax=axis, pad=0.02, fraction=0.05)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0, labelsize=9, labelcolor=paper.muted)
