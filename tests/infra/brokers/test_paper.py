"""The paper broker: prices, slippage, and how a trade ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from infra.brokers.paper import Exit, Holding, NoPrice, Order, PaperBroker
from infra.market.quotes import Costs
from infra.stores.bulk import BarStore

START = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUY = Order("a-1-entry", "EUR_USD", "H1", "long", 1000.0)
SELL = Order("a-2-entry", "EUR_USD", "H1", "short", 1000.0)


def broker(folder: Path, *closes: float, spread: float = 0.02, quoted: bool = False) -> PaperBroker:
    opens = [closes[0], *closes[:-1]]
    bars = pl.DataFrame(
        {
            "timestamp": [START + n * HOUR for n in range(len(closes))],
            "open": opens,
            "high": [max(pair) for pair in zip(opens, closes, strict=True)],
            "low": [min(pair) for pair in zip(opens, closes, strict=True)],
            "close": closes,
            "volume": [None] * len(closes),
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "volume": pl.Float64},
    )
    if quoted:
        prices = ("open", "high", "low", "close")
        bars = bars.with_columns(
            *(pl.col(p).sub(0.3).alias(f"bid_{p}") for p in prices),
            *(pl.col(p).add(0.3).alias(f"ask_{p}") for p in prices),
        )
    store = BarStore(folder)
    store.write("EUR_USD", "H1", bars)
    return PaperBroker(store, costs=lambda pair: Costs(spread, 0.001))


def holding(side: str = "long", **barriers: float) -> Holding:
    stop, target = barriers.get("stop"), barriers.get("target")
    return Holding("EUR_USD", "H1", side, START, 3, stop, target)


def test_an_order_fills_at_the_open_of_the_bar_that_starts_now(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.1, 1.2)
    bought = paper.send(BUY, now=START + 2 * HOUR, bar=HOUR)
    sold = paper.send(SELL, now=START + 2 * HOUR, bar=HOUR)
    assert bought.price == pytest.approx(1.1 + 0.01 + 0.001)
    assert sold.price == pytest.approx(1.1 - 0.01 - 0.001)
    assert bought.transaction == paper.send(BUY, now=START, bar=HOUR).transaction


def test_a_closing_order_pays_no_slippage(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.1)
    closed = paper.send(SELL, now=START + HOUR, bar=HOUR, opening=False)
    assert closed.price == pytest.approx(1.0 - 0.01)


def test_a_rate_is_of_the_newest_bars_whatever_their_length(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.1, 1.2)
    minutes = paper.store.read("EUR_USD", "H1").head(1)
    paper.store.write("EUR_USD", "M1", minutes.with_columns(open=pl.lit(0.9), low=pl.lit(0.9)))
    rates = [paper.rate("GBP_EUR", START + n * HOUR) for n in (-1, 0, 2)]
    assert [value for value, _ in rates] == [None, 0.9, 1.1]
    assert [missing is None for _, missing in rates] == [False, True, True]
    assert paper.rate("EUR_USD", START - HOUR) == paper.rate("PLANTED", START) == (1.0, None)


def test_bars_with_bid_and_ask_are_used_as_they_are(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.1, quoted=True)
    assert paper.send(BUY, now=START, bar=HOUR).price == pytest.approx(1.301)


def test_the_last_close_counts_for_one_bar_and_then_there_is_no_price(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.1)
    assert paper.send(BUY, now=START + 2 * HOUR, bar=HOUR).price == pytest.approx(1.111)
    with pytest.raises(NoPrice, match="is `ingest` running"):
        paper.send(BUY, now=START + 3 * HOUR, bar=HOUR)


@pytest.mark.parametrize(
    ("held", "closes", "ended"),
    [
        (holding(), (1.0, 1.1, 1.2, 1.3, 1.4), Exit(1.3 - 0.01, START + 4 * HOUR, "time")),
        (holding(stop=0.9), (1.0, 1.0, 0.8, 0.8), Exit(0.9, START + 2 * HOUR, "stop")),
        (holding(stop=0.995), (1.0, 1.0, 1.0), Exit(0.99, START + HOUR, "stop")),
        (holding(target=1.2), (1.0, 1.1, 1.3), Exit(1.2, START + 2 * HOUR, "target")),
        (holding("short", stop=1.2), (1.0, 1.1, 1.3), Exit(1.2, START + 2 * HOUR, "stop")),
        (holding("short", target=0.9), (1.0, 1.0, 0.8), Exit(0.9, START + 2 * HOUR, "target")),
    ],
    ids=["time", "stop", "gap through the stop", "target", "short stop", "short target"],
)
def test_a_trade_ends_as_the_exit_rule_says(
    tmp_path: Path, held: Holding, closes: tuple[float, ...], ended: Exit
) -> None:
    paper = broker(tmp_path, *closes)
    found = paper.exit_of(held, now=START + len(closes) * HOUR, bar=HOUR)
    assert found is not None
    assert found.price == pytest.approx(ended.price)
    assert (found.at, found.reason) == (ended.at, ended.reason)


def test_a_bars_range_counts_only_once_it_is_closed(tmp_path: Path) -> None:
    paper = broker(tmp_path, 1.0, 1.0, 0.8, 0.8)
    early = START + 2 * HOUR + timedelta(minutes=59)
    assert paper.exit_of(holding(stop=0.9), now=early, bar=HOUR) is None
    assert paper.exit_of(holding(stop=0.9), now=START + 3 * HOUR, bar=HOUR) is not None
