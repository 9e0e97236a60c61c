"""The path of candles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from infra.brokers.simulator.ask import Ask
from infra.brokers.simulator.calls import Call, Reply, invalid, moment
from infra.brokers.simulator.market import MINUTES, SIDES, Market

MOST_CANDLES: Final = 5000
DEFAULT_COUNT: Final = 500


def candles(ask: Ask) -> Reply:
    """Tell candles of an instrument.

    Raises
    ------
    Refusal
    """
    venue, call, instrument = ask.venue, ask.call, ask.name
    wanted = Asked.read(instrument, call.query, venue.market)
    rows = wanted.choose(venue.market.candles(instrument, wanted.granularity))
    told = [_candle(row, wanted.price) for row in rows.iter_rows(named=True)]
    return 200, {"instrument": instrument, "granularity": wanted.granularity, "candles": told}


@dataclass(frozen=True)
class Asked:
    """A valid request for candles."""

    granularity: str
    price: str
    count: int
    since: datetime | None
    until: datetime | None
    include_first: bool

    @classmethod
    def read(cls, instrument: str, query: Mapping[str, str], market: Market) -> Asked:
        """Judge the parameters as the venue does.

        Parameters
        ----------
        instrument : str
        query : dict of str to str
            As it came; what is left out has the venue's default.
        market : Market

        Raises
        ------
        Refusal
            If the venue refuses them; the message is the venue's.
        """
        if instrument not in market.minutes:
            invalid("Invalid value specified for 'instrument'")
        if (granularity := query.get("granularity", "S5")) not in MINUTES:
            invalid("Invalid value specified for 'granularity'")
        since, until = (_time(query, name) for name in ("from", "to"))
        if since and until and "count" in query:
            invalid("'count' cannot be specified when both 'to' and 'from' are set")
        for name, at in (("from", since), ("to", until)):
            if at and at > market.now:
                invalid(f"Invalid value specified for '{name}'. Time is in the future")
        count = Call("GET", "", query).integer("count", DEFAULT_COUNT, 10**9)
        if since and until:
            count = int((until - since).total_seconds() // 60) // MINUTES[granularity]
        if count > MOST_CANDLES:
            invalid("Maximum value for 'count' exceeded")
        first = query.get("includeFirst", "true").lower() != "false"
        return cls(granularity, query.get("price", "M"), count, since, until, first)

    def choose(self, candles: pl.DataFrame) -> pl.DataFrame:
        """Return the candles asked for."""
        time = pl.col("time")
        if self.since is not None:
            candles = candles.filter(
                time >= self.since if self.include_first else time > self.since
            )
        if self.until is not None:
            candles = candles.filter(time < self.until)
        if self.since and self.until:
            return candles
        return candles.head(self.count) if self.since else candles.tail(self.count)


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return moment(query[name])
    except (ValueError, OverflowError, OSError):
        invalid(f"Invalid value specified for '{name}'")


def _candle(row: dict[str, Any], price: str) -> dict[str, Any]:
    shown = {
        "complete": row["complete"],
        "volume": row["volume"],
        "time": f"{row['time']:%Y-%m-%dT%H:%M:%S}.000000000Z",
    }
    quotes = {side: {n: row[f"{side}_{n}"] for n in "ohlc"} for side in SIDES}
    quotes["mid"] = {n: (quotes["bid"][n] + quotes["ask"][n]) / 2 for n in "ohlc"}
    for letter, name in (("M", "mid"), ("B", "bid"), ("A", "ask")):
        if letter in price:
            shown[name] = {n: f"{value:.5f}" for n, value in quotes[name].items()}
    return shown
