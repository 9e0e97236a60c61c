"""The built-in functions by group, and the operators, which are functions with a sign."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from tasks.strategy.language.builtins import (
    engine,
    market,
    math,
    series,
    sizing,
    statistics,
    transforms,
)
from tasks.strategy.language.builtins.operators import OPERATORS
from tasks.strategy.language.registry import Builtin

__all__ = ["BUILTINS", "GROUPS", "OPERATORS"]

GROUPS: Final = {
    "Engine": engine.FUNCTIONS,
    "Market": market.FUNCTIONS,
    "Math": math.FUNCTIONS,
    "Statistics over the last n bars": statistics.FUNCTIONS,
    "Time series": series.FUNCTIONS,
    "Transform": transforms.FUNCTIONS,
    "Sizing and risk": sizing.FUNCTIONS,
}

BUILTINS: Final[Mapping[str, Builtin]] = MappingProxyType(
    {each.name: each for functions in GROUPS.values() for each in functions}
)
