"""The flow `execute` at a simulated venue, beside its shadow on paper."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from flows.execute import execute
from infra.brokers.simulator.market import Market
from infra.brokers.simulator.server import ACCOUNT, Simulator
from infra.clock import WallClock
from infra.postgres import database as db
from infra.postgres.database import session
from infra.postgres.models import Base
from infra.stores.bulk import BarStore
from tasks.trading.shadow import compare
from tests.flows.test_ingest import artifacts, latest_run
from tests.flows.test_ingest_oanda import logs
from tests.tasks.trading.desk import model, positions
from tests.tasks.trading.walk import HOUR, minutes, signal, this_hour

pytestmark = pytest.mark.usefixtures("prefect_server", "database")

TOKEN = "canary-7f3a9c"
SHADOW = f"shadow:{ACCOUNT}"


@pytest.fixture
def venue(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """PLANTED stands still at the venue, two pips wide, and on paper without a spread."""
    shutil.rmtree(home / "bars", ignore_errors=True)
    start = this_hour() - 3 * HOUR
    kept = minutes(start, 8 * 60).rename({"time": "timestamp"})
    prices = {name: pl.lit(100.0) for name in ("open", "high", "low", "close")}
    bars = kept.select("timestamp", volume=pl.col("volume").cast(pl.Float64)).with_columns(**prices)
    BarStore(home / "bars").write("PLANTED", "M1", bars)
    market = Market({"PLANTED": minutes(start, 8 * 60, half=0.01)})
    with Simulator(market, token=TOKEN, clock=WallClock()).serve() as simulator:
        for name, value in {
            "BROKER": "oanda",
            "OANDA_TRADING_TOKEN": TOKEN,
            "OANDA_ENVIRONMENT": simulator.url,
            "DEAD_MAN_MINUTES": "0",
        }.items():
            monkeypatch.setenv(f"SEP_{name}", value)
        yield simulator


def test_the_same_signal_is_traded_there_and_on_paper(venue: Simulator) -> None:
    assert execute()["account"] == ACCOUNT  # the token's only one
    with session() as opened:
        opened.add(model())
    signal(this_hour() - HOUR)
    done = execute()
    assert done["entered"] == 1, logs()
    assert {each.account for each in positions()} == {ACCOUNT, SHADOW}
    assert "execution-shadow" in artifacts(latest_run().id)
    both = compare(ACCOUNT, this_hour() - HOUR, this_hour() + 2 * HOUR)
    (row,) = both.rows
    assert row["entry"] > 0  # half the spread, which paper does not pay here
    (trade,) = venue.look().book.trades.values()
    assert trade.stop is not None
    assert_the_token_is_nowhere()


def assert_the_token_is_nowhere() -> None:
    """Neither in a table, nor in what the run said or left."""
    with db.engine().connect() as connection:
        for table in Base.metadata.tables:
            rows = connection.exec_driver_sql(f'SELECT * FROM "{table}"').all()
            assert TOKEN not in str(rows), table
    assert TOKEN not in logs()
    assert TOKEN not in str(artifacts(latest_run().id))


def test_a_shadow_that_fails_fails_no_run(home: Path, venue: Simulator) -> None:
    execute()
    for path in (home / "bars").rglob("*.parquet"):
        path.write_bytes(b"damaged")
    with db.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE paper_account SET state = '[7]'")
    assert execute()["state"] == "done"
    assert f"{SHADOW} did not trade" in logs()


def test_without_a_shadow_there_is_none(venue: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_SHADOW", "false")
    begin = len(venue.requests)
    execute()
    assert len(venue.requests) > begin
    accounts = db.read_frame("SELECT account FROM equity")["account"].to_list()
    assert accounts == [ACCOUNT]
