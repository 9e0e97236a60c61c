"""Pictures of a backtest: frames in, PNG bytes out, drawn without pyplot's global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from tasks.reports.belief_pictures import draw_confidence, draw_reliability
from tasks.reports.drawing import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    LONG,
    MARKERS,
    MUTED,
    Look,
    date_axis,
    entitle,
    in_slices,
    known,
    panels,
    png,
    put_legend,
    say,
    tested,
    thin,
    times_of,
    values_of,
)
from tasks.reports.learner_pictures import draw_caution, draw_learners
from tasks.reports.money_pictures import draw_equity, draw_plateau, draw_waterfall, is_map
from tasks.reports.shown_pictures import draw_coverage
from tasks.research.simulation import Simulation

TRADES = 1200
"""Trades drawn at most."""


def draw(
    predictions: pl.DataFrame,
    simulation: Simulation,
    *,
    horizon: int,
    learners: Sequence[dict[str, Any]] = (),
    caution: dict[str, Any] | None = None,
    shown: dict[str, Any] | None = None,
) -> dict[str, bytes]:
    """Draw every picture of a report, by name; equity over the test span alone.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    simulation : Simulation
        Of the test span.
    horizon : int
        Bars a trade is held.
    learners : sequence of dict
        What `tasks.reports.learners.learners` returned.
    caution : dict, optional
        What `tasks.reports.cautions.cautions` returned.
    shown : dict, optional
        What `tasks.reports.shown.shown` returned.
    """
    test = tested(predictions).select(
        first=pl.col("timestamp").min(), last=pl.col("timestamp").max()
    )
    within = pl.col("timestamp").is_between("first", "last")
    equity = simulation.equity.join(test, how="cross").filter(within)
    return {
        "equity": draw_equity(equity),
        "reliability": draw_reliability(predictions, horizon=horizon, shown=shown),
        "coverage": draw_coverage(shown),
        "confidence": draw_confidence(predictions),
        "learners": draw_learners(learners),
        "caution": draw_caution(caution),
        "price": draw_price(predictions, simulation.trades),
        "metrics": draw_metrics(predictions),
    }


def draw_rule(
    predictions: pl.DataFrame, shown: dict[str, Any] | None, *, horizon: int
) -> dict[str, bytes]:
    """Draw what is shown of the calibration of a further exit rule, by name.

    Parameters
    ----------
    predictions : polars.DataFrame
        Of the rule.
    shown : dict, optional
        What `tasks.reports.shown.shown` returned of it.
    horizon : int
        Bars its trades are held.
    """
    reliability = draw_reliability(predictions, horizon=horizon, shown=shown)
    return {"reliability": reliability, "coverage": draw_coverage(shown)}


def draw_more(summary: Mapping[str, Any]) -> dict[str, bytes]:
    """Draw what not every summary has: the way from gross to net, neighbouring parameters.

    Parameters
    ----------
    summary : dict
        With ``waterfall``, and ``plateau`` with its map, where they are known.
    """
    waterfall, plateau = summary.get("waterfall"), summary.get("plateau") or {}
    drawn = {"waterfall": draw_waterfall(waterfall)} if waterfall else {}
    return drawn | ({"plateau": draw_plateau(plateau)} if is_map(plateau) else {})


def draw_price(predictions: pl.DataFrame, trades: pl.DataFrame) -> bytes:
    """Draw the whole history with its spans, and below the test span with its trades.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    trades : polars.DataFrame
        Columns of `simulation.TRADES`.
    """
    figure, (above, below) = panels(2, height=5.0, ratios=(1, 2.4))
    entitle(above, "Price", "whole history; the shaded test span was never trained on")
    _draw_close(above, predictions)
    _mark_spans(above, predictions)
    test = tested(predictions)
    step = -(-trades.height // TRADES) or 1
    drawn = f", one in {step} drawn" if step > 1 else ""
    entitle(below, "Test span", f"{trades.height:,} trades{drawn}")
    if test.is_empty():
        return png(say(figure, below, "no test span"))
    _draw_close(below, test, FAINT)
    if trades.height:
        _draw_trades(below, trades.gather_every(step))
        put_legend(figure, below)
    return png(figure)


def draw_metrics(predictions: pl.DataFrame) -> bytes:
    """Draw entropy, coherence, stability, damped value and decay over the test span."""
    names = {
        "entropy": ("Entropy H", "0 order, 1 none"),
        "coherence": ("Coherence C", "1: the recent past looks like the longer past"),
        "stability": ("Stability S", "share of bits predicted from the one before"),
        "damped_value": ("Damped value V", "momentum in one-bar deviations"),
        "decay": ("Decay λ", "how fast the past is forgotten"),
    }
    figure, axes = panels(len(names), height=6.4, sharex=True)
    test = tested(predictions)
    for axis, (name, (title, note)) in zip(axes, names.items(), strict=True):
        entitle(axis, title, note)
        _draw_ribbon(axis, test, name)
    if test.is_empty():
        return png(say(figure, axes[0], "no test span"))
    date_axis(axes[-1])
    return png(figure)


def _draw_close(axis: Axes, frame: pl.DataFrame, colour: str = INK) -> None:
    close = values_of(frame, "close")
    rows = thin(close)
    axis.plot(times_of(frame[rows]), close[rows], color=colour, linewidth=0.9)
    date_axis(axis)


def _mark_spans(axis: Axes, predictions: pl.DataFrame) -> None:
    spans = predictions.filter(pl.col("split").is_not_null())
    for (name, *_), rows in spans.group_by("split", maintain_order=True):
        first, last = times_of(rows[[0, -1]])
        axis.axvspan(first, last, color=BAND, alpha=0.25 if name == "test" else 0.07, linewidth=0)
        label: Look = {"ha": "center", "va": "top", "transform": axis.get_xaxis_transform()}
        axis.text(first + (last - first) / 2, 0.97, name, fontsize=9.5, color=MUTED, **label)
    low, high = axis.get_ylim()
    axis.set_ylim(low, high + 0.15 * (high - low))


def _draw_trades(axis: Axes, trades: pl.DataFrame) -> None:
    size = float(np.clip(6000 / max(trades.height, 1), 12, 60))
    for side, colour in COLOURS.items():
        chosen = trades.filter(pl.col("side") == side)
        gap = np.full(chosen.height, np.datetime64("NaT", "us"))
        when = np.stack([times_of(chosen, "entry_time"), times_of(chosen, "exit_time"), gap])
        paid = np.stack([values_of(chosen, "entry_price"), values_of(chosen, "exit_price")])
        nothing = np.full((1, chosen.height), np.nan)
        line = when.T.ravel(), np.concatenate([paid, nothing]).T.ravel()
        axis.plot(*line, color=colour, linewidth=1.6, zorder=3)
        look: Look = {"marker": MARKERS[side], "color": colour, "edgecolor": "white"}
        axis.scatter(when[0], paid[0], s=size, zorder=5, linewidth=0.5, label=side, **look)
        rim: Look = {"facecolor": "white", "edgecolor": colour, "linewidth": 1.0}
        axis.scatter(when[1], paid[1], s=size / 3, zorder=4, label=f"{side} exit", **rim)


def _draw_ribbon(axis: Axes, frame: pl.DataFrame, name: str) -> None:
    value = known(name)
    rows = in_slices(frame, value.quantile(0.05), value.median(), value.quantile(0.95))
    when = times_of(rows)
    axis.fill_between(when, rows["low"], rows["high"], color=BAND, alpha=0.35, linewidth=0)
    axis.plot(when, rows["middle"], color=LONG, linewidth=1.2)
