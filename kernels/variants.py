"""Variants of damping: encoders and parameters swept over bars that are moved once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import product
from typing import Any, Literal

import numpy as np

from kernels.bits import COLUMNS, encode_bits, transitions, volatility
from kernels.damping import Damping, DampingParams, damp
from kernels.device import Array, array_module, choose_engine, move, require_array


@dataclass(frozen=True)
class Variant:
    """An encoder and the parameters of the recursion.

    Raises
    ------
    ValueError
        For another encoder than those of `kernels.encode_bits`.
    """

    encoder: str = "direction"
    params: DampingParams = field(default_factory=DampingParams)

    def __post_init__(self) -> None:
        if self.encoder not in COLUMNS:
            raise ValueError(f"encoder must be one of {', '.join(COLUMNS)}, not {self.encoder!r}")


def variants(
    *,
    k1: Sequence[float] = (DampingParams.k1,),
    k2: Sequence[float] = (DampingParams.k2,),
    tau: Sequence[float] = (DampingParams.tau,),
    encoder: Sequence[str] = ("direction",),
) -> list[Variant]:
    """Combine every encoder with every k1, k2 and tau; the last of them changes first.

    Parameters
    ----------
    k1, k2, tau : sequence of float
        As in `DampingParams`; tau in bars.
    encoder : sequence of str
        As in `kernels.encode_bits`.

    Returns
    -------
    list of Variant

    Raises
    ------
    ValueError
        If one is out of its range.
    """
    return [
        Variant(name, DampingParams(k1=first, k2=second, tau=scale))
        for name, first, second, scale in product(encoder, k1, k2, tau)
    ]


def damp_each(
    bars: Mapping[str, Array],
    segments: Array,
    variants: Sequence[Variant],
    *,
    output: Literal["all", "last"] = "all",
    dtype: Any = np.float32,
    engine: str = "auto",
) -> Iterator[Damping]:
    """Compute the damping trajectories of the same bars under one variant after the other.

    Parameters
    ----------
    bars : mapping of str to float64[n]
        The close and the columns that the encoders read; NaN where unknown.
    segments : int32[n]
    variants : sequence of Variant
    output : {"all", "last"}
    dtype : float32 or float16
        As in `kernels.damp`.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    iterator of Damping
        One a variant, in their order, arrays of the kind that came in: to the bit what `damp`
        gives for the events of `encode_bits` and `transitions`, the logarithm of the close and
        the sigma of `volatility`. Each is computed when it is asked for, so that no two need be
        in memory at once.

    Raises
    ------
    TypeError, ValueError
        For a missing column, a wrong dtype or shape, a close that is not positive, or another
        engine; for another `output` or `dtype` when the first variant is asked for.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    The bars cross to the engine once, sigma is formed once and events once an encoder.
    """
    chosen = choose_engine(engine)
    log_price = _log_price(bars, segments)
    kind = array_module(log_price, segments)
    encoders = dict.fromkeys(variant.encoder for variant in variants)
    names = dict.fromkeys(name for encoder in encoders for name in COLUMNS[encoder])
    there = {name: move(bars[name], chosen.xp) for name in names if name in bars}
    price, edges = move(log_price, chosen.xp), move(segments, chosen.xp)
    sigma = volatility(price, edges, engine=chosen.name)
    events = {name: _events(there, edges, name, chosen.name) for name in encoders}
    return (
        _back(
            damp(
                events[variant.encoder],
                price,
                sigma,
                edges,
                params=variant.params,
                output=output,
                dtype=dtype,
                engine=chosen.name,
            ),
            kind,
        )
        for variant in variants
    )


def _log_price(bars: Mapping[str, Array], segments: Array) -> Array:
    """Form the log price where the bars are: another machine's logarithm has other last bits."""
    if "close" not in bars:
        raise ValueError("bars lacks close, whose logarithm is damped")
    close = bars["close"]
    require_array("bars['close']", close, "float64", (len(segments),))
    if bool((close <= 0).any()):
        raise ValueError("bars['close'] must be positive, or NaN where unknown")
    return array_module(close).log(close)


def _events(bars: Mapping[str, Array], segments: Array, encoder: str, engine: str) -> Array:
    bits, valid = encode_bits(bars, segments, encoder=encoder, engine=engine)
    return transitions(bits, valid, segments, engine=engine)


def _back(damping: Damping, kind: Any) -> Damping:
    return Damping(*(move(getattr(damping, each.name), kind) for each in fields(damping)))
