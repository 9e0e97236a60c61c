"""The numba engine: one module a kernel."""
