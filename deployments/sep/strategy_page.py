"""The page of `sep strategy watch`: signals on the price, and the tables below. No script but what
loads it again."""

from __future__ import annotations

from html import escape
from typing import Final

import polars as pl

from deployments.sep.strategy_tables import told
from tasks.strategy.language.expectations import Outcome
from tasks.strategy.language.program import Program

WIDTH, HEIGHT, SLICES, MARKS, ROWS = 1200, 420, 1000, 2000, 200
COLOURS: Final = {"BUY": "#0072B2", "SELL": "#D55E00", "CLOSE": "#5c6773"}
_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="1">
<title>{name}</title><style>
body {{ font: 14px system-ui, sans-serif; margin: 1.5em; color: #1b2530; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; margin-top: 1em; }}
td, th {{ padding: 0.15em 0.8em; text-align: right; border-bottom: 1px solid #e7eaee; }}
pre {{ background: #fdf1ea; padding: 1em; overflow: auto; }}
svg {{ width: 100%; height: auto; background: #fbfcfd; }}
</style></head><body><h1>{name}</h1>
"""
_TAIL: Final = "</body></html>\n"


def fault(name: str, message: str) -> str:
    """Return the page of a text that is no program.

    Parameters
    ----------
    name, message : str
    """
    return f"{_HEAD.format(name=escape(name))}<pre>{escape(message)}</pre>{_TAIL}"


def page(
    program: Program, bars: pl.DataFrame, signals: pl.DataFrame, outcome: Outcome | None = None
) -> str:
    """Return the page of a program.

    Parameters
    ----------
    program : Program
    bars : polars.DataFrame
        Of its first stream.
    signals : polars.DataFrame
    outcome : Outcome, optional
        Of the expectations beside it.
    """
    stream = program.streams[0]
    what = f"{stream.pair} {stream.timeframe}, {bars.height:,} bars; {told(signals)}"
    parts = [_HEAD.format(name=escape(program.name)), f"<p>{escape(what)}</p>"]
    if bars.height:
        parts.append(_picture(bars, signals))
    if outcome is not None:
        parts.append(_outcome(outcome))
    return "".join([*parts, _table(signals), _TAIL])


def _picture(bars: pl.DataFrame, signals: pl.DataFrame) -> str:
    """Draw lowest and highest of slices of the closes, and a mark for each of the last signals."""
    numbered = bars.select("timestamp", "close", row=pl.int_range(pl.len()))
    low, high = float(bars["close"].min()), float(bars["close"].max())  # type: ignore[arg-type]
    scale_x, span = WIDTH / max(bars.height - 1, 1), max(high - low, 1e-12)
    line = (
        numbered.group_by(pl.col("row") * SLICES // bars.height, maintain_order=True)
        .agg(
            pl.col("close").min().alias("low"),
            pl.col("close").max().alias("high"),
            at=pl.col("row").first() * 1.0,
        )
        .select(x=pl.col("at") * scale_x, a=_height("low", low, span), b=_height("high", low, span))
    )
    points = " ".join(f"{x:.1f},{a:.1f} {x:.1f},{b:.1f}" for x, a, b in line.iter_rows())
    marks = signals.tail(MARKS).join(numbered, on="timestamp", how="inner")
    drawn = "".join(
        f'<circle cx="{row * scale_x:.1f}" cy="{HEIGHT * (1 - (close - low) / span):.1f}" r="3" '
        f'fill="{COLOURS[action]}"><title>{time:%Y-%m-%d %H:%M} {escape(name)}</title></circle>'
        for time, name, action, close, row in marks.select(
            "timestamp", "signal", "action", "close", "row"
        ).iter_rows()
    )
    curve = f'<polyline points="{points}" fill="none" stroke="#9aa5b1" stroke-width="1"/>'
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{curve}{drawn}</svg>'


def _height(name: str, low: float, span: float) -> pl.Expr:
    return HEIGHT * (1 - (pl.col(name) - low) / span)


def _outcome(outcome: Outcome) -> str:
    kept = outcome.expected - len(outcome.misses)
    lines = [f"{kept} of {outcome.expected} bars as expected", *map(str, outcome.misses[:ROWS])]
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def _table(signals: pl.DataFrame) -> str:
    names = ("timestamp", "signal", "action", "stop", "target", "horizon", "size", "confidence")
    head = "".join(f"<th>{name}</th>" for name in names)
    rows = "".join(
        f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
        for row in signals.tail(ROWS).reverse().select(names).iter_rows()
    )
    return f"<table><tr>{head}</tr>{rows}</table>"


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value)[:19])
