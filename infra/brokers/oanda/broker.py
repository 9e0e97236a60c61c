"""OANDA as a broker. Every change is sent once; what its answer does not prove is unknown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

import httpx
from pydantic import SecretStr

from infra.brokers import broker
from infra.brokers.broker import (
    BrokerError,
    BrokerRefused,
    Candle,
    Entry,
    Price,
    Refused,
    Reply,
    Terms,
    Transaction,
    Unknown,
)
from infra.brokers.oanda import orders, reading, verdicts, wire
from infra.brokers.oanda.client import CHANGE, UNSENT, Client
from infra.brokers.oanda.log import TransactionLog
from infra.brokers.oanda.venue import REAL_ACCOUNTS, Venue
from infra.brokers.oanda.verdicts import Verdict
from infra.clock import Clock
from infra.settings import Settings
from infra.sources.oanda import GRANULARITIES, PAGE

TERMS_FOR: Final = 3600.0
"""Seconds for which what was told of instruments holds."""

_ACCOUNT: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_PAIR: Final = re.compile(r"[0-9A-Z]{2,12}_[A-Z]{3}")


class OandaBroker:
    """An account at OANDA.

    Parameters
    ----------
    token : SecretStr
    environment : str
        ``practice``, ``live`` or the address of a simulator on loopback.
    account : str or None
        None: the token's only one.
    clock : Clock
    transport : httpx.BaseTransport, optional
        What carries requests instead of sockets.
    pause : float
        Seconds before the second try of a question; doubled for each further one.
    """

    def __init__(
        self,
        token: SecretStr,
        environment: str,
        account: str | None,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        pause: float = 0.5,
    ) -> None:
        if account is not None and not _ACCOUNT.fullmatch(account):
            raise BrokerRefused("SEP_OANDA_ACCOUNT is no account, such as 101-004-1234567-001")
        self.venue = Venue.of(environment)
        self.client = Client(token, self.venue, clock, transport, pause)
        self.clock = clock
        self._account = account
        self._terms: dict[str, Terms] = {}
        self._terms_until = float("-inf")

    @classmethod
    def of_settings(cls, settings: Settings, clock: Clock) -> OandaBroker:
        """Return the broker that the settings name.

        Parameters
        ----------
        settings : Settings
        clock : Clock

        Raises
        ------
        BrokerRefused
            If no token is set.
        """
        if settings.oanda_trading_token is None:
            raise BrokerRefused("SEP_OANDA_TRADING_TOKEN is not set: make one on OANDA's website")
        token, environment = settings.oanda_trading_token, settings.oanda_environment
        return cls(token, environment, settings.oanda_account, clock)

    def __repr__(self) -> str:
        return f"OandaBroker({self.venue.name!r}, {self._account!r})"

    @property
    def name(self) -> str:
        """Return its name with the venue."""
        return f"oanda {self.venue.name}"

    @property
    def real(self) -> bool:
        """Say whether it may move real money; an account's number tells, too."""
        return self.venue.real or (self._account or "").startswith(REAL_ACCOUNTS)

    @property
    def synthetic(self) -> bool:
        """Say whether it is a simulator."""
        return self.venue.synthetic

    @property
    def account_id(self) -> str:
        """Return the account's number; asked for once if it was not given.

        Raises
        ------
        BrokerError
            `BrokerRefused` if the token has none, or more than one.
        """
        if self._account is None:
            told = self.client.ask("/accounts", wire.Accounts.model_validate)
            owned = [each.id for each in told.accounts if _ACCOUNT.fullmatch(each.id)]
            if len(owned) != 1:
                known = ", ".join(owned) or "none"
                raise BrokerRefused(f"set SEP_OANDA_ACCOUNT to one of the token's: {known}")
            self._account = owned[0]
        return self._account

    @property
    def log(self) -> TransactionLog:
        """Return the account's transaction log.

        Raises
        ------
        BrokerError
        """
        return TransactionLog(self.client, self.account_id)

    @property
    def _path(self) -> str:
        return f"/accounts/{self.account_id}"

    def account(self) -> broker.Account:
        """Return the account as it is now.

        Raises
        ------
        BrokerError
        """
        return self.client.ask(self._path, self._read_account)

    def _read_account(self, told: Any) -> broker.Account:
        account = reading.account(wire.Account.model_validate(told))
        if account.id != self.account_id:
            raise ValueError("another account")
        return account

    def terms(self, pair: str) -> Terms | None:
        """Return what OANDA demands of orders in a pair; None if the account may not trade it.

        Raises
        ------
        BrokerError
        """
        if self.clock.monotonic() >= self._terms_until:
            told = self.client.ask(f"{self._path}/instruments", _read_terms)
            self._terms, self._terms_until = told, self.clock.monotonic() + TERMS_FOR
        return self._terms.get(pair)

    def prices(self, pairs: Sequence[str]) -> dict[str, Price]:
        """Return present prices of those pairs that the account may trade.

        Raises
        ------
        BrokerError
        """
        asked = sorted({pair for pair in pairs if self.terms(pair) is not None})
        if not asked:
            return {}
        query = {"instruments": ",".join(asked), "includeHomeConversions": "true"}
        told = self.client.ask(f"{self._path}/pricing", _read_prices, query)
        return {pair: told[pair] for pair in asked if pair in told}

    def candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        """Return the bars that began at `since` or later, ascending, the one under way last.

        Parameters
        ----------
        pair : str
        timeframe : str
        since : datetime

        Raises
        ------
        BrokerError
        """
        if not _PAIR.fullmatch(pair):
            raise BrokerError(f"OANDA has no candles of {pair[:20]!r}")
        found: list[Candle] = []
        while True:
            page = self._candles(pair, timeframe, since)
            found += page[1:] if found else page
            if len(page) < PAGE:
                return found
            since = page[-1].time

    def _candles(self, pair: str, timeframe: str, since: datetime) -> list[Candle]:
        query = {
            "price": "BA",
            "granularity": GRANULARITIES.get(timeframe, timeframe),
            "from": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}000Z",
            "count": str(PAGE),
            "smooth": "false",
        }

        def read(told: Any) -> list[Candle]:
            return reading.candles(wire.Candles.model_validate(told), pair, since)

        try:
            return self.client.ask(f"/instruments/{pair}/candles", read, query)
        except BrokerError as error:
            if "in the future" in str(error):  # there is no bar yet
                return []
            raise

    def since(self, transaction: int) -> list[Transaction]:
        """Return all transactions after one, ascending and complete up to the present.

        Raises
        ------
        BrokerError
        """
        return self.log.since(transaction)

    def last(self) -> int:
        """Return the number of the last transaction.

        Raises
        ------
        BrokerError
        """
        return self.log.last()

    def enter(self, entry: Entry) -> Reply:
        """Send a market order, once."""
        try:
            terms, account = self.terms(entry.pair), self.account_id
        except BrokerError as error:
            return Refused(f"not sent: {error}")
        wrong = orders.fault(entry, terms)
        if wrong is not None or terms is None:
            return Refused(f"not sent: {wrong}")
        body = orders.entry(entry, terms)
        return self._change("POST", "/orders", body, verdicts.entered(entry, account))

    def close(self, trade: str, client_id: str, units: Decimal | None = None) -> Reply:
        """Close a trade by its number, or part of it, once; OANDA takes no name for that.

        Parameters
        ----------
        trade : str
        client_id : str
        units : Decimal or None
            None: all.
        """
        if units is not None and not (units.is_finite() and units > 0):
            return Refused(f"not sent: {units} units cannot be closed")

        def judged(account: str) -> Verdict:
            return verdicts.closed(trade, units, account)

        return self._of_trade(trade, "close", orders.close(units), judged)

    def protect(self, trade: str, stop: Decimal, target: Decimal | None) -> Reply:
        """Give a trade its stop and target, replacing those it has.

        Parameters
        ----------
        trade : str
        stop : Decimal
        target : Decimal or None
        """
        levels = [level for level in (stop, target) if level is not None]
        if not all(level.is_finite() and level > 0 for level in levels):
            return Refused("not sent: stop and target are to be above zero")

        def judged(account: str) -> Verdict:
            return verdicts.protected(trade, stop, target, account)

        return self._of_trade(trade, "orders", orders.protect(stop, target), judged)

    def _of_trade(
        self, trade: str, what: str, body: dict[str, Any], judged: Callable[[str], Verdict]
    ) -> Reply:
        if not orders.is_trade(trade):
            return Refused(f"not sent: {trade[:40]!r} is no trade's number")
        try:
            verdict = judged(self.account_id)
        except BrokerError as error:
            return Refused(f"not sent: {error}")
        return self._change("PUT", f"/trades/{trade}/{what}", body, verdict)

    def _change(self, method: str, path: str, body: dict[str, Any], verdict: Verdict) -> Reply:
        """Send a change once, and say what its answer proves; whatever goes wrong is unknown."""
        path = f"/accounts/{verdict.account}{path}"
        try:
            answer = self.client.once(method, path, body=body, timeout=CHANGE)
        except UNSENT as error:
            return Refused(f"not sent: no connection ({type(error).__name__})")
        except Exception as error:
            return Unknown(f"no whole answer ({type(error).__name__})")
        return verdict.of(answer)


def _read_terms(told: Any) -> dict[str, Terms]:
    found = reading.terms(wire.Instruments.model_validate(told))
    if not found:
        raise ValueError("no instruments")
    return found


def _read_prices(told: Any) -> dict[str, Price]:
    return reading.prices(wire.Pricing.model_validate(told))
