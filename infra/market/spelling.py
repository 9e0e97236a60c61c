"""Spellings of an instrument's name: as venues, platforms and people write it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from typing import Final

from infra.market.currencies import CURRENCIES

LONGEST: Final = 32
SHAPE: Final = r"^[#^]?[A-Za-z0-9][A-Za-z0-9 _/:.=+#!-]*$"
"""What a name may be made of, for schemas."""

_WORDS: Final = "PRO|ECN|RAW|STP|STD|MINI|MICRO|CENT|CASH|SPOT|ZERO|PRIME|VIP|LIVE|PLUS|CFD"
_SUFFIX: Final = re.compile(rf"(?i:{_WORDS})$|(?<=[A-Z0-9])[a-z]$")
"""A single letter is a suffix where it alone is small: EURUSDm, but not BTCUSDT nor EURUSDC."""

_VENUES: Final = (
    "ACTIVTRADES|ALPARI|BINANCE|BINANCEUS|BITFINEX|BITGET|BITSTAMP|BLACKBULL|BYBIT|C|CAPITALCOM"
    "|CITYINDEX|CMCMARKETS|COINBASE|CRYPTO|CURRENCYCOM|DUKASCOPY|EASYMARKETS|EIGHTCAP|EXNESS"
    "|FOREX|FOREXCOM|FPMARKETS|FUSIONMARKETS|FX|FXCM|FXOPEN|FX_IDC|GEMINI|GLOBALPRIME|HISTDATA"
    "|ICMARKETS|IG|KRAKEN|OANDA|OKX|PEPPERSTONE|SAXO|SKILLING|SPREADEX|SWISSQUOTE|THINKMARKETS"
    "|TICKMILL|TRADENATION|TVC|VANTAGE|WHSELFINVEST|X|XTB"
)
"""Who quotes currencies, metals, indices and coins; NYSE:GOLD is a share."""

_VENUE: Final = re.compile(rf"^(?i:{_VENUES}):")
_YAHOO: Final = re.compile(r"=[Xx]$")
_BROKER: Final = re.compile(rf"(?i:[.+#!]([A-Z0-9]*)$|[-_/ ](?:{_WORDS}|[A-Z])$)")

_COINS: Final = "ADA BCH BNB BTC BUSD DAI DOGE ETH LTC SOL USDC USDT XRP"
_METALS: Final = "XAU XAG XPT XPD"
MONEY: Final = CURRENCIES | {*_COINS.split(), *_METALS.split()}
"""What a price may be in: behind a name it is the quote currency, never a broker's mark."""

_SHARES: Final = frozenset({"US"})
"""Marks of shares: GOLD.US is one."""


def key(name: str) -> str:
    """Return letters and digits of a name: the same for all ways to part its currencies."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())


def keys(name: str, codes: Container[str] = ()) -> Iterator[str]:
    """Tell what a name may mean, the likeliest first: without venue, broker's mark or suffix.

    Parameters
    ----------
    name : str
        `eurusd=X`, `OANDA:EUR_USD`, `EUR/USD.m`, `EURUSDpro`.
    codes : container of str
        Names that are no broker's mark, as `key` returns them.
    """
    if len(name) > LONGEST or not re.fullmatch(SHAPE, name.strip()):
        return
    text = _YAHOO.sub("", _VENUE.sub("", name.strip()))
    yield key(text)
    mark = _BROKER.search(text)
    said = (mark[1] or "").upper() if mark else ""
    if mark and said not in codes and {said, said[:3]}.isdisjoint(MONEY | _SHARES):
        yield key(text[: mark.start()])
    yield key(_SUFFIX.sub("", text))


def currencies(joined: str) -> str | None:
    """Return the canonical name of two known currencies written as one; None if it is not that.

    Parameters
    ----------
    joined : str
        As `key` returns it.
    """
    base, quote = joined[:3], joined[3:]
    known = base != quote and {base, quote} <= CURRENCIES
    return f"{base}_{quote}" if known else None
