"""Benchmarks: `python -m tests.benchmarks kernels` checks equality, then times."""
