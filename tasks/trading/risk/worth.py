"""What holdings are worth and what they may lose, in the account's currency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from infra.brokers.broker import Price, Terms
from infra.errors import SepError
from infra.market.instrument import NO_CURRENCY, UnknownInstrument
from infra.market.instruments import find
from tasks.trading.risk.situation import Held, Proposal, Situation


class UnfitFigure(SepError, ValueError):
    """A figure that risk is judged by is missing, or cannot be true."""


def number(value: Any, name: str) -> Decimal:
    """Return a figure.

    Parameters
    ----------
    value : Decimal or int
    name : str
        For the message.

    Raises
    ------
    UnfitFigure
        If it is missing, infinite or no number.
    """
    if value is None:
        raise UnfitFigure(f"{name} is missing")
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise UnfitFigure(f"{name} is {value!r}, which is no decimal")
    if not Decimal(value).is_finite():
        raise UnfitFigure(f"{name} is {value}")
    return Decimal(value)


def positive(value: Any, name: str) -> Decimal:
    """Return a figure above zero.

    Parameters
    ----------
    value : Decimal or int
    name : str
        For the message.

    Raises
    ------
    UnfitFigure
        If it is none.
    """
    figure = number(value, name)
    if figure <= 0:
        raise UnfitFigure(f"{name} is {figure}, not above zero")
    return figure


def not_negative(value: Any, name: str) -> Decimal:
    """Return a figure of zero or more.

    Parameters
    ----------
    value : Decimal or int
    name : str
        For the message.

    Raises
    ------
    UnfitFigure
        If it is none.
    """
    figure = number(value, name)
    if figure < 0:
        raise UnfitFigure(f"{name} is {figure}, below zero")
    return figure


def moment(value: Any, name: str) -> datetime:
    """Return a time with a zone.

    Parameters
    ----------
    value : datetime
    name : str
        For the message.

    Raises
    ------
    UnfitFigure
        If it is none.
    """
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise UnfitFigure(f"{name} is {value!r}, no time with a zone")
    return value


def equity(situation: Situation) -> Decimal:
    """Return the account's equity, which is above zero."""
    return positive(situation.account.equity, "equity")


def money(amount: Decimal, situation: Situation) -> str:
    """Write an amount of the account's currency.

    Parameters
    ----------
    amount : Decimal
    situation : Situation
    """
    return f"{amount:,.2f} {situation.account.currency}"


def share(amount: Decimal, situation: Situation) -> str:
    """Write an amount with its share of equity.

    Parameters
    ----------
    amount : Decimal
    situation : Situation
    """
    return f"{money(amount, situation)} ({amount / equity(situation):.2%} of equity)"


def price_of(pair: str, situation: Situation) -> Price:
    """Return the price of a pair, both sides of it sound.

    Parameters
    ----------
    pair : str
    situation : Situation

    Raises
    ------
    UnfitFigure
        If there is none.
    """
    price = situation.prices.get(pair)
    if price is None or price.pair != pair:
        raise UnfitFigure(f"there is no price of {pair}")
    bid, ask = positive(price.bid, f"bid of {pair}"), positive(price.ask, f"ask of {pair}")
    if ask < bid:
        raise UnfitFigure(f"the ask of {pair}, {ask}, is below its bid, {bid}")
    return price


def terms_of(pair: str, situation: Situation) -> Terms:
    """Return what the broker demands of orders in a pair.

    Parameters
    ----------
    pair : str
    situation : Situation

    Raises
    ------
    UnfitFigure
        If it does not trade it.
    """
    terms = situation.terms.get(pair)
    if terms is None or terms.pair != pair:
        raise UnfitFigure(f"the broker tells no terms of {pair}")
    return terms


def home_rates(pair: str, situation: Situation) -> tuple[Decimal, Decimal]:
    """Return what a unit of a pair's quote currency is worth to the account, earned and lost.

    Parameters
    ----------
    pair : str
    situation : Situation

    Raises
    ------
    UnfitFigure
        If nobody knows.
    """
    price = price_of(pair, situation)
    words = f"of the quote currency of {pair} in {situation.account.currency}"
    return positive(price.gain, f"the gain rate {words}"), positive(
        price.loss, f"the loss rate {words}"
    )


def worth(held: Held, situation: Situation) -> Decimal:
    """Return what a holding is worth: at the ask, and the dearer of both rates.

    Parameters
    ----------
    held : Trade or Proposal
    situation : Situation
    """
    units = positive(held.units, f"units of {held.pair}")
    ask, rate = price_of(held.pair, situation).ask, max(home_rates(held.pair, situation))
    if isinstance(held, Proposal):
        ask = max(ask, positive(held.price, "price of the entry"))
    return units * ask * rate


def at_risk(held: Held, situation: Situation) -> Decimal:
    """Return what a holding loses from now on if its stop fills; its worth where it has none.

    An entry counts from its price or the market's, whichever is worse.

    Parameters
    ----------
    held : Trade or Proposal
    situation : Situation
    """
    if held.stop is None:
        return worth(held, situation)
    stop = positive(held.stop, f"stop of {held.pair}")
    distance = (_leaves(held, situation) - stop) * _sign(held)
    units = positive(held.units, f"units of {held.pair}")
    return max(distance, Decimal(0)) * units * home_rates(held.pair, situation)[1]


def _leaves(held: Held, situation: Situation) -> Decimal:
    """Return the price from which a holding falls to its stop."""
    price, buys = price_of(held.pair, situation), _sign(held) > 0
    if not isinstance(held, Proposal):
        return price.bid if buys else price.ask
    entry = positive(held.price, "price of the entry")
    return max(entry, price.ask) if buys else min(entry, price.bid)


def open_risk(situation: Situation) -> Decimal:
    """Return what all that is open loses if every stop fills."""
    return sum((at_risk(held, situation) for held in situation.held), Decimal(0))


def exposures(holdings: Iterable[Held], situation: Situation) -> dict[str, Decimal]:
    """Return the net worth of each currency held, or below zero owed; the account's own is none.

    Parameters
    ----------
    holdings : iterable of Trade or Proposal
    situation : Situation
    """
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for held in holdings:
        base, quote = legs(held.pair)
        amount = worth(held, situation) * _sign(held)
        totals[base] += amount
        totals[quote] -= amount
    home = (situation.account.currency, NO_CURRENCY)
    return {currency: net for currency, net in totals.items() if currency not in home}


@lru_cache(maxsize=1024)
def legs(pair: str) -> tuple[str, str]:
    """Return base and quote of a pair, from its name where nobody knows it."""
    try:
        instrument = find(pair)
    except UnknownInstrument:
        base, _, quote = pair.rpartition("_")
        return (base, quote) if base else (pair, NO_CURRENCY)
    return instrument.base, instrument.quote


def _sign(held: Held) -> int:
    if held.side not in ("long", "short"):
        raise UnfitFigure(f"the side of {held.pair} is {held.side!r}")
    return 1 if held.side == "long" else -1
