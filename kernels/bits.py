"""Bitstreams: one bit a bar, and the events between neighbouring bits."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kernels.cpu.momentum import runs
from kernels.device import (
    Array,
    Engine,
    array_module,
    choose_engine,
    launch,
    move,
    require_array,
    require_segments,
)

WINDOW = 64
PATTERN = 5
"""Bits of a run."""
COLUMNS = {
    "direction": ("close",),
    "volatility": ("high", "low", "close"),
    "volume": ("volume",),
    "body": ("open", "close"),
}


def encode_bits(
    bars: Mapping[str, Array],
    segments: Array,
    *,
    encoder: str = "direction",
    engine: str = "auto",
) -> tuple[Array, Array]:
    """Give each bar a bit, or none.

    Parameters
    ----------
    bars : mapping of str to float64[n]
        The columns the encoder reads; NaN where unknown.
    segments : int32[n]
        Segment numbers; nothing looks across an edge.
    encoder : {"direction", "volatility", "volume", "body"}
        What 1 means: the close rose; the true range exceeds the mean of the 64 before it; the
        volume does; the bar closed above its open. "direction" and "body" give no bit where
        the two prices are equal.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    bits : uint8[n]
        0 or 1; 0 where there is no bit.
    valid : bool[n]
        True where the bar has a bit.

    Raises
    ------
    TypeError, ValueError
        For another encoder or engine, a missing column, a wrong dtype or shape.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    docs/mathematics.md, "Bits and events". An average of 64 needs all 64 in the segment.
    """
    columns = _columns(bars, encoder)
    n = len(columns[0])
    require_segments(segments, n)
    for name, column in zip(COLUMNS[encoder], columns, strict=True):
        require_array(f"bars[{name!r}]", column, "float64", (n,))
    kind = array_module(segments, *columns)
    chosen = choose_engine(engine)
    xp = chosen.xp
    inputs = [move(column, xp) for column in columns]
    bits, valid = xp.empty(n, np.uint8), xp.empty(n, np.bool_)
    _encode(chosen, encoder, n, inputs, move(segments, xp), (bits, valid))
    return move(bits, kind), move(valid, kind)


def _columns(bars: Mapping[str, Array], encoder: str) -> list[Array]:
    if encoder not in COLUMNS:
        raise ValueError(f"encoder must be one of {', '.join(COLUMNS)}, not {encoder!r}")
    missing = [name for name in COLUMNS[encoder] if name not in bars]
    if missing:
        raise ValueError(f"bars lacks {', '.join(missing)}, which encoder={encoder!r} reads")
    return [bars[name] for name in COLUMNS[encoder]]


def _encode(
    engine: Engine,
    encoder: str,
    n: int,
    inputs: list[Array],
    segments: Array,
    outputs: tuple[Array, Array],
) -> None:
    if encoder == "direction":
        launch(engine, "bits", "direction", n, *inputs, segments, *outputs)
    elif encoder == "body":
        launch(engine, "bits", "body", n, *inputs, *outputs)
    else:
        value = inputs[0]
        if encoder == "volatility":
            value = engine.xp.empty(n)
            launch(engine, "bits", "true_range", n, *inputs, segments, value)
        launch(engine, "bits", "exceeds_mean", n, value, segments, np.int64(WINDOW), *outputs)


def _require_bits(bits: Array, valid: Array) -> int:
    require_array("bits", bits, "uint8", (None,))
    require_array("valid", valid, "bool", (len(bits),))
    return len(bits)


def transitions(bits: Array, valid: Array, segments: Array, *, engine: str = "auto") -> Array:
    """Name the event at each bar: the pair (last earlier bit of the segment, bit of the bar).

    Parameters
    ----------
    bits : uint8[n]
    valid : bool[n]
    segments : int32[n]
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    uint8[n]
        0 for (0, 0), 1 for (0, 1), 2 for (1, 0), 3 for (1, 1), 4 for no event.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, bits other than 0 and 1, or another engine.
    EngineUnavailable
        If the GPU is asked for and cannot run.
    """
    n = _require_bits(bits, valid)
    require_segments(segments, n)
    if bool((bits > 1).any()):
        raise ValueError("bits must be 0 or 1; use encode_bits")
    kind = array_module(bits, valid, segments)
    chosen = choose_engine(engine)
    events = chosen.xp.empty(n, np.uint8)
    inputs = [move(array, chosen.xp) for array in (bits, valid, segments)]
    launch(chosen, "bits", "transitions", n, *inputs, events)
    return move(events, kind)


def patterns(
    bits: NDArray[np.uint8], valid: NDArray[np.bool_], segments: NDArray[np.int32]
) -> NDArray[np.int64]:
    """Name the run of bits that each bar ends: the last `PATTERN` of its segment, as a number.

    Parameters
    ----------
    bits : uint8[n]
    valid : bool[n]
    segments : int32[n]

    Returns
    -------
    int64[n]
        0 .. 2^PATTERN - 1, the newest bit the lowest; -1 where the segment has had fewer.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape.
    """
    n = _require_bits(bits, valid)
    require_segments(segments, n)
    numbers = np.empty(n, np.int64)
    runs(bits, valid, segments, PATTERN, numbers)
    return numbers


def volatility(
    log_price: Array, segments: Array, *, window: int = WINDOW, engine: str = "auto"
) -> Array:
    """Root mean square of the last one-bar log returns: sigma.

    Parameters
    ----------
    log_price : float64[n]
        Natural logarithm of the close.
    segments : int32[n]
    window : int
        Number of returns.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    float64[n]
        In log price a bar; NaN where the segment holds fewer returns or a price is NaN.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype or shape, a window below 1, or another engine.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    Each bar's sum is formed anew, so the value does not depend on where the data begins.
    """
    require_array("log_price", log_price, "float64", (None,))
    n = len(log_price)
    require_segments(segments, n)
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    kind = array_module(log_price, segments)
    chosen = choose_engine(engine)
    sigma = chosen.xp.empty(n)
    inputs = [move(array, chosen.xp) for array in (log_price, segments)]
    launch(chosen, "bits", "volatility", n, *inputs, np.int64(window), sigma)
    return move(sigma, kind)
