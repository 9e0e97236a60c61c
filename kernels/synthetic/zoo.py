"""The zoo: every planted walk by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from kernels.synthetic.clock import gaps_walk, hours_walk
from kernels.synthetic.damped import lead_walk, reversal_walk
from kernels.synthetic.drift import DRIFT, dying_walk, planted_walk, random_walk
from kernels.synthetic.noise import clustered_walk, fat_walk
from kernels.synthetic.pattern import pattern_walk
from kernels.synthetic.regime import costly_walk, regime_walk
from kernels.synthetic.walk import PlantedWalk


class Maker(Protocol):
    """What draws a walk."""

    def __call__(
        self, n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
    ) -> PlantedWalk: ...


@dataclass(frozen=True)
class Walk:
    """A walk of the zoo.

    Attributes
    ----------
    instrument : str
        Under which its bars are kept.
    make : Maker
    has_edge : bool
        Whether anything can be earned on it.
    leader : str, optional
        Instrument of the walk that it follows.
    """

    instrument: str
    make: Maker
    has_edge: bool = True
    leader: str | None = None


def _drift(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    return planted_walk(
        n, seed=seed, horizon=horizon, drift=DRIFT * size, cost=cost, bar_seconds=bar_seconds
    )


def _none(
    n: int, *, seed: int, horizon: int, size: float, cost: float, bar_seconds: int
) -> PlantedWalk:
    del size
    return random_walk(n, seed=seed, horizon=horizon, cost=cost, bar_seconds=bar_seconds)


WALKS: Final[Mapping[str, Walk]] = MappingProxyType(
    {
        "drift": Walk("PLANTED", _drift),
        "none": Walk("PLANTED_NONE", _none, has_edge=False),
        "fat": Walk("PLANTED_FAT", fat_walk, has_edge=False),
        "clustered": Walk("PLANTED_CLUSTERED", clustered_walk, has_edge=False),
        "reversal": Walk("PLANTED_REVERSAL", reversal_walk),
        "regime": Walk("PLANTED_REGIME", regime_walk),
        "pattern": Walk("PLANTED_PATTERN", pattern_walk),
        "hours": Walk("PLANTED_HOURS", hours_walk),
        "lead": Walk("PLANTED_LEAD", lead_walk, leader="PLANTED_LEADER"),
        "dying": Walk("PLANTED_DYING", dying_walk),
        "gaps": Walk("PLANTED_GAPS", gaps_walk),
        "costly": Walk("PLANTED_COSTLY", costly_walk),
    }
)
"""All walks by name."""


def draw(
    name: str,
    n: int,
    *,
    seed: int,
    horizon: int = 8,
    size: float = 1.0,
    cost: float = 0.5,
    bar_seconds: int = 3600,
) -> PlantedWalk:
    """Draw a walk of the zoo.

    Parameters
    ----------
    name : str
        One of `WALKS`.
    n : int
        Bars.
    seed : int
        The same seed gives the same walk.
    horizon : int
        Bars of the time exit that the truth speaks of.
    size : float
        Of the edge; at 0 there is none.
    cost : float
        Spread between bid and ask (one round trip), in one-bar deviations.
    bar_seconds : int
        Length of a bar.

    Returns
    -------
    PlantedWalk

    Raises
    ------
    ValueError
        If there is no such walk, or a number is out of range.
    """
    if name not in WALKS:
        raise ValueError(f"no walk is called {name!r}; give one of {', '.join(WALKS)}")
    if n < 1 or horizon < 1 or bar_seconds < 1:
        raise ValueError(
            f"n, horizon and bar_seconds must be positive, not {n}, {horizon}, {bar_seconds}; "
            "give at least one bar, one bar of horizon and a second"
        )
    if size < 0 or cost < 0:
        raise ValueError(f"size and cost are {size} and {cost}; give numbers from 0 on")
    return WALKS[name].make(
        n, seed=seed, horizon=horizon, size=size, cost=cost, bar_seconds=bar_seconds
    )
