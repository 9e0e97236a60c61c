"""The demo: the whole way on real hours and on the planted walk, in one command."""

from __future__ import annotations

import re
from pathlib import Path

from tests.stack import Stack


def test_the_demo_shows_the_whole_way(stack: Stack) -> None:
    screen = stack.sep("demo", "--bars", "6000", "--seed", "5", "--replay", "24").stdout
    assert len(re.findall(r"^✓ (?:ingest|backtest|signals|execute)/", screen, re.MULTILINE)) == 8
    assert "EUR_USD H1: no edge after costs" in screen
    assert "published as shadow" in screen
    assert "published as live" in screen
    assert "seed 5" in screen
    reports = [Path(path) for path in re.findall(r"\S+/report\.html", screen)]
    assert len(reports) == 2
    assert all(report.is_file() for report in reports)
    assert f"{stack.api_url.removesuffix('/api')}/runs" in screen
    assert "sep down" in screen
