"""When an instrument trades."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from infra.market.hours import calendar_of
from infra.market.instrument import UnknownInstrument

SATURDAY = datetime(2025, 7, 5, 12, tzinfo=UTC)
TUESDAY = datetime(2025, 7, 8, 12, tzinfo=UTC)
CHRISTMAS = datetime(2025, 12, 25, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("pair", "opened"),
    [
        ("EUR_USD", [False, True, False]),
        ("XAU_USD", [False, True, False]),
        ("SPX500_USD", [False, True, False]),
        ("USB10Y_USD", [False, True, False]),
        ("EUR_RON", [False, True, False]),
        ("BTC_USD", [True, True, True]),
        ("PLANTED", [True, True, True]),
        ("PLANTED_FAT", [True, True, True]),
        ("PLANTED_GAPS", [False, True, False]),
    ],
)
def test_who_trades_when(pair: str, opened: list[bool]) -> None:
    moments = pl.Series([SATURDAY, TUESDAY, CHRISTMAS], dtype=pl.Datetime("us", "UTC"))
    assert calendar_of(pair).is_open(moments).to_list() == opened


def test_an_own_entry_chooses_its_calendar(own_home: Path) -> None:
    (own_home / "instruments.toml").write_text("[TULIP_EUR]\ncalendar = 'crypto'\n")
    moments = pl.Series([SATURDAY], dtype=pl.Datetime("us", "UTC"))
    assert calendar_of("tulip/eur").is_open(moments).to_list() == [True]
    with pytest.raises(UnknownInstrument):
        calendar_of("ROSE_EUR")
