"""How the simulated venue describes an instrument: the fields and spellings of the real one."""

from __future__ import annotations

import math
from typing import Any, Final

from infra.brokers.simulator.sessions import DAYS_CHARGED
from infra.market.instruments import find

_DAYS: Final = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_TYPES: Final = {"forex": "CURRENCY", "metals": "METAL"}


def offer(name: str, changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an instrument's body, of what is known of it.

    Parameters
    ----------
    name : str
        Such as ``EUR_USD``.
    changes : dict, optional
        Fields to tell instead.
    """
    known = find(name)
    kind = _TYPES.get(known.kind, "CFD")
    days = [
        {"dayOfWeek": day, "daysCharged": n} for day, n in zip(_DAYS, DAYS_CHARGED, strict=True)
    ]
    rates = {"longRate": f"{known.long_rate:.4f}", "shortRate": f"{known.short_rate:.4f}"}
    return {
        "name": known.name,
        "type": kind,
        "displayName": known.name.replace("_", "/"),
        "pipLocation": round(math.log10(known.pip)),
        "displayPrecision": known.precision,
        "tradeUnitsPrecision": 0,
        "minimumTradeSize": f"{known.minimum_size:g}",
        "maximumTrailingStopDistance": f"{10_000 * known.pip:g}",
        "minimumTrailingStopDistance": f"{5 * known.pip:g}",
        "maximumPositionSize": "0",
        "maximumOrderUnits": "100000000",
        "marginRate": f"{known.margin:g}",
        "guaranteedStopLossOrderMode": "DISABLED",
        "tags": [{"type": "ASSET_CLASS", "name": kind if kind != "CFD" else known.kind.upper()}],
        "financing": {**rates, "financingDaysOfWeek": days},
        **(changes or {}),
    }
