"""Draws the pictures of docs/mathematics.md, and prints its figures: `python -m tests.pictures`.

It takes a minute or two, and nothing but the code: every walk is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from numpy.typing import NDArray

from infra.settings import PROJECT
from kernels.evaluation import brier_skill, calibration_error
from kernels.outcomes import SIDES
from tasks.research.gains import CAUTIONS, growth
from tasks.research.learners.roster import LEARNERS
from tasks.research.training import opinions
from tests.tasks.research.walks import Study, by_side, study

FOLDER = PROJECT / "docs" / "pictures"
WALKS = {"drift": "#0072B2", "regime": "#D55E00", "pattern": "#009E73"}
SEED, OTHERS = 1, (2, 3, 4)
"""Of the pictures, and of the figures besides."""
SHOWN = 300
"""Bars of a picture of confidence."""

INK, GREY, PALE, FUTURE = "#1b2530", "#8a94a0", "#eef3f8", "#fbe9e0"
Floats = NDArray[np.float64]

FLOW = (
    (
        "bars\nbid and ask, UTC",
        "bits, events",
        "damping\n16 windows x 4",
        "paths\nof length 1",
        "other pairs",
    ),
    (
        "hour, cost,\nvolatility",
        "momentum,\nruns of bits",
        "last step,\nall 64 numbers",
        "neighbours whose\nend is known",
        "their damping,\nmomentum",
    ),
    ("learners: what does each alone say?",),
    (
        "outcomes\nof the past",
        "stack\nweights >= 0",
        "confidence\nlower, upper",
        "expected gain\nless caution",
        "signal\nif above 0",
    ),
)
"""Boxes by row and column; a row of one is as wide as all columns."""
ARROWS = (
    *(((0, column), (0, column + 1)) for column in range(3)),
    *(((0, column), (1, column)) for column in range(5)),
    *(((1, column), (2, column)) for column in range(5)),
    ((3, 0), (2, 0)), ((2, 1), (3, 1)),
    *(((3, column), (3, column + 1)) for column in range(4)),
)  # fmt: skip


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    flow()
    studies = {name: study(name, SEED) for name in WALKS}
    belief(studies["drift"])
    learners(studies)
    caution(studies)
    for name, first in studies.items():
        others = (study(name, seed) for seed in OTHERS)
        print(_row(name, np.mean([figures(each) for each in (first, *others)], axis=0)))


def flow() -> None:
    """Everything between a bar and a signal; what knows of the future is of another colour."""
    figure, axes = _picture(9.2, 4.4)
    for row, texts in enumerate(FLOW):
        for column, text in enumerate(texts):
            wide = len(texts) == 1
            _box(axes, row, 2 if wide else column, text, width=4.76 if wide else 0.76)
    for start, end in ARROWS:
        _arrow(axes, start, end)
    axes.set(xlim=(-0.45, 4.45), ylim=(3.35, -0.35))
    axes.axis("off")
    _keep(figure, "flow")


def _box(axes: Axes, row: int, column: int, text: str, *, width: float) -> None:
    face = FUTURE if text.startswith("outcomes") else PALE
    corner = (column - width / 2, row - 0.24)
    style = "round,pad=0.02,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch(corner, width, 0.48, style, fc=face, ec=INK, lw=0.8))
    axes.text(column, row, text, ha="center", va="center", fontsize=8.5, color=INK)


def _arrow(axes: Axes, start: tuple[int, int], end: tuple[int, int]) -> None:
    (row, column), (to_row, to_column) = start, end
    across, down = 0.4 * (to_column - column), 0.26 * (to_row - row)
    tail, head = (column + across, row + down), (to_column - across, to_row - down)
    axes.add_patch(
        FancyArrowPatch(tail, head, arrowstyle="-|>", mutation_scale=9, color=GREY, shrinkA=0)
    )


def belief(shown: Study) -> None:
    """One side of some bars of the test span: what is true, what is said, and how surely."""
    assert shown.walk is not None
    rows = shown.test.head(SHOWN)
    bars = rows["position"].to_numpy()
    names = ("lower", "confidence", "upper")
    lower, said, upper = (rows[f"{name}_long"].to_numpy() for name in names)
    true = shown.walk.true_probability[bars, 0]
    figure, axes = _picture(9.2, 3.6)
    axes.fill_between(bars, lower, upper, color=WALKS["drift"], alpha=0.18, linewidth=0)
    axes.plot(bars, said, color=WALKS["drift"], label="confidence, with lower and upper")
    axes.plot(bars, true, color=INK, linewidth=1, label="true probability")
    axes.axhline(
        rows["break_even_long"][0], color=WALKS["regime"], linewidth=0.8, label="break-even"
    )
    axes.set(xlabel="bar", ylabel="a long trade wins", xlim=(bars[0], bars[-1]))
    axes.legend(loc="upper right", frameon=False, fontsize=8, ncols=3)
    _keep(figure, "belief")


def learners(studies: Mapping[str, Study]) -> None:
    """What each learner weighs, and how much it knows alone."""
    figure = Figure(figsize=(9.2, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = np.arange(len(LEARNERS))
    for number, (name, colour) in enumerate(WALKS.items()):
        weights, skills, stack = _proved(studies[name])
        at = places + 0.26 * (number - 1)
        left.barh(at, [weights.get(each, 0.0) for each in LEARNERS], 0.24, color=colour, label=name)
        right.barh(at, [skills.get(each, 0.0) for each in LEARNERS], 0.24, color=colour)
        right.axvline(stack, color=colour, linestyle="--", linewidth=1)
    left.set(xlabel="weight, slope included", yticks=places, yticklabels=list(LEARNERS))
    right.set(xlabel="own Brier skill on the test span (dashed: the stack)")
    left.invert_yaxis()
    left.legend(frameon=False, fontsize=8, loc="lower right")
    _tidy(left, right)
    _keep(figure, "learners")


def _proved(shown: Study) -> tuple[dict[str, float], dict[str, float], float]:
    """Return weights and own skills by learner, and the skill of the stack."""
    model = shown.model
    alone = opinions(shown.measures, model, shown.answers)
    test = shown.test.join(alone, on="position", how="left", maintain_order="left")
    names = list(model.confidence.learners)
    skills = {name: _skill(shown, test, name) for name in names}
    return model.confidence.weights, skills, _skill(shown, test, "confidence")


def figures(shown: Study) -> list[float]:
    """Return skills of truth and confidence, calibration error and coverage on the test span."""
    assert shown.walk is not None
    test = shown.test
    true = shown.walk.true_probability[test["position"].to_numpy()]
    lower, said, upper = (by_side(test, name) for name in ("lower", "confidence", "upper"))
    known = np.isfinite(said) & np.isfinite(by_side(test, "win"))
    knew = test.with_columns(**{f"true_{side}": true[:, s] for s, side in enumerate(SIDES)})
    skills = [_skill(shown, knew, name) for name in ("true", "confidence")]
    error = calibration_error(said[known], true[known])
    below, above = (true >= lower)[known].mean(), (true <= upper)[known].mean()
    return [*skills, error, below, above]


def _row(name: str, told: Floats) -> str:
    cells = [f"{value:.3f}" for value in told[:3]] + [f"{100 * value:.1f} %" for value in told[3:]]
    return f"| `{name}` | {' | '.join(cells)} |"


def _skill(shown: Study, test: pl.DataFrame, name: str) -> float:
    said, won = by_side(test, name), by_side(test, "win")
    known = np.isfinite(said) & np.isfinite(won)
    base = np.broadcast_to(shown.model.confidence.base_rate, said.shape)
    return brier_skill(said[known], won[known], base[known])


def caution(studies: Mapping[str, Study]) -> None:
    """What caution costs, out of fold on the past and on the test span."""
    figure, axes = _picture(9.2, 3.8)
    tried = np.linspace(0, max(CAUTIONS), 51)
    for name, colour in WALKS.items():
        past, test, oracle = _grown(studies[name], tried)
        axes.plot(tried, test, color=colour, label=f"{name}, test span")
        axes.plot(CAUTIONS, past, "o--", color=colour, linewidth=0.8, markersize=4)
        axes.axhline(oracle, color=colour, linewidth=0.8, linestyle=":")
        chosen = studies[name].model.confidence.caution
        axes.plot(chosen, past[CAUTIONS.index(chosen)], "o", color=colour, markersize=9, alpha=0.5)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set(xlabel="caution, deviations of doubt", ylabel="log growth in 1,000 bars, %")
    axes.plot([], [], "o--", color=GREY, label="the past, out of fold (large: chosen)")
    axes.plot([], [], ":", color=GREY, label="test span, by the true expected gain")
    figure.legend(frameon=False, fontsize=8, ncols=3, loc="outside upper center")
    _keep(figure, "caution")


def _grown(shown: Study, tried: Floats) -> tuple[Floats, Floats, float]:
    """Return growths on the past by `CAUTIONS`, on the test span by `tried`, and the oracle's."""
    assert shown.walk is not None
    model, test = shown.model, shown.test
    spans, bars = model.frozen.spans, test["position"].to_numpy()
    told: Any = (np.asarray(shown.outcomes.gain)[bars], bars)
    told = (*told, np.asarray(shown.outcomes.exit_bar)[bars])
    expected, doubt = by_side(test, "expected"), by_side(test, "doubt")
    after = np.array([growth(expected - each * doubt, *told) for each in tried])
    before = np.array([model.confidence.growths[each] for each in CAUTIONS])
    oracle = growth(shown.walk.true_gain[bars], *told)
    past = spans.calibration.stop - spans.library.start
    return 1e5 * before / past, 1e5 * after / len(spans.test), 1e5 * oracle / len(spans.test)


def _picture(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    _tidy(axes)
    return figure, axes


def _tidy(*plots: Axes) -> None:
    for axes in plots:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)


def _keep(figure: Figure, name: str) -> None:
    FigureCanvasAgg(figure)
    figure.savefig(FOLDER / f"{name}.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
