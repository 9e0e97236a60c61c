"""The token goes into one header, and nowhere else."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.streams import Streams
from tests.infra.brokers.oanda import replies
from tests.infra.brokers.oanda.replies import ENTRY, NOW, TOKEN, TRADE, broker

ESCAPED = "".join(f"\\u{ord(letter):04x}" for letter in TOKEN)
SPELLINGS = {"plain": TOKEN, "upper": TOKEN.upper(), "escaped": ESCAPED}
ACTIONS: dict[str, Callable[[OandaBroker], Any]] = {
    "account": OandaBroker.account,
    "last": OandaBroker.last,
    "since": lambda venue: venue.since(6356),
    "prices": lambda venue: venue.prices(["EUR_USD"]),
    "candles": lambda venue: venue.candles("EUR_USD", "M1", NOW),
    "enter": lambda venue: venue.enter(ENTRY),
    "close": lambda venue: venue.close(TRADE, "exit"),
    "protect": lambda venue: venue.protect(TRADE, Decimal(1), None),
    "stream": lambda venue: [next(each) for each in streamed(venue)],
    "no account": lambda venue: OandaBroker.account(forget(venue)),
}


def streamed(venue: OandaBroker) -> Iterator[Iterator[object]]:
    stream = Streams(venue)
    yield stream.transactions(6356)
    yield stream.prices(["EUR_USD"])


def forget(venue: OandaBroker) -> OandaBroker:
    venue._account = None
    return venue


def said(action: Callable[[OandaBroker], Any], venue: OandaBroker) -> str:
    """All that an action says: its value, or its error with all that led to it."""
    try:
        return repr(action(venue))
    except Exception as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        return "".join(lines) + repr(error) + str(error) + repr(error.__context__)


def echoing(status: int, spelling: str, body: Any, request: httpx.Request) -> httpx.Response:
    """An answer that repeats the token in words, in reasons, and where it redirects to."""
    told = json.dumps(body).replace("CANARY", spelling)
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"
    where = {"Location": f"https://{TOKEN}.example/?{TOKEN}"}
    return httpx.Response(status, content=told.encode(), headers=where)


BODIES: dict[str, Any] = {
    "message": {"errorMessage": "Not valid: CANARY", "errorCode": "CANARY"},
    "cancel": replies.cancelled(reason="CANARY"),
    "reject": replies.rejected(reason="CANARY"),
    "log": replies.log([{**line, "reason": "CANARY"} for line in replies.lines()]),
    "times": {**replies.log([{**replies.made(), "time": "CANARY", "CANARY": 1}]), "CANARY": 1},
    "accounts": {"accounts": [{"id": "CANARY"}, {"id": "101-004-1-001"}]},
    "text": "CANARY",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("body", BODIES)
def test_no_answer_brings_the_token_back(
    body: str, spelling: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    heard = 0
    for status in (200, 201, 302, 400, 401, 403, 404, 500):

        def answer(request: httpx.Request, status: int = status) -> httpx.Response:
            return echoing(status, SPELLINGS[spelling], BODIES[body], request)

        for name, action in ACTIONS.items():
            told = said(action, broker(answer))
            assert TOKEN.lower() not in told.lower(), (name, status)
            heard += "***" in told
    assert heard
    assert TOKEN.lower() not in caplog.text.lower()
    assert len(caplog.records) > 50


@pytest.mark.parametrize("action", ACTIONS)
def test_no_error_of_the_connection_tells_it(action: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError(f"no way to {TOKEN}", request=request)

    venue = broker(answer)
    assert TOKEN not in said(ACTIONS[action], venue)


def test_no_representation_shows_it() -> None:
    venue = broker(replies.always(200, {}))
    things = [venue, venue.client, venue.log, Streams(venue), vars(venue), vars(venue.client)]
    assert not [thing for thing in things if TOKEN in repr(thing) or TOKEN in str(thing)]
    assert "SecretStr('**********')" in repr(vars(venue.client))
