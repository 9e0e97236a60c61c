"""Signals replayed on the paper broker in memory: the same rules, without journal and database."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, NamedTuple

import polars as pl

from infra.bars import TIME
from infra.brokers.broker import Broker, Done, Entry, Reply, Side, Transaction
from infra.brokers.desk import exact
from infra.brokers.keeping import Memory
from infra.brokers.paper import PaperBroker
from infra.brokers.prices import ArrayPrices
from infra.clock import VirtualClock
from infra.market import fills
from infra.market.calendar import Calendar
from infra.market.hours import calendar_for
from infra.market.instruments import find
from infra.market.quotes import Costs

TRADES: Final = pl.Schema(
    {
        "signal_time": TIME,
        "entry_time": TIME,
        "exit_time": TIME,
        "side": pl.String(),
        "entry_price": pl.Float64(),
        "exit_price": pl.Float64(),
        "exit_reason": pl.String(),
        "profit": pl.Float64(),
    }
)
"""A row for each closed trade; times are those at which bars begin, as the simulation's are."""

_LOW, _HIGH = Decimal("1e-9"), Decimal("1e9")
_FAR: Final = {"long": (_LOW, _HIGH), "short": (_HIGH, _LOW)}
"""Stop and bound that no price reaches."""
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_REASONS: Final = {"STOP_LOSS_ORDER": "stop", "TAKE_PROFIT_ORDER": "target"}


@dataclass(frozen=True)
class Rule:
    """How signals are traded.

    Attributes
    ----------
    pair, timeframe : str
    horizon : int
        Bars from entry to the time exit.
    weekend : bool
        Whether the last bar before a closure may enter.
    costs : Costs
    units : Decimal
    deposit : Decimal
    """

    pair: str
    timeframe: str
    horizon: int
    weekend: bool = False
    costs: Costs = field(default_factory=Costs)
    units: Decimal = Decimal(1000)
    deposit: Decimal = Decimal(1_000_000_000)


class Signal(NamedTuple):
    """A signal: the place of its bar, its side, and the distances of stop and target."""

    bar: int
    side: Side
    stop: float
    target: float


class Refusal(NamedTuple):
    """An entry that the broker did not fill: when its signal's bar began, and why."""

    signal_time: datetime
    reason: str


class Replayed(NamedTuple):
    """What came of the signals: closed trades (columns of `TRADES`), and what was refused."""

    trades: pl.DataFrame
    refused: list[Refusal]


@dataclass
class _Held:
    signal: Signal
    trade: str
    entered: Transaction
    due: fills.Due


def replay(bars: pl.DataFrame, signals: pl.DataFrame, rule: Rule) -> Replayed:
    """Trade signals one at a time on the paper broker, its clock going from decision to decision.

    Parameters
    ----------
    bars : polars.DataFrame
        Of one pair, ascending.
    signals : polars.DataFrame
        `timestamp` (a bar's), `side` and, null for none, `stop_distance` and `target_distance`:
        ascending, at most one a bar. One whose exit rule reaches past the last bar is not traded.
    rule : Rule
    """
    return _Replay.of(bars, rule).run(_rows(bars, signals))


@dataclass
class _Replay:
    rule: Rule
    starts: list[datetime]
    clock: VirtualClock
    broker: Broker
    calendar: Calendar
    held: _Held | None = None
    free: datetime = _LONG_AGO
    """Signals of bars before the last exit's came while a position was open."""
    seen: int = 0
    closed: list[tuple[object, ...]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @classmethod
    def of(cls, bars: pl.DataFrame, rule: Rule) -> _Replay:
        """Return a replay with an account of its own, in the pair's quote currency."""
        prices = ArrayPrices({(rule.pair, rule.timeframe): bars}, costs=lambda _: rule.costs)
        starts = bars["timestamp"].to_list()
        clock = VirtualClock(starts[0])
        instrument = find(rule.pair)
        broker = PaperBroker(
            prices, Memory(log=False), clock, currency=instrument.quote, deposit=rule.deposit
        )
        return cls(rule, starts, clock, broker, calendar_for(instrument))

    def run(self, signals: Iterator[Signal]) -> Replayed:
        """Decide on each signal when the bar after its own begins."""
        for signal in signals:
            if signal.bar + 1 == len(self.starts) or self._unwanted(signal):
                continue
            now = self.starts[signal.bar + 1]
            self._leave_due(now)
            self._look(now, signal)
            self._decide(now, signal)
        self._leave_due(self.starts[-1])
        return Replayed(pl.DataFrame(self.closed, schema=TRADES, orient="row"), self.refused)

    def _unwanted(self, signal: Signal) -> bool:
        bar, rule = self.starts[signal.bar], self.rule
        return not rule.weekend and fills.closes_market(bar, self.calendar, rule.timeframe)

    def _decide(self, now: datetime, signal: Signal) -> None:
        if self.held is not None:
            if self.held.signal.side != signal.side:
                self._leave(now, "opposite")
        elif self.starts[signal.bar] >= self.free and not self._dead(signal):
            self._enter(signal)

    def _dead(self, signal: Signal) -> bool:
        """Say whether a signal's next bar lies beyond a hole, or its exit beyond the data."""
        bar, rule = signal.bar, self.rule
        if bar + rule.horizon + 1 >= len(self.starts) or math.isnan(signal.stop + signal.target):
            return True
        return fills.is_hole(self.starts[bar], self.starts[bar + 1], self.calendar, rule.timeframe)

    def _enter(self, signal: Signal) -> None:
        fill = _fill(reply := self.broker.enter(self._entry(signal)))
        if fill is None or fill.opened is None:
            self.refused.append(Refusal(self.starts[signal.bar], _reason(reply)))
            return
        rule, last = self.rule, signal.bar + self.rule.horizon + 2
        ahead = self.starts[signal.bar : last]
        due = fills.exit_due(ahead, rule.horizon, self.calendar, rule.timeframe)
        assert due is not None
        self.held = _Held(signal, fill.opened.trade, fill, due)

    def _entry(self, signal: Signal) -> Entry:
        """Return the order; its levels count from the price that it will pay."""
        pair, side = self.rule.pair, signal.side
        price = self.broker.prices([pair])[pair]
        slippage = self.rule.costs.slippage
        paid = fills.entry_price(side, float(price.bid), float(price.ask), slippage)
        stop, bound = _FAR[side]
        target = None
        if math.isfinite(signal.stop):
            stop = exact(fills.stop_level(side, paid, signal.stop))
        if math.isfinite(signal.target):
            target = exact(fills.target_level(side, paid, signal.target))
        timeframe, name = self.rule.timeframe, f"replay-{signal.bar}"
        return Entry(name, pair, side, self.rule.units, bound, stop, target, timeframe)

    def _leave_due(self, now: datetime) -> None:
        if self.held is not None and self.held.due.at <= now:
            self._look(self.held.due.at)
        if self.held is not None and self.held.due.at <= now:
            self._leave(*self.held.due)

    def _leave(self, now: datetime, reason: str) -> None:
        assert self.held is not None
        fill = _fill(self.broker.close(self.held.trade, f"replay-{now}"))
        assert fill is not None, f"no exit at {now}"
        self._close(fill, reason)

    def _look(self, now: datetime, signal: Signal | None = None) -> None:
        """Let time pass, and take note of a stop or target of the trade that is held."""
        self.clock.moment = now
        for line in self.broker.since(self.seen):
            self.seen = line.id
            if self.held is not None and any(c.trade == self.held.trade for c in line.closed):
                self._close(line, self._told(line, now, signal))

    def _told(self, line: Transaction, now: datetime, signal: Signal | None) -> str:
        """Name a stop at an open as what would have left at that open anyway."""
        assert self.held is not None
        if line.at == self.held.due.at:
            return self.held.due.reason
        if line.at == now and signal is not None and signal.side != self.held.signal.side:
            return "opposite"
        return _REASONS[line.reason]

    def _close(self, line: Transaction, reason: str) -> None:
        assert self.held is not None
        assert line.price is not None
        entered, signal = self.held.entered, self.held.signal
        paid, left = float(entered.price or 0), float(line.price)
        times = self.starts[signal.bar], entered.at, line.at
        self.closed.append((*times, signal.side, paid, left, reason, float(line.profit)))
        self.held, self.free = None, line.at


def _rows(bars: pl.DataFrame, signals: pl.DataFrame) -> Iterator[Signal]:
    numbered = bars.select("timestamp").with_row_index("bar")
    found = signals.join(numbered, on="timestamp", how="left", maintain_order="left")
    if found["bar"].null_count():
        raise ValueError("a signal lies on no bar: pass the bars it was made from")
    far = [pl.col(f"{name}_distance").fill_null(math.inf) for name in ("stop", "target")]
    return map(Signal._make, found.select("bar", "side", *far).iter_rows())


def _fill(reply: Reply) -> Transaction | None:
    lines = reply.transactions if isinstance(reply, Done) else ()
    return next((line for line in lines if line.kind == "fill"), None)


def _reason(reply: Reply) -> str:
    return reply.transactions[-1].reason if isinstance(reply, Done) else reply.reason
