"""From a fresh signal to an order: its size, its stop, and whether the rules allow it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Final

from infra.brokers.broker import Price, Terms
from infra.market.instruments import usual_costs
from infra.postgres.models import Signal
from infra.postgres.trading import Intent
from tasks.trading.risk.engine import Verdict, judge
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Proposal, Situation
from tasks.trading.risk.volatility import volatility
from tasks.trading.sizing import Sizing, size

DISASTER: Final = Decimal("0.02")
"""Share of the price at which a position is stopped whose strategy names no stop."""
_NOBODY_KNOWS: Final = Decimal("NaN")


@dataclass(frozen=True)
class Plan:
    """An order as it would be sent, and what the rules say of it.

    Attributes
    ----------
    order : dict
        `units`, `quoted`, `bound`, `stop_price`, `target_price`, decimals.
    refusal : str or None
        Why it is not sent.
    detail : dict
        For the record, plain values.
    """

    order: dict[str, Decimal | None]
    refusal: str | None
    detail: dict[str, Any]


def plan(signal: Signal, situation: Situation, limits: Limits, sizing: Sizing) -> Plan:
    """Size a signal and judge the order, both at the worst price that it accepts.

    Parameters
    ----------
    signal : Signal
    situation : Situation
        With price and terms of its pair.
    limits : Limits
    sizing : Sizing
    """
    price, terms = situation.prices.get(signal.pair), situation.terms.get(signal.pair)
    if price is None or terms is None:
        return Plan({}, f"the broker has no price or terms of {signal.pair}", {})
    try:
        order = prices_of(signal, price, terms)
    except ArithmeticError:
        return Plan({}, "its stop or target is further away than prices can be", {})
    assert order["bound"] is not None
    assert order["stop_price"] is not None
    sized = size(
        sizing,
        signal=signal,
        equity=situation.account.equity,
        price=order["bound"],
        stop=order["stop_price"],
        home_factor=price.loss or _NOBODY_KNOWS,
        terms=terms,
        volatility=volatility(signal.pair, situation),
    )
    detail: dict[str, Any] = {"size": sized.reason, "bid": str(price.bid), "ask": str(price.ask)}
    if sized.units <= 0:
        return Plan(order, f"its size is nought: {sized.reason}", detail)
    order["units"] = sized.units
    verdict = judge(_proposal(signal, order, price), situation, limits)
    return Plan(order, _refusal(verdict), {**detail, "rules": _shown(verdict)})


def judged(signal: Signal, intent: Intent, situation: Situation, limits: Limits) -> str | None:
    """Say why an order that was written down earlier may not be sent now; None if it may.

    Parameters
    ----------
    signal : Signal
    intent : Intent
        ``PREPARED``.
    situation : Situation
        Of now.
    limits : Limits
    """
    price = situation.prices.get(signal.pair)
    if price is None:
        return f"the broker has no price of {signal.pair}"
    order = {"units": intent.units, "bound": intent.bound, "stop_price": intent.stop_price}
    return _refusal(judge(_proposal(signal, order, price), situation, limits))


def prices_of(signal: Signal, price: Price, terms: Terms) -> dict[str, Decimal | None]:
    """Return quoted price, worst price, stop and target, rounded as the broker wants them.

    Parameters
    ----------
    signal : Signal
    price : Price
    terms : Terms
    """
    sign = 1 if signal.side == "long" else -1
    quoted = price.ask if sign > 0 else price.bid
    distance = _decimal(signal.stop_distance) or quoted * DISASTER
    target = _decimal(signal.target_distance)
    point = Decimal(1).scaleb(-terms.precision)
    room = max(
        price.ask - price.bid,
        3 * Decimal(str(usual_costs(signal.pair).slippage)),
        distance / 10,
        point,
    )

    def rounded(value: Decimal) -> Decimal:
        return value.quantize(point, ROUND_HALF_EVEN)

    return {
        "quoted": quoted,
        "bound": rounded(quoted + sign * room),
        "stop_price": rounded(quoted - sign * distance),
        "target_price": None if target is None else rounded(quoted + sign * target),
    }


def refusal(signal: Signal) -> str | None:
    """Say why a signal may never be traded, whatever the market; None if it may.

    Parameters
    ----------
    signal : Signal
    """
    numbers = (signal.confidence, signal.lower, signal.break_even)
    if any(number is None or not math.isfinite(number) for number in numbers):
        return "confidence, lower or break-even is missing"
    for name in ("stop_distance", "target_distance"):
        distance = getattr(signal, name)
        if distance is not None and not (math.isfinite(distance) and distance > 0):
            return f"its {name.replace('_', ' ')} is {distance}"
    return None


def _proposal(signal: Signal, order: dict[str, Decimal | None], price: Price) -> Proposal:
    units, worst, stop = order["units"], order["bound"], order["stop_price"]
    assert units is not None
    assert worst is not None
    assert stop is not None
    return Proposal(
        signal_id=signal.id,
        strategy=signal.strategy,
        pair=signal.pair,
        timeframe=signal.timeframe,
        side="long" if signal.side == "long" else "short",
        units=units,
        price=worst,
        stop=stop,
        spread=price.ask - price.bid,
    )


def _refusal(verdict: Verdict) -> str | None:
    if verdict.allowed:
        return None
    return "; ".join(f"{name}: {reason}" for name, reason in verdict.reasons)


def _shown(verdict: Verdict) -> dict[str, Any]:
    return {"state": verdict.state, **dict(verdict.checked)}


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else Decimal(str(value))
