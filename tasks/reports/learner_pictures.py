"""Pictures of what was learnt: what each learner is worth, and how much caution pays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from tasks.reports.drawing import (
    BAND,
    FAINT,
    GRID,
    INK,
    LONG,
    MUTED,
    SHORT,
    Floats,
    Look,
    entitle,
    panels,
    percent_label,
    png,
    say,
)
from tasks.reports.learners import STACK

ROW = 0.34
"""Height of a learner's bar and the room around it, in inches."""


def draw_learners(learners: Sequence[dict[str, Any]]) -> bytes:
    """Draw each learner's weight, and beside it its own skill on the test span.

    Parameters
    ----------
    learners : sequence of dict
        What `tasks.reports.learners.learners` returned.
    """
    if len(learners) < 2:
        figure, (axis,) = panels(1, height=2.0)
        entitle(axis, "Learners", "")
        return png(_bare(figure, axis, "nothing but the base rate was learnt"))
    figure, (weights, skills) = _beside(height=1.3 + ROW * len(learners))
    entitle(weights, "Weight", "")
    entitle(skills, "Brier skill", "alone, with its 5 % bound")
    place = np.arange(len(learners), dtype=np.float64)
    bold = ["bold" if each["name"] == STACK else "normal" for each in learners]
    weights.set_yticks(place, [each["name"] for each in learners])
    for label, weight in zip(weights.get_yticklabels(), bold, strict=True):
        label.set(fontweight=weight, color=INK)
    weights.barh(place, _numbers(learners, "weight"), height=0.62, color=BAND)
    _draw_skills(skills, place, learners)
    weights.invert_yaxis()
    return png(figure)


def draw_caution(caution: dict[str, Any] | None) -> bytes:
    """Draw the growth that each caution brought on the test span, and on the past.

    Parameters
    ----------
    caution : dict, optional
        What `tasks.reports.cautions.cautions` returned.
    """
    figure, (above, below) = panels(2, height=4.6, sharex=True)
    entitle(above, "Growth by caution, test span", "after costs")
    entitle(below, "The same on the past", "each bar told by what had not seen it")
    if caution is None:
        return png(say(figure, above, "not tried"))
    tried = caution["tried"]
    place = np.arange(len(tried), dtype=np.float64)
    chosen = [each["caution"] for each in tried].index(caution["in_force"])
    for axis, name, colour in ((above, "test", LONG), (below, "past", MUTED)):
        _draw_growth(axis, place, 100 * np.expm1(_numbers(tried, name)), colour)
        axis.axvline(chosen, color=SHORT, linewidth=9, alpha=0.18, zorder=0)
    if not np.isfinite(_numbers(tried, "past")).any():
        say(figure, below, "too little to learn from")
    ticks = [_caution_words(each["caution"]) for each in tried]
    ticks[chosen] += "\nin force"
    below.set_xticks(place, ticks)
    below.get_xticklabels()[chosen].set(color=SHORT, fontweight="bold")
    below.set_xlabel("caution: deviations of doubt taken off", color=MUTED)
    return png(figure)


def _beside(*, height: float) -> tuple[Figure, list[Axes]]:
    figure, (first,) = panels(1, height=height)
    first.remove()
    axes = list(figure.subplots(1, 2, sharey=True, width_ratios=(1, 1.4)))
    for axis in axes:
        axis.spines[["top", "right", "left", "bottom"]].set_visible(False)
        axis.grid(axis="x", color=GRID, linewidth=0.8)
        axis.set_axisbelow(True)
        axis.tick_params(length=0, labelsize=10.5, labelcolor=MUTED)
        axis.xaxis.set_major_locator(MaxNLocator(4))
    return figure, axes


def _bare(figure: Figure, axis: Axes, words: str) -> Figure:
    axis.set_axis_off()
    return say(figure, axis, words)


def _draw_skills(axis: Axes, place: Floats, learners: Sequence[dict[str, Any]]) -> None:
    skill, low = _numbers(learners, "brier_skill"), _numbers(learners, "skill_low")
    colours = [LONG if each["name"] == STACK else BAND for each in learners]
    axis.barh(place, skill, height=0.62, color=colours)
    axis.hlines(place, low, skill, color=INK, linewidth=1.2)
    axis.plot(low, place, linestyle="none", marker="|", markersize=8, color=INK)
    axis.axvline(0, color=MUTED, linewidth=0.8)


def _draw_growth(axis: Axes, place: Floats, growth: Floats, colour: str) -> None:
    look: Look = {"color": colour, "marker": "o", "markersize": 5, "linewidth": 1.6}
    # "lower" is another rule: a point of its own, not the end of the line
    axis.plot(place[:-1], growth[:-1], **look)
    axis.plot(place[-1:], growth[-1:], **(look | {"markerfacecolor": "white"}))
    axis.axhline(0, color=FAINT, linewidth=0.8)
    axis.yaxis.set_major_formatter(FuncFormatter(percent_label))


def _caution_words(caution: float | str) -> str:
    return caution if isinstance(caution, str) else f"{caution:g}"


def _numbers(rows: Sequence[dict[str, Any]], name: str) -> Floats:
    return np.array([np.nan if row[name] is None else row[name] for row in rows], np.float64)
