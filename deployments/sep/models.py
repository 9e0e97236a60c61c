"""Models on the command line: which there are, what they are, which is in force."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.standing import show_standings
from infra.market.instruments import canonical
from tasks.folder import bar_store
from tasks.reports.cautions import caution_words
from tasks.reports.format import number
from tasks.reports.learners import weight_words
from tasks.research import registry
from tasks.research.registry import Entry, ModelRefused
from tasks.upkeep.record import record
from tasks.upkeep.standing import standings


def show_all(console: Console, pair: str | None, timeframe: str | None) -> None:
    """List models, the newest first; the one in force is marked.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    pair : str, optional
        None: all.
    timeframe : str, optional
        None: all.
    """
    models = registry.entries(pair and canonical(pair), timeframe)
    if not models:
        console.print("no models yet: `prefect deployment run backtest/local` makes one")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    states = {name: own.state for name, own in standings().items()}
    for heading in ("", "model", "state", "pair", "timeframe", "strategy", "verdict", "made"):
        table.add_column(heading, no_wrap=True)
    for each in models:
        verdict = str(each.metrics.get("verdict", ""))
        made = f"{each.created_at:%Y-%m-%d %H:%M}"
        key = (each.pair, each.timeframe, each.strategy)
        state = states.get(each.model_id, "candidate")
        star = "*" if each.champion else ""
        table.add_row(star, each.model_id, state, *key, escape(verdict), made)
    console.print(table)
    console.print("* in force: `sep model promote MODEL` asks the gate for another")
    show_standings(console)


def show(console: Console, model_id: str) -> None:
    """Show what is on record of a model, and whether it may be used here and now.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    model_id : str
        12 hexadecimal digits.
    """
    chosen = registry.entry(model_id)
    told = {**registry.plain(chosen), "metrics": _plain_metrics(chosen)} | _learnt(chosen)
    own = standings().get(chosen.model_id)
    told["standing"] = own.words if own else "candidate"
    told["live"] = record(chosen.model_id, own.since if own else None).sentence
    for name, value in {**told, "usable": _usable(chosen)}.items():
        text = json.dumps(value, indent=1) if isinstance(value, dict) else str(value)
        console.print(f"[dim]{name:<14}[/] {escape(text)}", soft_wrap=True)
    _show_learners(console, chosen)


def _plain_metrics(chosen: Entry) -> dict[str, Any]:
    """Return what a backtest said, but for what is shown in words."""
    return {name: v for name, v in chosen.metrics.items() if name not in ("learners", "caution")}


def _learnt(chosen: Entry) -> dict[str, str]:
    """Say how careful a model is, and what similar means to it; nothing where its file is gone."""
    try:
        model = registry.open_model(chosen)
    except ModelRefused:
        return {}
    similarity, caution = model.frozen.similarity, chosen.metrics.get("caution")
    return {
        "caution": caution_words(caution) if caution else str(model.caution),
        "k": f"{similarity.k} neighbours are asked",
        "paths": weight_words(similarity.weight),
    }


def _show_learners(console: Console, chosen: Entry) -> None:
    learners = chosen.metrics.get("learners")
    if not learners:
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("learner", no_wrap=True)
    for heading in ("weight", "skill alone", "5 % bound"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in learners:
        skill, low = number(each["brier_skill"], 4), number(each["skill_low"], 4)
        table.add_row(escape(each["name"]), number(each["weight"]), skill, low)
    console.print(table)


def _usable(chosen: Entry) -> str:
    try:
        registry.in_force(chosen, bar_store())
    except ModelRefused as error:
        return f"no: {error}"
    return "yes"
