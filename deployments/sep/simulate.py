"""`sep simulate`: a venue on loopback for who has no token, at random prices or stored ones."""

from __future__ import annotations

import signal
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import polars as pl
import typer

from infra.brokers.simulator.faults import Hostile
from infra.brokers.simulator.market import Market, random_minutes
from infra.brokers.simulator.server import Simulator
from infra.brokers.simulator.ticks import widened
from infra.brokers.simulator.venue import usual_rate
from infra.market.instruments import find
from infra.market.quotes import Costs, with_quotes
from infra.settings import settings
from infra.stores.bulk import BarStore

PAST: Final = timedelta(days=7)
FUTURE: Final = timedelta(days=30)
WIDENING: Final = {16: 2.0, 17: 4.0}
"""How many times wider spreads are in hours of New York's evening."""

_WEEK: Final = timedelta(weeks=1)
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True)
class Accelerated:
    """The wall's clock, run faster from a moment on.

    Attributes
    ----------
    speed : float
    start : datetime
    """

    speed: float
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    _began: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        """Return the time of day, in UTC."""
        return self.start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self.speed * (time.monotonic() - self._began)

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds / self.speed)


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def simulate(
    pairs: Annotated[
        str, typer.Option(help="Instruments, with commas between; PLANTED trades at weekends, too.")
    ] = "EUR_USD,USD_JPY,GBP_USD",
    prices: Annotated[
        str,
        typer.Option(help="`walk` (at random) or `bars` (the last month of stored M1 bars)."),
    ] = "walk",
    balance: Annotated[float, typer.Option(min=0, help="What the account begins with.")] = 10_000,
    hostile: Annotated[
        int | None, typer.Option(help="Let requests go wrong, as this seed draws it.")
    ] = None,
    rate: Annotated[
        float, typer.Option(min=0, max=0.05, help="Share of requests for each kind of fault.")
    ] = 0.01,
    speed: Annotated[
        float, typer.Option(min=0.1, max=1000, help="How many times faster its clock runs.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the walks.")] = 0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of loopback; 0: a free one.")] = 0,
) -> None:
    """Serve a simulated OANDA on this machine; no token is needed, and no money moves.

    It prints the settings that make `sep` use it, and runs until Ctrl-C. The account is forgotten
    then.
    """
    if prices not in ("walk", "bars"):
        raise typer.BadParameter("it is walk or bars", param_hint="--prices")
    clock = Accelerated(speed)
    names = dict.fromkeys(find(name).name for name in pairs.split(",") if name.strip())
    if not names:
        raise typer.BadParameter("name one at least", param_hint="--pairs")
    make = _stored if prices == "bars" else _walk
    minutes = {name: make(name, clock.start, seed + n) for n, name in enumerate(names)}
    drawn = None if hostile is None else Hostile(hostile)
    if drawn is not None:
        drawn.rates = dict.fromkeys(drawn.rates, rate)
    simulator = Simulator(
        Market(minutes, clock.start),
        clock=clock,
        balance=Decimal(str(balance)),
        currency=settings().account_currency,
        hostile=drawn,
    )
    _serve(simulator, port)


def _serve(simulator: Simulator, port: int) -> None:
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: over.set())
    with simulator.serve(port=port):
        typer.echo(exports(simulator))
        while not over.wait(0.5):  # a wait without an end would not hear of signals
            pass


def exports(simulator: Simulator) -> str:
    """Return the lines that make a shell use a simulator."""
    told = {
        "SEP_BROKER": "oanda",
        "SEP_OANDA_ENVIRONMENT": simulator.url,
        "SEP_OANDA_TRADING_TOKEN": simulator.token,
        "SEP_OANDA_URL": simulator.url,
        "SEP_OANDA_TOKEN": simulator.token,
    }
    return "\n".join(f"export {name}={value}" for name, value in told.items())


def _walk(pair: str, now: datetime, seed: int) -> pl.DataFrame:
    """Return a week of minutes before now, and a month after."""
    known = find(pair)
    start = (now - PAST).replace(second=0, microsecond=0)
    pip = 10.0 ** -(known.precision - 1)
    minutes = random_minutes(
        start, (PAST + FUTURE) // _MINUTE, seed=seed, level=usual_rate(pair), pip=pip
    )
    return widened(minutes, WIDENING, known.precision)


def _stored(pair: str, now: datetime, _: int) -> pl.DataFrame:
    """Return the stored minutes of a pair, moved by whole weeks: their last month has begun."""
    known = find(pair)
    bars = BarStore(settings().home / "bars").read(pair, "M1")
    if bars.is_empty():
        raise typer.BadParameter(
            f"no M1 bars of {pair} are stored: `sep ingest` some, or use --prices walk",
            param_hint="--prices",
        )
    first, last = bars["timestamp"][0], bars["timestamp"][-1]
    begins = max(last - FUTURE, first)
    moved = (now - begins) // _WEEK * _WEEK
    bars = bars.filter(pl.col("timestamp") >= last - FUTURE - PAST - _WEEK)
    quoted = with_quotes(bars, Costs(known.spread_pips * known.pip or 2 * known.pip))
    return quoted.select(
        time=pl.col("timestamp") + moved,
        volume=pl.col("volume").fill_null(1).cast(pl.Int64),
        **{
            f"{side}_{price[0]}": pl.col(f"{side}_{price}").round(known.precision)
            for side in ("bid", "ask")
            for price in ("open", "high", "low", "close")
        },
    )
