"""Fail closed: what is missing or cannot be true denies, with a reason; nothing is raised."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.brokers.broker import Account, Price, Terms, Trade
from tasks.trading.risk.engine import Verdict, judge, state_of
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.presets import PRESETS
from tasks.trading.risk.situation import Proposal, Situation
from tests.tasks.trading.risk.cases import (
    NOW,
    D,
    account,
    denied,
    price,
    proposal,
    situation,
    terms,
    trade,
)

NONSENSE = [
    None,
    D("NaN"),
    D("sNaN"),
    D("Infinity"),
    D("-Infinity"),
    D(-1),
    float("nan"),
    "1",
    True,
]
STRICT = Limits(static_drawdown=D("0.1"), max_units=D(10**9))


def judged(p: Proposal | None = None, s: Situation | None = None) -> Verdict:
    found = judge(p or proposal(), s or situation(), STRICT)
    assert found.allowed is (not found.reasons)
    assert all(text for _, text in found.checked)
    return found


def test_the_plain_case_is_allowed_by_the_defaults() -> None:
    assert judged().allowed
    assert judged(s=situation(trade())).allowed


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["units", "price", "stop", "spread"])
def test_a_figure_of_the_entry(name: str, value: Any) -> None:
    assert not judged(proposal(**{name: value})).allowed


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["bid", "ask", "gain", "loss"])
def test_a_figure_of_the_price(name: str, value: Any) -> None:
    around = situation(prices={"EUR_USD": price("EUR_USD", **{name: value})})
    assert not judged(s=around).allowed


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["equity", "margin_used", "margin_available"])
def test_a_figure_of_the_account(name: str, value: Any) -> None:
    assert not judged(s=situation(account=replace(account(), **{name: value}))).allowed


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["minimum", "maximum", "margin"])
def test_a_figure_of_the_terms(name: str, value: Any) -> None:
    around = situation(terms={"EUR_USD": terms("EUR_USD", **{name: value})})
    assert not judged(s=around).allowed


@pytest.mark.parametrize("value", NONSENSE, ids=repr)
@pytest.mark.parametrize("name", ["day_start_equity", "peak_equity", "start_equity"])
def test_a_figure_of_the_record(name: str, value: Any) -> None:
    assert not judged(s=situation(**{name: value})).allowed


@pytest.mark.parametrize("value", [*NONSENSE[:5], float("nan"), "1"], ids=repr)
def test_a_profit(value: Any) -> None:
    assert not judged(s=situation(losses=[(NOW - timedelta(hours=1), value)])).allowed


@pytest.mark.parametrize("value", [None, -1, 1.5, "1", float("nan")], ids=repr)
def test_the_count_of_entries(value: Any) -> None:
    assert "entries of the day" in denied(judged(s=situation(entries_today=value)))


@pytest.mark.parametrize("value", [v for v in NONSENSE if v is not None], ids=repr)
@pytest.mark.parametrize("name", ["units", "stop"])
def test_a_figure_of_an_open_trade(name: str, value: Any) -> None:
    assert not judged(s=situation(trade(**{name: value}))).allowed


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_return(value: float) -> None:
    returns = {"EUR_USD": [0.1] * 40, "GBP_USD": [0.1] * 39 + [value]}
    assert "correlated risk" in denied(judged(s=situation(trade(), returns=returns)))


NAIVE = datetime(2026, 1, 7, 12)  # noqa: DTZ001 (on purpose)


@pytest.mark.parametrize(
    "around",
    [
        situation(prices={}),
        situation(terms={}),
        situation(now=NAIVE),
        situation(now=None),
        situation(prices={"EUR_USD": price("EUR_USD", at=NAIVE)}),
        situation(prices={"EUR_USD": price("EUR_USD", at=None)}),
        situation(prices={"EUR_USD": price("EUR_USD", tradeable=None)}),
        situation(losses=[(NAIVE, D(-1))]),
        situation(losses=None),
        situation(returns=None, account=account(trade())),
        situation(account=None),
        situation(prices=None),
        situation(overrides=None),
        situation(reducing=None),
        situation(trade(), prices={"EUR_USD": price("EUR_USD")}),
        situation(trade(), prices={**situation().prices, "GBP_USD": price("GBP_USD", loss=None)}),
        situation(trade(side="flat")),
    ],
)  # fmt: skip
def test_something_missing(around: Situation) -> None:
    found = judged(s=around)
    assert not found.allowed
    assert found.reasons


def test_an_instrument_that_nobody_knows() -> None:
    name = "NOTHING_AT_ALL"
    odd = situation(
        prices={name: replace(price("EUR_USD"), pair=name)},
        terms={name: replace(terms("EUR_USD"), pair=name)},
    )
    assert not judged(proposal(pair="NOTHING_AT_ALL"), odd).allowed


def test_a_side_that_is_none() -> None:
    assert not judged(proposal(side="both")).allowed


def test_an_account_that_is_not_known_is_halted() -> None:
    for around in (
        situation(account=account(equity=D("NaN"))),
        situation(day_start_equity=None),
        situation(now=NAIVE),
    ):
        state, reasons = state_of(around, STRICT)
        assert state == "HALTED"
        assert "cannot be judged" in reasons[0][1]


def test_reasons_come_back_from_the_record() -> None:
    found = judged(proposal(units=None))
    assert Verdict.of(found.record()) == found


WILD: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**9), st.floats(), st.decimals(), st.datetimes(),
    st.text(max_size=3), st.just(object()), st.lists(st.floats(), max_size=2),
)  # fmt: skip


@settings(deadline=None)
@given(st.data())
def test_nothing_is_raised_and_nothing_wild_is_allowed(data: st.DataObject) -> None:
    kind: Any = data.draw(st.sampled_from([Proposal, Situation, Account, Price, Terms, Trade]))
    names = [field.name for field in fields(kind)]
    changes = data.draw(st.dictionaries(st.sampled_from(names), WILD, min_size=1, max_size=3))
    p, around = proposal(), situation(trade())
    if kind is Proposal:
        p = replace(p, **changes)
    elif kind is Situation:
        around = replace(around, **changes)
    elif kind is Account:
        around = replace(around, account=replace(around.account, **changes))
    elif kind is Price:
        around = replace(
            around, prices={**around.prices, "EUR_USD": replace(price("EUR_USD"), **changes)}
        )
    elif kind is Terms:
        around = replace(around, terms={"EUR_USD": replace(terms("EUR_USD"), **changes)})
    else:
        around = replace(around, account=account(trade(**changes)))
    for limits in (STRICT, PRESETS["none-but-margin"]):
        found = judge(p, around, limits)
        assert found.allowed is (not found.reasons)


def test_a_price_of_another_pair_is_none() -> None:
    other = situation(prices={"EUR_USD": price("GBP_USD")})
    assert denied(judged(s=other)) >= {"market", "spread", "margin", "conversion"}
