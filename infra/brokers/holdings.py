"""What an account holds: trades, the orders that wait, what an order asks for, and all as JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal, TypeAlias

from infra.brokers.broker import Closed, Opened, Price, Trade, Transaction

Netting: TypeAlias = Literal["DEFAULT", "OPEN_ONLY", "REDUCE_FIRST", "REDUCE_ONLY"]
Place: TypeAlias = Literal["stop", "target"]

LINKED: Final[dict[Place, str]] = {"stop": "STOP_LOSS", "target": "TAKE_PROFIT"}
"""The venue's names for the orders of a trade."""

ZERO: Final = Decimal(0)


@dataclass(frozen=True, slots=True)
class Request:
    """What an order asks for; above zero `units` buy.

    Attributes
    ----------
    pair : str
    units : Decimal
    client_id : str or None
    bound : Decimal or None
        Worst price.
    stop, target : Decimal or None
        Prices of the orders that the new trade brings.
    netting : str
        Whether trades of the other side are closed first, or alone, or must not be there.
    """

    pair: str
    units: Decimal
    client_id: str | None = None
    bound: Decimal | None = None
    stop: Decimal | None = None
    target: Decimal | None = None
    netting: Netting = "DEFAULT"


@dataclass(frozen=True, slots=True)
class Order:
    """An order that waits: an entry with its request, or the stop or target of a trade."""

    id: str
    type: str
    pair: str
    price: Decimal
    created_at: datetime
    client_id: str | None = None
    trade: str | None = None
    request: Request | None = None


@dataclass(slots=True)
class Holding:
    """A trade while it is open; `units` are signed, `stop` and `target` are its orders."""

    id: str
    pair: str
    units: Decimal
    price: Decimal
    opened_at: datetime
    client_id: str | None = None
    stop: Order | None = None
    target: Order | None = None
    initial: Decimal = ZERO
    realised: Decimal = ZERO
    financing: Decimal = ZERO

    def shown(self, unrealised: Decimal, margin: Decimal) -> Trade:
        """Return it as a broker tells of it.

        Parameters
        ----------
        unrealised, margin : Decimal
            In the account's currency.
        """
        return Trade(
            self.id,
            self.pair,
            "long" if self.units > 0 else "short",
            abs(self.units),
            self.price,
            self.opened_at,
            self.client_id,
            None if self.stop is None else self.stop.price,
            None if self.target is None else self.target.price,
            unrealised,
            margin,
        )


_KINDS: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in (Closed, Holding, Opened, Order, Price, Request, Transaction)
}


def packed(value: Any) -> Any:
    """Return a value of these kinds, or of broker's, as JSON can hold it: decimals exactly."""
    kind = type(value)
    if kind.__name__ in _KINDS:
        shown = {"": kind.__name__}
        defaults = kind.__dataclass_fields__
        for field in fields(kind):
            told = getattr(value, field.name)
            if told != defaults[field.name].default:
                shown[field.name] = packed(told)
        return shown
    if kind is Decimal:
        return {"d": str(value)}
    if kind is datetime:
        return {"t": value.isoformat()}
    if kind in (tuple, list):
        return [packed(each) for each in value]
    return value


def unpacked(shown: Any) -> Any:
    """Return what was packed."""
    if isinstance(shown, list):
        return tuple(map(unpacked, shown))
    if not isinstance(shown, dict):
        return shown
    if "d" in shown:
        return Decimal(shown["d"])
    if "t" in shown:
        return datetime.fromisoformat(shown["t"])
    told = {name: unpacked(each) for name, each in shown.items() if name}
    return _KINDS[shown[""]](**told)
