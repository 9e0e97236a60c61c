"""Whether an account agrees with itself and with its log: nothing lost, nothing made of nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

from infra.brokers.broker import Transaction
from infra.brokers.holdings import LINKED, ZERO
from infra.brokers.ledger import Ledger
from infra.errors import SepError


class Discrepancy(SepError, AssertionError):
    """An account contradicts itself; the message says in what."""


def examine(book: Ledger) -> None:
    """Hold an account's money, units, numbers and orders together.

    Raises
    ------
    Discrepancy
    """
    _same("balance", book.balance, book.deposits + book.profit + book.financing)
    ids = [line.id for line in book.log]
    _same("numbers of the log", ids, [*range(book.last - len(ids) + 1, book.last + 1)])
    _one_side(book)
    _orders(book)
    if ids and ids[0] == 1:
        _money(book)
        _units(book)
        _ends(book)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise Discrepancy(f"{what}: {found} is not {expected}")


def _one_side(book: Ledger) -> None:
    sides = {(each.pair, each.units > 0) for each in book.trades.values() if each.units}
    _same("sides of a pair", len(sides), len({pair for pair, _ in sides}))
    _same("trades without units", [t.id for t in book.trades.values() if not t.units], [])


def _orders(book: Ledger) -> None:
    """Each stop or target that waits is that of its open trade."""
    linked = {
        order.id: order
        for trade in book.trades.values()
        for place in LINKED
        if (order := getattr(trade, place))
    }
    waiting = {number: order for number, order in book.orders.items() if order.trade is not None}
    _same("stops and targets", waiting, linked)


def _money(book: Ledger) -> None:
    balance = deposits = ZERO
    for line in book.log:
        if line.type == "TRANSFER_FUNDS" and line.balance is not None:
            deposits += line.balance - balance
            balance = line.balance
        balance += line.profit + line.financing - line.commission
        _same(f"profit of {line.id}", sum((c.profit for c in line.closed), ZERO), line.profit)
        _same(f"financing of {line.id}", sum((a for _, a in line.financed), ZERO), line.financing)
        if line.balance is not None:
            _same(f"balance after {line.id}", line.balance, balance)
    _same("balance of the log", balance, book.balance)
    _same("deposits of the log", deposits, book.deposits)


def _units(book: Ledger) -> None:
    trades: dict[str, Decimal] = {}
    pairs: Counter[str] = Counter()
    for line in book.log:
        if line.opened is not None:
            trades[line.opened.trade] = line.opened.units
        for part in line.closed:
            trades[part.trade] += part.units
            _same(f"whole of {part.trade}", part.whole, not trades[part.trade])
        if line.kind == "fill" and line.pair:
            pairs[line.pair] += line.units  # type: ignore[assignment]
    left = {number: units for number, units in trades.items() if units}
    _same("units of trades", left, {each.id: each.units for each in book.trades.values()})
    held: Counter[str] = Counter()
    for each in book.trades.values():
        held[each.pair] += each.units  # type: ignore[assignment]
    _same("positions", {p: u for p, u in pairs.items() if u}, {p: u for p, u in held.items() if u})


def _ends(book: Ledger) -> None:
    """Each order is filled, cancelled or waits: one of them, once."""
    made = [str(line.id) for line in book.log if line.kind == "order"]
    ended = [*_named(book.log), *book.orders]
    _same("ends of orders", sorted(ended, key=int), sorted(made, key=int))


def _named(log: Sequence[Transaction]) -> Iterable[str]:
    return (line.order for line in log if line.kind in ("fill", "cancel") and line.order)
