"""OANDA's streams: what happens, as it happens, and nothing of it missed.

A stream may fall silent with its connection open, and what happened while it was away is not told
again: heartbeats say whether there is more in the log than came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx

from infra.brokers.broker import BrokerError, BrokerRefused, Price, Transaction
from infra.brokers.oanda import reading, wire
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.scalars import read_json

PRICES_SILENT: Final = 10.0
LOG_SILENT: Final = 20.0
LONGEST_PAUSE: Final = 30.0
LONGEST_LINE: Final = 2**20

_BROKEN: Final = (httpx.HTTPError, httpx.StreamError, OSError)


class _Cut(Exception):
    """A stream ended, or fell silent, or told what makes no sense."""


@dataclass(frozen=True)
class Streams:
    """Streams of an account; each generator goes on for ever, whatever happens to connections.

    Between what they tell they yield None, at each heartbeat and each break, so that whoever
    listens can look around.

    Attributes
    ----------
    broker : OandaBroker
    prices_silent, log_silent : float
        Seconds without a whole line after which a stream is opened anew.
    pause : float
        Seconds before that; doubled each time, up to `LONGEST_PAUSE`.
    """

    broker: OandaBroker
    prices_silent: float = PRICES_SILENT
    log_silent: float = LOG_SILENT
    pause: float = 0.5

    def watch(self, after: int) -> Iterator[int]:
        """Yield the number of each transaction behind one, when it happened."""
        for line in self.transactions(after):
            if line is not None:
                yield line.id

    def transactions(self, after: int) -> Iterator[Transaction | None]:
        """Yield each transaction behind one, once, in order.

        Raises
        ------
        BrokerRefused
            If asking again does not help.
        """
        last, path = after, f"/accounts/{self.broker.account_id}/transactions/stream"
        for told in self._for_ever(path, {}, self.log_silent):
            news = self._news(told, last)
            for line in news:
                last = line.id
                yield line
            if not news:
                yield None

    def _news(self, told: Any, last: int) -> Sequence[Transaction]:
        """Return what is new; what could not be read the next heartbeat shows to be missing."""
        try:
            return self._behind(told, last)
        except BrokerRefused:
            raise
        except (BrokerError, ValueError, AttributeError):
            return []

    def _behind(self, told: Any, last: int) -> Sequence[Transaction]:
        """Return the line if it is the next one, else what the log has."""
        if told is None:  # opened anew, or cut
            return self.broker.since(last)
        if told.get("type") == "HEARTBEAT":
            end = wire.Last.model_validate(told).last_transaction_id
            return self.broker.since(last) if end > last else []
        line = reading.transaction(told, self.broker.account_id)
        if line.id == last + 1:
            return [line]
        return self.broker.since(last) if line.id > last else []

    def prices(self, pairs: Sequence[str]) -> Iterator[Price | None]:
        """Yield prices of pairs as they come: not every one, at most four a second of a pair.

        Raises
        ------
        BrokerRefused
            If asking again does not help.
        """
        path = f"/accounts/{self.broker.account_id}/pricing/stream"
        query = {"instruments": ",".join(sorted(set(pairs))), "snapshot": "true"}
        for told in self._for_ever(path, query, self.prices_silent):
            try:
                yield _price(told)
            except (ValueError, AttributeError):
                yield None

    def _for_ever(self, path: str, query: Mapping[str, str], silence: float) -> Iterator[Any]:
        """Yield what lines hold, and None each time that the stream was opened or broke."""
        pause = self.pause
        while True:
            try:
                for told in self._lines(path, query, silence):
                    pause = self.pause if told is not None else pause
                    yield told
            except (_Cut, *_BROKEN):
                yield None
            self.broker.clock.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _lines(self, path: str, query: Mapping[str, str], silence: float) -> Iterator[Any]:
        clock, client = self.broker.clock, self.broker.client
        with client.stream(path, query, silence) as response:
            _opened(response.status_code)
            yield None
            rest, heard = b"", clock.monotonic()
            for piece in response.iter_bytes():
                *lines, rest = (rest + piece).split(b"\n")
                for line in filter(bytes.strip, lines):
                    heard = clock.monotonic()
                    yield _read(client.redacted(line.decode(errors="replace")))
                if clock.monotonic() - heard > silence or len(rest) > LONGEST_LINE:
                    raise _Cut
        raise _Cut


def _opened(status: int) -> None:
    if status in (401, 403, 404):
        raise BrokerRefused(f"OANDA refuses its stream (status {status}): check token and account")
    if status != httpx.codes.OK:
        raise _Cut


def _read(line: str) -> Any:
    try:
        told = read_json(line)
    except ValueError:
        raise _Cut from None
    if not isinstance(told, dict):
        raise _Cut
    return told


def _price(told: Any) -> Price | None:
    if told is None or told.get("type") != "PRICE":
        return None
    return reading.price(wire.ClientPrice.model_validate(told))
