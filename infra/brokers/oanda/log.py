"""The transaction log, read until its end is reached and nothing is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from infra.brokers.broker import BrokerError, Transaction
from infra.brokers.oanda import reading, wire
from infra.brokers.oanda.client import Client

RANGE: Final = 500
"""Transactions of one question for those that did not come by themselves."""

MOST_PAGES: Final = 2000

Rows = dict[int, Transaction]


@dataclass(frozen=True)
class TransactionLog:
    """The log of an account.

    Attributes
    ----------
    client : Client
    account : str
    """

    client: Client
    account: str

    def last(self) -> int:
        """Return the number of the last transaction.

        Raises
        ------
        BrokerError
        """
        told = self.client.ask(f"/accounts/{self.account}/summary", wire.Last.model_validate)
        return told.last_transaction_id

    def since(self, transaction: int) -> list[Transaction]:
        """Return all transactions after one, ascending; one look at the end comes last.

        Raises
        ------
        BrokerError
            Also if there is a hole that no question fills.
        """
        found: list[Transaction] = []
        end = transaction
        for _ in range(MOST_PAGES):
            rows, last = self._page("sinceid", {"id": str(end)})
            if last < end:
                raise BrokerError(f"OANDA's log ends at {last}, before {end} that is known of it")
            found += self._whole(rows, end, last)
            end = found[-1].id if found else end
            if end == last:
                return found
        raise BrokerError("OANDA's log does not come to an end")

    def _whole(self, rows: Rows, end: int, last: int) -> list[Transaction]:
        """Return what came behind `end` with its holes filled: at least one if there is more."""
        top = max(rows, default=end)
        if top > last:
            raise BrokerError(f"OANDA's log ends at {last}, and tells of {top}")
        if top <= end:
            top = min(last, end + RANGE)
        missing = [number for number in range(end + 1, top + 1) if number not in rows]
        while missing:
            first = missing[0]
            span = {"from": str(first), "to": str(min(missing[-1], first + RANGE - 1))}
            more, _ = self._page("idrange", span)
            if first not in more:
                raise BrokerError(f"transaction {first} is missing in OANDA's log")
            rows |= {number: more[number] for number in missing if number in more}
            missing = [number for number in missing if number not in rows]
        return [rows[number] for number in range(end + 1, top + 1)]

    def _page(self, way: str, query: Mapping[str, str]) -> tuple[Rows, int]:
        path = f"/accounts/{self.account}/transactions/{way}"
        return self.client.ask(path, self._read, query)

    def _read(self, told: Any) -> tuple[Rows, int]:
        page = wire.Log.model_validate(told)
        rows: Rows = {}
        for row in page.transactions:
            line = reading.transaction(row, self.account)
            if rows.setdefault(line.id, line) != line:
                raise ValueError("a transaction that is told in two ways")
        return rows, page.last_transaction_id
