"""Pictures of what is believed: confidence over time, and how well it keeps its word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from kernels.evaluation import equal_mass, wilson
from tasks.reports.drawing import (
    COLOURS,
    DASHES,
    INK,
    MARKERS,
    MUTED,
    Floats,
    Look,
    date_axis,
    entitle,
    in_slices,
    known,
    panels,
    png,
    put_legend,
    say,
    share_label,
    tested,
    times_of,
    values_of,
)
from tasks.reports.shown_pictures import draw_curve

BINS, OUTCOMES_A_BIN = 8, 20
FEW = 400
"""Marks of so many bars have room for an edge."""


def draw_confidence(predictions: pl.DataFrame) -> bytes:
    """Draw each side's confidence with its bounds beside break-even, and what is worth a trade."""
    figure, axes = panels(2, height=4.6, sharex=True, sharey=True)
    test = tested(predictions)
    for axis, side in zip(axes, COLOURS, strict=True):
        signals = _draw_belief(axis, test, side)
        note = f"{signals:,} bars worth a trade"
        entitle(axis, f"Confidence, {side}", note)
        axis.yaxis.set_major_formatter(FuncFormatter(share_label))
    if test.is_empty():
        return png(say(figure, axes[0], "no test span"))
    put_legend(figure, axes[0])
    date_axis(axes[-1])
    return png(figure)


def draw_reliability(
    predictions: pl.DataFrame, *, horizon: int, shown: Mapping[str, Any] | None = None
) -> bytes:
    """Draw how often trades won against how often confidence said they would.

    The curve without bins in its bands, where it is known, and equal-mass bins over the test
    span, one series a side. Outcomes closer than the horizon overlap, so the Wilson intervals of
    the bins count one outcome in each ``horizon + 1`` bars.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    horizon : int
        Bars a trade is held.
    shown : dict, optional
        What `tasks.reports.shown.shown` returned.
    """
    figure, (above, below) = panels(2, height=6.4, ratios=(3.4, 1), sharex=True)
    entitle(above, "Reliability", "does a confidence of 60 % win six times in ten?")
    entitle(below, "Histogram of confidence", "")
    outcomes = {side: _resolved(predictions, side) for side in COLOURS}
    if not any(confidence.size for confidence, _ in outcomes.values()):
        return png(say(figure, above, "no confidence with a known outcome"))
    for side, (confidence, win) in outcomes.items():
        if shown is not None:
            draw_curve(above, side, shown["sides"][side])
        _draw_bins(above, side, confidence, win, horizon)
    _draw_histogram(below, outcomes)
    above.axline((0.5, 0.5), slope=1, color=MUTED, linewidth=1, linestyle=DASHES)
    _limit_confidence(above, outcomes)
    above.yaxis.set_major_formatter(FuncFormatter(share_label))
    below.xaxis.set_major_formatter(FuncFormatter(share_label))
    above.set_ylabel("won, after costs", color=MUTED)
    below.set_xlabel("confidence", color=MUTED)
    below.set_ylabel("bars", color=MUTED)
    put_legend(figure, above)
    return png(figure)


def _resolved(predictions: pl.DataFrame, side: str) -> tuple[Floats, Floats]:
    test = tested(predictions)
    confidence, win = values_of(test, f"confidence_{side}"), values_of(test, f"win_{side}")
    resolved = np.isfinite(confidence) & (win >= 0)
    return confidence[resolved], win[resolved]


def _draw_bins(axis: Axes, side: str, confidence: Floats, win: Floats, horizon: int) -> None:
    effective = confidence.size / (horizon + 1)
    group = equal_mass(confidence, int(np.clip(effective / OUTCOMES_A_BIN, 2, BINS)))
    size = np.bincount(group)
    confidences, won = np.bincount(group, confidence) / size, np.bincount(group, win) / size
    count = np.maximum(1.0, size / (horizon + 1))
    low, high = wilson(won * count, count)
    reach = np.abs(np.stack([won - low, high - won]))  # rounding may leave -1e-17
    look: Look = {"color": COLOURS[side], "marker": MARKERS[side], "markersize": 7, "capsize": 0}
    axis.errorbar(
        confidences, won, yerr=reach, linestyle="none", elinewidth=1.4, label=side, **look
    )


def _draw_histogram(axis: Axes, outcomes: Mapping[str, tuple[Floats, Floats]]) -> None:
    edges = np.histogram_bin_edges(_said(outcomes), bins=40).tolist()
    for side, (confidence, _) in outcomes.items():
        fill: Look = {"color": COLOURS[side], "alpha": 0.2, "linewidth": 0}
        axis.hist(confidence, bins=edges, histtype="stepfilled", **fill)
        axis.hist(confidence, bins=edges, histtype="step", color=COLOURS[side], linewidth=1.2)


def _limit_confidence(axis: Axes, outcomes: Mapping[str, tuple[Floats, Floats]]) -> None:
    low, high = np.quantile(_said(outcomes), [0.001, 0.999])
    middle, reach = (low + high) / 2, max(0.03, 0.56 * (high - low))
    axis.set_xlim(middle - reach, middle + reach)


def _said(outcomes: Mapping[str, tuple[Floats, Floats]]) -> Floats:
    return np.concatenate([confidence for confidence, _ in outcomes.values()])


def _draw_belief(axis: Axes, frame: pl.DataFrame, side: str) -> int:
    names = (f"lower_{side}", f"confidence_{side}", f"upper_{side}")
    rows = in_slices(frame, *(known(name).median() for name in names))
    when, colour = times_of(rows), COLOURS[side]
    band: Look = {"color": colour, "alpha": 0.18, "linewidth": 0}
    axis.fill_between(when, rows["low"], rows["high"], label="5 to 95 % bounds", **band)
    axis.plot(when, rows["middle"], color=colour, linewidth=1.3, label="confidence")
    even = values_of(frame, f"break_even_{side}")
    axis.plot(times_of(frame), even, color=INK, linestyle=DASHES, zorder=4, label="break-even")
    worth = frame.filter(known(f"margin_{side}") > 0)
    look: Look = {"color": colour, "marker": MARKERS[side], "edgecolor": "white"}
    look["linewidth"] = 0.4 if worth.height < FEW else 0.0
    where = (times_of(worth), values_of(worth, f"confidence_{side}"))
    size = float(np.clip(6000 / max(worth.height, 1), 8, 36))
    axis.scatter(*where, s=size, label="worth a trade", zorder=3, **look)
    return worth.height
