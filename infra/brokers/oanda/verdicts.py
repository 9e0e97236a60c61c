"""What an answer to a change proves: done, refused, or nothing.

The venue's reply counts only if every part of it tells of our order: a reply that is another
order's, or tells half, is no proof, and the transaction log decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import ValidationError

from infra.brokers.broker import Done, Entry, Refused, Reply, Transaction, Unknown
from infra.brokers.oanda import reading
from infra.brokers.oanda.client import Answer

DEFINITE: Final = (401, 403, 405, 429)
"""Statuses of requests that were turned away, whatever else the answer says."""

_LARGEST_BODY: Final = 2**20
_PART: Final = "Transaction"


class _Doubt(ValueError):
    """A reply that proves nothing."""


Parts = Mapping[str, Transaction]
Judge = Callable[[Parts], None]


@dataclass(frozen=True)
class Verdict:
    """How replies to one change are judged.

    Attributes
    ----------
    account : str
        Whose transactions they must be.
    done : callable
        Raises `_Doubt` unless the parts of a good reply tell of our change.
    rejected : callable
        The same for a reject.
    """

    account: str
    done: Judge
    rejected: Judge

    def of(self, answer: Answer) -> Reply:
        """Return what an answer proves."""
        if answer.status in DEFINITE:
            return Refused(f"refused: {answer.said}")
        try:
            return self._read(answer)
        except (ValueError, ArithmeticError, AttributeError, TypeError) as error:
            doubt = str(error) if isinstance(error, _Doubt) else "it makes no sense"
            return Unknown(f"status {answer.status}, but {doubt}")

    def _read(self, answer: Answer) -> Reply:
        if answer.status not in (200, 201, 400, 404):
            raise _Doubt("that proves nothing")
        if len(answer.text) > _LARGEST_BODY:
            raise _Doubt("the answer is too long")
        body = answer.json()
        if not isinstance(body, dict):
            raise _Doubt("the answer is no object")
        parts = self._parts(body)
        if answer.status >= 400:
            return self._refusal(answer, parts)
        self.done(parts)
        return Done(_ordered(parts.values()))

    def _parts(self, body: dict[str, Any]) -> dict[str, Transaction]:
        told = {name.removesuffix(_PART): body[name] for name in body if name.endswith(_PART)}
        present = {name: part for name, part in told.items() if part is not None}
        try:
            parts = {n: reading.transaction(part, self.account) for n, part in present.items()}
        except ValidationError:
            raise _Doubt("one of its transactions makes no sense") from None
        if len({part.id for part in parts.values()}) != len(parts):
            raise _Doubt("two transactions have one number")
        return parts

    def _refusal(self, answer: Answer, parts: Parts) -> Reply:
        if not parts:
            return Refused(f"refused: {answer.said}")
        self.rejected(parts)
        return Done(_ordered(parts.values()))


def _ordered(parts: Iterable[Transaction]) -> tuple[Transaction, ...]:
    return tuple(sorted(parts, key=lambda part: part.id))


def _only(parts: Parts, *allowed: str) -> None:
    if strange := sorted(set(parts) - set(allowed)):
        raise _Doubt(f"it tells of {', '.join(strange)[:80]}")


def _one(parts: Parts, name: str, type_: str) -> Transaction:
    part = parts.get(name)
    if part is None or part.type != type_:
        raise _Doubt(f"it tells of no {type_}")
    return part


def _agree(what: str, *pairs: tuple[object, object]) -> None:
    if any(told != ours for told, ours in pairs):
        raise _Doubt(f"its {what} is another one's")


def _named(part: Transaction, client_id: str) -> None:
    """Hold a fill or cancel to our name, where it repeats one."""
    if part.client_id not in (None, client_id):
        raise _Doubt(f"its {part.kind} is another one's")


def entered(entry: Entry, account: str) -> Verdict:
    """Return how replies to an entry are judged.

    Parameters
    ----------
    entry : Entry
    account : str
    """
    units = entry.units if entry.side == "long" else -entry.units

    def done(parts: Parts) -> None:
        _only(parts, "orderCreate", "orderFill", "orderCancel")
        made = _one(parts, "orderCreate", "MARKET_ORDER")
        ours = ((made.client_id, entry.client_id), (made.pair, entry.pair), (made.units, units))
        _agree("order", *ours)
        ended = _end(parts, made)
        _named(ended, entry.client_id)
        if ended.kind == "fill":
            _opens(ended, entry.pair, units)

    def rejected(parts: Parts) -> None:
        _only(parts, "orderReject")
        reject = _one(parts, "orderReject", "MARKET_ORDER_REJECT")
        if reject.pair not in (None, entry.pair):
            raise _Doubt("its reject is another one's")
        _named(reject, entry.client_id)

    return Verdict(account, done, rejected)


def _end(parts: Parts, made: Transaction) -> Transaction:
    """Return the fill or the cancel of an order; there is one of them."""
    if "orderFill" in parts and "orderCancel" in parts:
        raise _Doubt("the order was filled and cancelled")
    if "orderFill" not in parts and "orderCancel" not in parts:
        raise _Doubt("the order was neither filled nor cancelled")
    if "orderFill" in parts:
        end = _one(parts, "orderFill", "ORDER_FILL")
    else:
        end = _one(parts, "orderCancel", "ORDER_CANCEL")
    _agree(end.kind, (end.order, made.order))
    if end.id <= made.id:
        raise _Doubt(f"the {end.kind} came before the order")
    return end


def _opens(fill: Transaction, pair: str, units: Decimal) -> None:
    _agree("fill", (fill.pair, pair), (fill.units, units))
    if fill.opened is None or fill.opened.units != units or fill.closed:
        raise _Doubt("its fill did not open what was asked for")


def closed(trade: str, units: Decimal | None, account: str) -> Verdict:
    """Return how replies to the closing of a trade are judged.

    Parameters
    ----------
    trade : str
    units : Decimal or None
        None: all.
    account : str
    """

    def done(parts: Parts) -> None:
        _only(parts, "orderCreate", "orderFill", "orderCancel")
        made = _one(parts, "orderCreate", "MARKET_ORDER")
        if made.trade not in (None, trade):
            raise _Doubt("its order is another one's")
        ended = _end(parts, made)
        if ended.kind == "fill":
            _agree("fill", (ended.pair, made.pair), (ended.units, made.units))
            _takes(ended, trade, units)
        elif made.trade is None:
            raise _Doubt("it tells of no trade")

    def rejected(parts: Parts) -> None:
        _only(parts, "orderReject")
        reject = _one(parts, "orderReject", "MARKET_ORDER_REJECT")
        if reject.trade not in (None, trade):
            raise _Doubt("its reject is another one's")

    return Verdict(account, done, rejected)


def _takes(fill: Transaction, trade: str, units: Decimal | None) -> None:
    if fill.opened is not None or [part.trade for part in fill.closed] != [trade]:
        raise _Doubt("its fill did not close the trade")
    part = fill.closed[0]
    taken = abs(part.units)
    if not taken or taken != abs(fill.units) or (units is not None and taken > units):
        raise _Doubt("its fill did not close what was asked for")
    if units is None and not part.whole:
        raise _Doubt("its fill left something of the trade")


def protected(trade: str, stop: Decimal, target: Decimal | None, account: str) -> Verdict:
    """Return how replies to a new stop and target are judged.

    Parameters
    ----------
    trade : str
    stop : Decimal
    target : Decimal or None
    account : str
    """
    wanted = {"stopLossOrder": ("STOP_LOSS_ORDER", stop)}
    if target is not None:
        wanted["takeProfitOrder"] = ("TAKE_PROFIT_ORDER", target)

    def done(parts: Parts) -> None:
        ends = ("Cancel", "CreatedCancel", "Fill")
        names = ("stopLossOrder", "takeProfitOrder")
        _only(parts, *names, *(f"{name}{end}" for name in names for end in ends))
        for name, (type_, level) in wanted.items():
            made = _one(parts, name, type_)
            _agree(name, (made.trade, trade), (made.price, level))
        for name, part in parts.items():
            kinds = {"Cancel": "cancel", "Fill": "fill"}
            kind = next((kinds[end] for end in kinds if name.endswith(end)), "order")
            _agree(name, (part.kind, kind))

    def rejected(parts: Parts) -> None:
        _only(parts, *(f"{n}Order{end}" for n in ("stopLoss", "takeProfit") for end in _REFUSALS))
        if any(part.trade not in (None, trade) for part in parts.values()):
            raise _Doubt("its reject is another one's")
        if not any(part.kind == "reject" for part in parts.values()):
            raise _Doubt("it tells of no reject")

    return Verdict(account, done, rejected)


_REFUSALS: Final = ("Reject", "CancelReject", "Cancel")
