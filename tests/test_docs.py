"""docs/mathematics.md says what the code does: constants, learners, walks, pictures, sections.

So do the constants and the sources of docs/evaluation.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf
from pydoc import locate
from typing import Any

import numpy as np
import pytest

from infra.market import fills
from infra.settings import PROJECT
from kernels.segments import segments
from kernels.synthetic import WALKS
from tasks.research.learners import boosted
from tasks.research.learners.linear import Logistic
from tasks.research.learners.roster import LEARNERS
from tasks.research.learners.rows import Rows

HOUR = timedelta(hours=1)
FOLDER = PROJECT / "docs"
TEXT = (FOLDER / "mathematics.md").read_text()
EVALUATION = (FOLDER / "evaluation.md").read_text()
SECTIONS = dict(re.findall(r"^## (\d+)\. (.+)$", TEXT, re.MULTILINE))
CONSTANT = re.compile(
    r"^\|[^|]*\| ([^|]+) \| `((?:infra|kernels|tasks)\.[\w.]+)` \|$", re.MULTILINE
)
CONSTANTS = CONSTANT.findall(TEXT) + CONSTANT.findall(EVALUATION)


def section(title: str, text: str = TEXT) -> str:
    """Return what stands below a title, up to the next."""
    return text.partition(f". {title}\n")[2].partition("\n## ")[0]


def rows_of(title: str) -> dict[str, list[str]]:
    """Return the cells of a section's table by the name in its first."""
    lines = re.findall(r"^\| `([^`]+)` \| (.*) \|$", section(title), re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def written(cell: str) -> list[float]:
    return [inf if part == "∞" else float(part.replace(",", "")) for part in cell.split(", ")]


def coded(path: str) -> list[float]:
    value: Any = locate(path)
    assert value is not None, f"{path} is nowhere"
    values = list(value.values()) if isinstance(value, Mapping) else value
    return [float(each) for each in np.atleast_1d(values)]


@pytest.mark.parametrize(("cell", "path"), CONSTANTS, ids=[path for _, path in CONSTANTS])
def test_constants_are_those_of_the_code(cell: str, path: str) -> None:
    assert written(cell) == pytest.approx(coded(path), rel=1e-4)


def test_the_table_of_constants_is_read() -> None:
    assert len(CONSTANTS) > 40
    for text in (TEXT, EVALUATION):
        assert len(CONSTANT.findall(text)) == section("Constants", text).count("\n| ") - 1


def test_its_pictures_are_there_and_small() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", TEXT)
    assert len(named) >= 4
    for target in named:
        assert (FOLDER / target).stat().st_size < 150_000, target
    kept = {path.relative_to(FOLDER).as_posix() for path in (FOLDER / "pictures").iterdir()}
    assert kept == set(named)


def test_holes_are_those_of_the_segments() -> None:
    told = f"more than {fills.HOLE_BARS} bars or {fills.HOLE_TIME // HOUR} hours"
    assert told in section("Bars and segments")
    hour, most = 3600 * 10**6, fills.HOLE_BARS
    times = np.array([0, most + 1, 2 * most + 3]) * hour
    assert segments(times, bar_seconds=3600, closures=(times[:0],) * 2).tolist() == [0, 0, 1]
    moments = [datetime.fromtimestamp(time / 1e6, UTC) for time in times]
    holed = [fills.is_hole(*two, "BTC_USD", "H1") for two in pairwise(moments)]
    assert holed == [False, True]


def test_outcomes_are_null_and_signals_die_as_the_rules_say() -> None:
    text = " ".join(section("Outcomes").split())
    assert "An outcome is null only where the data end" in text
    assert "ends the trade at the first open after it" in text
    assert "`infra/market/fills.py`" in text
    friday = datetime(2026, 1, 9, 21, tzinfo=UTC)
    assert fills.valid_until(friday, "EUR_USD", "H1") == friday + 50 * HOUR


def test_every_learner_is_described_with_its_columns() -> None:
    told = rows_of("Learners")
    assert list(told) == list(LEARNERS)
    nothing = np.zeros((1, 3))
    bar = Rows(
        position=np.zeros(1, np.int64),
        time=np.zeros(1, np.int64),
        trajectory=np.zeros((1, 64), np.float32),
        volatility=np.zeros(1),
        cost=np.zeros(1),
        momentum=nothing,
        pattern=np.zeros(1, np.int64),
        leads=nothing,
        wins=np.zeros((1, 2), np.int64),
        k_eff=np.zeros(1, np.int64),
        local=nothing[:, :2],
        pooled_wins=np.zeros((1, 2), np.int64),
        pooled_k_eff=np.zeros(1, np.int64),
    )
    for name, learner in LEARNERS.items():
        if isinstance(learner, Logistic):
            count = learner.columns(bar).shape[1]
            assert told[name][-2].split()[0] == str(count), name
    assert told["boosted"][-2] == f"{boosted.columns(bar).shape[1] - 3} or more"


def test_every_walk_is_described() -> None:
    assert list(rows_of("The zoo of planted walks")) == list(WALKS)


@pytest.mark.parametrize("text", [TEXT, EVALUATION], ids=["mathematics", "evaluation"])
def test_every_source_is_cited_and_every_citation_has_its_source(text: str) -> None:
    body, _, sources = text.partition(". Sources\n")
    for names, year in re.findall(r"^- (.+?) (\d{4}), ", sources, re.MULTILINE):
        assert re.search(rf"{re.escape(names)}[^.]*?{year}", " ".join(body.split())), names
    for year in re.findall(r"[a-z] \(?((?:19|20)\d\d)\b", body):
        assert f" {year}, " in sources, year


def test_sections_that_it_names_and_that_code_names_are_there() -> None:
    assert list(SECTIONS) == [str(number + 1) for number in range(len(SECTIONS))]
    assert set(re.findall(r"section (\d+)", TEXT)) <= set(SECTIONS)
    named, numbered = set(), set()
    for folder in ("deployments", "flows", "infra", "kernels", "tasks"):
        for path in (PROJECT / folder).rglob("*.py"):
            text = " ".join(path.read_text().split())
            named |= set(re.findall(r"docs/mathematics\.md, \"([^\"]+)\"", text))
            numbered |= set(re.findall(r"mathematics, section (\d+)", text))
            numbered |= set(re.findall(r"[Ss]ection (\d+) of the mathematics", text))
    assert named <= set(SECTIONS.values())
    assert len(named) > 4
    assert numbered <= set(SECTIONS)
