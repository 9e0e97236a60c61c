"""The zoo: every planted walk by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from kernels.synthetic.clock import gaps_walk, hours_walk
from kernels.synthetic.damped import lead_walk, reversal_walk
from kernels.synthetic.draws import Draw
from kernels.synthetic.drift import dying_walk, planted_walk, random_walk
from kernels.synthetic.hidden import DRIFT
from kernels.synthetic.noise import clustered_walk, fat_walk
from kernels.synthetic.pattern import pattern_walk
from kernels.synthetic.regime import costly_walk, regime_walk
from kernels.synthetic.walk import PlantedWalk


@dataclass(frozen=True)
class Walk:
    """A walk of the zoo.

    Attributes
    ----------
    instrument : str
        Under which its bars are kept.
    make : callable
    has_edge : bool
        Whether anything can be earned on it.
    leader : str, optional
        Instrument of the walk that it follows.
    """

    instrument: str
    make: Callable[[Draw], PlantedWalk]
    has_edge: bool = True
    leader: str | None = None


def _drift(asked: Draw) -> PlantedWalk:
    return planted_walk(
        asked.n,
        seed=asked.seed,
        horizon=asked.horizon,
        drift=DRIFT * asked.size,
        cost=asked.cost,
        bar_seconds=asked.bar_seconds,
    )


def _none(asked: Draw) -> PlantedWalk:
    return random_walk(
        asked.n,
        seed=asked.seed,
        horizon=asked.horizon,
        cost=asked.cost,
        bar_seconds=asked.bar_seconds,
    )


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

INSTRUMENTS: Final[Mapping[str, str]] = MappingProxyType(
    {walk.instrument: name for name, walk in WALKS.items()}
    | {walk.leader: name for name, walk in WALKS.items() if walk.leader}
)
"""Name of the walk that has the bars of each instrument, as its own or as its leader's."""


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
    return WALKS[name].make(Draw(n, seed, horizon, size, cost, bar_seconds))
