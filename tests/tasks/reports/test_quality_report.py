"""The quality report: lines and verdicts, pictures, and the step that makes them."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image

from infra.bars import PRICES, QUOTES
from infra.market.week import Week
from tasks.folder import bar_store
from tasks.intake.quality import quality
from tasks.intake.rows import planted_rows
from tasks.reports.quality_pictures import CAPTIONS, draw_quality
from tasks.reports.quality_report import (
    Line,
    as_markdown,
    as_table,
    check_bars,
    report,
    sentence,
    verdict,
)
from tests.tasks.intake.test_quality import CALENDAR, put, take, weeks


def judged(bars: pl.DataFrame, timeframe: str = "M5", **changes: Any) -> dict[str, Line]:
    told = replace(quality(bars, timeframe, CALENDAR, pair="EUR_USD"), **changes)
    return {line.metric: line for line in report(told)}


def clean(timeframe: str = "M5") -> pl.DataFrame:
    return weeks(timeframe, spread=1e-4)


def test_clean_bars_are_ok_in_every_line() -> None:
    told = quality(clean(), "M5", CALENDAR, pair="EUR_USD")
    assert {line.verdict for line in report(told)} == {"ok"}
    assert verdict(told) == "ok"
    assert sentence(told) == "EUR_USD M5: nothing stands out."
    assert "|" not in as_markdown(told)
    assert [row["metric"] for row in as_table(told)] == [line.metric for line in report(told)]
    assert {len(row) for row in as_table(told)} == {4}


@pytest.mark.parametrize(
    ("metric", "changes", "verdict"),
    [
        ("Week", {"week": Week.utc("Mon 00:00", "Fri 21:00")}, "ok"),
        ("Week", {"week": replace(Week.utc("Mon 00:00", "Fri 21:00"), inferred=True)}, "look"),
        ("Week", {"week": replace(Week.forex(break_minutes=5), inferred=True)}, "ok"),
        ("Outside sessions", {"outside": 3}, "look"),
        ("Outside sessions", {"outside": 300}, "bad"),
        ("Duplicates", {"exact": 900}, "ok"),
        ("Duplicates", {"conflicting": 1}, "look"),
        ("Duplicates", {"conflicting": 30}, "bad"),
        ("Flat runs", {"flat_bars": 10}, "ok"),
        ("Flat runs", {"flat_bars": 11}, "look"),
        ("Flat runs", {"flat_bars": 61}, "bad"),
        ("Zero returns", {"zero_returns": 0.2}, "look"),
        ("Zero returns", {"zero_returns": 0.38}, "bad"),
        ("Decimals", {"price_step": 0.5}, "look"),
        ("Decimals", {"price_step": 0.8}, "bad"),
        ("Decimals", {"coarser": 0.4}, "look"),
        ("Spreads of zero or less", {"negative": 0.001}, "look"),
        ("Spreads of zero or less", {"negative": 0.0, "zero": 0.02}, "bad"),
        ("Volume", {"volume": 0.5}, "look"),
        ("Volume", {"volume": 0.0}, "ok"),
    ],
)
def test_verdicts_follow_the_limits(metric: str, changes: dict[str, Any], verdict: str) -> None:
    lines = judged(clean(), **changes)
    assert lines[metric].verdict == verdict
    others = {line.verdict for name, line in lines.items() if name != metric}
    assert others == {"ok"}


@pytest.mark.parametrize(
    ("removed", "verdicts"), [(20, ("ok", "ok")), (60, ("look", "look")), (200, ("bad", "look"))]
)
def test_missing_bars_and_cut_segments(removed: int, verdicts: tuple[str, str]) -> None:
    lines = judged(take(clean(), 400, removed))
    assert (lines["Completeness"].verdict, lines["Unscheduled gaps"].verdict) == verdicts
    assert f"longest {removed} bars" in lines["Unscheduled gaps"].value


def test_long_bars_may_not_stand_still_for_hours() -> None:
    bars = clean("H1")
    still = pl.int_range(pl.len()).is_between(30, 33)
    flat = bars.with_columns(pl.when(still).then(1.2).otherwise(p).alias(p) for p in PRICES)
    assert judged(flat, "H1")["Flat runs"].verdict == "look"


def test_without_quotes_costs_are_assumed() -> None:
    lines = judged(clean().drop(QUOTES))
    assert (lines["Spread"].value, lines["Spread"].verdict) == ("unknown", "look")
    assert lines["Spreads of zero or less"].verdict == "ok"


def test_the_ten_longest_gaps_are_listed_longest_first() -> None:
    bars = clean()
    for gap in range(12):
        bars = take(bars, 100 + 90 * gap, 1 + gap)
    markdown = as_markdown(quality(bars, "M5", CALENDAR, pair="EUR_USD"))
    rows = [line for line in markdown.splitlines() if line.startswith("| 2018")]
    assert [int(row.split("|")[3]) for row in rows] == list(range(12, 2, -1))
    assert "Longest of 12 unscheduled gaps" in markdown


def test_no_bars_is_one_bad_line() -> None:
    told = quality(clean().head(0), "M5")
    assert [(line.metric, line.verdict) for line in report(told)] == [("Bars", "bad")]
    assert sentence(told) == "M5: bad are bars."


def opened(png: bytes) -> set[tuple[int, ...]]:
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.width) == ("PNG", 1088)
    assert len(png) < 60_000
    return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or []}  # type: ignore[misc]


ORANGE = (213, 94, 0)


def test_pictures_are_small_and_show_a_missing_day() -> None:
    bars = clean()
    pictures = draw_quality(quality(bars, "M5", CALENDAR, pair="EUR_USD"))
    assert list(pictures) == list(CAPTIONS)
    spoilt = draw_quality(quality(take(bars, 400, 280), "M5", CALENDAR, pair="EUR_USD"))
    sizes = []
    for png in (pictures["completeness"], spoilt["completeness"]):
        image = Image.open(io.BytesIO(png)).convert("RGB")
        sizes.append(sum(n for n, c in image.getcolors(1 << 24) or [] if c == ORANGE))
    assert sizes[1] > sizes[0] + 50
    assert all(len(opened(png)) > 3 for png in pictures.values())


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_pictures_of_next_to_nothing(rows: int) -> None:
    told = quality(clean().head(rows), "M5", pair="EUR_USD")
    for png in draw_quality(told).values():
        assert opened(png)


def test_pictures_without_quotes_and_without_moves() -> None:
    bars = clean().drop(QUOTES).with_columns(pl.lit(1.5).alias(name) for name in PRICES)
    assert list(draw_quality(quality(bars, "M5", CALENDAR, pair="EUR_USD"))) == [
        "completeness",
        "returns",
    ]


def step_inputs(folder: Path, **reasons: int) -> tuple[dict[str, Any], dict[str, Any]]:
    raw = pl.DataFrame({"source_row": [1, 2], "timestamp": ["a", "a"], "close": [1.0, 1.0]})
    bad = pl.DataFrame({"source_row": [2], "reason": ["duplicate timestamp"], "raw": ["{}"]})
    raw.write_parquet(folder / "raw.parquet")
    bad.write_parquet(folder / "quarantine.parquet")
    quarantine = str(folder / "quarantine.parquet")
    return {"raw": str(folder / "raw.parquet")}, {"quarantine": quarantine, "reasons": reasons}


@pytest.fixture
def store(home: Path) -> Path:
    shutil.rmtree(home / "bars", ignore_errors=True)
    return home


def checked(folder: Path, **reasons: int) -> dict[str, Any]:
    fetched, validated = step_inputs(folder, **reasons)
    return check_bars(fetched, validated, pair="PLANTED", timeframe="H1", content="x")


@pytest.mark.usefixtures("store")
def test_the_step_judges_what_is_stored_and_leaves_pictures(tmp_path: Path) -> None:
    bars = planted_rows(3000, timeframe="H1", seed=1).drop("source_row")
    bar_store().write("PLANTED", "H1", bars)
    told = checked(tmp_path, **{"duplicate timestamp": 1})
    assert json.loads(json.dumps(told)) == told
    lines = {row["metric"]: row["value"] for row in told["table"]}
    assert lines["Week"] == "around the clock"
    assert lines["Completeness"] == "100.000 %"
    assert lines["Duplicates"] == "1 exact, 0 conflicting"
    assert all(caption in told["markdown"] for caption in CAPTIONS.values())
    inlined = re.findall(r"!\[\]\(data:image/png;base64,(.*?)\)", told["markdown"])
    assert len(inlined) == 3
    assert all(opened(base64.b64decode(png)) for png in inlined)
    assert told["sentence"] in told["markdown"]


@pytest.mark.usefixtures("store")
def test_the_step_on_an_empty_store(tmp_path: Path) -> None:
    told = checked(tmp_path)
    assert (told["verdict"], len(told["table"])) == ("bad", 1)


def test_a_defect_moves_one_line_alone() -> None:
    bars = clean()
    spoilt = put(bars, 90, high=round(bars["high"][90] * 1.01, 5))
    before, after = judged(bars), judged(spoilt)
    assert [name for name in after if after[name] != before[name]] == ["Spikes that return"]
    assert after["Spikes that return"].verdict == "look"
