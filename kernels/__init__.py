"""Damping mathematics on CPU and GPU: arrays in, arrays out.

No reading, no writing, no logging, no frames. Functions take NumPy or CuPy arrays, return arrays
of the kind they were given, and take `engine` ("auto", "cpu" or "gpu") where there is a choice.

Each function is imported from its module: ``from kernels.nearest import nearest``.
"""
