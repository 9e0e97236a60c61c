"""`sep sweep` of a recorded model: its past alone, beside what chance would have shown."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from PIL import Image
from typer.testing import CliRunner

from deployments.sep.cli import app
from deployments.sep.sweep_tables import cells, chance_words
from infra.bars import PRICES, QUOTES, content_hash
from infra.errors import SepError
from kernels.synthetic import draw
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.gate import log
from tasks.research import registry
from tasks.research.recipe import Recipe
from tasks.research.registry import ModelRefused, NoModel
from tasks.research.spans import Span, Spans, TooShort, split
from tasks.rules.grid import GridError
from tasks.rules.setup import Setup
from tasks.rules.texts import Source, find
from tests.tasks.research.walks import Study, bars_of, recipe_of, run

BARS, FEW = 3_000, 1_300
GRID = ("--threshold", "-0.05:0.2:6", "--horizon", "4,8,12", "--stop", "2,none", "--target", "none")
TEXT = """
stream bars from "PLANTED" { timeframe: "H1" }
signal up {
    trigger: confidence("long") > 0.5; action: BUY; stop: 0.02 * close(); horizon: 8;
}
"""


WALK = bars_of(draw("drift", BARS, seed=1, size=2.0))


@pytest.fixture(scope="module")
def trained() -> Study:
    """Of few bars, which is quick: what a model believes is not asked, only what made it."""
    return run(WALK.head(FEW), replace(recipe_of("drift"), strategy="damped"))


@pytest.fixture
def model(trained: Study, database: str) -> Iterator[str]:
    yield recorded(trained)
    shutil.rmtree(bar_store().files("PLANTED", "H1")[0].parent)


def recorded(
    trained: Study,
    bars: pl.DataFrame = WALK,
    setup: Setup | None = None,
    past: int | None = None,
) -> str:
    """Store bars, and the model as if it had been trained on them, on a past of so many."""
    store, setup = bar_store(), setup or setup_of(find("damped", "PLANTED", "H1"), trained.recipe)
    store.write("PLANTED", "H1", bars)
    frozen, spans = trained.model.frozen, spans_of(trained)
    frozen = replace(
        frozen,
        data_hash=content_hash(store.read("PLANTED", "H1")),
        recipe=next(iter(setup.recipes.values())),
        last_bar=bars["timestamp"][-1],
        spans=spans if past is None else replace(spans, calibration=Span(0, past)),
    )
    folder, model = RunFolder.of("backtest", "swept"), replace(trained.model, frozen=frozen)
    document.write(folder.model, model)
    document.write(folder.strategy, setup)
    registry.register(model, str(folder.path), {"verdict": "edge after costs"})
    return model.model_id


def spans_of(trained: Study) -> Spans:
    return split(trained.model.frozen.spans.library.start, BARS, trained.recipe.horizon)


def setup_of(source: Source, recipe: Recipe) -> Setup:
    return Setup.of(source, recipe, {})


def sep(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["sweep", *arguments], env={"COLUMNS": "160"})
    if isinstance(done.exception, SepError):
        raise done.exception
    if done.exception is not None:
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_past_alone_is_told_beside_chance(model: str, trained: Study, tmp_path: Path) -> None:
    page, picture = tmp_path / "sweep.html", tmp_path / "sweep.png"
    shown = sep(model[:6], *GRID, "--html", str(page), "--png", str(picture))
    assert Image.open(io.BytesIO(picture.read_bytes())).width == 1088
    assert page.read_text().count("data:image/png;base64,") == 2
    count = page.read_text().count("<tr>")
    assert 6 < count <= 11

    stop = spans_of(trained).calibration.stop
    absurd = pl.int_range(pl.len()) >= stop
    poisoned = WALK.with_columns(
        pl.when(absurd).then(pl.col(name) * 1.7).otherwise(pl.col(name)).alias(name)
        for name in (*PRICES, *QUOTES)
    )
    recorded(trained, poisoned)
    told = json.loads(sep(model, *GRID, "--json", "--engine", "cpu"))
    rows = [" ".join(cells(row)) for row in (*told["best"], told["own"])]
    said = [" ".join(line.split()) for line in shown.splitlines()]
    assert said[1 : count + 1] == rows
    assert chance_words(told) in " ".join(said)
    assert "36 sets in" in shown

    assert told["until"] == WALK["timestamp"][stop - 1].isoformat()
    assert (told["sets"], told["engine"], len(told["best"])) == (36, "cpu", count - 1)
    assert told["best"][0]["target"] is None
    ratios = [row["sharpe"] for row in told["best"]]
    assert ratios == sorted(ratios, reverse=True)
    assert told["own"]["horizon"] == trained.recipe.horizon
    assert told["chance"]["logged"] == 36
    assert 1 < told["chance"]["effective"] < 36
    # both asked for the same sets: they count once
    (logged,) = log.everything("PLANTED", "H1")
    assert (logged.kind, logged.sets) == ("sweep", 36)


def test_a_rule_of_a_text_is_swept_too(model: str, trained: Study) -> None:
    setup = setup_of(Source("up.sep", "PLANTED", "H1", {"up.sep": TEXT}), trained.recipe)
    recorded(trained, setup=setup)
    shown = sep(model, "--sets")
    assert re.fullmatch(r"[23],\d{3} sets in [\d.]+ s \(\w+\) over .*\s*", shown, re.DOTALL)


def test_a_past_that_is_too_short_says_how_much_is_missing(model: str, trained: Study) -> None:
    recorded(trained, past=900)
    with pytest.raises(TooShort, match=r"900 bars .* train on a part") as short:
        sep(model)
    (missing,) = re.findall(r"about ([\d,]+) are missing", str(short.value))
    recorded(trained, past=900 + int(missing) - 1)
    with pytest.raises(TooShort, match="about 1 are missing there, 2 of the whole"):
        sep(model)
    recorded(trained, past=900 + int(missing))
    with pytest.raises(TooShort, match="to judge by: the part to trade has 8 days of at least 20"):
        sep(model)


def test_what_is_missing_is_told(model: str) -> None:
    with pytest.raises(NoModel, match="sep model list"):
        sep("0123abcd")
    for file in ("model.json", "strategy.json"):
        folder = RunFolder.of("backtest", "swept").path
        (folder / file).rename(folder / "gone")
        with pytest.raises(ModelRefused, match="train again by"):
            sep(model)
        (folder / "gone").rename(folder / file)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--axes", "threshold"), "two of threshold, horizon, stop, target"),
        (("--axes", "stop,stop"), "two of"),
        (("--engine", "tpu"), "auto, cpu, gpu"),
        (("--threshold", "0:1"), "neither low:high:count, such as 1:4:7, nor a list"),
        (("--stop", "wide"), "stop 'wide' is neither"),
    ],
)
def test_what_was_typed_wrong_is_told_at_once(arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(GridError, match=said):
        sep("0123abcd", *arguments)
