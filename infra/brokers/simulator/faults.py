"""What goes wrong, by script or by seed: with a request, its answer, or a line of a stream."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from infra.brokers.simulator.calls import Call

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
        change places), ``short`` (fewer transactions than there are), ``stray`` (no answer, and
        what was asked for is done after the log was read so often without a find), ``unreachable``
        (no connection; over sockets as ``drop``).
        Of a line of a stream: ``stall`` (silence from then on), ``cut`` (half of it, then the end),
        ``repeat`` (it comes twice) or ``miss`` (it does not come).
    status : int
        Of ``status``, ``echo``, ``html`` and ``redirect``.
    seconds : float
        Of ``late``.
    location : str
        Of ``redirect``.
    candle : int
        Place in the answer, from 0.
    applied : bool
        Whether what was asked for is done first. Answers that are spoilt are made, so it is.
    on : str
        It waits for a request of which method and path hold this: ``POST``, ``sinceid``.
    scans : int
        Of ``stray``.
    name : str
        Under which it is counted; unset: its kind.
    """

    kind: str
    status: int = 500
    seconds: float = 0.0
    location: str = ""
    candle: int = 0
    applied: bool = False
    on: str = ""
    scans: int = 1
    name: str = ""

    @property
    def label(self) -> str:
        """Under which it is counted."""
        return self.name or self.kind


DRAWN: Final[Mapping[str, Fault]] = {
    "drop before": Fault("drop"),
    "drop after": Fault("drop", applied=True),
    "error before": Fault("status", 503),
    "error after": Fault("status", 500, applied=True),
    "page after": Fault("html", 502, applied=True),
    "late before": Fault("late"),
    "late after": Fault("late", applied=True),
    "slow": Fault("late", applied=True),
    "stray": Fault("stray"),
    "burst": Fault("status", 429),
    "truncated": Fault("truncate"),
    "garbled": Fault("garble"),
    "short page": Fault("short"),
    "unauthorized": Fault("status", 401),
    "unreachable": Fault("unreachable"),
}
"""What a seed may do to a request."""

LINES: Final = ("stall", "cut", "repeat", "miss")


@dataclass
class Hostile:
    """A venue that draws what goes wrong with each request.

    Attributes
    ----------
    seed : int
    rates : dict of str to float
        Share of requests for each of `DRAWN`, and of a stream's lines for each of `LINES`.
    late, slow : float
        Seconds of ``late`` answers, longer than clients wait, and of slow ones.
    burst : int
        How many requests in a row are too many.
    """

    seed: int
    rates: Mapping[str, float] = field(default_factory=lambda: dict.fromkeys(DRAWN, 0.02))
    late: float = 20.0
    slow: float = 0.5
    burst: int = 3

    def __post_init__(self) -> None:
        if unknown := set(self.rates) - {*DRAWN, *LINES}:
            raise ValueError(f"no fault is called {min(unknown)}")
        self._random = random.Random(self.seed)  # noqa: S311
        self._left = 0

    def draw(self, call: Call) -> Fault | None:
        """Return what goes wrong with a request.

        Parameters
        ----------
        call : Call
        """
        if self._left:
            self._left -= 1
            return self._made("burst")
        name = self._pick([name for name in DRAWN if _suits(name, call)])
        if name is None:
            return None
        if name == "burst":
            self._left = self.burst - 1
        return self._made(name)

    def draw_line(self) -> Fault | None:
        """Return what goes wrong with a line of a stream."""
        name = self._pick(LINES)
        return None if name is None else Fault(name)

    def _pick(self, names: tuple[str, ...] | list[str]) -> str | None:
        point = self._random.random()
        for name in names:
            point -= self.rates.get(name, 0.0)
            if point < 0:
                return name
        return None

    def _made(self, name: str) -> Fault:
        seconds = {"slow": self.slow, "late before": self.late, "late after": self.late}
        return replace(DRAWN[name], name=name, seconds=seconds.get(name, 0.0))


def _suits(name: str, call: Call) -> bool:
    if name == "short page":
        return call.path.endswith(("/sinceid", "/idrange"))
    return name != "stray" or call.changes


def spoilt(fault: Fault, status: int, content: bytes, token: str) -> tuple[int, bytes]:
    """Return what is sent instead of a good answer.

    Parameters
    ----------
    fault : Fault
    status : int
    content : bytes
        The good answer.
    token : str
        What the client sent.
    """
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
        case Fault("short"):
            return status, _shortened(json.loads(content))
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


def _shortened(body: dict[str, Any]) -> bytes:
    if told := body.get("transactions"):
        body["transactions"] = told[: len(told) // 2]
    return json.dumps(body).encode()


def headers(fault: Fault | None) -> Iterator[tuple[str, str]]:
    """Yield the headers that a fault brings."""
    page = fault is not None and fault.kind == "html"
    yield "Content-Type", "text/html" if page else "application/json"
    if fault is None:
        return
    yield "Connection", "close"
    if fault.kind == "redirect":
        yield "Location", fault.location
    if fault.kind == "pack":
        yield "Content-Encoding", "gzip"
