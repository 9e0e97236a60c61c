"""Which path is answered by whom."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from infra.brokers.simulator import (
    accounts,
    candles,
    orders,
    positions,
    pricing,
    trades,
    transactions,
)
from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Call, Refusal, Reply
from infra.brokers.simulator.venue import Venue
from infra.brokers.simulator.wire import ACCOUNT

Answer = Callable[[Ask], Reply]

_OURS: Final = "/v3/accounts/{account}"
_TABLE: Final[tuple[tuple[str, str, Answer], ...]] = (
    ("GET", "/v3/accounts", accounts.several),
    ("GET", "/v3/instruments/{x}/candles", candles.candles),
    ("GET", _OURS, accounts.whole),
    ("GET", f"{_OURS}/summary", accounts.summary),
    ("GET", f"{_OURS}/instruments", accounts.instruments),
    ("GET", f"{_OURS}/instruments/{{x}}/candles", candles.candles),
    ("GET", f"{_OURS}/changes", accounts.changes),
    ("PATCH", f"{_OURS}/configuration", accounts.configure),
    ("GET", f"{_OURS}/pricing", pricing.prices),
    ("POST", f"{_OURS}/orders", orders.place),
    ("GET", f"{_OURS}/orders", orders.several),
    ("GET", f"{_OURS}/pendingOrders", orders.pending),
    ("GET", f"{_OURS}/orders/{{x}}", orders.one),
    ("PUT", f"{_OURS}/orders/{{x}}", orders.replace),
    ("PUT", f"{_OURS}/orders/{{x}}/cancel", orders.cancel),
    ("PUT", f"{_OURS}/orders/{{x}}/clientExtensions", orders.label),
    ("GET", f"{_OURS}/trades", trades.several),
    ("GET", f"{_OURS}/openTrades", trades.opened),
    ("GET", f"{_OURS}/trades/{{x}}", trades.one),
    ("PUT", f"{_OURS}/trades/{{x}}/close", trades.close),
    ("PUT", f"{_OURS}/trades/{{x}}/orders", trades.protect),
    ("PUT", f"{_OURS}/trades/{{x}}/clientExtensions", trades.label),
    ("GET", f"{_OURS}/positions", positions.several),
    ("GET", f"{_OURS}/openPositions", positions.opened),
    ("GET", f"{_OURS}/positions/{{x}}", positions.one),
    ("PUT", f"{_OURS}/positions/{{x}}/close", positions.close),
    ("GET", f"{_OURS}/transactions", transactions.pages),
    ("GET", f"{_OURS}/transactions/idrange", transactions.between),
    ("GET", f"{_OURS}/transactions/sinceid", transactions.since),
    ("GET", f"{_OURS}/transactions/{{x}}", transactions.one),
)


def _pattern(path: str) -> re.Pattern[str]:
    inner = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return re.compile(inner)


_ROUTES: Final = [(method, _pattern(path), answer) for method, path, answer in _TABLE]


def answered(venue: Venue, call: Call) -> Reply:
    """Return the venue's answer to a request.

    Parameters
    ----------
    venue : Venue
    call : Call
    """
    wrong_method = False
    for method, pattern, answer in _ROUTES:
        if (found := pattern.fullmatch(call.path.rstrip("/"))) is None:
            continue
        if method != call.method:
            wrong_method = True
            continue
        return _answer(venue, call, answer, found.groupdict())
    if wrong_method:
        return 405, {"errorMessage": "Method Not Allowed"}
    return 404, {"errorMessage": f"No such resource: {call.path}"}


def _answer(venue: Venue, call: Call, answer: Answer, parts: dict[str, str]) -> Reply:
    if parts.pop("account", ACCOUNT) != ACCOUNT:
        return 404, {"errorMessage": "Invalid value specified for 'accountID'"}
    try:
        return answer(Ask(venue, call, *parts.values()))
    except Refusal as refusal:
        return refusal.reply
