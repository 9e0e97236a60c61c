"""Spellings of an instrument's name: as venues, platforms and people write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from infra.market.currencies import CURRENCIES

LONGEST: Final = 32
SHAPE: Final = r"^[#^]?[A-Za-z0-9][A-Za-z0-9 _/:.=+#!-]*$"
"""What a name may be made of, for schemas."""

_WORDS: Final = "PRO|ECN|RAW|STP|STD|MINI|MICRO|CENT|CASH|SPOT|ZERO|PRIME|VIP|LIVE|PLUS|CFD"
_SUFFIX: Final = re.compile(rf"(?i:{_WORDS})$|(?<=[A-Z0-9])[a-z]$")
"""A single letter is a suffix where it alone is small: EURUSDm, but not BTCUSDT nor EURUSDC."""

_VENUE: Final = re.compile(r"^\w[\w.]*:")
_YAHOO: Final = re.compile(r"=[Xx]$")
_BROKER: Final = re.compile(rf"(?i:[.+#!][A-Z0-9]*$|[-_/ ]({_WORDS}|[A-Z])$)")


def key(name: str) -> str:
    """Return letters and digits of a name: the same for all ways to part its currencies."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def keys(name: str) -> Iterator[str]:
    """Tell what a name may mean, the likeliest first: without venue, broker's mark or suffix.

    Parameters
    ----------
    name : str
        `eurusd=X`, `OANDA:EUR_USD`, `EUR/USD.m`, `EURUSDpro`.
    """
    if len(name) > LONGEST or not re.fullmatch(SHAPE, name.strip()):
        return
    text = _YAHOO.sub("", _VENUE.sub("", name.strip()))
    yield key(text)
    yield key(_BROKER.sub("", text))
    yield key(_SUFFIX.sub("", text))


def currencies(joined: str) -> str | None:
    """Return the canonical name of two known currencies written as one; None if it is not that.

    Parameters
    ----------
    joined : str
        As `key` returns it.
    """
    base, quote = joined[:3], joined[3:]
    known = base != quote and {base, quote} <= CURRENCIES
    return f"{base}_{quote}" if known else None
