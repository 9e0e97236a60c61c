"""Tables of a report, and the page that has all of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import PROJECT
from tasks.reports.format import number
from tasks.reports.report import CAPTIONS, MORE, pictures_of
from tasks.reports.sections import (
    as_markdown,
    calibration_tables,
    choice_rows,
    gate_table,
    period_tables,
    tables_of,
    trials_rows,
)
from tests.tasks.frames import random_predictions
from tests.tasks.reports.test_report import plain, report
from tests.tasks.reports.test_shown import case, judge

GATE = [
    {"name": "DSR", "value": 0.9131, "threshold": 0.95, "passed": False, "why": "of 1,200 trials"},
    {"name": "trades", "value": 1312, "threshold": 100, "passed": True, "why": None},
]
WATERFALL = [
    {"name": "gross", "gain": 0.31},
    {"name": "spread", "gain": -0.12},
    {"name": "net", "gain": 0.19},
]
PLATEAU = {
    "x": {"name": "p.n", "values": [5, 10, 15]},
    "y": {"name": "p.stop", "values": [1.0, 2.0]},
    "value": {"name": "log growth", "rows": [[-0.1, 0.1, 0.05], [0.0, 0.02, -0.03]]},
    "chosen": [10, 2.0],
}
ROW = {"name": "2018", "trades": 1200, "wins": 600, "hit_rate": 0.5, "hit_low": 0.4716}
YEAR = {"year": [ROW | {"hit_high": 0.5284, "net": -0.0213}], "session": [], "hour": []}


def whole() -> dict[str, Any]:
    """What a summary may have besides."""
    return {
        "gate": GATE,
        "waterfall": WATERFALL,
        "plateau": PLATEAU,
        "trials": {"sets": 1200, "effective": 310.4},
        "hashes": {"data": "ab12", "environment": "cd34"},
        "periods": YEAR,
        "shown": {"first": judge(*case()), "second": judge(*case(seed=2))},
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    text = report(folder, random_predictions(2000, seed=1, skill=1.0), more=whole(), pictures=MORE)
    assert list(pictures_of(folder)) == [*MORE, *CAPTIONS]
    return text


def test_a_gate_says_pass_or_fail_with_value_and_threshold() -> None:
    assert gate_table(GATE).rows == [
        ["DSR", "FAIL", "0.9131", "0.95", "of 1,200 trials"],
        ["trades", "PASS", "1,312", "100", ""],
    ]


def test_the_verdict_comes_first_then_gate_money_and_calibration(page: str) -> None:
    words = plain(page.partition("</style>")[2])
    order = [
        *("No edge after costs", "<h3>Gate<", "FAIL", "<dt>Net gain<", "<h2>Pictures<"),
        *("keep its word?", "<h3>Years<", "<h2>Result<", "310.4", "cd34", "How it was made"),
    ]
    places = [words.index(each) for each in order]
    assert places == sorted(places)
    images = re.findall(r'id="([^"]+)"><img', page)
    assert images[:2] == ["waterfall", "plateau"]
    assert images[2:5] == ["equity", "reliability", "coverage"]


def test_it_stays_one_small_file_that_loads_nothing(page: str) -> None:
    assert "://" not in page
    assert "url(" not in page
    assert len(page.encode()) < 3_000_000


def test_each_exit_rule_has_its_tables() -> None:
    titles = [table.title for table in calibration_tables(whole()["shown"])]
    assert titles[:3] == [
        "Calibration, first",
        "Beside simple forecasts, first",
        "Without one learner, first",
    ]
    assert len(titles) == 6
    (brier, skills, ablation) = calibration_tables({"one": judge(*case())})
    assert brier.title == "Calibration"
    assert [row[0] for row in skills.rows][:2] == ["confidence", "base rate"]
    assert skills.rows[1][1:] == ["0", "0", "0"]
    assert re.fullmatch(r"−?0\.\d{4} \(−?0\.\d{4} to −?0\.\d{4}\)", skills.rows[0][1])
    assert [row[0] for row in ablation.rows] == ["knows", "guesses", "idle"]


def test_a_skill_of_nothing_has_no_sign() -> None:
    assert number(-0.00001, 4) == "0.0000"
    assert number(-0.00012, 4) == "−0.0001"


def test_what_cannot_be_shown_says_why() -> None:
    predictions, opinions = case(40)
    (brier,) = calibration_tables({"one": judge(predictions, opinions)})
    assert brier.rows[0][:2] == ["long", "12"]
    assert "Not shown of long: 12 outcomes of at least 20." in brier.note


def test_periods_have_the_wilson_interval() -> None:
    (years,) = period_tables(YEAR)
    assert years.rows == [["2018", "1,200", "50.0 %", "47.2 to 52.8 %", "−2.13 %"]]


def test_trials_go_by_their_names() -> None:
    assert trials_rows({"sets": 1200, "log_days": None}) == [
        ("Sets of parameters that they tried", "1,200"),
        ("log days", "–"),
    ]


def test_a_choice_is_told_with_its_neighbours_and_other_paths() -> None:
    near = {"mean": 0.05, "least": -0.01, "count": 12}
    plateau = {"parameters": {"stop": 4.0, "target": None}, "sharpe": 0.0712, "neighbours": near}
    assert choice_rows(plateau, {"sharpe": [0.02, -0.01, 0.04], "splits": 15}) == [
        ("Chosen: stop", "4"),
        ("Chosen: target", "–"),
        ("Sharpe ratio a day, chosen", "0.071"),
        ("Its neighbours", "0.050 in the mean, −0.010 the least, of 12"),
        ("Sharpe ratio a day on other paths", "0.020 (−0.010 to 0.040, 3)"),
    ]
    assert choice_rows({}, {}) == []


def test_tables_are_told_in_markdown_too() -> None:
    told = tables_of({"gate": GATE, "periods": YEAR})
    assert [len(tables) for tables in told.values()] == [1, 0, 0, 1]
    lines = as_markdown(told["gate"]).splitlines()
    assert lines[:4] == [
        "### Gate",
        "",
        "| Check | Result | Value | Threshold | Why |",
        "| --- | --- | --- | --- | --- |",
    ]
    assert len(lines) == 8
    assert lines[5].startswith("| trades | PASS |")


def test_a_plateau_that_is_no_map_is_not_drawn(tmp_path: Path) -> None:
    plateau = {"parameters": {"p.n": 12.0}, "trades": 40}
    text = report(tmp_path, random_predictions(600, seed=1), more={"plateau": plateau})
    assert "Chosen: p.n" in text
    assert 'id="plateau"' not in text


WRITE = """
import sys
from pathlib import Path
from tests.tasks.frames import random_predictions
from tests.tasks.reports.test_report import report
from tests.tasks.reports.test_sections import whole
from tasks.reports.report import MORE
report(Path(sys.argv[1]), random_predictions(2000, seed=1, skill=1.0), more=whole(), pictures=MORE)
"""


def test_the_same_inputs_make_the_same_bytes(page: str, tmp_path: Path) -> None:
    """In another process, whose sets come in another order."""
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    variables = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", WRITE, str(tmp_path)]
    subprocess.run(command, check=True, env=variables, cwd=PROJECT)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
