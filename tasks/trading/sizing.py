"""Sizing: how many units an entry has, and why it has none.

Each way gives units that lose no more than its share of equity if the stop fills; what comes out is
rounded down to what the broker takes. A figure that is missing or absurd gives none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from typing import Annotated, Any, Final, Literal, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from infra.brokers.broker import Terms

Share: TypeAlias = Annotated[Decimal, Field(gt=0, le=1)]
RiskShare: TypeAlias = Annotated[Decimal, Field(gt=0, le=Decimal("0.2"))]

PRECISION: Final = 40
"""Digits of the arithmetic: a quotient is rounded down, and so never above what it should be."""


class Said(Protocol):
    """What sizing reads of a signal."""

    confidence: Any
    break_even: Any
    margin: Any
    coherence: Any
    size: Any


@dataclass(frozen=True)
class Size:
    """Units of an entry, and how they came about or why there are none."""

    units: Decimal
    reason: str


class _Sizing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Units(_Sizing):
    """Always the same units."""

    kind: Literal["units"] = "units"
    units: Annotated[Decimal, Field(gt=0, le=Decimal("1e9"))] = Field(
        default=Decimal(1000), description="Of the base currency."
    )


class Fraction(_Sizing):
    """A fixed share of equity is lost if the stop fills (fixed fractional; Vince 1990)."""

    kind: Literal["fraction"] = "fraction"
    fraction: RiskShare = Field(
        default=Decimal("0.005"), description="Share of equity that the stop costs."
    )


class Volatility(_Sizing):
    """A position's worth swings by a target share of equity a year (Moskowitz et al. 2012)."""

    kind: Literal["volatility"] = "volatility"
    target: Share = Field(
        default=Decimal("0.1"), description="Deviation of a year's return, share of equity."
    )
    cap: RiskShare = Field(
        default=Decimal("0.01"), description="Share of equity that the stop costs, at most."
    )


class Kelly(_Sizing):
    """A fraction of the share that makes equity grow fastest (Kelly 1956; Thorp 2006).

    Where a trade wins with probability p and breaks even at q, wins are (1 - q) / q losses; the
    growth p ln(1 + f (1 - q) / q) + (1 - p) ln(1 - f) is greatest at f = (p - q) / (1 - q), the
    share of equity to be lost at the stop. p is estimated, so a fraction is taken (Thorp: half or
    less gives most of the growth and little of the swings), less where the past is incoherent.
    """

    kind: Literal["kelly"] = "kelly"
    fraction: Share = Field(default=Decimal("0.25"), description="Of the full Kelly share.")
    cap: RiskShare = Field(
        default=Decimal("0.01"), description="Share of equity that the stop costs, at most."
    )
    coherent: bool = Field(
        default=True,
        description="Whether it is times the signal's coherence, if it has one.",
    )


class Asked(_Sizing):
    """The share of equity that the signal itself asks for, `size:` of a strategy's text."""

    kind: Literal["signal"] = "signal"
    cap: RiskShare = Field(
        default=Decimal("0.01"), description="Share of equity that the stop costs, at most."
    )


Sizing: TypeAlias = Annotated[
    Units | Fraction | Volatility | Kelly | Asked, Field(discriminator="kind")
]


class _None(Exception):
    """There are no units; says why."""


@dataclass(frozen=True)
class _Case:
    signal: Said
    equity: Decimal
    price: Decimal
    loss: Decimal
    home: Decimal
    volatility: Any

    def share(self, share: Decimal) -> Decimal:
        """Return the units that lose a share of equity at the stop."""
        return share * self.equity / self.loss


def size(
    sizing: Sizing,
    *,
    signal: Said,
    equity: Decimal,
    price: Decimal,
    stop: Decimal,
    home_factor: Decimal,
    terms: Terms,
    volatility: Any = None,
) -> Size:
    """Return how many units an entry has.

    Parameters
    ----------
    sizing : Sizing
    signal : Said
        Its confidence, break-even, margin and coherence are asked by `Kelly`, its size by `Asked`.
    equity : Decimal
        In the account's currency.
    price, stop : Decimal
        At which it is entered, and at which it is given up.
    home_factor : Decimal
        What a unit of the quote currency is worth to the account.
    terms : Terms
        Precision, minimum and maximum of units.
    volatility : Decimal or float, optional
        Deviation of the pair's returns in a year, a share of its price; `Volatility` asks it.

    Returns
    -------
    Size
        Zero units where a figure is missing or absurd, with the reason; nothing is raised.
    """
    try:
        with localcontext(Context(prec=PRECISION, rounding=ROUND_DOWN)):
            case = _case(signal, equity, price, stop, home_factor, volatility)
            units, reason = _WAYS[sizing.kind](sizing, case)
            return _rounded(units, reason, terms)
    except _None as error:
        return Size(Decimal(0), str(error))
    except Exception as error:
        return Size(Decimal(0), f"no size can be told: {error!r}")


def _case(
    signal: Said, equity: Any, price: Any, stop: Any, home_factor: Any, volatility: Any
) -> _Case:
    figures = {"equity": equity, "price": price, "stop": stop, "home rate": home_factor}
    known = {name: _positive(name, value) for name, value in figures.items()}
    distance = abs(known["price"] - known["stop"])
    loss = distance * known["home rate"]
    if loss <= 0:
        raise _None(f"the stop {stop} is the price itself")
    return _Case(signal, known["equity"], known["price"], loss, known["home rate"], volatility)


def _units(sizing: Units, case: _Case) -> tuple[Decimal, str]:
    return sizing.units, f"{sizing.units:,} units, always"


def _fraction(sizing: Fraction, case: _Case) -> tuple[Decimal, str]:
    return case.share(sizing.fraction), f"the stop costs {sizing.fraction:.2%} of equity"


def _volatility(sizing: Volatility, case: _Case) -> tuple[Decimal, str]:
    swing = _positive("volatility", case.volatility)
    wanted = sizing.target * case.equity / (swing * case.price * case.home)
    words = f"a year swings by {sizing.target:.1%} of equity, the pair by {swing:.1%}"
    capped = case.share(sizing.cap)
    if wanted <= capped:
        return wanted, words
    return capped, f"{words}; held to {sizing.cap:.2%} of equity at the stop"


def _kelly(sizing: Kelly, case: _Case) -> tuple[Decimal, str]:
    said = case.signal
    margin = _number("margin", said.margin)
    if margin <= 0:
        raise _None(f"the expected net gain after caution is {margin:.4f}, not above zero")
    p, q = _probability("confidence", said.confidence), _probability("break-even", said.break_even)
    full = (p - q) / (1 - q)
    if full <= 0:
        raise _None(f"the confidence {p:.4f} is not above break-even, {q:.4f}")
    weight = _coherence(said.coherence) if sizing.coherent else Decimal(1)
    share = min(full * sizing.fraction * weight, sizing.cap)
    words = (
        f"Kelly's share is {full:.2%} at {p:.3f} against {q:.3f}; times {sizing.fraction} and "
        f"coherence {weight:.2f}, at most {sizing.cap:.2%}: {share:.3%} of equity at the stop"
    )
    return case.share(share), words


def _asked(sizing: Asked, case: _Case) -> tuple[Decimal, str]:
    asked = _positive("size that the signal asks for", case.signal.size)
    share = min(asked, sizing.cap)
    words = f"the signal asks for {asked:.3%} of equity at the stop"
    held = f"; held to {sizing.cap:.2%}" if asked > sizing.cap else ""
    return case.share(share), words + held


_WAYS: Final[Mapping[str, Callable[[Any, _Case], tuple[Decimal, str]]]] = {
    "units": _units,
    "fraction": _fraction,
    "volatility": _volatility,
    "kelly": _kelly,
    "signal": _asked,
}


def _rounded(units: Decimal, reason: str, terms: Terms) -> Size:
    least = _number("minimum size", terms.minimum)
    most = _positive("maximum size", terms.maximum)
    step = Decimal(1).scaleb(-terms.unit_precision)
    whole = (min(units, most) / step).to_integral_value(ROUND_DOWN) * step
    if whole <= 0 or whole < least:
        return Size(Decimal(0), f"{reason}; that is {units:.4f} units, below the least, {least}")
    held = f"; held to {most:,} units, the most of one order" if units > most else ""
    return Size(whole, reason + held)


def _number(name: str, value: Any) -> Decimal:
    if value is None:
        raise _None(f"the {name} is missing")
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise _None(f"the {name} is {value!r}, which is no number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        raise _None(f"the {name} is {number}")
    return number


def _positive(name: str, value: Any) -> Decimal:
    number = _number(name, value)
    if number <= 0:
        raise _None(f"the {name} is {number}, not above zero")
    return number


def _probability(name: str, value: Any) -> Decimal:
    number = _number(name, value)
    if not 0 < number < 1:
        raise _None(f"the {name} is {number}, not between 0 and 1")
    return number


def _coherence(value: Any) -> Decimal:
    if value is None:
        return Decimal(1)
    number = _number("coherence", value)
    if not 0 <= number <= 1:
        raise _None(f"the coherence is {number}, not from 0 to 1")
    return number
