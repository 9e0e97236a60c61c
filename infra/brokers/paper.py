"""The paper broker: fills at recorded prices, keeps the stop, and never fills an order twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from infra.bars import TIME
from infra.errors import SepError
from infra.market.currencies import rate
from infra.market.instruments import find, usual_costs
from infra.market.quotes import Costs, with_quotes
from infra.market.timeframes import TIMEFRAMES
from infra.stores.bulk import BarStore


@dataclass(frozen=True)
class Order:
    """A market order; `client_id` is the sender's own name for it."""

    client_id: str
    pair: str
    timeframe: str
    side: str
    units: float


@dataclass(frozen=True)
class Execution:
    """What a broker reports of an order; `transaction` is the broker's own number."""

    transaction: str
    price: float
    at: datetime


@dataclass(frozen=True)
class Holding:
    """An open trade as the broker knows it, its stop and target with it."""

    pair: str
    timeframe: str
    side: str
    signal_bar: datetime
    horizon: int
    stop_price: float | None
    target_price: float | None


@dataclass(frozen=True)
class Exit:
    """How a trade ended."""

    price: float
    at: datetime
    reason: str


class NoPrice(SepError, RuntimeError):
    """The broker has no price young enough: the order is not filled."""


@dataclass(frozen=True)
class PaperBroker:
    """Fills orders at the prices of the bulk store.

    Attributes
    ----------
    store : BarStore
        Recorded bars; those with bid and ask are used as they are.
    costs : callable
        Tells a pair's costs: the spread of bars without bid and ask, the slippage of entries.
    currency : str
        The account's, in which money is told.
    """

    store: BarStore
    costs: Callable[[str], Costs] = usual_costs
    currency: str = "USD"

    def send(
        self, order: Order, *, now: datetime, bar: timedelta, opening: bool = True
    ) -> Execution:
        """Fill a market order at the open of the bar that starts now, or at the last close.

        Parameters
        ----------
        order : Order
        now : datetime
        bar : timedelta
            Length of a bar.
        opening : bool
            Whether the order opens a position: only then is slippage paid.

        Raises
        ------
        NoPrice
            If no bar starts within one bar's length of `now`, or ended that recently.
        """
        side = "ask" if order.side == "long" else "bid"
        slippage = self.costs(order.pair).slippage if opening else 0.0
        cost = slippage if order.side == "long" else -slippage
        near = self._quotes(order.pair, order.timeframe, now - 2 * bar, now + bar)
        starting = near.filter((pl.col("timestamp") >= now) & (pl.col("timestamp") < now + bar))
        closed = near.filter(
            (pl.col("timestamp") + bar <= now) & (pl.col("timestamp") + 2 * bar > now)
        )
        if not starting.is_empty():
            price = float(starting[f"{side}_open"][0])
        elif not closed.is_empty():
            price = float(closed[f"{side}_close"][-1])
        else:
            raise NoPrice(f"no {order.pair} price within {bar} of {now}: is `ingest` running?")
        return Execution(f"paper-{order.client_id}", price + cost, now)

    def exit_of(self, holding: Holding, *, now: datetime, bar: timedelta) -> Exit | None:
        """Say how and when a trade ended, if it has by `now` (docs/mathematics.md, "Outcomes").

        A bar's open counts from its start, its range only once it is closed.

        Parameters
        ----------
        holding : Holding
        now : datetime
            With a zone.
        bar : timedelta
            Length of a bar.
        """
        side = "bid" if holding.side == "long" else "ask"
        since = self._quotes(
            holding.pair, holding.timeframe, holding.signal_bar + bar, now + timedelta.resolution
        )
        for held, row in enumerate(since.iter_rows(named=True)):
            start = row["timestamp"]
            opened = row[f"{side}_open"]
            if held == holding.horizon:
                return Exit(opened, start, "time")
            ended = self._touched(holding, row, side, closed=start + bar <= now)
            if ended is not None:
                return Exit(ended[0], start, ended[1])
        return None

    def rate(self, pair: str, at: datetime) -> tuple[float | None, str | None]:
        """Return what a unit of a pair's quote currency is worth to the account, or why not known.

        Parameters
        ----------
        pair : str
        at : datetime
            With a zone.
        """
        times = pl.Series([at], dtype=TIME)
        values, missing = rate(find(pair).quote, self.currency, times, self._bars)
        return values[0], missing

    def _bars(self, pair: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Return the bars of a pair between two times that reach furthest, the shortest first."""

        def last(bars: pl.DataFrame) -> datetime:
            return start if bars.is_empty() else bars["timestamp"][-1]

        return max((self.store.read(pair, each, start, end) for each in TIMEFRAMES), key=last)

    def _touched(
        self, holding: Holding, row: dict[str, float], side: str, *, closed: bool
    ) -> tuple[float, str] | None:
        sign = 1.0 if holding.side == "long" else -1.0
        worst, best = ("low", "high") if sign > 0 else ("high", "low")
        stop, target = holding.stop_price, holding.target_price
        if stop is not None and sign * row[f"{side}_open"] <= sign * stop:
            return row[f"{side}_open"], "stop"
        if stop is not None and closed and sign * row[f"{side}_{worst}"] <= sign * stop:
            return stop, "stop"
        if target is not None and closed and sign * row[f"{side}_{best}"] >= sign * target:
            return target, "target"
        return None

    def _quotes(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        bars = self.store.read(pair, timeframe, start=start, end=end)
        return with_quotes(bars, self.costs(pair))
