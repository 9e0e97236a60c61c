"""The broker that the settings name; each is imported when it is asked for."""

from __future__ import annotations

from typing import Final

from infra.brokers.broker import Broker
from infra.clock import Clock
from infra.errors import SepError
from infra.settings import Settings

PAPER: Final = "paper"
"""The account on paper that orders go to as a rule."""
REPLAY: Final = "replay"
"""The account on paper of replays, whose clock is in the past."""
SHADOW: Final = "shadow:"
"""Before an account's name: the paper account that trades the same signals."""


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
    from infra.brokers.oanda.broker import OandaBroker

    chosen = account or settings.oanda_account
    return OandaBroker(settings.oanda_trading_token, settings.oanda_environment, chosen, clock)


def _paper(settings: Settings, account: str, clock: Clock) -> Broker:
    """Prices are those of the bulk store where there is one: at home; else the database's."""
    from infra.brokers.keeping import Database
    from infra.brokers.paper import PaperBroker
    from infra.brokers.prices import DatabasePrices, StorePrices
    from infra.stores.bulk import BarStore

    bars = settings.home / "bars"
    prices = StorePrices(BarStore(bars)) if bars.is_dir() else DatabasePrices()
    return PaperBroker(prices, Database(account), clock, account, settings.account_currency)


def is_paper(settings: Settings, account: str | None) -> bool:
    """Say whether an account is on paper.

    Parameters
    ----------
    settings : Settings
    account : str or None
        None: the one that the settings mean.
    """
    named = account in (PAPER, REPLAY) or (account or "").startswith(SHADOW)
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
