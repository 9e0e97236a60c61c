"""Price walks whose win probability is known: the yardstick for every claim of confidence.

Each walk knows, at every bar, with what probability a trade entered at the next open wins and what
it earns in the mean, given all that a reader of prices can know. `draw` takes a walk by name.

Most who import this draw nothing: what of SciPy is slow to import, is imported when drawn.
"""

from kernels.synthetic.drift import planted_walk, random_walk
from kernels.synthetic.walk import START, PlantedWalk
from kernels.synthetic.zoo import INSTRUMENTS, WALKS, Walk, draw

__all__ = [
    "INSTRUMENTS",
    "START",
    "WALKS",
    "PlantedWalk",
    "Walk",
    "draw",
    "planted_walk",
    "random_walk",
]
