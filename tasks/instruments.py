"""What is known of a pair and a timeframe before any bar is read."""

from __future__ import annotations

from datetime import timedelta

TIMEFRAMES: dict[str, int] = {
    "M1": 60,
    "M5": 300,
    "M15": 900,
    "M30": 1800,
    "H1": 3600,
    "H4": 14400,
    "D1": 86400,
}
"""Seconds of one bar."""

HORIZONS: dict[str, int] = {
    "M1": 60,
    "M5": 24,
    "M15": 16,
    "M30": 12,
    "H1": 8,
    "H4": 6,
    "D1": 5,
}
"""Bars a trade is held by default."""

SPREAD_PIPS: dict[str, float] = {
    "EUR_USD": 1.4,
    "USD_JPY": 1.4,
    "GBP_USD": 2.0,
    "AUD_USD": 1.5,
}
"""Typical retail spread, used where the bars carry no bid and ask."""

OTHER_SPREAD_PIPS = 2.5
SLIPPAGE_PIPS = 0.2
SYNTHETIC = frozenset({"PLANTED"})
"""Instruments that no market trades: the paper broker and the simulator alone take them."""


def bar_seconds(timeframe: str) -> int:
    """Return the seconds of one bar.

    Raises
    ------
    ValueError
        If the timeframe is not known; the message lists those that are.
    """
    if timeframe not in TIMEFRAMES:
        raise ValueError(f"timeframe must be one of {', '.join(TIMEFRAMES)}, not {timeframe!r}")
    return TIMEFRAMES[timeframe]


def bar_length(timeframe: str) -> timedelta:
    """Return the length of one bar."""
    return timedelta(seconds=bar_seconds(timeframe))


def default_horizon(timeframe: str) -> int:
    """Return the number of bars a trade is held by default."""
    bar_seconds(timeframe)
    return HORIZONS[timeframe]


def pip(pair: str) -> float:
    """Return the price of one pip: 0.01 for yen pairs, 0.0001 otherwise."""
    return 0.01 if pair.endswith("JPY") else 0.0001


def default_spread(pair: str) -> float:
    """Return the typical spread in price units; 0 for instruments whose bars carry their own."""
    if pair in SYNTHETIC:
        return 0.0
    return SPREAD_PIPS.get(pair, OTHER_SPREAD_PIPS) * pip(pair)


def default_slippage(pair: str) -> float:
    """Return the slippage paid at entry, in price units."""
    return 0.0 if pair in SYNTHETIC else SLIPPAGE_PIPS * pip(pair)
