"""What keeps OANDA's candles from coming: each cause by its name, with what to do about it."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from infra.errors import SepError
from infra.market.instruments import known
from infra.sources.columns import SourceError

LATER: Final = "run it again later, it goes on where it stopped"
MOST_SAID: Final = 500
"""Characters of the venue's own words that a message holds."""

_APART: Final = timedelta(minutes=1)
_IN_BETWEEN: Final = "a proxy, a firewall or a network's login page answers in OANDA's place"
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,253}")


class NoAnswer(SepError):
    """The venue did not answer, or not with candles: it may do so the next time.

    Parameters
    ----------
    cause : str
    remedy : str
        What to do where it stays so.
    """

    def __init__(self, cause: str, remedy: str = LATER) -> None:
        super().__init__(cause)
        self.remedy = remedy


def unreached(error: httpx.RequestError, url: str, timeout: float) -> NoAnswer | SourceError:
    """Name what came instead of an answer.

    Parameters
    ----------
    error : httpx.RequestError
    url : str
        Address of the venue.
    timeout : float
        Seconds that were waited.
    """
    host = httpx.URL(url).netloc.decode()
    match error:
        case httpx.TimeoutException():
            return NoAnswer(f"no answer of {host} within {timeout:g} seconds")
        case httpx.ProxyError():
            return NoAnswer("the proxy lets nothing through", f"check HTTPS_PROXY, then {LATER}")
        case httpx.DecodingError():
            return NoAnswer("an answer that cannot be unpacked", f"{LATER}; else {_IN_BETWEEN}")
        case httpx.ConnectError():
            return _unconnected(error, host)
        case httpx.RemoteProtocolError() if "location" in str(error):
            return NoAnswer(f"{host} redirects to no address", f"check SEP_OANDA_URL, then {LATER}")
        case httpx.NetworkError() | httpx.RemoteProtocolError():
            return NoAnswer(f"{host} broke the connection off")
    return NoAnswer(type(error).__name__)


def _unconnected(error: httpx.ConnectError, host: str) -> NoAnswer | SourceError:
    for cause in _causes(error):
        match cause:
            case ssl.SSLCertVerificationError():
                return _distrusted(cause, host)
            case ssl.SSLError():
                reason = str(cause.reason).replace("_", " ").lower()
                return NoAnswer(f"no TLS with {host}: {reason}", f"check SEP_OANDA_URL, {LATER}")
            case socket.gaierror():
                remedy = f"check this machine's network and SEP_OANDA_URL, then {LATER}"
                return NoAnswer(f"no address is known of the name {host}", remedy)
            case ConnectionRefusedError():
                remedy = f"check SEP_OANDA_URL and this machine's proxy and firewall, then {LATER}"
                return NoAnswer(f"{host} refuses the connection", remedy)
    return NoAnswer(f"no connection to {host}", f"check this machine's network, then {LATER}")


def _distrusted(error: ssl.SSLCertVerificationError, host: str) -> SourceError:
    return SourceError(
        f"the certificate of {host} is not to be trusted ({error.verify_message}), nothing was "
        "sent: check SEP_OANDA_URL and this machine's clock; where a proxy of your own stands "
        "between, name the file of its authority in SSL_CERT_FILE"
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def redacted(message: str, token: SecretStr) -> str:
    """Leave a token out of what a venue says, which may repeat what it was sent.

    Parameters
    ----------
    message : str
    token : SecretStr
    """
    secret = re.escape(token.get_secret_value())
    return re.sub(secret, "***", message, flags=re.IGNORECASE)  # hosts come in small letters


def is_web_page(answer: httpx.Response) -> bool:
    """Say whether an answer is HTML."""
    told = answer.headers.get("Content-Type", "")
    return told.startswith("text/html") or answer.content.lstrip()[:1] == b"<"


def no_candles(answer: httpx.Response) -> NoAnswer:
    """Name what a good answer's body is that is no JSON."""
    if is_web_page(answer):
        remedy = f"check SEP_OANDA_URL, or {_IN_BETWEEN}"
        return NoAnswer("a web page instead of candles", remedy)
    return NoAnswer("an answer that is no JSON")


def refused(
    answer: httpx.Response, what: str, since: datetime, redacted: Callable[[str], str]
) -> NoAnswer | SourceError:
    """Name why an answer's status is not 200.

    Parameters
    ----------
    answer : httpx.Response
    what : str
        Pair and timeframe asked for.
    since : datetime
        Begin of the span asked for.
    redacted : callable
        Leaves out of a text what may not be shown.
    """
    status, host = answer.status_code, answer.url.netloc.decode()
    if status >= 500 or status == httpx.codes.TOO_MANY_REQUESTS:
        return NoAnswer(f"status {status}")
    if 300 <= status < 400:
        return _redirected(answer, redacted)
    if is_web_page(answer):
        return SourceError(
            f"{host} answers with a web page of status {status}: check SEP_OANDA_URL, or "
            f"{_IN_BETWEEN}"
        )
    said = said_of(answer, redacted)
    if status in (401, 403):
        return SourceError(
            f"OANDA refuses the token ({said}): set SEP_OANDA_TOKEN to one of the venue that "
            "SEP_OANDA_URL names"
        )
    if "in the future" in said:
        return _too_early(answer, since, said)
    return SourceError(
        f"OANDA refuses candles of {what} ({said}): ask for a pair that the account may see, "
        "such as EUR_USD"
    )


def said_of(answer: httpx.Response, redacted: Callable[[str], str]) -> str:
    """Return the venue's own words on an error, or its status.

    Parameters
    ----------
    answer : httpx.Response
    redacted : callable
        Leaves out of a text what may not be shown.
    """
    try:
        return redacted(str(answer.json()["errorMessage"]))[:MOST_SAID]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _redirected(answer: httpx.Response, redacted: Callable[[str], str]) -> SourceError:
    """Name the host alone: what follows it in the address may repeat what was sent."""
    try:
        host = urlsplit(answer.headers.get("Location", "")).hostname or ""
    except ValueError:
        host = ""
    where = redacted(host) if _HOST.fullmatch(host) else "another address"
    return SourceError(
        f"{answer.url.netloc.decode()} redirects to {where} (status {answer.status_code}), where "
        f"the token was not sent: set SEP_OANDA_URL to practice, live or the venue's own address, "
        f"or {_IN_BETWEEN}"
    )


def _too_early(answer: httpx.Response, since: datetime, said: str) -> SourceError:
    here, there = datetime.now(UTC), _clock_of(answer)
    head = f"OANDA has no candles of {since:%Y-%m-%d %H:%M} UTC on ({said})"
    if there is None or abs(here - there) <= _APART:
        return SourceError(f"{head}: that lies in the future, ask for an earlier start")
    return SourceError(
        f"{head}: its clock says {there:%Y-%m-%d %H:%M}, this machine's {here:%Y-%m-%d %H:%M}: "
        "set the one that is wrong, or ask for an earlier start"
    )


def _clock_of(answer: httpx.Response) -> datetime | None:
    try:
        return parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError, OverflowError):
        return None


def unknown_pair(pair: str, said: str, offered: Sequence[str]) -> SourceError:
    """Name the pairs that may have been meant.

    Parameters
    ----------
    pair : str
    said : str
        The venue's words.
    offered : sequence of str
        What the account may see; empty where that is not known.
    """
    near = nearest(pair, offered or list(known().by_name))
    among = "that this account may see" if offered else "known here"
    meant = f"the nearest {among}: {', '.join(near)}" if near else "such as EUR_USD"
    return SourceError(f"OANDA has no candles of {pair} ({said}): ask for another pair, {meant}")


def nearest(pair: str, names: Sequence[str]) -> list[str]:
    """Return the name with the currencies swapped, else up to three that resemble one.

    Parameters
    ----------
    pair : str
    names : sequence of str
    """
    swapped = "_".join(reversed(pair.split("_")))
    return [swapped] if swapped in names else get_close_matches(pair, names, n=3, cutoff=0.5)
