"""`sep report`: where a report lies, and what differs between two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.deployments.test_cli import run
from tests.tasks.frames import flat_bars, signals_of

SUMMARY = {
    "verdict": "no edge after costs",
    "money": {"net": 0.5},
    "about": {"pair": "EUR_USD", "seed": 0},
    "hashes": {"data": "ab"},
}


def result(folder: Path, marks: dict[int, str], **changes: Any) -> Path:
    """Write the folder of a run."""
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({**SUMMARY, **changes}))
    (folder / "report.html").write_text("<!doctype html>")
    signals_of(marks, flat_bars(20)).write_parquet(folder / "signals.parquet")
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "backtest"
    result(folder / "first", {1: "long"})
    result(folder / "again", {1: "long"})
    result(folder / "other", {1: "long", 4: "short"}, money={"net": 0.75})
    return folder


def test_a_report_is_found_by_run_folder_and_file(runs: Path, tmp_path: Path) -> None:
    for named in ("first", str(runs / "first"), str(runs / "first" / "summary.json")):
        found = run("report", "show", named, home=tmp_path)
        assert found.stdout.strip() == str(runs / "first" / "report.html")
        assert found.returncode == 0


def test_equal_results_end_with_0(runs: Path, tmp_path: Path) -> None:
    found = run("report", "diff", "first", "again", home=tmp_path)
    assert (found.stdout.strip(), found.returncode) == ("nothing differs", 0)


def test_others_end_with_1_and_say_what_differs(runs: Path, tmp_path: Path) -> None:
    found = run("report", "diff", "first", str(runs / "other" / "summary.json"), home=tmp_path)
    assert found.returncode == 1
    row = next(line for line in found.stdout.splitlines() if "money: net" in line)
    assert row.split()[-3:] == ["0.5", "0.75", "+0.25"]
    assert "signals: 1 and 2; 1 added, 0 removed, 0 changed" in found.stdout


def test_json_tells_all_of_it(runs: Path, tmp_path: Path) -> None:
    found = run("report", "diff", "first", "other", "--json", home=tmp_path)
    told = json.loads(found.stdout)
    assert found.returncode == 1
    assert told["equal"] is False
    assert told["figures"] == [
        {"name": "money: net", "ours": 0.5, "theirs": 0.75, "difference": 0.25}
    ]
    assert told["signals"]["added"] == 1
    assert told["settings"] == told["hashes"] == []


def test_a_summary_without_signals_is_compared_without_them(runs: Path, tmp_path: Path) -> None:
    alone = tmp_path / "kept.json"
    alone.write_text(json.dumps(SUMMARY))
    found = run("report", "diff", "first", str(alone), home=tmp_path)
    assert "signals: not compared" in found.stdout
    assert found.returncode == 0


def test_what_is_not_there_is_said(runs: Path, tmp_path: Path) -> None:
    (runs / "first" / "report.html").unlink()
    (runs / "again" / "summary.json").write_text("{")
    for arguments, words in (
        (("show", "first"), "is not there"),
        (("show", "no/where"), "give a run's folder"),
        (("diff", "first", "again"), "no summary that can be read"),
    ):
        found = run("report", *arguments, home=tmp_path)
        assert found.returncode == 1
        assert found.stderr.startswith("sep: ")
        assert words in found.stderr
