"""The engine a flow runs on: its parameter, else the setting, and no silent substitute."""

from __future__ import annotations

import pytest

from flows.backtest import backtest
from kernels.device import EngineUnavailable, gpu_unavailable
from tasks.folder import bar_store
from tasks.intake.rows import planted_rows

PAIR = "PLANTED_FAT"
"""Of which no other test has bars."""


@pytest.mark.skipif(gpu_unavailable() is None, reason="there is a GPU here")
@pytest.mark.usefixtures("database", "prefect_server")
def test_an_engine_that_cannot_run_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = planted_rows(600, timeframe="H1", seed=1, pair=PAIR)
    bar_store().write(PAIR, "H1", rows.drop("source_row", strict=False))
    monkeypatch.setenv("SEP_ENGINE", "gpu")
    with pytest.raises(EngineUnavailable, match="cannot run"):
        backtest(pair=PAIR, timeframe="H1")
    with pytest.raises(ValueError, match="too few"):
        backtest(pair=PAIR, timeframe="H1", engine="cpu")
