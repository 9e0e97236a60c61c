"""`sep sweep` of a recorded model: its past alone, beside what chance would have shown."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from deployments.sep.cli import app
from infra.bars import content_hash
from infra.errors import SepError
from kernels.synthetic import draw
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.research import registry
from tasks.rules.setup import Setup
from tasks.rules.texts import find
from tests.tasks.research.walks import Study, bars_of, recipe_of, run

BARS = 4_000
SMALL = ("--threshold", "-0.05:0.2:6", "--horizon", "4,8,12", "--stop", "2,none", "--target", "none")
Sep = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def trained() -> Study:
    recipe = replace(recipe_of("drift"), strategy="damped")
    return run(bars_of(draw("drift", BARS, seed=1, size=2.0)), recipe)


@pytest.fixture
def model(trained: Study, database: str) -> Iterator[str]:
    yield recorded(trained, trained.bars)
    for file in bar_store().files("PLANTED", "H1"):
        file.unlink()


def recorded(trained: Study, bars: pl.DataFrame) -> str:
    """Store bars, and the model as if it had been trained on them."""
    store, recipe = bar_store(), trained.recipe
    store.write("PLANTED", "H1", bars)
    frozen = replace(trained.model.frozen, data_hash=content_hash(store.read("PLANTED", "H1")))
    folder = RunFolder.of("backtest", "swept")
    document.write(folder.model, replace(trained.model, frozen=frozen))
    document.write(folder.strategy, Setup.of(find("damped", "PLANTED", "H1"), recipe, {}))
    registry.register(trained.model, str(folder.path), {"verdict": "edge after costs"})
    return trained.model.model_id


def sep(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["sweep", *arguments], env={"COLUMNS": "160"})
    if isinstance(done.exception, SepError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def figures(*arguments: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(sep(*arguments, "--json", "--engine", "cpu"))
    return told


def test_the_best_sets_are_shown_beside_chance(model: str, tmp_path: Path) -> None:
    page, picture = tmp_path / "sweep.html", tmp_path / "sweep.png"
    shown = sep(model[:6], *SMALL, "--html", str(page), "--png", str(picture))
    print(shown)
    assert "36 sets in" in shown
    assert "days of PLANTED H1" in shown
    assert "would have a Sharpe ratio of" in " ".join(shown.split())
    assert Image.open(io.BytesIO(picture.read_bytes())).width == 1088
    told = page.read_text()
    assert told.count("data:image/png;base64,") == 2
    assert told.count("<tr>") == 11
