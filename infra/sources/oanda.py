"""Candles from OANDA's v20 API, page by page."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import httpx
from pydantic import SecretStr
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential,
)

from infra.settings import settings
from infra.sources import troubles
from infra.sources.candles import Page
from infra.sources.columns import SourceError
from infra.sources.troubles import NoAnswer
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

_ACCOUNTS: Final = 3
"""Of how many accounts of a token pairs are looked for."""

_TOKEN: Final = re.compile(r"[!-~]+")
_UNREADABLE: Final = (httpx.RequestError, ValueError, KeyError, TypeError)


@dataclass(frozen=True)
class _Asked:
    """What one request asks for."""

    pair: str
    timeframe: str
    since: datetime
    first: bool

    @property
    def path(self) -> str:
        return f"/v3/instruments/{self.pair}/candles"

    @property
    def query(self) -> dict[str, str]:
        return {
            "price": "MBA",
            "granularity": GRANULARITIES.get(self.timeframe, self.timeframe),
            "from": f"{self.since:%Y-%m-%dT%H:%M:%S}.000000000Z",
            "count": str(PAGE),
            "includeFirst": str(self.first).lower(),
            "smooth": "false",
        }


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

    def __post_init__(self) -> None:
        if not _TOKEN.fullmatch(self.token.get_secret_value()):
            raise SourceError(
                "SEP_OANDA_TOKEN is no token (it is empty, or holds a blank, a line's end or a "
                "letter beyond ASCII): copy it once more"
            )

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
    ) -> Iterator[Page]:
        """Read candles from `start` to before `end`, 5,000 at a time.

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
        Page
            Ascending, no bar twice. Begin the next run at the last timestamp less a few bars: the
            venue revises recent ones.

        Raises
        ------
        SourceError
            If the venue refuses the request, or does not answer in `TRIES` tries.

        Notes
        -----
        Opens are the first price of their bar, not the close before (``smooth=false``).
        """
        asked = _Asked(pair, timeframe, start.astimezone(UTC), first)
        with self._client() as client:
            while True:
                page = self._page(client, asked)
                page = page if end is None else page.before(end)
                if not page.rows.is_empty():
                    yield page
                if page.next is None:
                    return
                asked = replace(asked, since=page.next, first=False)

    def _client(self) -> httpx.Client:
        remote = self.url.startswith("https://")  # a proxy has no business on loopback
        try:
            return httpx.Client(
                base_url=self.url, timeout=self.timeout, trust_env=remote, verify=remote
            )
        except (OSError, ValueError, httpx.InvalidURL):
            raise SourceError(
                "OANDA cannot be asked: one of SEP_OANDA_URL, HTTPS_PROXY (an address) and "
                "SSL_CERT_FILE (a file of certificates) is not what it should be"
            ) from None

    def _page(self, client: httpx.Client, asked: _Asked) -> Page:
        asking = Retrying(
            retry=retry_if_exception_type(NoAnswer),
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(self.pause),
        )
        try:
            return asking(self._ask, client, asked)
        except RetryError as error:
            last = error.last_attempt.exception()
            assert isinstance(last, NoAnswer)
            raise SourceError(
                f"OANDA gave no good answer for {asked.pair} {asked.timeframe} in {TRIES} tries "
                f"({last}): {last.remedy}"
            ) from None

    def _ask(self, client: httpx.Client, asked: _Asked) -> Page:
        try:
            answer = self._get(client, asked.path, asked.query)
        except httpx.RequestError as error:
            raise troubles.unreached(error, self.url, self.timeout) from None
        if answer.status_code != httpx.codes.OK:
            raise self._refusal(client, asked, answer)
        try:
            content = answer.json()
        except ValueError:
            raise troubles.no_candles(answer) from None
        after = None if asked.first else asked.since
        return Page.read(content, asked.pair, size=PAGE, after=after)

    def _get(
        self, client: httpx.Client, path: str, query: dict[str, str] | None = None
    ) -> httpx.Response:
        self.wait()
        return client.get(path, params=query, headers=self._headers())

    def _refusal(self, client: httpx.Client, asked: _Asked, answer: httpx.Response) -> Exception:
        said = troubles.said_of(answer, self._redacted)
        if answer.status_code in (400, 404) and "'instrument'" in said:
            return troubles.unknown_pair(asked.pair, said, self._offered(client))
        what = f"{asked.pair} {asked.timeframe}"
        return troubles.refused(answer, what, asked.since, self._redacted)

    def _offered(self, client: httpx.Client) -> list[str]:
        """Return the pairs that the token's accounts may see, as far as the venue tells."""
        try:
            accounts = self._get(client, "/v3/accounts").json()["accounts"]
            told = [
                self._get(client, f"/v3/accounts/{account['id']}/instruments").json()
                for account in accounts[:_ACCOUNTS]
            ]
            return [self._redacted(str(row["name"])) for one in told for row in one["instruments"]]
        except _UNREADABLE:
            return []

    def _redacted(self, message: str) -> str:
        return troubles.redacted(message, self.token)

    def _headers(self) -> dict[str, str]:
        token = self.token.get_secret_value()
        return {"Authorization": f"Bearer {token}", "Accept-Datetime-Format": "RFC3339"}
