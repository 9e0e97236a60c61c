"""The broker that the settings name; each is imported when it is asked for."""

from __future__ import annotations

import atexit
from threading import Lock
from typing import TYPE_CHECKING, Final

from pydantic import SecretStr

from infra.brokers.broker import Broker
from infra.clock import Clock, VirtualClock
from infra.errors import SepError
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.brokers.oanda.broker import OandaBroker

PAPER: Final = "paper"
"""The account on paper that orders go to as a rule."""
REPLAY: Final = "replay"
"""Begins the names of accounts on paper for replays, whose clock is in the past."""
SHADOW: Final = "shadow:"
"""Before an account's name: the paper account that trades the same signals."""

_MOST: Final = 4
_opened: dict[tuple[object, ...], OandaBroker] = {}
_one_at_a_time: Final = Lock()


class NoBroker(SepError, ValueError):
    """The settings name no broker that could be asked; the message says what lacks."""


def account_of(settings: Settings) -> str:
    """Return the account that the settings mean.

    Raises
    ------
    NoBroker
        If the broker is a venue, and no account is named nor has the token only one.
    """
    if settings.broker == "paper":
        return PAPER
    if settings.oanda_account:
        return settings.oanda_account
    from infra.clock import WallClock

    return broker_of(settings, None, WallClock()).account().id


def broker_of(settings: Settings, account: str | None, clock: Clock) -> Broker:
    """Return the broker of an account: paper, for an account on paper, or what the settings name.

    Parameters
    ----------
    settings : Settings
    account : str or None
        None: the only one of a venue's token.
    clock : Clock

    Raises
    ------
    NoBroker
        If the venue's token is not set.
    """
    if is_paper(settings, account):
        return _paper(settings, account or PAPER, clock)
    if settings.oanda_trading_token is None:
        raise NoBroker("SEP_BROKER is oanda: set SEP_OANDA_TRADING_TOKEN, on this machine alone")
    return _oanda(settings, settings.oanda_trading_token, account, clock)


def _oanda(settings: Settings, token: SecretStr, account: str | None, clock: Clock) -> Broker:
    """One for each account, whose connections are kept; the oldest of several is closed."""
    from infra.brokers.oanda.broker import OandaBroker

    where = settings.oanda_environment, account or settings.oanda_account
    key = (token.get_secret_value(), *where, id(clock) if isinstance(clock, VirtualClock) else 0)
    with _one_at_a_time:
        if key not in _opened:
            while len(_opened) >= _MOST:
                _opened.pop(next(iter(_opened))).client.close()
            _opened[key] = OandaBroker(token, *where, clock)
        return _opened[key]


@atexit.register
def _close() -> None:
    while _opened:
        _opened.popitem()[1].client.close()


def _paper(settings: Settings, account: str, clock: Clock) -> Broker:
    """Prices are those of the bulk store where there is one: at home; else the database's."""
    from infra.brokers.keeping import Database
    from infra.brokers.paper import PaperBroker
    from infra.brokers.prices import DatabasePrices, HomePrices
    from infra.stores.bulk import BarStore

    bars = settings.home / "bars"
    prices = HomePrices(BarStore(bars)) if bars.is_dir() else DatabasePrices()
    return PaperBroker(prices, Database(account), clock, account, settings.account_currency)


def is_paper(settings: Settings, account: str | None) -> bool:
    """Say whether an account is on paper.

    Parameters
    ----------
    settings : Settings
    account : str or None
        None: the one that the settings mean.
    """
    named = account == PAPER or (account or "").startswith((SHADOW, REPLAY))
    return settings.broker == "paper" or named


def require_paper(settings: Settings, account: str) -> None:
    """Refuse an account that is not on paper.

    Parameters
    ----------
    settings : Settings
    account : str

    Raises
    ------
    NoBroker
        If it is on a venue.
    """
    if not is_paper(settings, account):
        raise NoBroker(f"a replay is on paper, and {account} is not: leave the account out")


def shadow_of(settings: Settings, account: str) -> str | None:
    """Return the paper account that trades an account's signals, too; None where none does.

    Parameters
    ----------
    settings : Settings
    account : str
    """
    return None if is_paper(settings, account) or not settings.shadow else SHADOW + account
