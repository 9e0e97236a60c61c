"""No sequence of entries that are allowed passes a limit, whatever the market does in between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.brokers.broker import Price, Trade
from tasks.trading.risk.engine import judge
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.situation import Proposal, Situation
from tests.tasks.trading.risk.cases import (
    EQUITY,
    NOW,
    PAIRS,
    D,
    account,
    price,
    proposal,
    situation,
)

LIMITS = Limits(
    max_units=D(200_000), max_notional=D(250_000), max_currency=D(300_000), max_leverage=None,
    max_currency_leverage=None, max_total_leverage=D(4), max_own_trades=4, max_trades=6,
    max_risk=D("0.02"), max_open_risk=D("0.06"), max_correlated_risk=None,
    min_free_margin=D("0.93"), daily_loss=D("0.05"), trailing_drawdown=D("0.08"),
    static_drawdown=D("0.08"), max_entries=8, cool_down_after=None,
)  # fmt: skip
MARGIN = D("0.02")


@dataclass
class Desk:
    """An account that fills what is allowed, at the market, and stops out where prices go."""

    balance: Decimal = EQUITY
    trades: list[Trade] = field(default_factory=list)
    prices: dict[str, Price] = field(default_factory=lambda: {pair: price(pair) for pair in PAIRS})
    entries: int = 0
    sent: int = 0
    peak: Decimal = EQUITY

    def situation(self, *, hedging: bool = False) -> Situation:
        equity = self.balance + sum(map(self.gain, self.trades))
        self.peak = max(self.peak, equity)
        used = sum((MARGIN * self.worth(t) for t in self.trades), D(0))
        figures = {"margin_used": used, "margin_available": equity - used, "hedging": hedging}
        held = account(*self.trades, equity=equity, **figures)
        return situation(
            account=held,
            prices=dict(self.prices),
            entries_today=self.entries,
            peak_equity=self.peak,
        )

    def gain(self, trade: Trade, at: Decimal | None = None) -> Decimal:
        quote = self.prices[trade.pair]
        leaves = at or (quote.bid if trade.side == "long" else quote.ask)
        sign = 1 if trade.side == "long" else -1
        assert quote.loss
        return sign * (leaves - trade.price) * trade.units * quote.loss

    def worth(self, trade: Trade) -> Decimal:
        quote = self.prices[trade.pair]
        assert quote.loss
        return trade.units * quote.ask * quote.loss

    def fill(self, entry: Proposal, *, ours: bool) -> None:
        self.sent += 1
        quote = self.prices[entry.pair]
        paid = quote.ask if entry.side == "long" else quote.bid
        name = f"sep-{self.sent}" if ours else None
        self.trades.append(
            Trade(str(self.sent), entry.pair, entry.side, entry.units, paid, NOW, name, entry.stop)
        )
        self.entries += ours

    def stopped(self) -> Decimal:
        """Equity if every stop fills now."""
        return self.balance + sum(self.gain(t, t.stop) for t in self.trades)

    def move(self, pair: str, pips: int) -> None:
        """Move a price; what passes its stop is closed there."""
        step = D(pips) / (100 if pair.endswith("JPY") else 10_000)
        quote = self.prices[pair]
        self.prices[pair] = replace(quote, bid=quote.bid + step, ask=quote.ask + step)
        for trade in list(self.trades):
            moved = self.prices[trade.pair]
            assert trade.stop
            hit = moved.bid <= trade.stop if trade.side == "long" else moved.ask >= trade.stop
            if hit:
                self.balance += self.gain(trade, trade.stop)
                self.trades.remove(trade)


def entry(desk: Desk, pair: str, side: str, thousands: int, pips: int) -> Proposal:
    quote, tenth = desk.prices[pair], D(pips) / (100 if pair.endswith("JPY") else 10_000)
    paid = quote.ask if side == "long" else quote.bid
    stop = paid - tenth if side == "long" else paid + tenth
    given: dict[str, Any] = {"pair": pair, "side": side, "units": D(1000 * thousands)}
    return proposal(**given, price=paid, stop=stop, spread=quote.ask - quote.bid)


def holds(desk: Desk) -> None:
    """Every limit, counted anew from the trades alone."""
    ours = [t for t in desk.trades if t.client_id]
    assert len(ours) <= 4
    assert len(desk.trades) <= 6
    assert desk.entries <= 8
    by_pair = {pair: [t for t in desk.trades if t.pair == pair] for pair in PAIRS}
    assert all(sum(t.units for t in trades) <= 200_000 for trades in by_pair.values())
    assert all(sum(map(desk.worth, trades)) <= 250_000 for trades in by_pair.values())
    assert sum(map(desk.worth, desk.trades)) <= 4 * desk.situation().account.equity
    equity = desk.situation().account.equity
    assert equity - desk.stopped() <= D("0.06") * equity
    assert desk.stopped() > EQUITY * D("0.95")
    assert desk.stopped() > desk.peak * D("0.92")
    assert desk.situation().account.margin_available >= D("0.93") * equity


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("enter"),
            st.sampled_from(PAIRS),
            st.sampled_from(["long", "short"]),
            st.integers(1, 220),
            st.integers(5, 300),
        ),
        st.tuples(st.just("move"), st.sampled_from(PAIRS), st.integers(-80, 80)),
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(STEPS, st.booleans())
def test_what_is_allowed_never_passes_a_limit(steps: list[tuple[Any, ...]], hedging: bool) -> None:
    desk = Desk()
    for kind, *given_ in steps:
        if kind == "move":
            desk.move(*given_)
            continue
        asked = entry(desk, *given_)
        if judge(asked, desk.situation(hedging=hedging), LIMITS).allowed:
            desk.fill(asked, ours=True)
            holds(desk)


def test_entries_are_allowed_until_one_is_not() -> None:
    desk, allowed = Desk(), []
    for _ in range(12):
        asked = entry(desk, "EUR_USD", "long", 10, 50)
        found = judge(asked, desk.situation(), LIMITS)
        allowed.append(found.allowed)
        if found.allowed:
            desk.fill(asked, ours=True)
    assert allowed == [True] * 4 + [False] * 8
