"""A report that is one file: verdict, numbers, pictures, trades, settings; nothing to load."""

from __future__ import annotations

import base64
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined

from infra.files import replaced
from tasks.reports.format import number, percent
from tasks.reports.learners import as_lines
from tasks.reports.sections import choice_rows, tables_of, trials_rows
from tasks.reports.summary import DISCLAIMER, NO_SIGNAL, Summary, as_table
from tasks.research.simulation import Simulation

LAST_TRADES = 50

CAPTIONS: Mapping[str, str] = {
    "equity": "What one unit became, all of it in each trade, marked where one could have left. "
    "The band: where it might have stood, had stretches of the test span come in other blocks.",
    "reliability": "The curve says what confidence should have said, with its 90 % bootstrap "
    "band; points are means of bins with 95 % Wilson intervals of outcomes that do not overlap. "
    "On the dashed line confidence keeps its word.",
    "coverage": "What is lost, and gained, by trading only the most confident bars; all of them "
    "at the right. Dashed: the share of losses of the training spans.",
    "confidence": "At break-even a trade is worth nothing. A signal needs an expected net gain "
    "that is above zero with the caution taken off.",
    "learners": "Weight: how much each learner counts. Skill: what it is worth alone, on bars it "
    "had never seen.",
    "caution": "What trading would have grown, the more doubt is taken off each expected gain; "
    "“lower” asks the lower bound of confidence to be above break-even.",
    "price": "Close prices with the spans of the history, and every trade of the test span.",
    "metrics": "Median and the middle 90 % of the bars in each slice of the test span.",
}

MORE: Mapping[str, str] = {
    "waterfall": "What became of the gross gain: each cost takes from it.",
    "plateau": "What neighbouring parameters would have brought; those in force are framed. A "
    "plateau is trusted more than a spike.",
}
"""Pictures of what not every summary has."""

GLOSSARY: Mapping[str, str] = {
    "Confidence": "The calibrated probability that a trade of this side and exit rule ends above "
    "zero after all costs: what the learners say together.",
    "Lower and upper": "5 and 95 % bounds of the confidence: how far it may lie off, had history "
    "taught otherwise and as no two bars are alike.",
    "Expected net gain": "What a trade at this confidence brings in the mean, after all costs.",
    "Break-even": "The confidence at which the expected net gain is zero.",
    "Caution": "How many deviations of its own doubt are taken off an expected net gain. What is "
    "left must be above zero for a signal. Unless it was asked for, it is what grew most on the "
    "past.",
    "Learner": "A way to tell from bars whether a trade will win; the first asks what became of "
    "past bars whose damping trajectory looked alike.",
    "Weight": "How much a learner counts among all: as far as it proved itself on bars it had not "
    "seen. One that adds nothing has weight 0.",
    "Wilson interval": "Where the true hit rate lies with 95 % certainty, were the trades "
    "independent. Few trades, wide interval.",
    "Brier skill": "How much closer to the outcomes confidence was than the base rate alone: "
    "1 perfect, 0 no better, below 0 worse. Its 5 % bound comes from a block bootstrap, against "
    "the base rate of the library or of the test span itself, whichever is harder to beat.",
    "MCB, DSC, UNC": "Parts of the Brier score: miscalibration, what saying the curve instead "
    "would save; discrimination, how far outcomes are told apart; uncertainty, that of the "
    "outcomes.",
    "Calibration error": "The mean distance between the confidence told and the share that won.",
    "Gross, costs, net": "Gains at mid prices, what spread and slippage took, and what was left, "
    "each summed over the trades as a share of the entry price.",
    "Library, calibration, test": "The model looks paths up in the first span, is calibrated on "
    "the second and judged on the third, which it has never seen.",
}


def write_report(
    folder: Path,
    predictions: pl.DataFrame,
    signals: pl.DataFrame,
    simulation: Simulation,
    summary: Summary,
    others: Mapping[str, tuple[pl.DataFrame, int]] | None = None,
) -> Path:
    """Write ``report.html`` into a folder, whole or not at all, and its pictures beside it.

    The same inputs make the same bytes.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    predictions, signals : polars.DataFrame
    simulation : Simulation
        As given to `summarise`.
    summary : dict
        What `summarise` returned, with what else is known: ``learners``, ``caution``, ``truth``,
        ``shown``, ``periods``, ``hashes``, ``gate``, ``waterfall``, ``plateau``, ``paths``,
        ``trials``.
    others : mapping of str to (polars.DataFrame, int), optional
        Predictions and horizon of each further exit rule.

    Returns
    -------
    pathlib.Path
        The report: one file without a single outside address.
    """
    pictures = _pictures(predictions, simulation, summary, others or {})
    page = _template().render(
        summary=summary,
        rows=[row for row in as_table(summary)[1:] if row["metric"] not in as_lines(summary)],
        learners=summary.get("learners", ()),
        truth=summary.get("truth"),
        figures=_key_figures(summary),
        **tables_of(summary),
        pictures=[(name, _inline(drawn), text) for name, (drawn, text) in pictures.items()],
        trades=simulation.trades.tail(LAST_TRADES).reverse().rows(named=True),
        signals=signals.height,
        no_signal=NO_SIGNAL,
        trials=trials_rows(summary.get("trials") or {}),
        choice=choice_rows(summary.get("plateau") or {}, summary.get("paths") or {}),
        hashes=list(summary.get("hashes", {}).items()),
        settings=list(_flat({**summary["about"], "versions": _versions()})),
        glossary=GLOSSARY,
        disclaimer=DISCLAIMER,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name in MORE.keys() - pictures.keys():
        (folder / f"{name}.png").unlink(missing_ok=True)
    for name, (drawn, _) in pictures.items():
        _replace(folder / f"{name}.png", drawn)
    return _replace(folder / "report.html", page.replace(" %", "\N{NO-BREAK SPACE}%").encode())


def pictures_of(folder: Path) -> dict[str, str]:
    """Return the captions of the pictures that lie in the folder of a report, by name."""
    every = {**MORE, **CAPTIONS}
    return {name: text for name, text in every.items() if (folder / f"{name}.png").exists()}


def _pictures(
    predictions: pl.DataFrame,
    simulation: Simulation,
    summary: Summary,
    others: Mapping[str, tuple[pl.DataFrame, int]],
) -> dict[str, tuple[bytes, str]]:
    """Draw every picture, and say what each shows, in the order of the page."""
    from tasks.reports.pictures import draw, draw_more, draw_rule  # Matplotlib: who draws alone

    shown = summary.get("shown", {})
    drawn = draw_more(summary) | draw(
        predictions,
        simulation,
        horizon=summary["horizon"],
        learners=summary.get("learners", ()),
        caution=summary.get("caution"),
        shown=next(iter(shown.values()), None),
    )
    every = {
        name: (drawn[name], text) for name, text in {**MORE, **CAPTIONS}.items() if name in drawn
    }
    for rule, (told, horizon) in others.items():
        for name, picture in draw_rule(told, shown.get(rule), horizon=horizon).items():
            every[f"{name}-{rule}"] = picture, f"Exit rule {rule}. {CAPTIONS[name]}"
    return every


def _replace(path: Path, content: bytes) -> Path:
    with replaced(path) as draft:
        draft.write_bytes(content)
    return path


def _template() -> Any:
    environment = Environment(
        loader=PackageLoader("tasks.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "number": number}
    return environment.get_template("report.html.j2")


def _key_figures(summary: Summary) -> list[tuple[str, str, str]]:
    trades, money, calibration = summary["trades"], summary["money"], summary["calibration"]
    bound = f"5 % bound {number(calibration['skill_low'], 4)}, edge needs more than 0"
    costs = f"{percent(money['gross'], sign=True)} before {percent(money['cost'])} of costs"
    return [
        ("Net gain", percent(money["net"], sign=True), costs if trades["count"] else "no trades"),
        ("Hit rate", percent(trades["hit_rate"]), _hit_words(summary)),
        ("Brier skill", number(calibration["brier_skill"], 4), bound),
        ("Trades", f"{trades['count']:,}", f"from {summary['signals']:,} signals"),
    ]


def _hit_words(summary: Summary) -> str:
    trades, sides = summary["trades"], summary["sides"].items()
    if not trades["count"]:
        needed = ", ".join(f"{percent(numbers['break_even'])} {side}" for side, numbers in sides)
        return f"break-even {needed}"
    reach = f"95 % interval {percent(trades['hit_low'])} to {percent(trades['hit_high'])}"
    return f"{reach}, break-even {percent(trades['break_even'])}"


def _versions() -> dict[str, str]:
    packages = {name: version(name) for name in ("sep-trader", "numpy", "numba", "polars")}
    return {"python": platform.python_version(), **packages}


def _inline(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        label = f"{prefix}{name}".replace("_", " ")
        if isinstance(value, Mapping):
            yield from _flat(value, f"{label}: ")
        else:
            yield label, "–" if value is None else str(value)
