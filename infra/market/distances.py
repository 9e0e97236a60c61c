"""Distances of price as people write them: pips, points, price or per cent."""

from __future__ import annotations

import math
import re
from typing import Final, NamedTuple

from infra.market.instrument import Instrument

_WRITTEN: Final = re.compile(
    r"\s*(?P<number>\d*\.?\d+(?:e[+-]?\d+)?)\s*(?P<unit>pips?|points?|%|per ?cent)?\s*", re.I
)


class Distance(NamedTuple):
    """A distance of price.

    Attributes
    ----------
    price : float
        In price units.
    share : float
        Of the price at the time, on top.
    """

    price: float = 0.0
    share: float = 0.0


def distance(written: str | float, instrument: Instrument) -> Distance:
    """Return the distance that is meant by "1.4 pips", "14 points", "0.00014" or "0.01%".

    Parameters
    ----------
    written : str or float
        A bare number is a price.
    instrument : Instrument
        Whose pips and points.

    Raises
    ------
    ValueError
        If it is no distance of zero or more.
    """
    match = _WRITTEN.fullmatch(str(written))
    number = float(match["number"]) if match else math.nan
    if match is None or not math.isfinite(number):
        raise ValueError(
            f"{str(written)[:40]!r} is no distance of price: write it as '1.4 pips', '14 points', "
            "'0.00014' or '0.01%'"
        )
    match (match["unit"] or "")[:2].lower():
        case "pi":
            return Distance(number * instrument.pip)
        case "po":
            return Distance(number * instrument.point)
        case "":
            return Distance(number)
    return Distance(share=number / 100)
