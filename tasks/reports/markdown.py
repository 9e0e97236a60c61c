"""Text of others in Markdown: shown as it is, read as nothing else."""

from __future__ import annotations

import re
from typing import Final

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()<>#+!|~&$-])")
_HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
"""Line breaks, and what changes the direction of writing."""


def escape(text: str) -> str:
    """Return Markdown that shows a text, such as the name of a file, in one line.

    Neither Markdown nor HTML in it counts, and no other text is hidden or turned by it.
    """
    return _SPECIAL.sub(r"\\\1", _HIDDEN.sub(" ", text))
