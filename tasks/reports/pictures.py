"""Pictures of a backtest: frames in, PNG bytes out, drawn without pyplot's global state."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
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
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray
from PIL import Image

from kernels.evaluation import equal_mass, wilson
from tasks.research.simulation import Simulation

# Okabe and Ito's palette: told apart by all common kinds of colour vision.
LONG, SHORT, BAND = "#0072B2", "#D55E00", "#56B4E9"
INK, MUTED, FAINT, GRID = "#1b2530", "#5c6773", "#9aa5b1", "#e7eaee"
COLOURS = {"long": LONG, "short": SHORT}
MARKERS = {"long": "^", "short": "v"}
DASHES = (0, (4, 3))
WIDTH, DPI, POINTS, SLICES, TRADES, BINS = 6.4, 170, 4000, 240, 1200, 8
OUTCOMES_A_BIN = 20

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Look = dict[str, Any]


def draw(predictions: pl.DataFrame, simulation: Simulation, *, horizon: int) -> dict[str, bytes]:
    """Draw every picture of a report, by name; equity over the test span alone.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    simulation : Simulation
        Of the test span.
    horizon : int
        Bars a trade is held.
    """
    test = _test(predictions).select(
        first=pl.col("timestamp").min(), last=pl.col("timestamp").max()
    )
    within = pl.col("timestamp").is_between("first", "last")
    equity = simulation.equity.join(test, how="cross").filter(within)
    return {
        "price": draw_price(predictions, simulation.trades),
        "equity": draw_equity(equity),
        "confidence": draw_confidence(predictions),
        "reliability": draw_reliability(predictions, horizon=horizon),
        "metrics": draw_metrics(predictions),
    }


def draw_price(predictions: pl.DataFrame, trades: pl.DataFrame) -> bytes:
    """Draw the whole history with its spans, and below the test span with its trades.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    trades : polars.DataFrame
        Columns of `simulation.TRADES`.
    """
    figure, (above, below) = _panels(2, height=5.0, ratios=(1, 2.4))
    _title(above, "Price", "whole history; the shaded test span was never trained on")
    _draw_close(above, predictions)
    _mark_spans(above, predictions)
    test = _test(predictions)
    step = -(-trades.height // TRADES) or 1
    drawn = f", one in {step} drawn" if step > 1 else ""
    _title(below, "Test span", f"{trades.height:,} trades{drawn}")
    if test.is_empty():
        return _png(_say(figure, below, "no test span"))
    _draw_close(below, test, FAINT)
    if trades.height:
        _draw_trades(below, trades.gather_every(step))
        _legend(figure, below)
    return _png(figure)


def draw_equity(equity: pl.DataFrame) -> bytes:
    """Draw the equity curve, net of costs, and its drawdown."""
    figure, (above, below) = _panels(2, height=4.6, ratios=(2.2, 1), sharex=True)
    _title(above, "Equity", "change since the start, after costs")
    _title(below, "Drawdown", "below the highest point so far")
    if equity.is_empty():
        return _png(_say(figure, above, "no bars were traded"))
    growth, drawdown = 100 * (_values(equity, "equity") - 1), 100 * _values(equity, "drawdown")
    for axis, values, colour in ((above, growth, LONG), (below, drawdown, SHORT)):
        rows = thin(values)
        when = _times(equity[rows])
        axis.axhline(0, color=MUTED, linewidth=0.8)
        axis.fill_between(when, values[rows], 0, color=colour, alpha=0.12, linewidth=0)
        axis.plot(when, values[rows], color=colour, linewidth=1.5)
        axis.yaxis.set_major_formatter(FuncFormatter(_percent))
    below.set_ylim(top=max(-float(drawdown.min()), 0.1) * 0.05)
    _date_axis(below)
    return _png(figure)


def draw_reliability(predictions: pl.DataFrame, *, horizon: int) -> bytes:
    """Draw how often trades won against how often confidence said they would.

    Equal-mass bins over the test span, one series a side. Outcomes closer than the horizon
    overlap, so the Wilson intervals count one outcome in each ``horizon + 1`` bars.

    Parameters
    ----------
    predictions : polars.DataFrame
        One row a bar, as `tasks.research.training.predictions` returns.
    horizon : int
        Bars a trade is held.
    """
    figure, (above, below) = _panels(2, height=6.4, ratios=(3.4, 1), sharex=True)
    _title(above, "Reliability", "does a confidence of 60 % win six times in ten?")
    _title(below, "Histogram of confidence", "")
    outcomes = {side: _resolved(predictions, side) for side in COLOURS}
    if not any(confidence.size for confidence, _ in outcomes.values()):
        return _png(_say(figure, above, "no confidence with a known outcome"))
    for side, (confidence, win) in outcomes.items():
        _draw_bins(above, side, confidence, win, horizon)
    _draw_histogram(below, outcomes)
    above.axline((0.5, 0.5), slope=1, color=MUTED, linewidth=1, linestyle=DASHES)
    _limit_confidence(above, outcomes)
    above.yaxis.set_major_formatter(FuncFormatter(_share))
    below.xaxis.set_major_formatter(FuncFormatter(_share))
    above.set_ylabel("won, after costs", color=MUTED)
    below.set_xlabel("confidence", color=MUTED)
    below.set_ylabel("bars", color=MUTED)
    _legend(figure, above)
    return _png(figure)


def draw_metrics(predictions: pl.DataFrame) -> bytes:
    """Draw entropy, coherence, stability, damped value and decay over the test span."""
    names = {
        "entropy": ("Entropy H", "0 order, 1 none"),
        "coherence": ("Coherence C", "1: the recent past looks like the longer past"),
        "stability": ("Stability S", "share of bits predicted from the one before"),
        "damped_value": ("Damped value V", "momentum in one-bar deviations"),
        "decay": ("Decay λ", "how fast the past is forgotten"),
    }
    figure, axes = _panels(len(names), height=6.4, sharex=True)
    test = _test(predictions)
    for axis, (name, (title, note)) in zip(axes, names.items(), strict=True):
        _title(axis, title, note)
        _draw_ribbon(axis, test, name)
    if test.is_empty():
        return _png(_say(figure, axes[0], "no test span"))
    _date_axis(axes[-1])
    return _png(figure)


def draw_confidence(predictions: pl.DataFrame) -> bytes:
    """Draw each side's confidence with its bounds against the break-even it must clear."""
    figure, axes = _panels(2, height=4.6, sharex=True, sharey=True)
    test = _test(predictions)
    for axis, side in zip(axes, COLOURS, strict=True):
        signals = _draw_belief(axis, test, side)
        note = f"{signals:,} bars with the lower bound above break-even"
        _title(axis, f"Confidence, {side}", note)
        axis.yaxis.set_major_formatter(FuncFormatter(_share))
    if test.is_empty():
        return _png(_say(figure, axes[0], "no test span"))
    _legend(figure, axes[0])
    _date_axis(axes[-1])
    return _png(figure)


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


def _panels(
    rows: int,
    *,
    height: float,
    ratios: Sequence[float] | None = None,
    sharex: bool = False,
    sharey: bool = False,
) -> tuple[Figure, list[Axes]]:
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


def _title(axis: Axes, title: str, note: str) -> None:
    axis.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
    axis.set_title(note, loc="right", fontsize=10, color=MUTED)


def _say(figure: Figure, axis: Axes, words: str) -> Figure:
    middle: Look = {"ha": "center", "va": "center", "transform": axis.transAxes}
    axis.text(0.5, 0.5, words, fontsize=12, color=MUTED, **middle)
    return figure


def _legend(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    look: Look = {"frameon": False, "fontsize": 10, "labelcolor": INK, "handlelength": 1.4}
    look |= {"columnspacing": 1.2, "handletextpad": 0.5}
    look["handler_map"] = {PathCollection: HandlerPathCollection(sizes=[36])}
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), **look)


def _png(figure: Figure) -> bytes:
    """Render once, then keep 256 colours: a third of the size, and nobody sees it."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    indexed = drawn.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    indexed.save(buffer, format="PNG")
    return buffer.getvalue()


def _percent(value: float, _: int | None = None) -> str:
    return f"{value:+.3g} %".replace("-", "−") if value else "0 %"


def _share(value: float, _: int | None = None) -> str:
    return f"{100 * value:.3g} %"


def _date_axis(axis: Axes) -> None:
    locator = AutoDateLocator(minticks=3, maxticks=7)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    axis.xaxis.set_major_formatter(formatter)
    axis.margins(x=0.01)


def _times(frame: pl.DataFrame, name: str = "timestamp") -> NDArray[np.datetime64]:
    times: NDArray[np.datetime64] = frame[name].dt.replace_time_zone(None).to_numpy()
    return times


def _values(frame: pl.DataFrame, name: str) -> Floats:
    values: Floats = frame[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return values


def _test(predictions: pl.DataFrame) -> pl.DataFrame:
    return predictions.filter(pl.col("split") == "test")


def _draw_close(axis: Axes, frame: pl.DataFrame, colour: str = INK) -> None:
    close = _values(frame, "close")
    rows = thin(close)
    axis.plot(_times(frame[rows]), close[rows], color=colour, linewidth=0.9)
    _date_axis(axis)


def _mark_spans(axis: Axes, predictions: pl.DataFrame) -> None:
    spans = predictions.filter(pl.col("split").is_not_null())
    for (name, *_), rows in spans.group_by("split", maintain_order=True):
        first, last = _times(rows[[0, -1]])
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
        when = np.stack([_times(chosen, "entry_time"), _times(chosen, "exit_time"), gap])
        paid = np.stack([_values(chosen, "entry_price"), _values(chosen, "exit_price")])
        nothing = np.full((1, chosen.height), np.nan)
        line = when.T.ravel(), np.concatenate([paid, nothing]).T.ravel()
        axis.plot(*line, color=colour, linewidth=1.6, zorder=3)
        look: Look = {"marker": MARKERS[side], "color": colour, "edgecolor": "white"}
        axis.scatter(when[0], paid[0], s=size, zorder=5, linewidth=0.5, label=side, **look)
        rim: Look = {"facecolor": "white", "edgecolor": colour, "linewidth": 1.0}
        axis.scatter(when[1], paid[1], s=size / 3, zorder=4, label=f"{side} exit", **rim)


def _resolved(predictions: pl.DataFrame, side: str) -> tuple[Floats, Floats]:
    test = _test(predictions)
    confidence, win = _values(test, f"confidence_{side}"), _values(test, f"win_{side}")
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


def _draw_ribbon(axis: Axes, frame: pl.DataFrame, name: str) -> None:
    value = _known(name)
    rows = _slices(frame, value.quantile(0.05), value.median(), value.quantile(0.95))
    when = _times(rows)
    axis.fill_between(when, rows["low"], rows["high"], color=BAND, alpha=0.35, linewidth=0)
    axis.plot(when, rows["middle"], color=LONG, linewidth=1.2)


def _draw_belief(axis: Axes, frame: pl.DataFrame, side: str) -> int:
    names = (f"lower_{side}", f"confidence_{side}", f"upper_{side}")
    rows = _slices(frame, *(_known(name).median() for name in names))
    when, colour = _times(rows), COLOURS[side]
    band: Look = {"color": colour, "alpha": 0.18, "linewidth": 0}
    axis.fill_between(when, rows["low"], rows["high"], label="5 to 95 % bounds", **band)
    axis.plot(when, rows["middle"], color=colour, linewidth=1.3, label="confidence")
    even = _values(frame, f"break_even_{side}")
    axis.plot(_times(frame), even, color=INK, linestyle=DASHES, zorder=4, label="break-even")
    clear = frame.filter(_known(names[0]) > _known(f"break_even_{side}"))
    look: Look = {"color": colour, "marker": MARKERS[side], "edgecolor": "white", "linewidth": 0.4}
    where = (_times(clear), _values(clear, names[0]))
    size = float(np.clip(6000 / max(clear.height, 1), 8, 36))
    axis.scatter(*where, s=size, label="lower bound clears it", zorder=3, **look)
    return clear.height


def _slices(frame: pl.DataFrame, low: pl.Expr, middle: pl.Expr, high: pl.Expr) -> pl.DataFrame:
    """Summarise up to SLICES stretches of bars of equal length; NaN where nothing is known."""
    part = pl.int_range(pl.len()) * SLICES // max(frame.height, SLICES)
    parts = frame.group_by(part.alias("part"), maintain_order=True)
    rows = parts.agg(pl.col("timestamp").first(), low=low, middle=middle, high=high)
    return rows.with_columns(pl.col("low", "middle", "high").fill_null(np.nan))


def _known(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Float64).fill_nan(None)
