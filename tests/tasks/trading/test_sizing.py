"""Sizing: never more at the stop than its share, never a unit too many, never below zero."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from infra.brokers.broker import Terms
from infra.postgres.models import Signal
from tasks.trading.sizing import Asked, Fraction, Kelly, Size, Sizing, Units, Volatility, size

D = Decimal
TERMS = Terms("EUR_USD", 5, 0, D(1), D(1_000_000), D("0.02"))


@dataclass(frozen=True)
class Told:
    """What a signal says."""

    confidence: Any = 0.6
    break_even: Any = 0.5
    margin: Any = 0.1
    coherence: Any = None
    size: Any = None


TOLD = Told()


def sized(sizing: Sizing, told: Any = TOLD, terms: Terms = TERMS, **changes: Any) -> Size:
    usual: dict[str, Any] = {
        "equity": D(100_000), "price": D("1.1"), "stop": D("1.09"), "home_factor": D(1),
        "volatility": 0.08,
    }  # fmt: skip
    return size(sizing, signal=told, terms=terms, **{**usual, **changes})


def test_units_are_units() -> None:
    assert sized(Units(units=D(2_500))).units == 2_500


def test_a_fraction_is_lost_at_the_stop() -> None:
    assert sized(Fraction(fraction=D("0.005"))).units == 50_000
    assert sized(Fraction(fraction=D("0.005")), home_factor=D("0.5")).units == 100_000
    assert sized(Fraction(fraction=D("0.005")), stop=D("1.11")).units == 50_000


def test_a_signal_has_what_it_asks_for() -> None:
    assert sized(Asked(), Told(size=0.005)).units == 50_000
    held = sized(Asked(), Told(size=0.05))
    assert held.units == 100_000
    assert "asks for 5.000% of equity at the stop; held to 1.00%" in held.reason
    for none in (None, math.nan, 0.0, -0.1):
        assert sized(Asked(), Told(size=none)).units == 0
    assert sized(Asked()).reason == "the size that the signal asks for is missing"


def test_a_target_of_volatility() -> None:
    """8 % of 1.1 a unit, 10 % of 100,000 in all: 113,636 units; 1 % at the stop are 100,000."""
    assert sized(Volatility(), stop=D("1.095")).units == 113_636
    held = sized(Volatility())
    assert held.units == 100_000
    assert "held to 1.00%" in held.reason


def test_kelly_is_p_less_q_of_1_less_q() -> None:
    """(0.6 - 0.5) / 0.5 = 20 %; a quarter of it is 5 %, of which the cap leaves 1 %."""
    free = Kelly(fraction=D("0.25"), cap=D("0.2"))
    assert sized(free).units == 500_000
    assert sized(Kelly()).units == 100_000
    assert sized(free, Told(coherence=0.5)).units == 250_000
    assert sized(free.model_copy(update={"coherent": False}), Told(coherence=0.5)).units == 500_000


@settings(deadline=None)
@given(st.floats(0.02, 0.98), st.floats(0.02, 0.98))
def test_the_full_share_of_kelly_makes_equity_grow_fastest(p: float, q: float) -> None:
    assume(p > q + 0.01)
    best = (p - q) / (1 - q)

    def growth(f: float) -> float:
        return p * math.log1p(f * (1 - q) / q) + (1 - p) * math.log1p(-f)

    assert growth(best) >= max(growth(best * 0.99), growth(min(best * 1.01, 0.999)))


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (Told(margin=0.0), "not above zero"),
        (Told(margin=-0.1), "not above zero"),
        (Told(margin=None), "the margin is missing"),
        (Told(margin=math.nan), "the margin is NaN"),
        (Told(margin=math.inf), "the margin is Infinity"),
        (Told(confidence=None), "the confidence is missing"),
        (Told(confidence=math.nan), "the confidence is NaN"),
        (Told(confidence=1.0), "not between 0 and 1"),
        (Told(confidence=1.2), "not between 0 and 1"),
        (Told(confidence=0.5), "not above break-even"),
        (Told(confidence=0.4), "not above break-even"),
        (Told(break_even=None), "the break-even is missing"),
        (Told(break_even=0.0), "not between 0 and 1"),
        (Told(coherence=math.nan), "the coherence is NaN"),
        (Told(coherence=1.1), "not from 0 to 1"),
        (Told(coherence=-0.1), "not from 0 to 1"),
        (Told(coherence=0.0), "below the least"),
        (Told(confidence="0.6"), "which is no number"),
        (Told(confidence=True), "which is no number"),
        (object(), "no size can be told"),
    ],
)
def test_kelly_of_what_is_missing_or_worth_nothing_is_zero(told: Any, why: str) -> None:
    found = sized(Kelly(), told)
    assert found.units == 0
    assert why in found.reason


NONSENSE = [None, D("NaN"), D("sNaN"), D("Infinity"), D(0), D(-1), math.nan, math.inf, "1", True]


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["equity", "price", "stop", "home_factor"])
@pytest.mark.parametrize("sizing", [Fraction(), Kelly(), Volatility(), Units()])
def test_nonsense_is_zero(sizing: Sizing, name: str, value: Any) -> None:
    found = sized(sizing, **{name: value})
    assert found.units == 0
    assert found.reason


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
def test_a_volatility_that_is_none_is_zero(value: Any) -> None:
    assert sized(Volatility(), volatility=value).units == 0


def test_a_stop_at_the_price_is_zero() -> None:
    assert sized(Fraction(), stop=D("1.1")) == Size(D(0), "the stop 1.1 is the price itself")


@pytest.mark.parametrize(
    ("changes", "units"),
    [
        ({"minimum": D(50_000)}, 50_000),
        ({"minimum": D(50_001)}, 0),
        ({"maximum": D(49_999)}, 49_999),
        ({"unit_precision": 2}, 50_000),
        ({"minimum": None}, 0),
        ({"maximum": D("NaN")}, 0),
        ({"unit_precision": None}, 0),
    ],
)
def test_terms_hold(changes: dict[str, Any], units: int) -> None:
    assert sized(Fraction(), terms=replace(TERMS, **changes)).units == units


@pytest.mark.parametrize(("precision", "units"), [(0, "333"), (1, "333.3"), (3, "333.333")])
def test_units_are_rounded_down(precision: int, units: str) -> None:
    terms = replace(TERMS, unit_precision=precision, minimum=D("0.001"))
    found = sized(Fraction(fraction=D("0.01")), equity=D(100), stop=D("1.097"), terms=terms)
    assert found.units == D(units)


def decimals(low: str, high: str) -> st.SearchStrategy[Decimal]:
    return st.decimals(D(low), D(high), places=5)


PLANS: st.SearchStrategy[Any] = st.one_of(
    decimals("0.0001", "0.2").map(lambda f: Fraction(fraction=f)),
    st.builds(Kelly, fraction=decimals("0.01", "1"), cap=decimals("0.0001", "0.2")),
    st.builds(Volatility, target=decimals("0.01", "1"), cap=decimals("0.0001", "0.2")),
    st.builds(Asked, cap=decimals("0.0001", "0.2")),
)
SIGNALS = st.builds(
    Told,
    confidence=st.floats(0, 1),
    break_even=st.floats(0, 1),
    margin=st.floats(-1, 1),
    coherence=st.none() | st.floats(0, 1),
    size=st.none() | st.floats(-0.1, 1),
)
FIGURES = st.fixed_dictionaries(
    {
        "equity": decimals("1", "10000000"),
        "price": decimals("0.0001", "100000"),
        "stop": decimals("0.0001", "100000"),
        "home_factor": decimals("0.0001", "10"),
        "volatility": st.floats(0.001, 3),
    }
)


@settings(deadline=None)
@given(PLANS, SIGNALS, FIGURES, st.integers(0, 5))
def test_the_stop_never_costs_more_than_the_share(
    sizing: Any, told: Told, figures: dict[str, Any], precision: int
) -> None:
    terms = replace(TERMS, unit_precision=precision, minimum=D(1).scaleb(-precision))
    found = sized(sizing, told, terms, **figures)
    cap = sizing.fraction if isinstance(sizing, Fraction) else sizing.cap
    loss = found.units * abs(figures["price"] - figures["stop"]) * figures["home_factor"]
    assert 0 <= loss <= cap * figures["equity"]
    assert 0 <= found.units <= terms.maximum
    assert found.units == round(found.units, precision)
    assert found.reason


@settings(deadline=None)
@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0.01, 0.99), st.floats(0, 1))
def test_more_confidence_is_never_fewer_units(
    one: float, two: float, break_even: float, coherence: float
) -> None:
    low, high = sorted((one, two))
    plan = Kelly(cap=D("0.2"))
    units = [sized(plan, Told(p, break_even, 0.1, coherence)).units for p in (low, high)]
    assert units[0] <= units[1]


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_more_coherence_is_never_fewer_units(one: float, two: float) -> None:
    units = [sized(Kelly(), Told(coherence=c)).units for c in sorted((one, two))]
    assert units[0] <= units[1] <= sized(Kelly(), Told()).units


@settings(deadline=None)
@given(PLANS, SIGNALS, FIGURES, st.integers(2, 50))
def test_k_times_the_equity_is_k_times_the_units(
    sizing: Any, told: Told, figures: dict[str, Any], k: int
) -> None:
    terms = replace(TERMS, unit_precision=0, minimum=D(0), maximum=D("1e15"))
    once = sized(sizing, told, terms, **figures).units
    many = sized(sizing, told, terms, **{**figures, "equity": k * figures["equity"]}).units
    assert k * once <= many < k * (once + 1)


@settings(deadline=None)
@given(PLANS, SIGNALS, FIGURES, st.integers(1, 4))
def test_another_unit_of_price_changes_nothing(
    sizing: Any, told: Told, figures: dict[str, Any], shift: int
) -> None:
    moved = {
        "price": figures["price"].scaleb(shift),
        "stop": figures["stop"].scaleb(shift),
        "home_factor": figures["home_factor"].scaleb(-shift),
    }
    assert sized(sizing, told, **figures).units == sized(sizing, told, **{**figures, **moved}).units


def test_it_takes_the_row_of_a_signal() -> None:
    row = Signal(confidence=0.6, break_even=0.5, margin=0.1, coherence=0.9)
    assert sized(Kelly(), row).units == 100_000
