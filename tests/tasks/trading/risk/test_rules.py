"""Each rule at its limit, just within it, and just beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pytest

from infra.brokers.broker import Pending
from tasks.trading.risk.rules import CHECKS, RULES
from tasks.trading.risk.situation import Proposal, Situation
from tests.tasks.trading.risk.cases import (
    EQUITY,
    NOW,
    PAIRS,
    D,
    account,
    denied,
    limits,
    price,
    proposal,
    situation,
    terms,
    trade,
    verdict,
)

WORTH = 10_000 * D("1.10005")


class Case(NamedTuple):
    rule: str
    limit: dict[str, Any]
    at: Any
    below: Any
    above: Any
    made: Callable[[Any], tuple[Proposal, Situation]]


def units(value: Any) -> tuple[Proposal, Situation]:
    return proposal(units=D(value)), situation()


def with_pair(value: Any) -> tuple[Proposal, Situation]:
    """A foreign trade in the pair, the other way round on a hedging account."""
    held = trade(pair="EUR_USD", side="short", units=D(value), stop=D("1.2"), client_id=None)
    return proposal(), situation(account=account(held, hedging=True))


def with_currency(value: Any) -> tuple[Proposal, Situation]:
    held = trade(pair="EUR_JPY", side="long", units=D(value), stop=D("164"), client_id=None)
    return proposal(), situation(held)


def with_stop(value: Any) -> tuple[Proposal, Situation]:
    return proposal(stop=D("1.10005") - D(value)), situation()


def with_risk(value: Any) -> tuple[Proposal, Situation]:
    """A trade that loses so much at its stop."""
    return proposal(), situation(trade(stop=D("1.30005") + D(value) / 10_000))


def with_twin(value: Any) -> tuple[Proposal, Situation]:
    """A trade whose returns mirror the pair's, sold: both are one bet."""
    wave = np.random.default_rng(1).normal(size=60)
    returns = {"EUR_USD": wave.tolist(), "GBP_USD": (-wave).tolist()}
    held = trade(stop=D("1.30005") + D(value) / 10_000)
    mirrored = replace(situation(held), returns=returns)
    return proposal(), mirrored


def with_free_margin(value: Any) -> tuple[Proposal, Situation]:
    used = EQUITY - D(value)
    return proposal(), situation(account=account(margin_used=used, margin_available=D(value)))


def with_trades(count: int) -> tuple[Proposal, Situation]:
    return proposal(), situation(*(trade(n) for n in range(count)))


def with_others(count: int) -> tuple[Proposal, Situation]:
    """One foreign trade, one order that waits, and more foreign trades."""
    held = [trade(n, client_id=None) for n in range(count - 1)]
    waiting = (Pending("9", "GBP_USD", "LIMIT", D(1)),)
    return proposal(), situation(account=account(*held, pending=waiting))


def with_entries(count: int) -> tuple[Proposal, Situation]:
    return proposal(), situation(entries_today=count)


def with_losses(count: int) -> tuple[Proposal, Situation]:
    rows = [(NOW - timedelta(minutes=n + 1), D(-1)) for n in range(count)]
    return proposal(), situation(losses=[*rows, (NOW - timedelta(hours=2), D(5))])


def with_spread(value: Any) -> tuple[Proposal, Situation]:
    return proposal(spread=D(value)), situation()


def with_age(seconds: float) -> tuple[Proposal, Situation]:
    old = price("EUR_USD", at=NOW - timedelta(seconds=seconds))
    return proposal(), situation(prices={"EUR_USD": old})


def at_time(hours: float) -> tuple[Proposal, Situation]:
    now = NOW.replace(hour=0) + timedelta(hours=hours)
    fresh = {pair: price(pair, at=now) for pair in PAIRS}
    return proposal(), situation(now=now, prices=fresh)


def before_weekend(hours: float) -> tuple[Proposal, Situation]:
    """So long before Friday, 17:00 New York."""
    return at_time(24 * 2 + 22 - hours)


def with_equity(value: Any, **known: Any) -> tuple[Proposal, Situation]:
    """The entry loses 100 more at its stop."""
    return proposal(), situation(account=account(equity=D(value)), **known)


def with_minimum(value: Any) -> tuple[Proposal, Situation]:
    return proposal(), situation(terms={"EUR_USD": terms("EUR_USD", minimum=D(value))})


def with_maximum(value: Any) -> tuple[Proposal, Situation]:
    return proposal(), situation(terms={"EUR_USD": terms("EUR_USD", maximum=D(value))})


CASES = [
    Case("units of the pair", {"max_units": 15_000}, 5_000, 4_999, 5_001, with_pair),
    Case("worth of the pair", {"max_notional": WORTH}, 10_000, 9_999, 10_001, units),
    Case("worth of the pair", {"max_leverage": 2 * WORTH / EQUITY}, 10_000, 9_999, 10_001,
         with_pair),
    Case("worth of a currency", {"max_currency": WORTH}, 10_000, 9_999, 10_001, units),
    Case("worth of a currency", {"max_currency_leverage": "0.22001"}, 9_999, 9_998, 10_010,
         with_currency),
    Case("worth of all", {"max_total_leverage": 3 * WORTH / EQUITY}, 20_000, 19_999, 20_001,
         with_pair),
    Case("risk of the trade", {"max_risk": "0.001"}, "0.01", "0.00999", "0.01001", with_stop),
    Case("risk of all", {"max_open_risk": "0.003"}, 200, 199, 201, with_risk),
    Case("correlated risk", {"max_correlated_risk": "0.003"}, 199.999, 199, 201, with_twin),
    Case("margin", {"min_free_margin": "0.5"}, 50_000 + WORTH / 50, 51_000, 50_000,
         with_free_margin),
    Case("own trades", {"max_own_trades": 3}, 2, 1, 3, with_trades),
    Case("all trades", {"max_trades": 4}, 3, 2, 4, with_others),
    Case("entries of the day", {"max_entries": 5}, 4, 3, 5, with_entries),
    Case("cool-down", {"cool_down_after": 3}, 2, 1, 3, with_losses),
    Case("spread", {"max_spread_pips": 2}, "0.0002", "0.00019", "0.00021", with_spread),
    Case("price age", {"max_price_age": 60}, 60, 59.999, 60.001, with_age),
    Case("price age", {"max_price_age": 60}, -60, -59.999, -60.001, with_age),
    Case("hours", {"hours": ["08:00-17:00"]}, 8, 16.99, 17, at_time),
    Case("hours", {"hours": ["22:00-06:00"]}, 22, 5.99, 6, at_time),
    Case("weekend", {"weekend_hours": 3}, 3.01, 4, 3, before_weekend),
    Case("order size", {}, 10_000, 9_999, 10_001, with_minimum),
    Case("order size", {}, 10_000, 10_001, 9_999, with_maximum),
    Case("daily loss", {"daily_loss": "0.05"}, "95100.01", 96_000, "95100", with_equity),
    Case("trailing drawdown", {"trailing_drawdown": "0.1"}, "90100.01", 95_000, "90100",
         with_equity),
    Case("static drawdown", {"static_drawdown": "0.1"}, "90100.01", 95_000, "90100", with_equity),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_a_rule_allows_its_limit_and_denies_what_is_beyond(case: Case) -> None:
    said = {"near": 1, **case.limit}
    for value in (case.at, case.below):
        given, around = case.made(value)
        assert denied(verdict(given, around, **said)) == set(), value
    given, around = case.made(case.above)
    found = verdict(given, around, **said)
    assert case.rule in denied(found)
    assert not found.allowed
    assert any(character.isdigit() for character in dict(found.reasons)[case.rule])


def test_every_rule_has_a_case() -> None:
    told = {case.rule for case in CASES}
    others = {"market", "conversion", "stop", "opposite side"}  # below
    assert {name for name, _ in CHECKS} == told | others
    assert [name for name, _ in RULES] == [name for name, _ in CHECKS]


def test_a_rule_speaks_only_when_it_denies() -> None:
    rules = dict(RULES)
    assert {rule(proposal(), situation(), limits()) for rule in rules.values()} == {None}
    said = rules["own trades"](proposal(), situation(trade()), limits(max_own_trades=1))
    assert said == "2 trades of ours would be open; allowed are 1"


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"stop": D("1.10005")}, "stop"),
        ({"stop": D("1.10006")}, "stop"),
        ({"side": "short"}, "stop"),
        ({"side": "short", "stop": D("1.11")}, None),
        ({"units": D("10000.5")}, "order size"),
        ({"units": D(-10_000)}, "order size"),
        ({"units": D(0)}, "order size"),
    ],
)
def test_what_an_order_must_be(changes: dict[str, Any], rule: str | None) -> None:
    found = denied(verdict(proposal(**changes)))
    assert rule in found if rule else found == set()


def test_a_market_that_is_not_tradeable_denies() -> None:
    shut = situation(prices={"EUR_USD": price("EUR_USD", tradeable=False)})
    assert denied(verdict(s=shut)) == {"market"}


@pytest.mark.parametrize(("hedging", "rule"), [(False, {"opposite side"}), (True, set())])
def test_the_other_side_is_denied_where_a_venue_nets(hedging: bool, rule: set[str]) -> None:
    held = trade(pair="EUR_USD", client_id=None, stop=D("1.2"))
    assert denied(verdict(s=situation(account=account(held, hedging=hedging)))) == rule


@pytest.mark.parametrize(("seconds", "rule"), [(3660, set()), (3661, {"price age"})])
def test_a_recorded_price_may_be_a_bar_older(seconds: float, rule: set[str]) -> None:
    given, around = with_age(seconds)
    assert denied(verdict(given, around, max_price_age=60)) == {"price age"}
    assert denied(verdict(given, replace(around, recorded=True), max_price_age=60)) == rule
    _, ahead = with_age(-61)
    recorded = replace(ahead, recorded=True)
    assert denied(verdict(given, recorded, max_price_age=60)) == {"price age"}


def test_the_spread_is_the_wider_of_both_and_told_in_usual_ones() -> None:
    wide = situation(prices={"EUR_USD": price("EUR_USD", ask=D("1.11"))})
    found = verdict(proposal(price=D("1.11")), wide)
    assert "spread" in denied(found)
    assert "usual are" in dict(found.reasons)["spread"]


def test_losses_count_at_the_rate_of_losses_and_worth_at_the_dearer() -> None:
    for gain, loss, risk in (("1", "2", "200.00"), ("2", "1", "100.00")):
        quoted = price("EUR_USD", gain=D(gain), loss=D(loss))
        found = dict(verdict(s=situation(prices={"EUR_USD": quoted}), max_leverage=5).checked)
        assert "22,001.00 USD" in found["worth of the pair"]
        assert f"{risk} USD" in found["risk of the trade"]


def test_an_entry_is_worth_what_it_may_cost_at_worst() -> None:
    found = dict(verdict(proposal(price=D("1.2")), max_leverage=5).checked)
    assert "12,000.00 USD" in found["worth of the pair"]
    assert "1,099.50 USD" in found["risk of the trade"]


def test_a_price_that_has_run_away_counts_from_where_it_is() -> None:
    """The estimate says 100 pips to the stop, the market is 100 pips further."""
    gone = situation(prices={"EUR_USD": price("EUR_USD", bid=D("1.11"), ask=D("1.11005"))})
    text = dict(verdict(s=gone, max_risk="0.001").reasons)["risk of the trade"]
    assert "200.00 USD" in text


def test_a_trade_without_a_stop_counts_with_all_it_is_worth() -> None:
    bare = situation(trade(stop=None, client_id=None))
    found = dict(verdict(s=bare, max_open_risk="0.1").reasons)
    assert "13,100.50 USD" in found["risk of all"]
    assert "1 open without a stop" in found["risk of all"]


@pytest.mark.parametrize("rule", ["daily loss", "trailing drawdown", "static drawdown"])
def test_a_floor_counts_what_is_open_at_its_stops(rule: str) -> None:
    """4,800 are at risk already; with 100 more, 4,900 of 5,000 are: 200 more are too many."""
    held = trade(stop=D("1.30005") + D("0.48"))
    said: dict[str, Any] = {rule.replace(" ", "_"): "0.05", "near": 1}
    assert rule not in denied(verdict(s=situation(held), **said))
    assert rule in denied(verdict(proposal(units=D(20_000)), situation(held), **said))


def test_a_stop_in_profit_takes_nothing_from_the_risk_of_others() -> None:
    safe = situation(trade(stop=D("1.25")))
    assert "100.00 USD" in dict(verdict(s=safe, max_open_risk="0.1").checked)["risk of all"]


def test_currencies_net_and_the_account_s_own_is_none() -> None:
    """Long EUR_USD and short EUR_JPY as large: EUR is flat, JPY is held, USD does not count."""
    against = trade(pair="EUR_JPY", side="short", units=D(10_000), stop=D(170))
    found = dict(verdict(s=situation(against), max_currency="10").checked)["worth of a currency"]
    assert "0.17 USD of EUR" in found
    assert "of USD" not in found


def test_what_narrows_a_currency_is_allowed_beyond_its_limit() -> None:
    wide = trade(pair="EUR_JPY", side="short", units=D(1_000_000), stop=D(166))
    assert denied(verdict(s=situation(wide), max_currency=1_000)) == set()


@pytest.mark.parametrize(
    ("returns", "counted"),
    [({}, "200.00"), ({"EUR_USD": [0.1] * 60, "GBP_USD": [0.2] * 60}, "200.00"),
     ({"EUR_USD": [0.1, 0.2], "GBP_USD": [0.1, 0.3]}, "200.00")],
)  # fmt: skip
def test_an_unknown_correlation_is_one(returns: Any, counted: str) -> None:
    around = replace(situation(trade()), returns=returns)
    assert counted in dict(verdict(s=around, max_correlated_risk="0.1").checked)["correlated risk"]


def test_what_moves_the_other_way_takes_no_risk_away() -> None:
    wave = np.random.default_rng(1).normal(size=60).tolist()
    around = replace(situation(trade()), returns={"EUR_USD": wave, "GBP_USD": wave})
    told = dict(verdict(s=around, max_correlated_risk="0.1").checked)["correlated risk"]
    assert "100.00" in told


def test_an_entry_that_nobody_knows_of_counts_as_open() -> None:
    sent = replace(proposal(), pair="GBP_USD", price=D("1.30005"), stop=D("1.29005"))
    around = situation(inflight=(sent,))
    found = dict(verdict(s=around, max_open_risk="0.0019", max_own_trades=1).reasons)
    assert "200.00 USD" in found["risk of all"]
    assert found["own trades"].startswith("2 ")
    margin = dict(verdict(s=around).checked)["margin"]
    assert f"{EQUITY - (WORTH + 13_000 + Decimal('0.5')) / 50:,.2f}" in margin


def test_a_foreign_trade_is_not_ours_and_counts_all_the_same() -> None:
    foreign = situation(trade(client_id="mine"), trade(2, client_id=None))
    found = dict(verdict(s=foreign, max_own_trades=1, max_trades=3).checked)
    assert found["own trades"].startswith("1 ")
    assert found["all trades"].startswith("3 ")


def test_a_pair_s_own_limits_are_the_stricter_of_both() -> None:
    for said, allowed in (({"max_units": 9_999}, False), ({"max_units": 50_000}, True)):
        around = replace(situation(), overrides={("EUR_USD", "H1"): said})
        found = verdict(s=around, max_units=20_000)
        assert found.allowed is allowed
    loose = replace(situation(), overrides={("EUR_USD", "H1"): {"max_units": 50_000}})
    assert "units of the pair" in denied(verdict(s=loose, max_units=9_000))


@pytest.mark.parametrize(
    "said", [{"max_unit": 1}, {"max_risk": 0.5}, {"near": 0.5}, {"hours": ["x"]}]
)
def test_a_pair_s_limits_that_make_no_sense_deny(said: dict[str, Any]) -> None:
    found = verdict(s=replace(situation(), overrides={("EUR_USD", "H1"): said}))
    assert not found.allowed
    assert "pairs.limits of EUR_USD H1" in dict(found.reasons)["limits of the pair"]
