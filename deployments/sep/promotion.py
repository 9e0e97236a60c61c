"""The gate on the command line: `sep model promote`, and what was tried: `sep model trials`."""

from __future__ import annotations

import getpass
import json
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.gate.promotion import Promotion

app = typer.Typer()


@app.command()
def promote(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model, or its beginning.")],
    i_know: Annotated[
        bool,
        typer.Option("--i-know", help="Look at a holdout again; it counts as one more trial."),
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    plain: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Open the holdout and ask the gate: champion by merit, or shadow; ends with 1 if not."""
    from rich.console import Console

    from tasks.folder import bar_store
    from tasks.gate import promotion

    found = promotion.promote(
        name, bar_store(), who=getpass.getuser(), i_know=i_know, engine=engine
    )
    if plain:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    else:
        show(Console(highlight=False), found)
    if not found.passed:
        raise typer.Exit(1)


def show(console: Console, found: Promotion) -> None:
    """Show every criterion, and what became of the model.

    Parameters
    ----------
    console : rich.console.Console
    found : Promotion
    """
    from rich.markup import escape
    from rich.table import Table

    key = f"{found.pair} {found.timeframe} {found.strategy}"
    if found.first and found.last:
        again = ", looked at before" if found.again else ""
        span = f"{found.first:%Y-%m-%d %H:%M} to {found.last:%Y-%m-%d %H:%M}"
        console.print(f"holdout of {found.pair} {found.timeframe}: {span} UTC{again}")
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    for each in found.checks:
        verdict = "[green]PASS[/]" if each.passed else "[red]FAIL[/]"
        value = "not measured" if each.value is None else f"{each.value:,.4g}"
        table.add_row(verdict, escape(each.name), value, escape(f"{each.why} {each.threshold:g}"))
    if found.checks:
        console.print(table)
    if found.passed:
        console.print(f"{found.model_id} is champion of {key}", style="bold", markup=False)
        return
    for reason in found.reasons:
        console.print(f"- {reason}", markup=False)
    if found.kept:
        console.print(f"{found.model_id} is not; {found.kept} stays champion of {key}")
    else:
        console.print(f"{found.model_id} speaks for {key} in shadow: recorded, never executed")


@app.command()
def trials(
    pair: Annotated[str, typer.Argument(metavar="PAIR", help="Such as EUR_USD.")],
    timeframe: Annotated[str, typer.Argument(metavar="TIMEFRAME", help="Such as H1.")],
    plain: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show all that was ever tried on a pair and timeframe, and who opened a holdout."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from infra.market.instruments import canonical
    from tasks.gate import holdout, log

    series = canonical(pair), timeframe
    runs, opened = log.everything(*series), holdout.openings(*series)
    if plain:
        typer.echo(json.dumps([vars(each) for each in (*runs, *opened)], indent=1, default=str))
        return
    console, table = Console(highlight=False), Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("kind", "strategy", "first bar", "last bar", "sets", "effective", "run"):
        table.add_column(heading, no_wrap=True)
    for each in runs:
        edges = [f"{edge:%Y-%m-%d}" for edge in (each.first, each.last)]
        counts = f"{each.sets:,}", f"{each.effective:,.1f}"
        table.add_row(each.kind, escape(each.strategy), *edges, *counts, each.run_id)
    console.print(table)
    for look in opened:
        span = f"{look.first:%Y-%m-%d} to {look.last:%Y-%m-%d}"
        console.print(f"holdout {span}: opened {look.opened_at:%Y-%m-%d} for {look.model_id}")
    if first := holdout.locked(*series):
        console.print(f"holdout from {first:%Y-%m-%d %H:%M} on: locked")
