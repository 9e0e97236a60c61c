"""Models on the command line: which there are, what they are, which is in force."""

from __future__ import annotations

import getpass
import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.market.instruments import canonical
from tasks.folder import bar_store
from tasks.research import registry
from tasks.research.registry import Entry, ModelRefused


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
    for heading in ("", "model", "pair", "timeframe", "strategy", "verdict", "made"):
        table.add_column(heading, no_wrap=True)
    for each in models:
        verdict = str(each.metrics.get("verdict", ""))
        made = f"{each.created_at:%Y-%m-%d %H:%M}"
        key = (each.pair, each.timeframe, each.strategy)
        table.add_row("*" if each.champion else "", each.model_id, *key, escape(verdict), made)
    console.print(table)
    console.print("* in force: `sep model champion MODEL` chooses another")


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
    for name, value in registry.plain(chosen).items():
        text = json.dumps(value, indent=1) if isinstance(value, dict) else str(value)
        console.print(f"[dim]{name:<14}[/] {escape(text)}", soft_wrap=True)
    console.print(f"[dim]{'usable':<14}[/] {escape(_usable(chosen))}", soft_wrap=True)


def appoint(console: Console, model_id: str) -> None:
    """Put a model in force, and say what that means.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    model_id : str
        12 hexadecimal digits.
    """
    chosen = registry.appoint(model_id, who=getpass.getuser())
    console.print(
        f"{chosen.model_id} is in force for {chosen.pair} {chosen.timeframe} {chosen.strategy}"
    )


def _usable(chosen: Entry) -> str:
    try:
        registry.in_force(chosen, bar_store())
    except ModelRefused as error:
        return f"no: {error}"
    return "yes"
