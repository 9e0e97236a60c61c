"""Sets of limits as prop firms write them, and for beginnings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from tasks.trading.risk.limits import Limits
from tasks.trading.sizing import Fraction

_D = Decimal
_FIRM: Final = Limits(
    share_of="start",
    daily_loss=_D("0.05"),
    trailing_drawdown=None,
    static_drawdown=_D("0.1"),
    near=_D("0.8"),
)
_PRAGUE: Final = {"daily_reset": time(0), "daily_zone": "Europe/Prague"}

PRESETS: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "conservative": Limits(
            sizing=Fraction(fraction=_D("0.0025")),
            max_risk=_D("0.005"),
            max_open_risk=_D("0.02"),
            max_correlated_risk=_D("0.01"),
            max_leverage=_D(2),
            max_currency_leverage=_D(2),
            max_total_leverage=_D(3),
            max_own_trades=3,
            daily_loss=_D("0.02"),
            trailing_drawdown=_D("0.06"),
            max_entries=10,
            cool_down_after=3,
            max_spread_ratio=_D(2),
            weekend_hours=_D(4),
        ),
        "default": Limits(),
        "prop-5-10": _FIRM,
        "prop-5-10-midnight": _FIRM.model_copy(update=_PRAGUE),
        "prop-4-6-trailing": _FIRM.model_copy(
            update={
                "daily_loss": _D("0.04"),
                "static_drawdown": None,
                "trailing_drawdown": _D("0.06"),
                "trailing_locks": True,
                "max_open_risk": _D("0.03"),
            }
        ),
        "none-but-margin": Limits(
            max_leverage=None,
            max_currency_leverage=None,
            max_total_leverage=None,
            max_own_trades=None,
            max_trades=None,
            max_risk=_D("0.2"),
            max_open_risk=None,
            max_correlated_risk=None,
            min_free_margin=_D("0.1"),
            daily_loss=None,
            trailing_drawdown=None,
            max_entries=None,
            cool_down_after=None,
            max_spread_ratio=_D(20),
            max_price_age=_D(600),
            weekend_hours=None,
        ),
    }
)
"""By name. `prop-A-B`: A per cent a day, B per cent in all, both of the equity at the start."""

MEANINGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "conservative": "Small risks: 2 % a day, 6 % below the highest equity, three trades.",
        "default": "What counts without a file.",
        "prop-5-10": "5 % of the start a day, open trades included, from 17:00 New York; 10 % in "
        "all below the start.",
        "prop-5-10-midnight": "The same with days from midnight in Prague.",
        "prop-4-6-trailing": "4 % of the start a day; 6 % below the highest equity, until that "
        "floor has reached the start.",
        "none-but-margin": "Only what cannot be switched off, as wide as it goes.",
    }
)
"""For people."""
