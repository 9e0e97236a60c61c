"""One bar at a time: what the batch gives for the newest bar, bit for bit on the CPU engine.

A state holds the newest bars of one segment, no more of them than the newest bar looks at.
Segments end by the usual closures of `kernels.segments`, not by the calendar of a pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import inf, nan
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kernels.bits import COLUMNS, WINDOW, encode_bits, transitions, volatility
from kernels.damping import HISTORY, DampingParams, damp_newest
from kernels.device import require_array
from kernels.segments import SECOND, segments

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.uint8]

PRICES = ("open", "high", "low", "close")

DEPTH = HISTORY + 1
"""Bars whose events and log prices the newest bar's damping looks at, itself among them."""

ENCODED = WINDOW + 2
"""Bars that an encoder looks at: the newest, the 64 of an average, the close before them."""


@dataclass(frozen=True)
class Bar:
    """One bar; a price or volume is NaN where unknown.

    Attributes
    ----------
    timestamp : int
        Start of the bar, microseconds since 1970 in UTC.
    open, high, low, close : float
        Above zero.
    volume : float
        At least zero.

    Raises
    ------
    TypeError
        If the timestamp is no integer.
    ValueError
        If a price is not positive or a value is infinite.
    """

    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float = nan

    def __post_init__(self) -> None:
        if not isinstance(self.timestamp, int | np.integer):
            kind = type(self.timestamp).__name__
            raise TypeError(f"timestamp must be an int of microseconds since 1970, not {kind}")
        for name in (*PRICES, "volume"):
            value = getattr(self, name)
            if _impossible(name, value):
                raise ValueError(f"{name} {_rule(name)}, not {value}")


@dataclass(frozen=True)
class Reading:
    """What the kernels say of one bar; null as in the batch.

    Attributes
    ----------
    event : int
        Code 0 to 4, as `kernels.transitions` gives it.
    sigma : float
        One-bar deviation, in log price.
    trajectory : float32[16, 4]
        Entropy, coherence, stability and damped value at each step.
    decay : float32[16]
    steps : int
    converged : bool
    state_ratios : float32[3]
        As in `kernels.Damping`.
    """

    event: int
    sigma: float
    trajectory: NDArray[np.float32]
    decay: NDArray[np.float32]
    steps: int
    converged: bool
    state_ratios: NDArray[np.float32]


@dataclass(frozen=True)
class State:
    """What the next bars need of those before them, all in one segment.

    Attributes
    ----------
    params : DampingParams
    encoder : str
    bar_seconds : int
        Length of a bar, seconds.
    timestamp : int or None
        Of the newest bar; None before the first.
    columns : mapping of str to float64[min(n, 66)]
        The columns that the encoder reads, of the segment's newest bars.
    log_price : float64[min(n, 258)]
    events : uint8[min(n, 258)]
    last_bit : int or None
        Last bit of the segment; None while it has none.

    Raises
    ------
    ValueError
        For another encoder, or bars without length.
    """

    params: DampingParams
    encoder: str
    bar_seconds: int
    timestamp: int | None
    columns: Mapping[str, Floats]
    log_price: Floats
    events: Codes
    last_bit: int | None

    def __post_init__(self) -> None:
        if self.encoder not in COLUMNS:
            raise ValueError(f"encoder must be one of {', '.join(COLUMNS)}, not {self.encoder!r}")
        if self.bar_seconds <= 0:
            raise ValueError(f"bar_seconds must be positive, not {self.bar_seconds}")

    @classmethod
    def start(
        cls,
        *,
        params: DampingParams | None = None,
        encoder: str = "direction",
        bar_seconds: int,
    ) -> State:
        """Return the state before the first bar.

        Parameters
        ----------
        params : DampingParams, optional
        encoder : str
            As in `kernels.encode_bits`.
        bar_seconds : int
            Length of a bar, seconds.

        Returns
        -------
        State
        """
        columns = {name: np.empty(0) for name in COLUMNS.get(encoder, ())}
        empty = (columns, np.empty(0), np.empty(0, np.uint8), None)
        return cls(params or DampingParams(), encoder, bar_seconds, None, *empty)

    @classmethod
    def from_bars(
        cls,
        timestamp: NDArray[np.int64],
        bars: Mapping[str, Floats],
        *,
        params: DampingParams | None = None,
        encoder: str = "direction",
        bar_seconds: int,
    ) -> State:
        """Return the state after a history, as if each of its bars had been given to `update`.

        Parameters
        ----------
        timestamp : int64[n]
            Starts of the bars, microseconds since 1970 in UTC, strictly rising.
        bars : mapping of str to float64[n]
            The close and the columns that the encoder reads; NaN where unknown.
        params : DampingParams, optional
        encoder : str
            As in `kernels.encode_bits`.
        bar_seconds : int

        Returns
        -------
        State
            Of the last segment. Where the history begins inside it, its last 322 bars are enough
            if the 257th last has a bit; if not, begin 65 bars before an earlier one that has.

        Raises
        ------
        TypeError, ValueError
            For a wrong dtype or shape, a missing column, timestamps that do not rise, a price
            that is not positive or an infinite value.
        """
        state = cls.start(params=params, encoder=encoder, bar_seconds=bar_seconds)
        numbers = segments(timestamp, bar_seconds=bar_seconds)
        columns = _columns(bars, encoder, len(numbers))
        if len(numbers) == 0:
            return state
        first = int(np.searchsorted(numbers, numbers[-1]))
        newest = {name: column[first:] for name, column in columns.items()}
        bits, valid = _encode(newest, encoder)
        events = transitions(bits, valid, _one_segment(len(bits)), engine="cpu")
        return replace(
            state,
            timestamp=int(timestamp[-1]),
            columns={name: newest[name][-ENCODED:].copy() for name in COLUMNS[encoder]},
            log_price=np.log(newest["close"][-DEPTH:]),
            events=events[-DEPTH:].copy(),
            last_bit=int(bits[valid][-1]) if valid.any() else None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; None stands for NaN."""
        columns = {name: _plain(column) for name, column in self.columns.items()}
        arrays = {"log_price": _plain(self.log_price), "events": self.events.tolist()}
        return vars(self) | arrays | {"params": asdict(self.params), "columns": columns}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> State:
        """Read what `to_dict` wrote, exactly."""
        arrays = {
            "columns": {k: np.array(v, np.float64) for k, v in data["columns"].items()},
            "log_price": np.array(data["log_price"], np.float64),  # None is NaN
            "events": np.array(data["events"], np.uint8),
        }
        return cls(**{**data, **arrays, "params": DampingParams(**data["params"])})


def update(state: State, bar: Bar) -> tuple[State, Reading]:
    """Take one bar in.

    Parameters
    ----------
    state : State
        Stays as it is.
    bar : Bar
        Later than the state's newest.

    Returns
    -------
    State
        For the next bar.
    Reading
        What `encode_bits`, `transitions`, `volatility` and `damp` give for this bar on the CPU
        engine in a series of all bars so far, with the segments of `kernels.segments`.

    Raises
    ------
    ValueError
        If the bar is not later than the state's newest.

    Notes
    -----
    The work and the state do not grow with the number of bars.
    """
    if state.timestamp is not None:
        if bar.timestamp <= state.timestamp:
            raise ValueError(
                f"timestamp {bar.timestamp} must be after {state.timestamp}, the newest bar's; "
                "give each bar once, in order"
            )
        if _parts(state.timestamp, bar.timestamp, state.bar_seconds):
            state = _without_bars(state)
    with _one_thread():
        state = _extend(state, bar)
        return state, _read(state)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep the kernels on this thread: waking others for one bar takes 10 ms on a busy machine."""
    from numba import get_num_threads, set_num_threads

    before = get_num_threads()
    set_num_threads(1)
    try:
        yield
    finally:
        set_num_threads(before)


def _parts(before: int, timestamp: int, bar_seconds: int) -> bool:
    """Whether a segment ends between two bars."""
    if timestamp == before + bar_seconds * SECOND:  # nearly always, and nothing is missed
        return False
    pair = np.array([before, timestamp], np.int64)
    return bool(segments(pair, bar_seconds=bar_seconds)[1])


def _without_bars(state: State) -> State:
    return State.start(params=state.params, encoder=state.encoder, bar_seconds=state.bar_seconds)


def _extend(state: State, bar: Bar) -> State:
    columns = {
        name: _push(column, getattr(bar, name), ENCODED) for name, column in state.columns.items()
    }
    bits, valid = _encode(columns, state.encoder)
    last = state.last_bit
    pair = np.array([last or 0, bits[-1]], np.uint8), np.array([last is not None, valid[-1]])
    event = transitions(*pair, _one_segment(2), engine="cpu")[1]
    return replace(
        state,
        timestamp=int(bar.timestamp),
        columns=columns,
        log_price=_push(state.log_price, np.log(bar.close), DEPTH),
        events=_push(state.events, event, DEPTH),
        last_bit=int(bits[-1]) if valid[-1] else last,
    )


def _read(state: State) -> Reading:
    """Read the newest bar."""
    n = len(state.log_price)
    returns = state.log_price[-WINDOW - 1 :]
    sigma = volatility(returns, _one_segment(len(returns)), engine="cpu")[-1]
    # of the sigmas only the newest bar's is read
    inputs = state.events, state.log_price, np.full(n, sigma), _one_segment(n)
    damping = damp_newest(*inputs, params=state.params)
    return Reading(
        event=int(state.events[-1]),
        sigma=float(sigma),
        trajectory=damping.trajectory[0],
        decay=damping.decay[0],
        steps=int(damping.steps[0]),
        converged=bool(damping.converged[0]),
        state_ratios=damping.state_ratios[0],
    )


def _encode(columns: Mapping[str, Floats], encoder: str) -> tuple[Codes, NDArray[np.bool_]]:
    edges = _one_segment(len(columns[COLUMNS[encoder][0]]))
    return encode_bits(columns, edges, encoder=encoder, engine="cpu")


def _one_segment(n: int) -> NDArray[np.int32]:
    return np.zeros(n, np.int32)


def _push(values: NDArray[Any], value: Any, most: int) -> NDArray[Any]:
    """Append a value to the newest `most` - 1."""
    n = min(len(values) + 1, most)
    pushed = np.empty(n, values.dtype)
    pushed[:-1] = values[len(values) + 1 - n :]
    pushed[-1] = value
    return pushed


def _columns(bars: Mapping[str, Floats], encoder: str, n: int) -> dict[str, Floats]:
    """Return the close and what the encoder reads, refused where it cannot be."""
    names = {"close": None, **dict.fromkeys(COLUMNS[encoder])}
    if missing := [name for name in names if name not in bars]:
        raise ValueError(f"bars lacks {', '.join(missing)}, which encoder={encoder!r} reads")
    for name in names:
        require_array(f"bars[{name!r}]", bars[name], "float64", (n,))
        if (wrong := _impossible(name, bars[name])).any():
            raise ValueError(f"bars[{name!r}] {_rule(name)}, not {bars[name][wrong][0]}")
    return {name: bars[name] for name in names}


def _impossible(name: str, value: Any) -> Any:
    return (value < 0) | (value == inf) | ((value == 0) & (name in PRICES))


def _rule(name: str) -> str:
    least = "above zero" if name in PRICES else "at least zero"
    return f"must be {least} and finite, or NaN where unknown"


def _plain(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
