"""The command `sep report`: where a report is, and what differs between two."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Find the report of a backtest, and compare two results.", no_args_is_help=True
)


@app.command()
def show(
    what: Annotated[str, typer.Argument(metavar="RUN|MODEL", help="A run, its folder, a model.")],
    opened: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Print where the report of a run or a model lies."""
    from deployments.sep import report_tables

    path = report_tables.report_of(what)
    typer.echo(path)
    if opened:
        typer.launch(path.as_uri())


@app.command()
def diff(
    ours: Annotated[
        str, typer.Argument(metavar="A", help="A run, its folder, a summary.json, a model.")
    ],
    theirs: Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show what differs between two results; ends with 1 where anything does."""
    from rich.console import Console

    from deployments.sep import report_tables

    raise typer.Exit(report_tables.diff(Console(highlight=False), ours, theirs, as_json=as_json))
