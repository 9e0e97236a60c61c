"""The HTTP face of the simulator: OANDA's paths, bodies and errors, and faults on demand."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import polars as pl

from infra.brokers.simulator.market import MINUTES, SIDES, Market
from infra.brokers.simulator.offers import offer

MOST_CANDLES: Final = 5000
DEFAULT_COUNT: Final = 500
ACCOUNT: Final = "101-004-1234567-001"
MESSAGES: Final = {
    401: "Insufficient authorization to perform request.",
    429: "Too many requests",
}


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of a good answer.

    Attributes
    ----------
    kind : str
        ``status`` (an error body), ``echo`` (one that repeats the token), ``html`` (an error page),
        ``drop`` (the connection closes without an answer), ``truncate`` (half of the answer),
        ``garble`` (no JSON), ``pack`` (said to be compressed, and is not), ``late`` (the answer
        after `seconds`), ``redirect`` (to `location`), ``twice`` (`candle` comes once more),
        ``otherwise`` (once more, with a volume one higher) or ``swap`` (it and the one behind
        change places).
    status : int
        Of ``status``, ``echo``, ``html`` and ``redirect``.
    seconds : float
        Of ``late``.
    location : str
        Of ``redirect``.
    candle : int
        Place in the answer, from 0.
    """

    kind: str
    status: int = 500
    seconds: float = 0.0
    location: str = ""
    candle: int = 0


@dataclass
class Simulator:
    """A market, its users' tokens, the faults to come and the requests that came.

    Attributes
    ----------
    market : Market
    token : str
    faults : deque of Fault
        The next request takes the first.
    requests : list of (float, str)
        Monotonic time and path with query of each request.
    changes : dict of str to dict
        Fields of an instrument, by its name, that the venue describes otherwise than usual.
    url : str
        Base address, without ``/v3``; set while the server runs.
    """

    market: Market
    token: str = "simulated-token"  # noqa: S105
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[float, str]] = field(default_factory=list)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    url: str = ""

    @contextmanager
    def serve(self, tls: ssl.SSLContext | None = None) -> Iterator[Simulator]:
        """Answer on a free port of loopback until the context ends.

        Parameters
        ----------
        tls : ssl.SSLContext, optional
            With a certificate: answers are by https alone.
        """
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        self.url = f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_port}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def answer(self, path: str, query: dict[str, str], token: str) -> tuple[int, dict[str, Any]]:
        """Return status and body of a request without a fault.

        Parameters
        ----------
        path : str
            Without the query: `/v3/instruments/EUR_USD/candles`.
        query : dict of str to str
        token : str
            Header `Authorization`, with its `Bearer`.
        """
        if token != f"Bearer {self.token}":
            return 401, {"errorMessage": MESSAGES[401]}
        match path.strip("/").split("/"):
            case ["v3", "instruments", instrument, "candles"]:
                return self._candles(instrument, query)
            case ["v3", "accounts"]:
                return 200, {"accounts": [{"id": ACCOUNT, "tags": []}]}
            case ["v3", "accounts", account, "instruments"] if account == ACCOUNT:
                offers = [offer(name, self.changes.get(name)) for name in self.market.minutes]
                return 200, {"instruments": offers, "lastTransactionID": "1"}
        return 404, {"errorMessage": f"No such resource: {path}"}

    def _candles(self, instrument: str, query: dict[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            asked = Asked.read(instrument, query, self.market)
        except _Refused as refused:
            return 400, {"errorMessage": str(refused)}
        rows = asked.choose(self.market.candles(instrument, asked.granularity))
        candles = [_candle(row, asked.price) for row in rows.iter_rows(named=True)]
        head = {"instrument": instrument, "granularity": asked.granularity}
        return 200, {**head, "candles": candles}


class _Refused(ValueError):
    """A parameter has no valid value."""


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
    def read(cls, instrument: str, query: dict[str, str], market: Market) -> Asked:
        """Judge the parameters as the venue does.

        Parameters
        ----------
        instrument : str
        query : dict of str to str
            As it came; what is left out has the venue's default.
        market : Market

        Raises
        ------
        ValueError
            If the venue refuses them; the message is the venue's.
        """
        if instrument not in market.minutes:
            raise _Refused("Invalid value specified for 'instrument'")
        if (granularity := query.get("granularity", "S5")) not in MINUTES:
            raise _Refused("Invalid value specified for 'granularity'")
        since, until = (_time(query, name) for name in ("from", "to"))
        if since and until and "count" in query:
            raise _Refused("'count' cannot be specified when both 'to' and 'from' are set")
        for name, moment in (("from", since), ("to", until)):
            if moment and moment > market.now:
                raise _Refused(f"Invalid value specified for '{name}'. Time is in the future")
        count = int(query.get("count", DEFAULT_COUNT))
        if since and until:
            count = int((until - since).total_seconds() // 60) // MINUTES[granularity]
        if count > MOST_CANDLES:
            raise _Refused("Maximum value for 'count' exceeded")
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


def _time(query: dict[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return datetime.fromisoformat(query[name]).astimezone(UTC)
    except ValueError as error:
        raise _Refused(f"Invalid value specified for '{name}'") from error


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


def _spoilt(fault: Fault | None, status: int, content: bytes, token: str) -> tuple[int, bytes]:
    """Return what is sent instead of a good answer."""
    match fault:
        case Fault("echo", status):
            return status, json.dumps({"errorMessage": f"Not valid: {token}"}).encode()
        case Fault("status", status):
            message = MESSAGES.get(status, "Internal server error")
            return status, json.dumps({"errorMessage": message}).encode()
        case Fault("html", status):
            return status, b"<html><body>Bad Gateway</body></html>"
        case Fault("garble"):
            return status, b"{" * len(content)
        case Fault("redirect", status):
            return status, b""
        case Fault("twice" | "otherwise" | "swap"):
            return status, _in_disorder(fault, json.loads(content))
        case Fault("late", seconds=seconds):
            time.sleep(seconds)
    return status, content


def _in_disorder(fault: Fault, body: dict[str, Any]) -> bytes:
    candles, place = body["candles"], fault.candle
    told = candles[place]
    if fault.kind == "swap":
        candles[place : place + 2] = candles[place : place + 2][::-1]
    elif fault.kind == "twice":
        candles.insert(place, told)
    else:
        candles.insert(place + 1, {**told, "volume": told["volume"] + 1})
    return json.dumps(body).encode()


def _handler(simulator: Simulator) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            simulator.requests.append((time.monotonic(), self.path))
            fault = simulator.faults.popleft() if simulator.faults else None
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            token = self.headers.get("Authorization", "")
            status, body = simulator.answer(parts.path, query, token)
            self._send(fault, *_spoilt(fault, status, json.dumps(body).encode(), token))

        def _send(self, fault: Fault | None, status: int, content: bytes) -> None:
            cut = len(content) // 2 if fault and fault.kind == "truncate" else len(content)
            self.close_connection = fault is not None
            if fault and fault.kind == "drop":
                return
            try:
                self.send_response(status)
                page = fault is not None and fault.kind == "html"
                self.send_header("Content-Type", "text/html" if page else "application/json")
                if fault and fault.kind == "redirect":
                    self.send_header("Location", fault.location)
                self.send_header("Content-Length", str(len(content)))
                if self.close_connection:
                    self.send_header("Connection", "close")
                if fault and fault.kind == "pack":
                    self.send_header("Content-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(content[:cut])
            except OSError:  # the client gave up
                self.close_connection = True

        def date_time_string(self, timestamp: float | None = None) -> str:
            """Tell the venue's time."""
            return format_datetime(simulator.market.now.astimezone(UTC), usegmt=True)

        def log_message(self, *_: Any) -> None:
            """Keep quiet: `requests` holds what came."""

    return Handler
