"""The probe measures, refuses real money, and leaves nothing open."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr
from rich.console import Console

from deployments.sep import oanda
from infra.brokers.broker import BrokerError, BrokerRefused
from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.experiments import EXPERIMENTS, entry
from infra.brokers.oanda.probe import Probe, assert_practice
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.brokers.simulator.transport import InProcess
from infra.clock import VirtualClock
from infra.settings import Settings
from tests.infra.brokers.oanda import replies

START = datetime(2026, 7, 1, 10, tzinfo=UTC)  # a Wednesday
SATURDAY = datetime(2026, 7, 4, 12, tzinfo=UTC)
MINUTES = {"EUR_USD": random_minutes(START, 120, seed=3), "GBP_USD": random_minutes(START, 120)}


def stage(now: datetime) -> tuple[Simulator, OandaBroker]:
    clock = VirtualClock(now)
    simulator = Simulator(Market(MINUTES, now), clock=clock, strict=True)
    token, transport = SecretStr(simulator.token), InProcess(simulator, clock, 0.01)
    return simulator, OandaBroker(token, "http://127.0.0.1:1", None, clock, transport)


@pytest.fixture
def venue() -> tuple[Simulator, OandaBroker]:
    return stage(START + timedelta(hours=1))


def found(probe: Probe) -> dict[str, str]:
    return {finding.question: finding.answer for finding in probe.run(EXPERIMENTS)}


def test_it_finds_what_the_simulator_does(venue: tuple[Simulator, OandaBroker]) -> None:
    simulator, broker = venue
    answers = found(Probe(broker, "probe-1"))
    said = [answers[question] for question in EXPERIMENTS]
    assert said[0] == "the market is open: run the probe again on a weekend"
    assert said[1].startswith("by number: FILLED, by name: 404 NO_SUCH_ORDER")
    assert "same order name filled" in said[2]
    assert said[3] == "first filled, second rejected (TRADE_DOESNT_EXIST)"
    assert said[4].startswith("filled; the name is told by ")
    assert said[5].endswith(" came at once")
    assert "in the log after" in said[6]
    assert said[7] == "none came"
    assert simulator.book.trades == {}


def test_on_a_weekend_it_tells_what_a_closed_market_says() -> None:
    simulator, broker = stage(SATURDAY)
    answers = [*found(Probe(broker, "probe-1")).values()]
    assert answers[0] == "an order is cancelled (MARKET_HALTED)"
    assert answers[1].startswith("not measured: BrokerError")
    assert simulator.book.trades == {}


def test_errors_of_the_server_are_counted(venue: tuple[Simulator, OandaBroker]) -> None:
    simulator, broker = venue
    simulator.faults.append(Fault("status", 500, applied=True, on="POST"))
    assert [*found(Probe(broker, "probe-1")).values()][-1] == "1 came, 1 of them applied"
    assert simulator.book.trades == {}


@pytest.mark.parametrize("number", [1, 2, 3, 6, 8, 10, 12, 14, 15])
def test_broken_off_anywhere_it_leaves_nothing_open(number: int) -> None:
    simulator, broker = stage(START + timedelta(hours=1))
    probe, sent = Probe(broker, "probe-1"), []
    send = probe.send

    def breaking(*args: object, **options: object) -> object:
        sent.append(args)
        answer = send(*args, **options)  # type: ignore[arg-type]
        if len(sent) == number:
            raise KeyboardInterrupt
        return answer

    probe.send = breaking  # type: ignore[method-assign, assignment]
    with suppress(KeyboardInterrupt):
        probe.run(EXPERIMENTS)
    assert (len(sent) == number) == (number <= 14)
    assert simulator.book.trades == {}


def test_what_it_cannot_close_it_names(venue: tuple[Simulator, OandaBroker]) -> None:
    simulator, broker = venue
    simulator.faults.extend([Fault("status", 503, on="/close")] * 1000)
    with pytest.raises(BrokerError, match="close them by hand"):
        Probe(broker, "probe-1").run(EXPERIMENTS)
    assert simulator.book.trades


def test_trades_of_others_stay(venue: tuple[Simulator, OandaBroker]) -> None:
    simulator, broker = venue
    other = Probe(broker, "mine", pair="EUR_USD")
    broker.client.once("POST", f"/accounts/{broker.account_id}/orders", body=entry(other, "a", "b"))
    before = set(simulator.book.trades)
    probe = Probe(broker, "probe-1")
    probe.run(EXPERIMENTS)
    assert probe.pair == "GBP_USD"
    assert set(simulator.book.trades) == before != set()


@pytest.mark.parametrize(
    ("environment", "account", "owned"),
    [
        ("live", None, "101-004-1-001"),
        ("https://api-fxtrade.oanda.com", None, "101-004-1-001"),
        ("https://venue.example", None, "101-004-1-001"),
        ("practice", "001-004-1-001", "001-004-1-001"),
        ("practice", None, "001-004-1-001"),
        ("practice", "101-004-1-001", "001-004-1-001"),
        ("http://127.0.0.1:1", None, "001-004-1-001"),
    ],
)
def test_it_refuses_real_money(environment: str, account: str | None, owned: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"accounts": [{"id": owned}]})

    broker = replies.broker(answer, account=account, environment=environment)
    with pytest.raises(BrokerRefused, match="practice accounts alone"):
        assert_practice(broker)
    with pytest.raises(BrokerRefused, match="practice accounts alone"):
        Probe(broker, "probe-1").run(EXPERIMENTS)
    assert {request.method for request in asked} <= {"GET"}
    if environment != "practice":
        assert asked == [] or environment.startswith("http://")


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Simulator]:
    now = START + timedelta(hours=1)
    with Simulator(Market(MINUTES, now), clock=VirtualClock(now)).serve() as simulator:
        monkeypatch.setenv("SEP_HOME", str(tmp_path))
        monkeypatch.setenv("SEP_OANDA_ENVIRONMENT", simulator.url)
        monkeypatch.setenv("SEP_OANDA_TRADING_TOKEN", simulator.token)
        yield simulator


def test_the_command_asks_first_then_shows_and_keeps(
    served: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command: Callable[..., None] = oanda.probe
    with pytest.raises(Exception) as left:  # noqa: PT011
        command(Console(width=200), yes=False)
    assert type(left.value).__name__ == "Exit"
    assert "Nothing was sent" in capsys.readouterr().out
    assert served.mutations == []
    command(Console(width=200), yes=True)
    shown = capsys.readouterr().out
    (path,) = tmp_path.glob("probe-*.json")
    kept = json.loads(path.read_text())
    assert len(kept["findings"]) == len(EXPERIMENTS)
    assert all(finding["answer"] in shown for finding in kept["findings"])
    assert kept["findings"][1]["seen"][0]["body"]["orderFillTransaction"]
    assert served.token not in path.read_text() + shown
    assert served.book.trades == {}


def test_without_a_token_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEP_OANDA_TRADING_TOKEN", raising=False)
    with pytest.raises(BrokerRefused, match="SEP_OANDA_TRADING_TOKEN"):
        OandaBroker.of_settings(Settings(), VirtualClock(START))
