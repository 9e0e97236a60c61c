"""Requests to OANDA: questions are asked again, changes are sent once.

```
BrokerError
├── BrokerRefused     asking again does not help
└── _Again            (inside) it may help: 429, 5xx, silence, an answer that makes no sense
```
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import httpx
from pydantic import SecretStr
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from infra.brokers.broker import BrokerError, BrokerRefused
from infra.brokers.oanda.pace import Pace
from infra.brokers.oanda.scalars import read_json
from infra.brokers.oanda.venue import Venue
from infra.clock import Clock
from infra.sources import troubles
from infra.sources.columns import SourceError

T = TypeVar("T")
Query = Mapping[str, str]

TRIES: Final = 4
QUESTION: Final = httpx.Timeout(10.0, connect=5.0)
CHANGE: Final = httpx.Timeout(8.0, connect=3.0, write=3.0, pool=1.0)
LONGEST: Final = 30.0
"""Seconds until a whole answer must be there, however steadily it trickles."""

MOST_BYTES: Final = 64 * 2**20
KEPT: Final = 45.0
"""Seconds that an idle connection is kept open: the next request need not greet anew."""

UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
"""What happens before the first byte of a request is written."""


class _Again(BrokerError):
    """No good answer; there may be one the next time."""


@dataclass(frozen=True)
class Answer:
    """An answer that came whole; the token is nowhere in it.

    Attributes
    ----------
    status : int
    text : str
        Empty if it is no UTF-8.
    """

    status: int
    text: str

    def json(self) -> Any:
        """Return what its JSON holds.

        Raises
        ------
        ValueError
            If it holds none, or one that leaves doubts.
        """
        return read_json(self.text)

    @property
    def said(self) -> str:
        """The venue's own words on an error, else the status."""
        try:
            return str(self.json()["errorMessage"])[: troubles.MOST_SAID]
        except (ValueError, KeyError, TypeError):
            return f"status {self.status}"


class Client:
    """OANDA's address, as one user sees it.

    Parameters
    ----------
    token : SecretStr
        It is sent in a header, and shown nowhere.
    venue : Venue
    clock : Clock
    transport : httpx.BaseTransport, optional
        What carries requests instead of sockets.
    pause : float
        Seconds before the second try of a question; doubled for each further one.
    """

    def __init__(
        self,
        token: SecretStr,
        venue: Venue,
        clock: Clock,
        transport: httpx.BaseTransport | None = None,
        pause: float = 0.5,
    ) -> None:
        secret = token.get_secret_value()
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise BrokerRefused(
                "SEP_OANDA_TRADING_TOKEN is no token (it is empty, or holds a blank, a line's end "
                "or a letter beyond ASCII): copy it once more"
            )
        self.venue, self.clock = venue, clock
        self._token, self._pace, self._pause = token, Pace(clock), pause
        self._http = self._connected(transport)

    def __repr__(self) -> str:
        return f"Client({self.venue.name!r})"

    def _connected(self, transport: httpx.BaseTransport | None) -> httpx.Client:
        try:
            return httpx.Client(
                headers={
                    "Authorization": f"Bearer {self._token.get_secret_value()}",
                    "Accept-Datetime-Format": "RFC3339",
                },
                timeout=QUESTION,
                trust_env=self.venue.remote and transport is None,
                transport=transport,
                follow_redirects=False,
                limits=httpx.Limits(max_keepalive_connections=4, keepalive_expiry=KEPT),
            )
        except (OSError, ValueError, httpx.InvalidURL):
            raise BrokerRefused(
                "OANDA cannot be asked: one of SEP_OANDA_ENVIRONMENT, HTTPS_PROXY (an address) and "
                "SSL_CERT_FILE (a file of certificates) is not what it should be"
            ) from None

    def close(self) -> None:
        """Let the connections go."""
        self._http.close()

    def ask(self, path: str, read: Callable[[Any], T], query: Query | None = None) -> T:
        """Ask a question, again if there is no good answer, and return what is read of it.

        Parameters
        ----------
        path : str
            Behind ``/v3``.
        read : callable
            Makes the value of what JSON held; ValueError if that makes no sense.
        query : mapping of str to str, optional

        Raises
        ------
        BrokerError
            If there is no good answer in `TRIES` tries; `BrokerRefused` if more would not help.
        """

        def once() -> T:
            return self._ask(path, read, query)

        asking = Retrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(TRIES),
            wait=wait_exponential(self._pause),
            sleep=self.clock.sleep,
            reraise=True,
        )
        try:
            return asking(once)
        except _Again as error:
            raise BrokerError(f"OANDA gave no good answer in {TRIES} tries ({error})") from None

    def _ask(self, path: str, read: Callable[[Any], T], query: Query | None) -> T:
        try:
            answer = self.once("GET", path, query=query)
        except httpx.RequestError as error:
            raise self._unreached(error) from None
        except (httpx.StreamError, OSError) as error:
            raise _Again(type(error).__name__) from None
        if answer.status != httpx.codes.OK:
            raise _refusal(answer)
        try:
            return read(answer.json())
        except (ValueError, ArithmeticError) as error:
            raise _Again(f"an answer that makes no sense: {self._first_fault(error)}") from None

    def once(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout: httpx.Timeout = QUESTION,
    ) -> Answer:
        """Send a request once, whatever it is, and return the whole answer, whatever it says.

        Parameters
        ----------
        method : str
        path : str
            Behind ``/v3``.
        query : mapping of str to str, optional
        body : object, optional
            Sent as JSON.
        timeout : httpx.Timeout

        Raises
        ------
        ReadError
            As others of httpx.RequestError: if no whole answer came.
        """
        self._pace.wait()
        begin = self.clock.monotonic()
        url = httpx.URL(f"{self.venue.url}/v3{path}", params=query)
        with self._http.stream(method, url, json=body, timeout=timeout) as response:
            content = bytearray()
            for piece in response.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES or self.clock.monotonic() - begin > LONGEST:
                    raise httpx.ReadError("an answer that does not end")
            return Answer(response.status_code, self.redacted(_decoded(content)))

    def stream(self, path: str, query: Query, silence: float) -> Any:
        """Open a stream: a context manager of its response.

        Parameters
        ----------
        path : str
            Behind ``/v3``.
        query : mapping of str to str
        silence : float
            Seconds without a byte after which it is given up.
        """
        self._pace.wait()
        timeout = httpx.Timeout(silence, connect=5.0)
        url = f"{self.venue.stream}/v3{path}"
        return self._http.stream("GET", url, params=query, timeout=timeout)

    def redacted(self, text: str) -> str:
        """Leave the token out of a text; in JSON, also where its letters are escaped."""
        text = troubles.redacted(text, self._token)
        if "\\" not in text:
            return text
        try:
            told = json.dumps(read_json(text), ensure_ascii=False, default=str)
        except (ValueError, RecursionError):
            return text
        clean = troubles.redacted(told, self._token)
        return text if clean == told else clean

    def _unreached(self, error: httpx.RequestError) -> BrokerError:
        found = troubles.unreached(error, self.venue.url, QUESTION.read or 0.0)
        said = self.redacted(str(found)).replace("SEP_OANDA_URL", "SEP_OANDA_ENVIRONMENT")
        return BrokerRefused(said) if isinstance(found, SourceError) else _Again(said)

    def _first_fault(self, error: Exception) -> str:
        """Return one line; Pydantic's many hold what came."""
        faults = getattr(error, "errors", None)
        if not callable(faults):
            return self.redacted(str(error))[: troubles.MOST_SAID]
        first = faults()[0]
        place = ".".join(map(str, first["loc"]))
        return self.redacted(f"{place}: {first['msg']}")[: troubles.MOST_SAID]


def _decoded(content: bytearray) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return ""


def _refusal(answer: Answer) -> BrokerError:
    status, said = answer.status, answer.said
    if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS or status < 300:
        return _Again(f"status {status}")
    if status < 400:
        return BrokerRefused(
            f"OANDA's address redirects (status {status}), where the token was not sent: set "
            "SEP_OANDA_ENVIRONMENT to practice, live or the venue's own address"
        )
    if status in (401, 403):
        return BrokerRefused(
            f"OANDA refuses the token ({said}): set SEP_OANDA_TRADING_TOKEN to one of the venue "
            "that SEP_OANDA_ENVIRONMENT names"
        )
    if status == httpx.codes.NOT_FOUND and "account" in said.lower():
        return BrokerRefused(
            f"OANDA knows no such account of this token ({said}): check SEP_OANDA_ACCOUNT"
        )
    return BrokerError(f"OANDA refuses the question ({said})")
