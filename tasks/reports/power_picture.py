"""The power curve: how often the gate passes an edge of a size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import FuncFormatter

from tasks.reports.drawing import (
    DASHES,
    LONG,
    MUTED,
    SHORT,
    Look,
    entitle,
    panels,
    png,
    put_legend,
    share_label,
)


@dataclass(frozen=True)
class Point:
    """A share of walks that passed, with its bounds.

    Attributes
    ----------
    size : float
        Of the edge.
    share, low, high : float
    """

    size: float
    share: float
    low: float
    high: float


def draw_power(points: Sequence[Point], *, false: float, power: float) -> bytes:
    """Draw the share of walks that pass the gate by the size of their edge.

    Parameters
    ----------
    points : sequence of Point
        By size, that without edge first.
    false : float
        What may pass without edge.
    power : float
        What must at the printed edge.
    """
    figure, (axis,) = panels(1, height=3.8)
    entitle(axis, "Power of the gate", "share of walks that pass, with its exact 95 % interval")
    sizes, shares, lows, highs = np.array([list(vars(each).values()) for each in points]).T
    reach = np.abs(np.stack([shares - lows, highs - shares]))
    look: Look = {
        "color": LONG,
        "marker": "o",
        "markersize": 6,
        "linewidth": 1.4,
        "elinewidth": 1.2,
    }
    axis.errorbar(sizes, shares, yerr=reach, capsize=0, label="passed", **look)
    axis.axhline(false, color=SHORT, linestyle=DASHES, linewidth=1, label="may, without edge")
    axis.axhline(power, color=MUTED, linestyle=DASHES, linewidth=1, label="must, at size 1")
    axis.set_ylim(-0.03, 1.03)
    axis.yaxis.set_major_formatter(FuncFormatter(share_label))
    axis.set_xlabel("size of the planted edge", color=MUTED)
    put_legend(figure, axis)
    return png(figure)
