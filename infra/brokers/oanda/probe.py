"""What OANDA's documents do not say, measured on a practice account with the smallest orders.

Each question is a small experiment. All trades bear the run's name, carry a stop, and are closed at
the end, however it ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import httpx

from infra.brokers.broker import BrokerError, BrokerRefused, Terms
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.client import QUESTION, Answer
from infra.brokers.oanda.venue import REAL_ACCOUNTS

PAIRS: Final = ("EUR_USD", "GBP_USD", "AUD_USD", "USD_JPY", "EUR_GBP")
"""Of which the first without an open trade is taken."""

_CLEANINGS: Final = 20


@dataclass(frozen=True)
class Finding:
    """What one experiment found, and the requests it took."""

    question: str
    answer: str
    seen: tuple[dict[str, Any], ...] = ()


@dataclass
class Probe:
    """A run of all experiments.

    Attributes
    ----------
    broker : OandaBroker
    name : str
        Begins the client's names of its orders and trades.
    pair : str
        In which it trades; chosen when it runs.
    findings : list of Finding
    seen : list of dict
        Each request with its answer.
    """

    broker: OandaBroker
    name: str
    pair: str = ""
    findings: list[Finding] = field(default_factory=list)
    seen: list[dict[str, Any]] = field(default_factory=list)
    _named: int = 0

    def run(self, experiments: Mapping[str, Experiment]) -> list[Finding]:
        """Make experiments, by the questions that they answer, and close what they opened.

        Raises
        ------
        BrokerRefused
            If money may be real, or no pair is free of trades.
        """
        assert_practice(self.broker)
        self.pair = self._free_pair()
        with self.cleaned():
            for question, experiment in experiments.items():
                self.findings.append(self._found(question, experiment))
        return self.findings

    def _found(self, question: str, experiment: Experiment) -> Finding:
        begin = len(self.seen)
        try:
            answer = experiment(self)
        except (BrokerError, httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            answer = f"not measured: {type(error).__name__} {error}"[:200]
        return Finding(question, answer, tuple(self.seen[begin:]))

    def _free_pair(self) -> str:
        account = self.broker.account()
        taken = {trade.pair for trade in account.trades} | {each.pair for each in account.pending}
        for pair in PAIRS:
            if pair not in taken and self.broker.terms(pair) is not None:
                return pair
        raise BrokerRefused(f"the probe needs one of {', '.join(PAIRS)} without open trades")

    # what experiments are made with

    @property
    def terms(self) -> Terms:
        """Return what is demanded of orders in the pair.

        Raises
        ------
        BrokerError
        """
        terms = self.broker.terms(self.pair)
        if terms is None:
            raise BrokerError(f"OANDA does not trade {self.pair} any more")
        return terms

    def fresh(self) -> str:
        """Return a name that was not used before."""
        self._named += 1
        return f"{self.name}-{self._named}"

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        timeout: httpx.Timeout = QUESTION,
    ) -> Answer | None:
        """Send a request of the account once, and take down what came; None if nothing did.

        Parameters
        ----------
        method : str
        path : str
            Behind the account's.
        query : mapping of str to str, optional
        body : object, optional
        timeout : httpx.Timeout
        """
        clock, whole = self.broker.clock, f"/accounts/{self.broker.account_id}{path}"
        begin, answer, told = clock.monotonic(), None, ""
        try:
            answer = self.broker.client.once(method, whole, query=query, body=body, timeout=timeout)
        except httpx.HTTPError as error:
            told = type(error).__name__
        seconds = round(clock.monotonic() - begin, 4)
        line = {"at": clock.now().isoformat(), "request": f"{method} {path}", "sent": body}
        status = answer.status if answer else None
        self.seen.append({**line, "status": status, "seconds": seconds, **_shown(answer, told)})
        return answer

    # what is left when it ends

    @contextmanager
    def cleaned(self) -> Iterator[None]:
        """Close the run's trades at the end, also if it is broken off, and then once more."""
        try:
            yield
        finally:
            try:
                left = self.clean()
            except KeyboardInterrupt:
                left = self.clean()
            if left:
                raise BrokerError(
                    f"trades {', '.join(left)} of the probe may be open: close them by hand; each "
                    "has its stop"
                )

    def clean(self) -> list[str]:
        """Close all trades that bear the run's name, and return those that are left."""
        left = ["(unknown)"]
        quiet = 0
        for _ in range(_CLEANINGS):
            try:
                trades = self.broker.account().trades
            except BrokerError:
                self.broker.clock.sleep(1.0)
                continue
            left = [each.id for each in trades if (each.client_id or "").startswith(self.name)]
            for trade in left:
                self.broker.close(trade, self.name)
            quiet = 0 if left else quiet + 1
            if quiet == 2:  # what was sent late had time to come
                break
            self.broker.clock.sleep(1.0)
        return left

    def record(self) -> dict[str, Any]:
        """Return all that was found and seen, to be kept as JSON."""
        return {
            "venue": self.broker.name,
            "account": self.broker.account_id,
            "run": self.name,
            "pair": self.pair,
            "findings": [asdict(finding) for finding in self.findings],
        }


Experiment = Callable[[Probe], str]


def _shown(answer: Answer | None, told: str) -> dict[str, Any]:
    if answer is None:
        return {"error": told}
    try:
        return {"body": answer.json()}
    except ValueError:
        return {"text": answer.text[:2000]}


def assert_practice(broker: OandaBroker) -> None:
    """Refuse where money may be real: by the venue, and by each account of the token.

    Parameters
    ----------
    broker : OandaBroker

    Raises
    ------
    BrokerRefused
    """
    if broker.real or not (broker.venue.name == "practice" or broker.synthetic):
        raise BrokerRefused(f"the probe trades on practice accounts alone, not at {broker.name}")
    told = broker.client.ask("/accounts", lambda body: [str(a["id"]) for a in body["accounts"]])
    real = [each for each in (*told, broker.account_id) if each.startswith(REAL_ACCOUNTS)]
    if real:
        raise BrokerRefused(f"the probe trades on practice accounts alone; {real[0]} is a real one")
