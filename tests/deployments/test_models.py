"""`sep model show`: what is on record, and what was learnt."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rich.console import Console

from deployments.sep import models
from tasks import document
from tasks.folder import RunFolder
from tasks.reports.cautions import cautions
from tasks.reports.learners import learners
from tasks.research import registry
from tasks.research.training import opinions
from tests.tasks.research.walks import Study, study

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture(scope="module")
def trained() -> Study:
    return study("drift", 1, 4_000)


@pytest.fixture(scope="module")
def metrics(trained: Study) -> dict[str, Any]:
    """What a backtest records of it."""
    model, predicted = trained.model, trained.predicted
    said = opinions(trained.measures, model, trained.answers)
    judged = learners(predicted, said, model.confidence.weights, horizon=trained.recipe.horizon)
    tried = cautions(
        predicted,
        lambda told: trained.trade(told.filter(pl.col("split") == "test")),
        in_force=model.caution,
        asked=False,
        growths=model.confidence.growths,
    )
    return {"verdict": "edge after costs", "learners": judged, "caution": tried}


def recorded(trained: Study, metrics: dict[str, Any]) -> Path:
    folder = RunFolder.of("backtest", "shown")
    document.write(folder.model, trained.model)
    registry.register(trained.model, str(folder.path), metrics)
    return folder.path


def shown(trained: Study) -> str:
    stream = io.StringIO()
    models.show(Console(file=stream, width=120, highlight=False), trained.model.model_id)
    return stream.getvalue()


def test_it_shows_weights_skills_caution_and_what_similar_means(
    trained: Study, metrics: dict[str, Any]
) -> None:
    recorded(trained, metrics)
    screen = shown(trained)
    similarity = trained.model.frozen.similarity
    assert f"{similarity.k} neighbours are asked" in screen
    assert re.search(r"paths +entropy \d+ %, .*; the last step \d+ %", screen)
    assert re.search(r"caution +[\d.]+, what grew most on the past", screen)
    for each in metrics["learners"]:
        weight = "–" if each["weight"] is None else f"{each['weight']:.2f}"
        assert re.search(rf"^{each['name']} +{weight} ", screen, re.MULTILINE)
    assert '"tried"' not in screen
    assert "edge after costs" in screen


def test_a_model_whose_file_is_gone_still_shows_its_record(
    trained: Study, metrics: dict[str, Any]
) -> None:
    RunFolder(recorded(trained, metrics)).model.unlink()
    screen = shown(trained)
    assert "all together" in screen
    assert "usable         no: " in screen
    assert "neighbours are asked" not in screen


def test_a_record_of_before_is_shown(trained: Study) -> None:
    recorded(trained, {"verdict": "no edge after costs"})
    screen = shown(trained)
    assert "no edge after costs" in screen
    assert "skill alone" not in screen
