"""What OANDA offers, over HTTP, from a venue that misbehaves."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from infra.brokers import offers
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Fault, Simulator
from infra.market import offered
from infra.market.financing import USUAL_DAYS, Financing
from infra.market.instruments import find, usual_financing
from infra.sources.columns import SourceError
from tasks.research.recipe import Recipe

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PAIRS = ("EUR_USD", "USD_JPY", "XAU_USD", "SPX500_USD")
CHANGES: dict[str, dict[str, Any]] = {
    "EUR_USD": {"marginRate": "0.0333", "minimumTradeSize": "2", "financing": None},
    "USD_JPY": {
        "financing": {
            "longRate": "0.0123",
            "shortRate": "-0.0456",
            "financingDaysOfWeek": [
                {"dayOfWeek": "THURSDAY", "daysCharged": 3},
                {"dayOfWeek": "MONDAY", "daysCharged": 1},
            ],
        }
    },
    "XAU_USD": {"pipLocation": -1, "displayPrecision": 2, "novelty": {"unheard": [1]}},
}


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def venue(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    minutes = random_minutes(NOW, 2)
    simulator = Simulator(Market(dict.fromkeys(PAIRS, minutes), NOW), changes=dict(CHANGES))
    with simulator.serve():
        monkeypatch.setenv("SEP_OANDA_URL", simulator.url)
        monkeypatch.setenv("SEP_OANDA_TOKEN", simulator.token)
        yield simulator


def asked(own_home: Path) -> None:
    offered.keep(own_home, offers.ask(pause=0.001))


def test_what_is_told_comes_before_the_table(own_home: Path, venue: Simulator) -> None:
    table = find("EUR_USD")
    asked(own_home)
    euro, yen, gold = map(find, PAIRS[:3])
    assert (euro.margin, euro.minimum_size, euro.spread_pips) == (0.0333, 2.0, 1.4)
    assert (euro.long_rate, "long_rate" in euro.estimate) == (table.long_rate, True)
    assert (yen.long_rate, yen.short_rate) == (0.0123, -0.0456)
    assert (yen.financing_days, euro.financing_days) == ((1, 0, 0, 3, 0, 0, 0), USUAL_DAYS)
    assert usual_financing("USD_JPY") == Financing(0.0123, -0.0456, yen.financing_days)
    assert not usual_financing("EUR_USD")
    recipe = Recipe.default("USD_JPY", "H1")
    assert recipe.costs.financing == usual_financing("USD_JPY")
    assert (gold.pip, gold.precision, gold.kind) == (0.1, 2, "metals")
    assert euro.source.startswith("OANDA 127.0.0.1 (pip, precision, minimum_size, margin), else")
    assert euro.date == f"{datetime.now(UTC):%Y-%m-%d}"
    assert [path for _, path in venue.requests] == [
        "/v3/accounts",
        "/v3/accounts/101-004-1234567-001/instruments",
    ]


@pytest.mark.parametrize(
    "fault",
    [
        *(Fault("status", 429), Fault("status", 503), Fault("html", 502)),
        *map(Fault, ("drop", "truncate", "garble", "pack")),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_a_bad_answer_is_asked_for_again(own_home: Path, venue: Simulator, fault: Fault) -> None:
    venue.faults.extend([fault, fault])
    asked(own_home)
    assert find("EUR_USD").margin == 0.0333
    assert len(venue.requests) == 4


def test_a_venue_that_stays_away_changes_nothing(own_home: Path, venue: Simulator) -> None:
    asked(own_home)
    before = (own_home / offered.FILE).read_bytes()
    venue.faults.extend([Fault("status", 503)] * offers.TRIES)
    with pytest.raises(SourceError, match=r"no good answer in 4 tries \(status 503\)"):
        asked(own_home)
    assert (own_home / offered.FILE).read_bytes() == before


@pytest.mark.parametrize("wrong", ["another", "simulated-token-"])
def test_a_wrong_token_is_refused(
    venue: Simulator, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("SEP_OANDA_TOKEN", wrong)
    with pytest.raises(SourceError, match="Insufficient authorization") as refused:
        offers.ask(pause=0.001)
    assert wrong not in str(refused.value)
    assert len(venue.requests) == 1


def test_a_token_that_the_venue_repeats_is_left_out(venue: Simulator) -> None:
    venue.faults.append(Fault("echo", 400))
    with pytest.raises(SourceError, match=r"\*\*\*") as refused:
        offers.ask(pause=0.001)
    assert venue.token not in str(refused.value)


def test_without_a_token_it_says_which(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEP_OANDA_TOKEN", raising=False)
    with pytest.raises(SourceError, match="SEP_OANDA_TOKEN"):
        offers.ask()


@pytest.mark.parametrize(
    "change",
    [
        *({"pipLocation": "x"}, {"marginRate": "-1"}, {"minimumTradeSize": "NaN"}),
        *({"name": "../x"}, {"displayPrecision": None}, {"pipLocation": -999}),
    ],
)
def test_an_instrument_that_makes_no_sense_is_left_out_and_named(
    venue: Simulator, change: dict[str, Any]
) -> None:
    venue.changes = {"USD_JPY": change}
    told = offers.ask(pause=0.001)
    assert told.left_out == (change.get("name", "USD_JPY"),)
    assert len(told.instruments) == len(PAIRS) - 1


def test_the_command_refreshes_and_shows_no_token(own_home: Path, venue: Simulator) -> None:
    said = sep("refresh")
    assert "4 instruments of OANDA 127.0.0.1 as of" in said
    shown = sep("show", "eur/usd")
    assert "OANDA 127.0.0.1" in shown
    assert "0.0333" in shown
    listed = sep("list", "--kind", "index")
    assert "SPX500_USD" in listed
    assert "EUR_USD" not in listed
    kept = own_home / offered.FILE
    assert {each["name"] for each in json.loads(kept.read_text())["instruments"]} == {*PAIRS}
    written = [path.read_bytes() for path in own_home.rglob("*") if path.is_file()]
    assert venue.token not in said + shown + listed
    assert not any(venue.token.encode() in content for content in written)


def sep(*arguments: str) -> str:
    command = [sys.executable, "-m", "deployments.sep.cli", "instruments", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
