"""What `train_all` asks for: series, a strategy's other streams, texts of files, pinned bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flows.train import TrainRequest
from flows.train_all import TrainAllRequest
from infra.postgres.database import engine
from infra.stores.offers import NotOffered
from tasks.folder import bar_store, bars_of
from tasks.intake.rows import planted_rows
from tasks.research.measure import BarsError
from tasks.rules import texts
from tasks.strategy.language.errors import DslError
from tasks.train import lacking, pinned_store
from tasks.train_all import files_of, find_series, needed, pin_bars


def test_enabled_pairs_are_trained_unless_others_are_named(database: str) -> None:
    with engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO pairs VALUES ('EUR_USD', 'H1', true), ('EUR_USD', 'M5', true), "
            "('GBP_USD', 'H1', false)"
        )
    assert find_series.fn(None, None) == ["EUR_USD H1", "EUR_USD M5"]
    assert find_series.fn(None, ["M5"]) == ["EUR_USD M5"]
    assert find_series.fn(["USD_JPY", "EUR_USD"], None) == ["EUR_USD H1", "USD_JPY H1"]
    with pytest.raises(BarsError, match="no pair of D1 is enabled"):
        find_series.fn(None, ["D1"])


def test_a_pair_neither_leads_itself_nor_is_asked_for_nonsense() -> None:
    request = TrainAllRequest(leads=["EUR_USD", "GBP_USD"], tries=3)
    asked = TrainRequest.model_validate(request.of("EUR_USD H1"))
    assert (asked.pair, asked.timeframe, asked.leads, asked.tries) == (
        "EUR_USD",
        "H1",
        ["GBP_USD"],
        3,
    )
    with pytest.raises(ValidationError, match="spread=hours goes by all bars"):
        TrainAllRequest(spread="hours")
    nonsense: list[dict[str, Any]] = [{"tries": -1}, {"holdout": 0.6}, {"pairs": []}]
    for wrong in nonsense:
        with pytest.raises(ValidationError):
            TrainAllRequest(**wrong)
    assert needed("damped", "EUR_USD H1", asked.leads) == ["EUR_USD H1", "GBP_USD H1"]


def test_a_strategy_of_a_file_travels_as_text(tmp_path: Path) -> None:
    file = tmp_path / "mine.sep"
    file.write_text((texts.EXAMPLES / "damped_consensus.sep").read_text())
    files = files_of(str(file), "EUR_USD H1")
    here = texts.find(str(file), "EUR_USD", "H1")
    file.unlink()
    assert texts.of_texts(str(file), "EUR_USD", "H1", files) == here
    assert here.open().title == "mine"
    assert files_of("damped_consensus", "EUR_USD H1") == {}
    for wrong in ({"other.sep": ""}, {**files, "../x.sep": ""}, {**files, "/x.sep": ""}):
        with pytest.raises(DslError, match="the texts of"):
            texts.of_texts(str(file), "EUR_USD", "H1", wrong)


def test_pinned_bars_are_read_whatever_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    rows = planted_rows(60, timeframe="H1", seed=1).drop("source_row")
    bar_store().write("PLANTED", "H1", rows.head(50))
    bars = pin_bars.fn(["PLANTED H1"])
    bar_store().write("PLANTED", "H1", rows)
    assert lacking(bars) == {}
    with bars_of(pinned_store(bar_store(), bars)):
        assert len(bar_store().read("PLANTED", "H1")) == 50
    assert len(bar_store().read("PLANTED", "H1")) == 60
    others = {"PLANTED H1": "0" * 64}
    assert lacking(others) == others
    with pytest.raises(NotOffered, match="are gone"):
        pinned_store(bar_store(), others)
    with pytest.raises(BarsError, match="no bars of PLANTED M5 on this machine"):
        pin_bars.fn(["PLANTED H1", "PLANTED M5"])
