"""What the engine says of a bar: metrics of its bits, and what is believed of its trade."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from kernels.damping import HISTORY, DampingParams
from tasks.strategy.language.registry import (
    ENCODER,
    RULE,
    SIDE,
    Bars,
    Builtin,
    Slot,
    bars,
    column,
    finite,
)

GROUP: Final = "Engine"
MOST_BITS: Final = 32
METRICS: Final = (
    "entropy",
    "coherence",
    "stability",
    "damped_value",
    "decay",
    "steps",
    "converged",
    "null_ratio",
    "flip_ratio",
    "rupture_ratio",
)
"""Columns that an engine's frame has for each encoder."""

BELIEFS: Final = ("confidence", "lower", "upper", "break_even", "expected", "margin")
"""Columns that a model's frame has for each exit rule and side."""

_DEFAULT = "direction"
_WARMUP = f"{HISTORY} bars"
_NULLS = "null without the history that a metric needs, after a hole in the bars too"
_COLLAPSE: Final = DampingParams().collapse_threshold


def metric_column(metric: str, encoder: str) -> str:
    """Return the column of a metric: `entropy`, or `entropy_body` for another encoder's.

    Parameters
    ----------
    metric, encoder : str
    """
    return metric if encoder == _DEFAULT else f"{metric}_{encoder}"


def belief_column(belief: str, side: str, rule: str) -> str:
    """Return the column of a belief about the trade of a rule: `confidence_long_entry`.

    Parameters
    ----------
    belief, side, rule : str
        A rule has the name of its signal.
    """
    return f"{belief}_{side}_{rule}"


def belief_columns(rule: str) -> list[tuple[str, str]]:
    """Return the columns of all beliefs about a rule: by its name, and for all rules alike."""
    return [
        (belief_column(belief, side, rule), f"{belief}_{side}")
        for belief in BELIEFS
        for side in SIDE.choices
    ]


def belief(given: Bars, name: str, side: str, rule: str) -> pl.Expr:
    """Return a belief about the trade of a rule; the frame of a single rule need not name it.

    Parameters
    ----------
    given : Bars
    name, side, rule : str
    """
    named = belief_column(name, side, rule)
    return column(given, named if named in given.columns else f"{name}_{side}")


def _metric(
    name: str,
    says: str,
    units: str,
    metric: str = "",
    one_minus: bool = False,
    gives: Any = "number",
) -> Builtin:
    of = metric or name

    def build(given: Bars, encoder: str) -> pl.Expr:
        value = column(given, metric_column(of, encoder))
        if gives == "bool":
            return value >= (_COLLAPSE if name == "collapse" else 0.5)
        return 1.0 - value if one_minus else value

    return Builtin(
        name,
        GROUP,
        (ENCODER,),
        gives,
        says,
        units,
        f"{name}()",
        build,
        role="bars",
        earlier=lambda *_: HISTORY,
        warmup=_WARMUP,
        nulls=_NULLS,
        special=f"metric {of}",
    )


def _energy(given: Bars, encoder: str) -> pl.Expr:
    return finite(column(given, metric_column("damped_value", encoder)).pow(2))


def _bits(given: Bars, n: int, encoder: str) -> pl.Expr:
    close, first = column(given, "close"), "open" if encoder == "body" else "close"
    start = column(given, first)
    move = close - (start if encoder == "body" else start.shift(1))
    bit = pl.when(move != 0).then((move > 0).cast(pl.Float64))
    return sum((bit.shift(age) * 2.0**age for age in range(1, n)), bit)


def _believed(name: str, says: str, units: str, belief_name: str, *, own: bool = False) -> Builtin:
    side = Slot("side", "string", constant=True, choices=SIDE.choices, optional=own)
    example = f"{name}()" if own else f'{name}("long")'
    return Builtin(
        name,
        GROUP,
        (side, RULE),
        "number",
        says,
        units,
        example,
        lambda given, side, rule: belief(given, belief_name, side, rule),
        role="bars",
        earlier=lambda *_: HISTORY,
        warmup=_WARMUP,
        special=f"rule {belief_name}",
        nulls="null where the model says nothing of the bar",
    )


FUNCTIONS: Final = (
    _metric("entropy", "Disorder of the recent events.", "0 to 1"),
    _metric("coherence", "How much the newest past looks like the older.", "0 to 1"),
    _metric("stability", "Share of events that the past foretold.", "0 to 1"),
    _metric("damped_value", "The damped move up to the bar.", "deviations of a bar"),
    _metric("decay", "The decay that the last step used.", "0.01 to 1"),
    _metric("steps", "The step from which on nothing moves.", "1 to 16"),
    _metric("converged", "Whether the last step stood still.", "true or false", gives="bool"),
    _metric("null_ratio", "Share of events 0 then 0.", "0 to 1"),
    _metric("flip_ratio", "Share of events 0 then 1, or 1 then 0.", "0 to 1"),
    _metric("rupture_ratio", "Share of events 1 then 1.", "0 to 1"),
    _metric(
        "correction_ratio",
        "Share of events that the past did not foretell.",
        "0 to 1",
        metric="stability",
        one_minus=True,
    ),
    _metric(
        "collapse",
        "Whether RUPTURE has half of the events or more.",
        "true or false",
        metric="rupture_ratio",
        gives="bool",
    ),
    Builtin(
        "energy",
        GROUP,
        (ENCODER,),
        "number",
        "The square of the damped value.",
        "squared deviations",
        "energy()",
        _energy,
        role="bars",
        earlier=lambda *_: HISTORY,
        warmup=_WARMUP,
        nulls=_NULLS,
        special="metric damped_value",
    ),
    Builtin(
        "bits",
        GROUP,
        (
            bars(high=MOST_BITS),
            Slot(
                "encoder",
                "string",
                constant=True,
                choices=("direction", "body"),
                optional=True,
                default=_DEFAULT,
            ),
        ),
        "number",
        "The bits of the last n bars as a number, the newest the lowest.",
        "0 to 2^n - 1",
        "bits(3) == 7",
        _bits,
        role="window",
        earlier=lambda n, _: n,
        warmup="n bars",
        nulls="null until the bars are there, and where one of them has no bit (equal prices)",
    ),
    _believed("confidence", "Probability that the trade of the rule wins.", "0 to 1", "confidence"),
    _believed("confidence_lower", "Lower bound of the confidence.", "0 to 1", "lower"),
    _believed("confidence_upper", "Upper bound of the confidence.", "0 to 1", "upper"),
    _believed(
        "break_even",
        "The confidence at which a trade neither gains nor loses.",
        "0 to 1",
        "break_even",
        own=True,
    ),
    _believed("expected", "Expected net gain of the trade.", "a share of the price", "expected"),
    _believed("margin", "Expected net gain after the model's caution.", "deviations", "margin"),
)
