"""Pictures of calibration shown: the curve without bins in its bands, and what coverage costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from tasks.reports.drawing import (
    COLOURS,
    DASHES,
    MUTED,
    Look,
    entitle,
    panels,
    percent_label,
    png,
    put_legend,
    say,
    share_label,
)

Shown = Mapping[str, Any]


def draw_curve(axis: Axes, side: str, told: Shown) -> None:
    """Draw the curve of one side in its bands.

    Parameters
    ----------
    axis : Axes
    side : {"long", "short"}
    told : dict
        What `tasks.reports.shown.shown` says of the side.
    """
    if told["reliability"] is None:
        return
    colour, curve, bands = COLOURS[side], told["reliability"], told["bands"]
    if bands is not None:
        band: Look = {"color": colour, "alpha": 0.16, "linewidth": 0}
        axis.fill_between(bands["said"], bands["low"], bands["high"], **band)
    axis.plot(curve["said"], curve["came"], color=colour, linewidth=1.6)


def draw_coverage(shown: Shown | None) -> bytes:
    """Draw the share of trades lost, and the mean net gain, by the share that is answered.

    Parameters
    ----------
    shown : dict, optional
        What `tasks.reports.shown.shown` returned.
    """
    figure, (above, below) = panels(2, height=5.2, ratios=(1.4, 1), sharex=True)
    entitle(above, "Risk and coverage", "trades lost, of the most confident bars")
    entitle(below, "Mean net gain of a trade", "after costs")
    sides = {} if shown is None else shown["sides"]
    known = {side: told for side, told in sides.items() if told["coverage"] is not None}
    if not known:
        return png(say(figure, above, "no confidence with a known outcome"))
    for side, told in known.items():
        curve, colour = told["coverage"], COLOURS[side]
        above.plot(curve["coverage"], curve["lost"], color=colour, linewidth=1.6, label=side)
        below.plot(curve["coverage"], 100 * np.array(curve["gain"]), color=colour, linewidth=1.6)
        usual: Look = {"color": colour, "linewidth": 1, "linestyle": DASHES}
        above.axhline(1 - told["base_rate"], **usual)
    below.axhline(0, color=MUTED, linewidth=0.8)
    above.yaxis.set_major_formatter(FuncFormatter(share_label))
    below.yaxis.set_major_formatter(FuncFormatter(percent_label))
    below.xaxis.set_major_formatter(FuncFormatter(share_label))
    below.set_xlabel("bars answered, the most confident first", color=MUTED)
    below.margins(x=0.03)
    put_legend(figure, above)
    return png(figure)
