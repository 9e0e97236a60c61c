"""Sweeps on the command line: the best sets of a grid, beside what chance would have shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments.sep import sweep_page
from infra.files import replaced
from kernels.device import choose_engine
from tasks.folder import bar_store
from tasks.gate.log import Tried, record
from tasks.reports.format import number, percent
from tasks.reports.sweep_pictures import draw_sweep, value_label
from tasks.research import registry
from tasks.rules.grid import AXES, Grid, GridError, values_of
from tasks.rules.scores import Scores, scores
from tasks.rules.swept import Swept, swept

COUNT: Final = 10
"""Sets that are shown."""
ENGINES: Final = ("auto", "cpu", "gpu")


@dataclass(frozen=True)
class Asked:
    """What is swept, and where it is shown.

    Attributes
    ----------
    what : str
        A model, or its beginning.
    values : dict of str to str or None
        Of each axis, as typed; None for the usual ones.
    axes : str
        Two of them, to be drawn.
    engine : str
    html, png : Path, optional
        Files to write.
    json, sets : bool
        Figures for machines; how many sets and seconds alone.
    """

    what: str
    values: Mapping[str, str | None]
    axes: str = "threshold,horizon"
    engine: str = "auto"
    html: Path | None = None
    png: Path | None = None
    json: bool = False
    sets: bool = False


def sweep(console: Console, asked: Asked) -> None:
    """Trade all sets on a model's past, and show the best ones.

    Parameters
    ----------
    console : rich.console.Console
    asked : Asked

    Raises
    ------
    GridError
        If values are none, or no set trades.
    tasks.research.registry.NoModel, tasks.research.registry.ModelRefused
        If there is no such model, or it may not be used here and now.
    tasks.research.spans.TooShort
        If its past is too short: the message says how much is missing.
    """
    axes, given = _axes(asked.axes), _given(asked.values)
    if asked.engine not in ENGINES:
        raise GridError(f"engine is one of {', '.join(ENGINES)}, not {asked.engine!r}")
    chosen = registry.entry(asked.what)
    with _progress() as shown:
        task = shown.add_task("training on a part of the past", total=None)
        known = scores(chosen, bar_store(), engine=asked.engine)
        grid = replace(Grid.default(known.recipe.horizon, known.score), **given)
        shown.update(task, description=f"{len(grid):,} sets", total=1.0)
        began = perf_counter()
        found = _swept(known, grid, asked.engine, lambda done: shown.update(task, completed=done))
        seconds = perf_counter() - began
    told = {"model": chosen.model_id, **figures(known, found), "seconds": round(seconds, 3)}
    told["engine"] = choose_engine(asked.engine).name
    _log(chosen.model_id, known, found)
    if not asked.sets:
        _write(asked, axes, found, told)
    _show(console, asked, told)


def _log(model_id: str, known: Scores, found: Swept) -> None:
    """Count the sets; those that were compared before count once."""
    stamps, recipe = known.bars["timestamp"], known.recipe
    digest = sha256(repr(found.grid.axes).encode()).hexdigest()[:12]
    tried = Tried(
        pair=recipe.pair,
        timeframe=recipe.timeframe,
        first=stamps[0],
        last=stamps[-1],
        run_id=f"sweep {model_id} {digest}",
        kind="sweep",
        strategy=recipe.strategy,
        sets=len(found.grid),
        effective=min(max(found.effective, 1.0), float(len(found.grid))),
        deviation=None,
        details={"model": model_id},
    )
    record(tried)


def figures(known: Scores, found: Swept) -> dict[str, Any]:
    """Return what a sweep found, in plain values: None for no number, and for no stop or target.

    Parameters
    ----------
    known : Scores
    found : Swept
    """
    recipe, stamps = known.recipe, known.bars["timestamp"]
    own = None
    if not recipe.rule:
        own = _row(_swept(known, _own(known), "cpu"), 0)
    return {
        "pair": recipe.pair,
        "timeframe": recipe.timeframe,
        "strategy": recipe.strategy,
        "from": stamps[0].isoformat(),
        "until": stamps[-1].isoformat(),
        "bars": len(stamps),
        "days": len(found.days),
        "sets": len(found.grid),
        "traded": int((found.result.trades > 0).sum()),
        "point": found.point,
        "rounded": found.rounded,
        "best": [_row(found, number) for number in found.ranked(COUNT)],
        "own": own,
        "chance": _chance(found),
    }


def _own(known: Scores) -> Grid:
    """Return the set that the model's recipe is: what the default strategies trade."""
    recipe = known.recipe
    distances = (recipe.stop_deviations, recipe.target_deviations)
    stop, target = ((math.inf if each is None else each,) for each in distances)
    return Grid((0.0,), (recipe.horizon,), stop, target)


def _swept(known: Scores, grid: Grid, engine: str, progress: Any = lambda done: None) -> Swept:
    return swept(
        known.bars,
        known.metrics,
        known.score,
        grid,
        known.recipe.costs,
        closing=known.closing,
        engine=engine,
        daily=False,
        progress=progress,
    )


def _row(found: Swept, number: int) -> dict[str, Any]:
    beside = found.plateau(number)
    values = dict(zip(AXES, found.grid.values(number), strict=True))
    plain = {
        **values,
        "trades": int(found.result.trades[number]),
        "hit_rate": float(found.result.hit_rate[number]),
        "net": float(found.net[number]),
        "sharpe": float(found.sharpe[number]),
        "drawdown": float(found.drawdown[number]),
        "plateau": beside.mean,
        "plateau_least": beside.least,
    }
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in plain.items()
    }


def _chance(found: Swept) -> dict[str, Any]:
    try:
        return vars(found.deflated())
    except GridError as error:
        return {"reason": str(error)}


def chance_words(told: Mapping[str, Any]) -> str:
    """Say how good the best of so many sets without edge would have looked.

    Parameters
    ----------
    told : mapping of str to object
        What `figures` returned.
    """
    chance = told["chance"]
    if "reason" in chance:
        return f"What chance would have shown is not known: {chance['reason']}."
    count, few = f"{chance['logged']:,}", f"{chance['effective']:,.0f}"
    return (
        f"{count} sets were tried, about {few} independent ones. The best of {count} without edge "
        f"would have a Sharpe ratio of {number(chance['best_logged'], 3)} (of {few}: "
        f"{number(chance['best_effective'], 3)}); the best here has "
        f"{number(told['best'][0]['sharpe'], 3)}, and its true one is above that with probability "
        f"{number(chance['by_logged'])} ({number(chance['by_effective'])})."
    )


def speed_words(told: Mapping[str, Any]) -> str:
    """Say what was traded, and how fast.

    Parameters
    ----------
    told : mapping of str to object
        What `figures` returned, with `seconds` and `engine`.
    """
    spent = f"{told['sets']:,} sets in {told['seconds']:.2f} s ({told['engine']})"
    span = f"{told['from'][:16]} to {told['until'][:16]}".replace("T", " ")
    where = f"{told['bars']:,} bars, {told['days']} days of {told['pair']} {told['timeframe']}"
    rounded = f"; prices rounded to {told['point']:g}" if told["rounded"] else ""
    return f"{spent} over {where}, {span}, before the test span{rounded}"


def cells(row: Mapping[str, Any]) -> list[str]:
    """Return what is written of a set, by `sweep_page.HEADINGS`.

    Parameters
    ----------
    row : mapping of str to object
    """
    axes = [value_label(math.inf if row[name] is None else row[name]) for name in AXES]
    hits, net = percent(row["hit_rate"], digits=1), percent(row["net"], sign=True)
    ratios = [number(row[name], 3) for name in ("sharpe", "plateau", "plateau_least")]
    return [
        *axes, f"{row['trades']:,}", hits, net, ratios[0], percent(row["drawdown"]), *ratios[1:],
    ]  # fmt: skip


def _show(console: Console, asked: Asked, told: dict[str, Any]) -> None:
    if asked.json:
        console.print_json(data=told)
        return
    if asked.sets:
        console.print(speed_words(told))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in sweep_page.HEADINGS:
        table.add_column(heading, justify="right", no_wrap=True)
    for row in told["best"]:
        table.add_row(*cells(row))
    if told["own"]:
        table.add_section()
        table.add_row(*cells(told["own"]), style="dim")
    console.print(table)
    if told["own"]:
        console.print("last, as its recipe has it", style="dim")
    for words in (speed_words(told), sweep_page.READING, chance_words(told)):
        console.print(words)


def _write(asked: Asked, axes: tuple[str, str], found: Swept, told: dict[str, Any]) -> None:
    if not told["best"]:
        raise GridError(
            f"none of {told['sets']:,} sets traded in {told['bars']:,} bars: lower --threshold"
        )
    if asked.png:
        with replaced(asked.png) as draft:
            draft.write_bytes(draw_sweep(found, axes))
    if asked.html:
        pictures = [draw_sweep(found, axes, dark=dark) for dark in (False, True)]
        rows = [cells(row) for row in told["best"]]
        title = f"Sweep of {told['model']}"
        page = sweep_page.page(title, (speed_words(told), chance_words(told)), rows, pictures)
        with replaced(asked.html) as draft:
            draft.write_text(page)


def _axes(text: str) -> tuple[str, str]:
    names = [word.strip() for word in text.split(",")]
    if len(names) != 2 or len({*names} & {*AXES}) != 2:
        raise GridError(f"--axes takes two of {', '.join(AXES)}, not {text!r}")
    return names[0], names[1]


def _given(values: Mapping[str, str | None]) -> dict[str, Any]:
    return {f"{axis}s": values_of(text, axis) for axis, text in values.items() if text is not None}


def _progress() -> Progress:
    """Return a bar on the screen that leaves what is printed to files alone."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
