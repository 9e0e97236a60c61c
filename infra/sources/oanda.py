"""Candles from OANDA's v20 API, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import polars as pl
from pydantic import SecretStr
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from infra.bars import PRICES, QUOTES
from infra.settings import settings
from infra.sources.columns import SourceError
from infra.stores.limits import RateLimit

PRACTICE: Final = "https://api-fxpractice.oanda.com"
LIVE: Final = "https://api-fxtrade.oanda.com"
VENUES: Final = {"practice": PRACTICE, "live": LIVE}
PAGE: Final = 5000
"""Candles of one answer: the venue's most."""

REQUESTS_A_SECOND: Final = 50
"""Below the venue's best practice of 100: other programs share the address."""

TRIES: Final = 6
TIMEOUT: Final = 30.0
GRANULARITIES: Final = {"D1": "D", "W1": "W"}
"""Names that differ from ours."""

_SIDES: Final = {"mid": "", "bid": "bid_", "ask": "ask_"}
_LETTERS: Final = dict(zip("ohlc", PRICES, strict=True))
_QUOTE: Final = pl.Struct(dict.fromkeys("ohlc", pl.String()))
_MOST_SAID: Final = 500
_UNREADABLE: Final = (ValueError, KeyError, TypeError, pl.exceptions.PolarsError)
_CANDLE: Final = pl.Struct(
    {
        "complete": pl.Boolean(),
        "volume": pl.Int64(),
        "time": pl.String(),
        **dict.fromkeys(_SIDES, _QUOTE),
    }
)


class _NoAnswer(Exception):
    """The venue did not answer, or not with candles: it may do so the next time."""


def _in_turn() -> Callable[[], None]:
    return RateLimit("oanda", REQUESTS_A_SECOND).wait


@dataclass(frozen=True)
class Candles:
    """The candles of one account.

    Parameters
    ----------
    token : SecretStr
        Access token; it is sent and shown nowhere else.
    url : str
        `PRACTICE`, `LIVE` or a simulator.
    pause : float
        Seconds before the second try of a request; doubled for each further one.
    timeout : float
        Seconds without a byte after which a try is given up.
    wait : callable
        Called before each request; it returns when the request may go. By default all processes
        together keep to `REQUESTS_A_SECOND`.
    """

    token: SecretStr
    url: str = PRACTICE
    pause: float = 0.5
    timeout: float = TIMEOUT
    wait: Callable[[], None] = field(default_factory=_in_turn, repr=False)

    @classmethod
    def of_settings(cls) -> Candles:
        """Return the candles of the account that the settings name.

        Raises
        ------
        SourceError
            If no token is set.
        """
        token, venue = settings().oanda_token, settings().oanda_url
        if token is None:
            raise SourceError(
                "OANDA gives candles to those who have an account: make a token on its website "
                "(one of a free practice account will do) and set SEP_OANDA_TOKEN"
            )
        return cls(token, VENUES.get(venue, venue))

    def pages(
        self,
        pair: str,
        timeframe: str,
        start: datetime,
        end: datetime | None = None,
        *,
        first: bool = True,
    ) -> Iterator[pl.DataFrame]:
        """Read complete candles from `start` to before `end`, 5,000 at a time.

        Parameters
        ----------
        pair, timeframe : str
            Such as ``EUR_USD`` and ``M1``.
        start, end : datetime
            Aware; without an end up to the newest complete candle.
        first : bool
            Whether a candle that begins at `start` counts.

        Yields
        ------
        polars.DataFrame
            ``timestamp`` (UTC, start of the bar), mid prices, ``volume`` (price updates) and
            quotes; ascending, no bar twice. Begin the next run at the last timestamp less a few
            bars: the venue revises recent ones.

        Raises
        ------
        SourceError
            If the venue refuses the request, or does not answer in `TRIES` tries.

        Notes
        -----
        Opens are the first price of their bar, not the close before (``smooth=false``).
        """
        since = start.astimezone(UTC)
        remote = self.url.startswith("https://")  # a proxy has no business on loopback
        with httpx.Client(base_url=self.url, timeout=self.timeout, trust_env=remote) as client:
            while end is None or since < end:
                page = self._page(client, pair, timeframe, since, first)
                whole = page.filter(pl.col("complete")).drop("complete")
                if end is not None:
                    whole = whole.filter(pl.col("timestamp") < end)
                if not whole.is_empty():
                    yield whole
                if page.height < PAGE - 1 or whole.height < page.height:
                    return
                since, first = page["timestamp"][-1], False

    def _page(
        self, client: httpx.Client, pair: str, timeframe: str, since: datetime, first: bool
    ) -> pl.DataFrame:
        query = {
            "price": "MBA",
            "granularity": GRANULARITIES.get(timeframe, timeframe),
            "from": f"{since:%Y-%m-%dT%H:%M:%S}.000000000Z",
            "count": str(PAGE),
            "includeFirst": str(first).lower(),
            "smooth": "false",
        }
        asking = Retrying(
            retry=retry_if_exception_type(_NoAnswer),
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(self.pause),
        )
        try:
            return asking(self._ask, client, pair, timeframe, query)
        except RetryError as error:
            raise SourceError(
                f"OANDA gave no good answer for {pair} {timeframe} in {TRIES} tries "
                f"({error.last_attempt.exception()}): run it again later, it goes on where it "
                "stopped"
            ) from None

    def _ask(
        self, client: httpx.Client, pair: str, timeframe: str, query: dict[str, str]
    ) -> pl.DataFrame:
        self.wait()
        path = f"/v3/instruments/{pair}/candles"
        try:
            answer = client.get(path, params=query, headers=self._headers())
            if answer.status_code == httpx.codes.OK:
                return _frame(answer.json(), pair)
        except (httpx.RequestError, *_UNREADABLE) as error:
            raise _NoAnswer(type(error).__name__) from error
        if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _NoAnswer(f"status {answer.status_code}")
        raise SourceError(_refusal(answer, self._redacted, pair, timeframe))

    def _redacted(self, message: str) -> str:
        """Leave the token out of what the venue says, which may repeat what it was sent."""
        return message.replace(self.token.get_secret_value(), "***")

    def _headers(self) -> dict[str, str]:
        token = self.token.get_secret_value()
        return {"Authorization": f"Bearer {token}", "Accept-Datetime-Format": "RFC3339"}


def _refusal(
    answer: httpx.Response, redacted: Callable[[str], str], pair: str, timeframe: str
) -> str:
    try:
        message = redacted(str(answer.json()["errorMessage"]))[:_MOST_SAID]
    except (ValueError, KeyError, TypeError):
        message = f"status {answer.status_code}"
    if answer.status_code in (401, 403):
        return (
            f"OANDA refuses the token ({message}): set SEP_OANDA_TOKEN to one of the venue that "
            "SEP_OANDA_URL names"
        )
    return (
        f"OANDA refuses candles of {pair} {timeframe} ({message}): ask for a pair that the account "
        "may see, such as EUR_USD"
    )


def _frame(answer: dict[str, Any], pair: str) -> pl.DataFrame:
    """Return the candles of an answer; ValueError if it is not one for the pair."""
    if answer["instrument"] != pair:
        raise ValueError(f"an answer for {answer['instrument']}")
    series = pl.Series("candle", answer["candles"], dtype=_CANDLE)
    rows = pl.DataFrame({"candle": series}).unnest("candle")
    prices = {
        f"{prefix}{name}": pl.col(side).struct.field(letter).cast(pl.Float64)
        for side, prefix in _SIDES.items()
        for letter, name in _LETTERS.items()
    }
    stamp = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    frame = rows.select(
        pl.col("complete"),
        stamp.dt.replace_time_zone("UTC").alias("timestamp"),
        pl.col("volume").cast(pl.Float64),
        **prices,
    )
    times = frame["timestamp"]
    if times.null_count() or not (times.diff().drop_nulls() > timedelta(0)).all():
        raise ValueError("candles that do not ascend")
    if frame["complete"].null_count():
        raise ValueError("candles that may be complete or not")
    return frame.select("complete", "timestamp", *PRICES, "volume", *QUOTES)
