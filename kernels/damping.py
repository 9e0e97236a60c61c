"""Damping: metrics of the recent past, repeated over longer windows until they stand still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kernels.device import (
    BLOCK,
    Array,
    Engine,
    Loader,
    array_module,
    choose_engine,
    kernel,
    launch,
    move,
    require_array,
    require_segments,
)

WINDOWS = (8, 10, 13, 16, 20, 25, 32, 40, 51, 64, 81, 102, 128, 161, 203, 256)
METRICS = ("entropy", "coherence", "stability", "damped_value")
HISTORY = WINDOWS[-1] + 1
BARS_A_THREAD = 4  # BARS in kernels/cuda/damping.cu


@dataclass(frozen=True)
class DampingParams:
    """Parameters of the recursion.

    Attributes
    ----------
    k1, k2 : float
        Weights of the entropy and of one minus the coherence in the next decay, at least 0.
    tau : float
        Time constant, bars, 1 to 1024.
    decay0 : float
        Decay of the first step, 0.01 to 1.
    tolerance : float
        Largest move between steps that counts as standing still, above 0.
    collapse_threshold : float
        Share of RUPTURE events from which a bar has collapsed, 0 to 1.

    Raises
    ------
    ValueError
        If a parameter is outside its range.
    """

    k1: float = 0.30
    k2: float = 0.20
    tau: float = 8.0
    decay0: float = 0.25
    tolerance: float = 1e-2
    collapse_threshold: float = 0.5

    def __post_init__(self) -> None:
        for name, low, high in (
            ("k1", 0.0, 1e3),
            ("k2", 0.0, 1e3),
            ("tau", 1.0, 1024.0),
            ("decay0", 0.01, 1.0),
            ("tolerance", 1e-12, 1e3),
            ("collapse_threshold", 0.0, 1.0),
        ):
            if not low <= getattr(self, name) <= high:
                value = getattr(self, name)
                raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value}")


@dataclass(frozen=True)
class Damping:
    """Damping trajectories of n bars over s steps: 16, or only the last.

    Attributes
    ----------
    trajectory : float32[n, s, 4] or float16[n, s, 4]
        Entropy, coherence, stability (each in [0, 1]) and damped value (one-bar deviations).
    decay : float32[n, s]
        The decay used at each step.
    steps : int8[n]
        First step (1 to 15) from which on nothing moves beyond the tolerance, 16 if the last
        step still moves, -1 without metrics.
    converged : bool[n]
        Whether the last step stood still.
    state_ratios : float32[n, 3]
        Shares of NULL, FLIP and RUPTURE events at the last step.
    """

    trajectory: Array
    decay: Array
    steps: Array
    converged: Array
    state_ratios: Array

    def collapse(self, params: DampingParams | None = None) -> Array:
        """Where RUPTURE events hold the threshold's share or more: bool[n]."""
        threshold = (params or DampingParams()).collapse_threshold
        return self.state_ratios[:, 2] >= threshold


def damp(
    events: Array,
    log_price: Array,
    sigma: Array,
    segments: Array,
    *,
    params: DampingParams | None = None,
    output: Literal["all", "last"] = "all",
    dtype: Any = np.float32,
    engine: str = "auto",
) -> Damping:
    """Compute the damping trajectory of every bar.

    Parameters
    ----------
    events : uint8[n]
        Event codes 0 to 4, as `kernels.transitions` gives them.
    log_price : float64[n]
        Natural logarithm of the close.
    sigma : float64[n]
        One-bar deviation, as `kernels.volatility` gives it, in log price.
    segments : int32[n]
    params : DampingParams, optional
    output : {"all", "last"}
        All 16 steps, or only the last.
    dtype : float32 or float16
        Of the trajectory; the arithmetic is the same.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Damping
        Arrays of the kind that came in. NaN (steps -1, not converged) where a bar has no
        metrics: it has them if the 257 bars before it are in its segment, the log prices of all
        258 are finite and the last 8 hold an event. A sigma of 0 or NaN makes only the damped
        value NaN.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape, event code, output or engine.
    EngineUnavailable
        If the GPU is asked for and cannot run.

    Notes
    -----
    docs/mathematics.md, "Damping". A bar's numbers depend on its last 258 bars alone: cutting the
    data in chunks that overlap by 257 bars changes no bit of them.
    """
    n = _require_inputs(events, log_price, sigma, segments)
    if output not in ("all", "last"):
        raise ValueError(f"output must be 'all' or 'last', not {output!r}")
    if np.dtype(dtype) not in (np.float32, np.float16):
        raise TypeError(f"dtype must be float32 or float16, not {np.dtype(dtype)}")
    kind = array_module(events, log_price, sigma, segments)
    chosen = choose_engine(engine)
    inputs = [move(array, chosen.xp) for array in (events, log_price, sigma, segments)]
    first = 0 if output == "all" else len(WINDOWS) - 1
    kept = np.float32 if chosen.name == "cpu" else dtype  # the CUDA kernel rounds by itself
    outputs = _outputs(chosen.xp, n, len(WINDOWS) - first, kept)
    _run(chosen, n, inputs, params or DampingParams(), first, outputs)
    trajectory, *rest = (move(array, kind) for array in outputs)
    return Damping(trajectory.astype(dtype, copy=False), *rest)


def damp_newest(
    events: Array,
    log_price: Array,
    sigma: Array,
    segments: Array,
    *,
    params: DampingParams | None = None,
) -> Damping:
    """Compute what `damp` gives for the last bar on the CPU engine, without the bars before it.

    Parameters
    ----------
    events : uint8[n]
    log_price : float64[n]
    sigma : float64[n]
    segments : int32[n]
        NumPy arrays of at least one bar, as `damp` takes them; `HISTORY` + 1 bars tell all.
    params : DampingParams, optional

    Returns
    -------
    Damping
        Of one bar, the same to the bit.

    Raises
    ------
    TypeError, ValueError
        For a wrong dtype, shape or event code, or without a bar.
    """
    n = _require_inputs(events, log_price, sigma, segments)
    if n == 0:
        raise ValueError("events must hold at least one bar")
    outputs = _outputs(np, 1, len(WINDOWS))
    inputs = (events, log_price, sigma, segments)
    numbers = _numbers(params or DampingParams())
    launch(Engine("cpu", "one bar"), "damping", "damp_newest", n, *inputs, *numbers, *outputs)
    return Damping(*outputs)


def _require_inputs(events: Array, log_price: Array, sigma: Array, segments: Array) -> int:
    require_array("events", events, "uint8", (None,))
    n = len(events)
    require_array("log_price", log_price, "float64", (n,))
    require_array("sigma", sigma, "float64", (n,))
    require_segments(segments, n)
    if bool((events > 4).any()):
        raise ValueError("events must be codes 0 to 4; use kernels.transitions")
    return n


def _outputs(xp: Any, n: int, steps: int, dtype: Any = np.float32) -> tuple[Array, ...]:
    return (
        xp.empty((n, steps, len(METRICS)), dtype),
        xp.empty((n, steps), np.float32),
        xp.empty(n, np.int8),
        xp.empty(n, np.bool_),
        xp.empty((n, 3), np.float32),
    )


def _run(
    engine: Engine,
    n: int,
    inputs: list[Array],
    params: DampingParams,
    first: int,
    outputs: tuple[Array, ...],
) -> None:
    if engine.name == "gpu":
        launch_cuda(kernel, n, inputs, params, first, outputs)
    else:
        numbers = _numbers(params)
        launch(engine, "damping", "damp", n, *inputs, *numbers, np.int32(first), *outputs)


def launch_cuda(
    load: Loader,
    n: int,
    inputs: Sequence[Array],
    params: DampingParams,
    first: int,
    outputs: Sequence[Array],
) -> None:
    """Run the CUDA kernel, which takes `BARS_A_THREAD` bars a thread.

    Parameters
    ----------
    load : callable
        Finds the kernel: `kernels.device.kernel`, or a loader of the same signature.
    n : int
        Number of bars.
    inputs : sequence of array
        Events, log prices, sigmas and segments.
    params : DampingParams
    first : int
        First step that is kept.
    outputs : sequence of array
        The fields of `Damping`; float16 in the first lets the kernel write that.
    """
    name = "damp" if outputs[0].dtype == np.float32 else "damp_half"
    blocks = -(-n // (BLOCK * BARS_A_THREAD))
    if n > 0:
        arguments = (np.int64(n), *inputs, *_numbers(params), np.int32(first), *outputs)
        load("damping", name)((blocks,), (BLOCK,), arguments)


def _numbers(params: DampingParams) -> tuple[np.float32, ...]:
    p = (params.k1, params.k2, 1 / params.tau, params.decay0, params.tolerance)
    return tuple(map(np.float32, p))
