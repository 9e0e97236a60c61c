"""The statement as people see it: Markdown, a picture, files."""

from __future__ import annotations

import io
from datetime import date, timedelta
from pathlib import Path

import pytest
from PIL import Image

from tasks.reports.statement_pictures import draw_statement
from tasks.reports.statement_report import as_markdown, keep, path_of, shown
from tasks.trading.shadow import Comparison
from tasks.trading.statement import Statement, span

DAY = date(2026, 3, 3)
START, END = span(DAY)
FILL = {
    "at": START + timedelta(hours=9),
    "pair": "EUR_USD",
    "strategy": "damped",
    "kind": "exit",
    "side": "short",
    "units": 1000.0,
    "price": 1.10123,
    "slippage": 0.4,
    "spread": 0.05,
    "profit": -1.25,
    "financing": 0.0,
    "commission": 0.1,
    "reason": "ti|me",
}


def stands(hours: float, balance: float) -> dict[str, object]:
    figures = {"balance": balance, "equity": balance + hours, "margin_used": 0.0}
    return {"timestamp": START + timedelta(hours=hours), **figures, "open_trades": 1}


@pytest.fixture
def told() -> Statement:
    curve = [stands(-3, 100_000), stands(2, 100_000), stands(9, 99_998.75)]
    return Statement("001-1", "EUR", DAY, START, END, [FILL], curve)


@pytest.fixture
def nothing() -> Statement:
    return Statement("001-1", "EUR", DAY, START, END, [], [])


def test_it_holds_every_table(told: Statement) -> None:
    both = Comparison([], [7], [])
    text = as_markdown(told, both, b"png")
    for title in ("Day, EUR", "By pair", "By strategy", "Fills", "Signals that only one traded"):
        assert f"## {title}\n" in text
    assert "data:image/png;base64,cG5n" in text
    assert "ti\\|me" in text
    assert "99,998.75" in text


@pytest.mark.parametrize("name", ["told", "nothing"])
def test_the_picture_is_one(name: str, request: pytest.FixtureRequest) -> None:
    drawn = Image.open(io.BytesIO(draw_statement(request.getfixturevalue(name))))
    assert drawn.size[0] > 800


def test_it_is_kept_under_a_safe_name(
    told: Statement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    text, picture = keep(told, None)
    assert text == tmp_path / "statements" / "001-1" / "2026-03-03.md"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "## Fills" in text.read_text()
    assert path_of("../../shadow:x", "2026-03-03").parent.parent == tmp_path / "statements"


def test_values_are_short() -> None:
    assert [shown(v) for v in (None, 1.23456789, 12345.678, 3, "x")] == [
        "–", "1.2346", "12,345.68", "3", "x",
    ]  # fmt: skip
