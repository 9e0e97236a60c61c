"""Damping mathematics on CPU and GPU: arrays in, arrays out.

No reading, no writing, no logging, no frames. Functions take NumPy or CuPy arrays, return arrays
of the kind they were given, and take `engine` ("auto", "cpu" or "gpu") where there is a choice.

The functions `segments`, `nearest`, `outcomes`, `sweep` and `variants` are imported from their
modules, whose names they share: ``from kernels.nearest import nearest``.
"""

from kernels.bits import encode_bits, pack_bits, transitions, unpack_bits, volatility
from kernels.confidence import (
    Confidence,
    Counts,
    Tally,
    break_even,
    count_wins,
    posterior,
    tally,
)
from kernels.damping import METRICS, WINDOWS, Damping, DampingParams, damp
from kernels.device import Engine, EngineUnavailable, choose_engine, gpu_unavailable
from kernels.nearest import Neighbours
from kernels.outcomes import ForwardValue, Outcomes, Quotes, forward_value
from kernels.paths import Standard, fit_standard, has_path, unit_paths
from kernels.streaming import Bar, Reading, State, update
from kernels.sweep import Sweep, SweepSets
from kernels.synthetic import PlantedWalk, planted_walk, random_walk
from kernels.variants import Variant, damp_each

__all__ = [
    "METRICS",
    "WINDOWS",
    "Bar",
    "Confidence",
    "Counts",
    "Damping",
    "DampingParams",
    "Engine",
    "EngineUnavailable",
    "ForwardValue",
    "Neighbours",
    "Outcomes",
    "PlantedWalk",
    "Quotes",
    "Reading",
    "Standard",
    "State",
    "Sweep",
    "SweepSets",
    "Tally",
    "Variant",
    "break_even",
    "choose_engine",
    "count_wins",
    "damp",
    "damp_each",
    "encode_bits",
    "fit_standard",
    "forward_value",
    "gpu_unavailable",
    "has_path",
    "pack_bits",
    "planted_walk",
    "posterior",
    "random_walk",
    "tally",
    "transitions",
    "unit_paths",
    "unpack_bits",
    "update",
    "volatility",
]
