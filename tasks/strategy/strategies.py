"""Strategies of Python: a metrics frame in, a frame of signals out, each row from its own alone."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import polars as pl

from tasks.strategy.language.errors import DslError
from tasks.strategy.language.modules import Stream
from tasks.strategy.language.program import ExitRule, Param, Requires
from tasks.strategy.language.rows import SCHEMA
from tasks.strategy.seam import OWN, Frames, Parameters

Function = Callable[[pl.DataFrame], pl.DataFrame]

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


STRATEGIES: Mapping[str, Function] = MappingProxyType({"damped": damped})


def strategy(name: str) -> Function:
    """Look a strategy up by its name.

    Raises
    ------
    ValueError
        When no strategy has that name; the message lists those there are.
    """
    if name not in STRATEGIES:
        raise ValueError(f"no strategy named {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


_EXIT: Final = ExitRule(OWN, "", "stop_deviations", "target_deviations", 0, weekend=False)


@dataclass(frozen=True)
class Plain:
    """A function of Python as a `tasks.strategy.seam.Strategy`: it ends trades as recipes say.

    Attributes
    ----------
    title : str
    function : callable
        From the metrics frame to rows of `timestamp`, `side`, `action` and what is believed.
    stream : Stream
    """

    title: str
    function: Function
    stream: Stream

    @property
    def digest(self) -> str:
        """SHA-256 of the function's text; what it calls is in the code's version."""
        return hashlib.sha256(inspect.getsource(self.function).encode()).hexdigest()

    @property
    def requires(self) -> Requires:
        """Its one stream, and predictions of it."""
        return Requires((self.stream,), (), 0, MappingProxyType({self.stream.name: 0}), (OWN,))

    @property
    def parameters(self) -> Mapping[str, Param]:
        """None: a recipe has them."""
        return MappingProxyType({})

    def exit_rules_of(self, parameters: Parameters | None = None) -> tuple[ExitRule, ...]:
        """Return the recipe's."""
        if parameters:
            raise DslError(f"{self.title} has no parameters")
        return (_EXIT,)

    def evaluate(self, frames: Frames, parameters: Parameters | None = None) -> pl.DataFrame:
        """Return its signals; stop, target and horizon are the recipe's.

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        parameters : mapping of str to float, optional
            None: see `exit_rules_of`.
        """
        found = self.function(frames[self.stream.name]).with_columns(signal=pl.lit(self.title))
        columns = [
            (pl.col(name) if name in found.columns else pl.lit(None)).cast(kind).alias(name)
            for name, kind in SCHEMA.items()
        ]
        return found.select(columns)

    def distances(self, frames: Frames, parameters: Parameters | None = None) -> pl.DataFrame:
        """Return none: they are in deviations, which recipes know.

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        parameters : mapping of str to float, optional
        """
        return frames[self.stream.name].select("timestamp")

    def window(self, frames: Frames, last: int = 1) -> dict[str, pl.DataFrame]:
        """Return the last bars: no row sees another.

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        last : int
        """
        return {self.stream.name: frames[self.stream.name].tail(last)}


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
