"""`sep simulate`: it serves, says how to use it, and ends without a word."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
import pytest

from deployments.sep.simulate import Accelerated
from infra.brokers.simulator.server import ACCOUNT
from infra.stores.bulk import BarStore

COMMAND = [sys.executable, "-m", "deployments.sep.cli", "simulate"]
LINE = re.compile(r"export (SEP_\w+)=(\S+)")


@contextmanager
def running(*options: str) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        told = [LINE.fullmatch(process.stdout.readline().strip()) for _ in range(5)]
        assert all(told), process.communicate(timeout=20)
        yield {found[1]: found[2] for found in told if found}
    finally:
        process.send_signal(signal.SIGINT)
        said, complained = process.communicate(timeout=20)
    assert (process.returncode, said, complained) == (0, "", "")


def client(told: dict[str, str]) -> httpx.Client:
    headers = {"Authorization": f"Bearer {told['SEP_OANDA_TRADING_TOKEN']}"}
    url = f"{told['SEP_OANDA_ENVIRONMENT']}/v3/accounts/{ACCOUNT}"
    return httpx.Client(base_url=url, headers=headers, trust_env=False)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    return tmp_path


def test_it_serves_and_says_how_to_use_it() -> None:
    with running("--pairs", "eurusd,PLANTED", "--balance", "500") as told, client(told) as http:
        assert told["SEP_BROKER"] == "oanda"
        assert told["SEP_OANDA_URL"] == told["SEP_OANDA_ENVIRONMENT"]
        assert told["SEP_OANDA_ENVIRONMENT"].startswith("http://127.0.0.1:")
        assert http.get("/summary").json()["account"]["balance"] == "500.0"
        order = {"type": "MARKET", "instrument": "PLANTED", "units": "10"}
        assert "orderFillTransaction" in http.post("/orders", json={"order": order}).json()
        price = http.get("/pricing", params={"instruments": "EUR_USD"}).json()["prices"][0]
        age = datetime.now(UTC) - datetime.fromisoformat(price["time"][:19] + "+00:00")
        assert age < timedelta(minutes=3)


def test_stored_bars_are_prices(own_home: Path) -> None:
    count, start = 3000, datetime(2020, 1, 6, tzinfo=UTC)
    prices = pl.select(pl.linear_space(1.2, 1.3, count, eager=False)).to_series()
    bars = pl.DataFrame(
        {
            "timestamp": [start + timedelta(minutes=n) for n in range(count)],
            **dict.fromkeys(("open", "high", "low", "close"), prices),
            "volume": pl.Series([5.0] * count),
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    BarStore(own_home / "bars").write("EUR_USD", "M1", bars)
    options = ("--pairs", "EUR_USD", "--prices", "bars", "--speed", "1000")
    with running(*options) as told, client(told) as http:
        candles: list[object] = []
        while not candles:
            query = {"granularity": "M1", "price": "BA"}
            candles = http.get("/instruments/EUR_USD/candles", params=query).json()["candles"]
        assert "bid" in str(candles[0])


def test_a_seed_makes_it_hostile() -> None:
    with running("--hostile", "1", "--rate", "0.05") as told, client(told) as http:
        seen: set[object] = set()
        for _ in range(60):
            try:
                seen.add(http.get("/summary", timeout=0.2).status_code)
            except httpx.HTTPError as error:
                seen.add(type(error))
    assert 200 in seen
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--help"], "Serve a simulated OANDA"),
        (["--pairs", "NOVEL_THING"], "no instrument is known"),
        (["--pairs", ","], "name one"),
        (["--prices", "bars"], "no M1 bars"),
        (["--prices", "x"], "walk or bars"),
        (["--speed", "0"], "greater than or equal to 0.1"),
    ],
)
def test_what_is_wrong_is_said(options: list[str], said: str) -> None:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    assert said in " ".join(text.replace("│", " ").split())
    assert "Traceback" not in text
    assert (done.returncode == 0) == (options == ["--help"])


def test_a_clock_may_run_faster() -> None:
    clock = Accelerated(1000.0, datetime(2026, 1, 1, tzinfo=UTC))
    before = clock.now()
    clock.sleep(10.0)
    assert clock.now() - before >= timedelta(seconds=10)
