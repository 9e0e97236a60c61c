"""What is known of a pair before any bar is read: pip, usual costs."""

from __future__ import annotations

from infra.market.quotes import Costs

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


def pip(pair: str) -> float:
    """Return the price of one pip: 0.01 for yen pairs, 0.0001 otherwise."""
    return 0.01 if pair.endswith("JPY") else 0.0001


def usual_costs(pair: str) -> Costs:
    """Return what a round trip in a pair costs as a rule."""
    return Costs(default_spread(pair), default_slippage(pair))


def default_spread(pair: str) -> float:
    """Return the typical spread in price units; 0 for instruments whose bars carry their own."""
    if pair in SYNTHETIC:
        return 0.0
    return SPREAD_PIPS.get(pair, OTHER_SPREAD_PIPS) * pip(pair)


def default_slippage(pair: str) -> float:
    """Return the slippage paid at entry, in price units."""
    return 0.0 if pair in SYNTHETIC else SLIPPAGE_PIPS * pip(pair)
