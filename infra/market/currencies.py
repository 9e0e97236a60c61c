"""Currencies: which there are, and what one was worth in another at a time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypeAlias

import polars as pl

from infra.bars import TIME
from infra.market.instrument import NO_CURRENCY

_CODES: Final = """
AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN
BZD CAD CDF CHF CLP CNH CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL
GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW
KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN
NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK
SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS
VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
"""
CURRENCIES: Final = frozenset(_CODES.split())
"""ISO 4217's, and the yuan as it trades abroad (CNH)."""

OLDEST: Final = timedelta(days=5)
"""A rate may be so old: over a long weekend there is none newer."""

_THROUGH: Final = "USD"

BarsOf: TypeAlias = Callable[[str, datetime, datetime], pl.DataFrame]
"""Gives the bars of a pair from a time to before another: at least ``timestamp`` and ``open``."""


class Rates(NamedTuple):
    """What one unit was worth at each time, null where nobody knows, and a sentence that says so.

    Attributes
    ----------
    values : polars.Series
        Float64, one for each time.
    missing : str or None
        Why some are null; None where none is.
    """

    values: pl.Series
    missing: str | None


def rate(quote: str, account: str, times: pl.Series, bars_of: BarsOf) -> Rates:
    """Return what a unit of a quote currency was worth in an account's, at each time.

    Taken is the pair of both, or its inverse, or both by way of the dollar, whichever is freshest:
    the open of the last bar that began at or before the time, for its close is not known then.
    Both by way of the dollar are as old as the older. What is made up of no currency counts as
    the account's.

    Parameters
    ----------
    quote, account : str
        Such as JPY and USD.
    times : polars.Series
        With a zone, in any order.
    bars_of : callable
        Gives bars of a pair between two times; empty where there are none.
    """
    if quote in (account, NO_CURRENCY):
        return Rates(pl.Series("rate", [1.0] * len(times), dtype=pl.Float64), None)
    found = _both_ways(quote, account, times, bars_of)
    if _THROUGH not in (quote, account) and not _of_now(found):
        first = _both_ways(quote, _THROUGH, times, bars_of)
        second = _both_ways(_THROUGH, account, times, bars_of)
        found = _fresher(found, _product(first, second))
    values = found["rate"]
    return Rates(values, _sentence(quote, account, times.filter(values.is_null())))


def _both_ways(quote: str, account: str, times: pl.Series, bars_of: BarsOf) -> pl.DataFrame:
    direct = _prices(f"{quote}_{account}", times, bars_of)
    if _of_now(direct):
        return direct
    inverse = _prices(f"{account}_{quote}", times, bars_of)
    return _fresher(direct, inverse.with_columns(rate=1 / pl.col("rate")))


def _prices(pair: str, times: pl.Series, bars_of: BarsOf) -> pl.DataFrame:
    """Return at each time the open of the last bar, and since when it is known."""
    wanted = pl.DataFrame({"at": times}, schema={"at": TIME}).with_row_index().sort("at")
    unknown = wanted.with_columns(
        since=pl.lit(None, dtype=TIME), rate=pl.lit(None, dtype=pl.Float64)
    ).sort("index")
    if wanted.is_empty():
        return unknown
    first, last = wanted["at"][0] - OLDEST, wanted["at"][-1] + timedelta.resolution
    bars = bars_of(pair, first, last)
    if bars.is_empty():
        return unknown
    since, opened = pl.col("timestamp").cast(TIME), pl.col("open").cast(pl.Float64)
    opens = bars.select(since, since=since, rate=opened).drop_nulls().sort("timestamp")
    return (
        wanted.join_asof(opens, left_on="at", right_on="timestamp", tolerance=OLDEST)
        .sort("index")
        .select(unknown.columns)
    )


def _of_now(found: pl.DataFrame) -> bool:
    """Say whether nothing fresher can be found."""
    return (found["since"] == found["at"]).fill_null(value=False).all()


def _fresher(found: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Return at each time the rate that is known since later, the first where both are."""
    newer = (other["since"] > found["since"]) | found["since"].is_null()
    pick = newer.fill_null(value=False)
    return found.with_columns(
        pl.when(pick).then(other[name]).otherwise(found[name]).alias(name)
        for name in ("since", "rate")
    )


def _product(first: pl.DataFrame, second: pl.DataFrame) -> pl.DataFrame:
    """Return both rates in one, as old as the older."""
    rates = first["rate"] * second["rate"]
    older = pl.min_horizontal(first["since"], second["since"])
    return first.with_columns(rate=rates, since=pl.when(rates.is_not_null()).then(older))


def _sentence(quote: str, account: str, without: pl.Series) -> str | None:
    if without.is_empty():
        return None
    pairs = dict.fromkeys(f"{c}_{_THROUGH}" for c in (quote, account) if c != _THROUGH)
    others = f", or of {' and '.join(pairs)}," if _THROUGH not in (quote, account) else ""
    when = without.dt.to_string("%Y-%m-%d %H:%M UTC").min()
    return (
        f"{quote} cannot be told in {account} at {when!s}: no bar of {quote}_{account} or "
        f"{account}_{quote}{others} of the {OLDEST.days} days before is in the store; ingest one"
    )
