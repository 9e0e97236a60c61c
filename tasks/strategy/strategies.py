"""Strategies: a metrics frame in, a frame of signals out, each row from its own row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import polars as pl

Strategy = Callable[[pl.DataFrame], pl.DataFrame]

ACTIONS: Mapping[str, str] = MappingProxyType({"long": "BUY", "short": "SELL"})
BELIEFS = ("confidence", "lower", "upper", "break_even", "expected", "doubt", "margin")
METRICS = ("entropy", "coherence", "stability", "damped_value")


def damped(predictions: pl.DataFrame) -> pl.DataFrame:
    """Signal the side whose expected net gain, less caution, is above zero and the greater.

    Parameters
    ----------
    predictions
        One row a bar: ``timestamp`` (bar start, UTC), ``position``, the damped metrics and, for
        ``s`` in long and short, ``confidence_s``, ``lower_s``, ``upper_s``, ``break_even_s``
        (probabilities), ``expected_s``, ``doubt_s`` (net gain as a share of the price and its
        deviation) and ``margin_s`` (what is left of it after the model's caution); null or NaN
        where there is none. Where there is ``closing`` (whether the market closes after the
        bar), its true rows give no signal.

    Returns
    -------
    polars.DataFrame
        One row a signal, in the order of the bars: ``timestamp``, ``position``, ``side``,
        ``action``, ``confidence``, ``lower``, ``upper``, ``break_even``, ``expected``, ``doubt``,
        ``margin``, ``entropy``, ``coherence``, ``stability``, ``damped_value``.

    Raises
    ------
    ValueError
        When a column is missing.

    Notes
    -----
    A null, NaN or infinity in any of a side's numbers keeps that side silent; of two equal
    margins the long one wins. No row sees another, so the last row alone gives its signal.
    """
    _require(predictions)
    long, short = _margin("long"), _margin("short")
    side = (
        pl.when((long > 0) & (long >= short.fill_null(0.0)))
        .then(pl.lit("long"))
        .when(short > 0)
        .then(pl.lit("short"))
    )
    opened = ~predictions["closing"] if "closing" in predictions.columns else pl.lit(value=True)
    signals = predictions.with_columns(side=side).filter(pl.col("side").is_not_null(), opened)
    return signals.select(
        "timestamp",
        pl.col("position").cast(pl.Int64),
        "side",
        action=pl.col("side").replace_strict(ACTIONS, return_dtype=pl.String),
        **{name: _of_side(name) for name in BELIEFS},
        **{name: _number(name) for name in METRICS},
    )


STRATEGIES: Mapping[str, Strategy] = MappingProxyType({"damped": damped})


def strategy(name: str) -> Strategy:
    """Look a strategy up by its name.

    Raises
    ------
    ValueError
        When no strategy has that name; the message lists those there are.
    """
    if name not in STRATEGIES:
        raise ValueError(f"no strategy named {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def _margin(side: str) -> pl.Expr:
    given = [_number(f"{name}_{side}").is_not_null() for name in BELIEFS]
    return pl.when(pl.all_horizontal(given)).then(_number(f"margin_{side}"))


def _of_side(name: str) -> pl.Expr:
    long = pl.col("side") == "long"
    return pl.when(long).then(_number(f"{name}_long")).otherwise(_number(f"{name}_short"))


def _number(name: str) -> pl.Expr:
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value.is_finite()).then(value)  # NaN is the largest number in Polars


def _require(predictions: pl.DataFrame) -> None:
    beliefs = [f"{name}_{side}" for name in BELIEFS for side in ACTIONS]
    wanted = ["timestamp", "position", *beliefs, *METRICS]
    missing = [name for name in wanted if name not in predictions.columns]
    if missing:
        raise ValueError(
            f"predictions lack {', '.join(missing)}: pass the metrics frame as written"
        )
