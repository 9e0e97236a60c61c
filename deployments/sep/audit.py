"""The command `sep audit`: look-ahead in strategies and models."""

from __future__ import annotations

from typing import Annotated

import typer

from deployments.sep.bars import From, To, time_of

app = typer.Typer()


@app.command()
def audit(
    what: Annotated[
        str, typer.Argument(metavar="WHAT", help="A .sep file, a strategy's name, or a model.")
    ],
    pair: Annotated[str | None, typer.Option(help="In place of the strategy's pair.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="In place of its timeframe.")] = None,
    start: From = None,
    end: To = None,
    count: Annotated[
        int | None, typer.Option(min=2, max=1000, help="At how many bars the future is changed.")
    ] = None,
) -> None:
    """Look for look-ahead in a strategy or a model; ends with 1 where something leaks."""
    from rich.console import Console

    from deployments.sep import audit_tables

    asked = audit_tables.Asked(
        what, pair, timeframe and timeframe.upper(), time_of(start), time_of(end), count
    )
    raise typer.Exit(audit_tables.audit(Console(highlight=False), asked))
