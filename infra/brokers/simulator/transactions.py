"""Paths of the transaction log: one, a range, all since one, and pages that are only named."""

from __future__ import annotations

import re

from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Call, Refusal, Reply, invalid, missing
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import ACCOUNT, moment

MOST = 1000


def number_after(venue: Venue, call: Call, name: str) -> int:
    """Return the number of a transaction that is asked after.

    Parameters
    ----------
    venue : Venue
    call : Call
    name : str
        Of the parameter.

    Raises
    ------
    Refusal
        400 if it is none, 416 if there is no such transaction yet.
    """
    told = call.query.get(name, "")
    if not re.fullmatch(r"\d{1,18}", told, re.ASCII):
        invalid(f"Invalid value specified for '{name}'")
    if int(told) > venue.book.last:
        message = "The transaction range specified is not valid"
        raise Refusal(416, {"errorMessage": message})
    return int(told)


def one(ask: Ask) -> Reply:
    """Tell of a transaction.

    Raises
    ------
    Refusal
    """
    venue, number = ask.venue, ask.name
    if not re.fullmatch(r"\d{1,18}", number, re.ASCII):
        invalid("Invalid value specified for 'transactionID'")
    if not 1 <= int(number) <= venue.book.last:
        missing("NO_SUCH_TRANSACTION", "The transaction specified does not exist")
    told = venue.records.lines[int(number) - 1]
    return 200, {"transaction": told, "lastTransactionID": str(venue.book.last)}


def between(ask: Ask) -> Reply:
    """Tell of the transactions of a range, both ends included."""
    venue, call = ask.venue, ask.call
    first, last = (number_after(venue, call, name) for name in ("from", "to"))
    if first > last:
        invalid("Invalid value specified for 'from'")
    told = venue.records.lines[max(first - 1, 0) : last]
    return 200, {"transactions": told, "lastTransactionID": str(venue.book.last)}


def since(ask: Ask) -> Reply:
    """Tell of the transactions after one."""
    venue, call = ask.venue, ask.call
    told = venue.records.lines[number_after(venue, call, "id") :]
    return 200, {"transactions": told, "lastTransactionID": str(venue.book.last)}


def pages(ask: Ask) -> Reply:
    """Tell where the transactions of a time are; not what they are."""
    venue, call = ask.venue, ask.call
    size = call.integer("pageSize", 100, MOST)
    if not size:
        invalid("Invalid value specified for 'pageSize'")
    lines, now = venue.records.lines, venue.market.now
    start, end = call.moment("from"), call.moment("to")
    kinds = call.names("type") or []
    first = moment(start) if start else lines[0]["time"]
    last = moment(end) if end else moment(now)
    ids = [int(line["id"]) for line in lines if first <= line["time"] <= last]
    root = f"{call.query.get('host', '')}/v3/accounts/{ACCOUNT}/transactions/idrange"
    starts = range(ids[0], ids[-1] + 1, size) if ids else range(0)
    more = f"&type={'%2C'.join(kinds)}" if kinds else ""
    urls = [f"{root}?from={at}&to={min(at + size - 1, ids[-1])}{more}" for at in starts]
    body = {"from": first, "to": last, "pageSize": size, "type": kinds, "count": len(ids)}
    return 200, {**body, "pages": urls, "lastTransactionID": str(venue.book.last)}
