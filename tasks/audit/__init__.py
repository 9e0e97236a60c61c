"""Leak detectors: whether what was traded, tested or told knew more than there was to know."""
