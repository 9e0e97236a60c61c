"""Where models stand, and what came of their signals; `sep model retire`."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.upkeep.record import Record
    from tasks.upkeep.standing import Standing

app = typer.Typer()


@app.command()
def retire(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model, or its beginning.")],
    why: Annotated[str, typer.Option(help="The reason, for who asks later.")],
) -> None:
    """Take a model out of force: nothing speaks in its place until another is chosen."""
    from rich.console import Console

    from infra.errors import SepError
    from tasks.upkeep import standing

    if not why.strip():
        raise SepError("a model is retired for a reason: --why 'the broker left'")
    gone = standing.retire(name, who=getpass.getuser(), why=why.strip())
    key = f"{gone.pair} {gone.timeframe} {gone.strategy}"
    Console(highlight=False).print(f"{gone.model_id} is retired: no model of {key} is in force")


def show_if_any(console: Console) -> None:
    """Show the models in force; nothing where there is none, or no database that says so.

    Parameters
    ----------
    console : rich.console.Console
    """
    from contextlib import suppress

    from sqlalchemy.exc import SQLAlchemyError

    from infra.errors import SepError
    from tasks.upkeep.standing import pointed

    with suppress(SQLAlchemyError, SepError):
        if pointed():
            show_standings(console)


def show_standings(console: Console) -> None:
    """Show the models in force with their live record, and why one is no champion.

    Parameters
    ----------
    console : rich.console.Console
    """
    from rich.markup import escape

    from deployments.sep.panel import whole
    from tasks.upkeep.standing import in_force

    found = in_force()
    if not found:
        console.print("no model is in force")
        return
    whole(console, _table(found))
    for own, told in found:
        if own.state != "champion":
            console.print(f"{own.model_id}: {escape(own.words)}", soft_wrap=True)
        if told.missing:
            console.print(
                f"{own.model_id}: {told.missing:,} signals cannot be resolved, as bars or the "
                "record of their model are not there",
                soft_wrap=True,
            )


def _table(found: list[tuple[Standing, Record]]) -> Table:
    from rich.table import Table

    from tasks.reports.format import number, percent

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("in force", no_wrap=True)
    table.add_column("state", no_wrap=True)
    for heading in ("signals", "resolved", "judged", "won", "said", "skill", "e-value"):
        table.add_column(heading, justify="right", no_wrap=True)
    for own, told in found:
        counts = [f"{each:,}" for each in (told.signals, told.resolved, told.outcomes)]
        shares = [percent(told.hit_rate), percent(told.confidence), number(told.skill, 4)]
        table.add_row(own.model_id, own.state, *counts, *shares, f"{told.most:.3g}")
    return table
