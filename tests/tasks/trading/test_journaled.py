"""What the executor journals over recorded bars is what the replay in memory trades."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from infra.market.instruments import usual_costs
from infra.postgres.database import read_frame, session
from infra.stores.bulk import BarStore
from tasks.trading.replay import Rule, replay
from tests.tasks.frames import random_bars, random_signals
from tests.tasks.trading.desk import model
from tests.tasks.trading.walk import run, signal

NO_LIMITS = """
cool_down_after = "off"
daily_loss = "off"
max_entries = "off"
trailing_drawdown = "off"
"""
HOURS, HORIZON = 120, 6
COLUMNS = """
SELECT opened_at AS entry_time, closed_at AS exit_time, side, entry_price::float8,
    exit_price::float8, exit_reason
FROM position WHERE closed_at IS NOT NULL ORDER BY opened_at
"""


@pytest.fixture
def unlimited(database: str, home: Path) -> Iterator[BarStore]:
    shutil.rmtree(home / "bars", ignore_errors=True)
    (home / "risk.toml").write_text(NO_LIMITS)
    yield BarStore(home / "bars")
    (home / "risk.toml").unlink()


def test_every_trade_agrees(unlimited: BarStore) -> None:
    bars = random_bars(HOURS, seed=4)
    unlimited.write("PLANTED", "H1", bars)
    unit = float(np.std(np.diff(bars["close"].to_numpy()))) * 3
    signals = random_signals(bars, seed=2, share=0.15)
    with session() as opened:
        opened.add(model())
    distances = {"stop_distance": unit, "target_distance": 1.2 * unit}
    for row in signals.iter_rows(named=True):
        at, side = row["timestamp"], row["side"]
        action = "BUY" if side == "long" else "SELL"
        told = {"side": side, "action": action, "horizon": HORIZON}
        signal(at, **{**told, **distances})
    for start in bars["timestamp"]:
        run("replay-1", start)
    ours = read_frame(COLUMNS)
    rule = Rule("PLANTED", "H1", HORIZON, costs=usual_costs("PLANTED"))
    columns = {name: pl.lit(value) for name, value in distances.items()}
    theirs = replay(bars, signals.with_columns(**columns), rule).trades
    assert theirs.height - 1 <= ours.height >= 5
    theirs = theirs.head(ours.height)  # the last one is open here, at the end of the bars
    for name in ("entry_time", "side", "exit_reason"):
        assert ours[name].to_list() == theirs[name].to_list()
    for name in ("entry_price", "exit_price"):
        assert ours[name].to_list() == pytest.approx(theirs[name].to_list(), rel=1e-12)
