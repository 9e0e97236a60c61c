"""Damping mathematics on CPU and GPU: arrays in, arrays out.

No reading, no writing, no logging, no frames. Functions take NumPy or CuPy arrays, return arrays
of the kind they were given, and take `engine` ("auto", "cpu" or "gpu") where there is a choice.
"""

from kernels.bits import encode_bits, pack_bits, transitions, unpack_bits, volatility
from kernels.damping import METRICS, WINDOWS, Damping, DampingParams, damp
from kernels.device import Engine, EngineUnavailable, choose_engine, gpu_unavailable
from kernels.segments import segments
from kernels.synthetic import PlantedWalk, planted_walk, random_walk

__all__ = [
    "METRICS",
    "WINDOWS",
    "Damping",
    "DampingParams",
    "Engine",
    "EngineUnavailable",
    "PlantedWalk",
    "choose_engine",
    "damp",
    "encode_bits",
    "gpu_unavailable",
    "pack_bits",
    "planted_walk",
    "random_walk",
    "segments",
    "transitions",
    "unpack_bits",
    "volatility",
]
