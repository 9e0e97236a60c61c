"""The picture of a day's statement: equity and balance, and profit by pair."""

from __future__ import annotations

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from tasks.reports.drawing import (
    INK,
    LONG,
    MUTED,
    SHORT,
    date_axis,
    entitle,
    panels,
    png,
    put_legend,
    say,
    thin,
    times_of,
    values_of,
)
from tasks.trading.statement import Statement


def draw_statement(statement: Statement) -> bytes:
    """Draw a day's equity and balance, and below what each pair earned."""
    figure, (above, below) = panels(2, height=5.0, ratios=(2, 1))
    entitle(above, f"{statement.account} on {statement.day}", f"equity, {statement.currency}")
    if statement.equity:
        _draw_equity(above, statement)
        put_legend(figure, above)
    else:
        say(figure, above, "no equity was recorded")
    rows = statement.by("pair")
    entitle(below, "Profit by pair", f"closed trades, {statement.currency}")
    if rows:
        _draw_profits(below, [row["pair"] for row in rows], [row["profit"] for row in rows])
    else:
        say(figure, below, "no fills")
    return png(figure)


def _draw_equity(axis: Axes, statement: Statement) -> None:
    frame = pl.DataFrame(statement.equity).with_columns(
        pl.col("timestamp").clip(lower_bound=statement.start)
    )
    for name, colour in (("balance", MUTED), ("equity", LONG)):
        values = values_of(frame, name)
        rows = thin(values)
        axis.step(times_of(frame[rows]), values[rows], where="post", color=colour, label=name)
    date_axis(axis)


def _draw_profits(axis: Axes, pairs: list[str], profits: list[float]) -> None:
    colours = [LONG if profit >= 0 else SHORT for profit in profits]
    place = np.arange(len(pairs))
    axis.bar(place, profits, color=colours, width=0.6)
    axis.axhline(0, color=INK, linewidth=0.8)
    axis.set_xticks(place, pairs)
