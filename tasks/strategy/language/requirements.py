"""What a program must be given, what training may choose, and how its trades end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.strategy.language.modules import Stream


@dataclass(frozen=True)
class Param:
    """A number that training may choose.

    Attributes
    ----------
    default, low, high : float
    whole : bool
        Whether all three are whole numbers: then no others are taken.
    """

    default: float
    low: float
    high: float
    whole: bool


@dataclass(frozen=True)
class ExitRule:
    """How a signal's trade ends; each trains its own confidence.

    Attributes
    ----------
    signal : str
        Its name, too.
    side : str
        "long" or "short".
    stop : str
        Distance from the entry price, as written.
    target : str or None
        Likewise.
    horizon : int
        Bars.
    weekend : bool
        Whether it may be entered at the first open after a scheduled closure.
    """

    signal: str
    side: str
    stop: str
    target: str | None
    horizon: int
    weekend: bool

    @property
    def terms(self) -> tuple[str, str | None, int, bool]:
        """How it ends, whoever entered: rules of equal terms may share what is trained."""
        return self.stop, self.target, self.horizon, self.weekend


@dataclass(frozen=True)
class Requires:
    """What a program must be given.

    Attributes
    ----------
    streams : tuple of Stream
    metrics : tuple of (str, str, str)
        Stream, engine's metric, encoder.
    warmup : int
        Bars of the base stream before the first that it may speak of, the engine's own included.
    bars : Mapping of str to int
        The same in bars of each stream.
    rules : tuple of str
        Signals whose confidence, or another belief, it asks.
    """

    streams: tuple[Stream, ...]
    metrics: tuple[tuple[str, str, str], ...]
    warmup: int
    bars: Mapping[str, int]
    rules: tuple[str, ...]
