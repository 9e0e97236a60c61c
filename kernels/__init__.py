"""Damping mathematics on CPU and GPU: arrays in, arrays out."""
