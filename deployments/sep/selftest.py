"""The command `sep selftest`: the harness judges itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def selftest(
    quick: Annotated[
        bool, typer.Option("--quick", help="Some short walks and one edge: about half a minute.")
    ] = False,
    processes: Annotated[
        int | None, typer.Option(min=1, help="At a time; left out: as many as there are cores.")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where answers are kept; else in SEP_HOME.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget earlier answers; else go on from them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures, not a table.")] = False,
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the power curve into this file.")
    ] = None,
) -> None:
    """Ask the gate about random walks, planted edges and planted leaks; ends with 1 if it fails."""
    from deployments.sep import selftest_tables

    asked = selftest_tables.Asked(quick, processes, results, fresh, as_json, png)
    raise typer.Exit(selftest_tables.selftest(asked))
