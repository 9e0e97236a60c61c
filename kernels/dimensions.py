"""How many numbers a damping trajectory is."""

from __future__ import annotations

DIMENSIONS = 64
"""16 damping steps times (entropy, coherence, stability, damped value)."""
