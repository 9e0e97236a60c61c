"""An account of 100,000 USD, a market in hours of trade, and an entry that all rules allow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from infra.brokers.broker import Account, Price, Terms, Trade
from tasks.trading.risk.engine import Verdict, judge
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Proposal, Situation

D = Decimal
NOW = datetime(2026, 1, 7, 12, tzinfo=UTC)
"""A Wednesday."""
EQUITY = D(100_000)
PAIRS = ("EUR_USD", "GBP_USD", "USD_JPY", "EUR_JPY", "AUD_USD")
MIDS = dict(
    zip(PAIRS, map(D, ("1.10000", "1.30000", "150.000", "165.000", "0.65000")), strict=True)
)

FREE = Limits(
    max_leverage=None,
    max_currency_leverage=None,
    max_total_leverage=None,
    max_own_trades=None,
    max_trades=None,
    max_risk=D("0.2"),
    max_open_risk=None,
    max_correlated_risk=None,
    min_free_margin=D("0.001"),
    daily_loss=None,
    trailing_drawdown=None,
    max_entries=None,
    cool_down_after=None,
    weekend_hours=None,
)
"""Nothing is limited but what cannot be switched off."""


def limits(**changes: Any) -> Limits:
    return Limits.of({**FREE.model_dump(), **changes}, "test")


def price(pair: str, **changes: Any) -> Price:
    mid, jpy = MIDS[pair], pair.endswith("JPY")
    half = D("0.005") if jpy else D("0.00005")
    rate = 1 / D(150) if jpy else D(1)
    quoted = Price(pair, mid - half, mid + half, NOW - timedelta(seconds=1), True, rate, rate)
    return replace(quoted, **changes)


def terms(pair: str, **changes: Any) -> Terms:
    precision = 3 if pair.endswith("JPY") else 5
    return replace(Terms(pair, precision, 0, D(1), D(100_000_000), D("0.02")), **changes)


def account(*trades: Trade, equity: Decimal = EQUITY, **changes: Any) -> Account:
    empty = Account("a", "USD", equity, equity, D(0), equity, trades, (), 1)
    return replace(empty, **changes)


def situation(*trades: Trade, **changes: Any) -> Situation:
    usual = Situation(
        now=NOW,
        account=account(*trades),
        prices={pair: price(pair) for pair in PAIRS},
        terms={pair: terms(pair) for pair in PAIRS},
        day_start_equity=EQUITY,
        peak_equity=EQUITY,
        start_equity=EQUITY,
        entries_today=0,
        losses=(),
        returns={},
        reducing=False,
    )
    return replace(usual, **changes)


def proposal(**changes: Any) -> Proposal:
    """10,000 EUR_USD bought at the ask, 1.10005, with 100 pips to the stop: 100 USD at risk."""
    usual = Proposal(
        1, "damped", "EUR_USD", "H1", "long", D(10_000), D("1.10005"), D("1.09005"), D("0.0001")
    )
    return replace(usual, **changes)


def trade(number: int = 1, **changes: Any) -> Trade:
    """10,000 GBP_USD sold, 100 pips to the stop from the present ask: 100 USD at risk."""
    usual = Trade(
        str(number), "GBP_USD", "short", D(10_000), D("1.30000"), NOW, f"sep-{number}", D("1.31005")
    )
    return replace(usual, **changes)


def denied(verdict: Verdict) -> set[str]:
    return {name for name, _ in verdict.reasons}


def verdict(p: Proposal | None = None, s: Situation | None = None, **said: Any) -> Verdict:
    return judge(p or proposal(), s or situation(), limits(**said))
