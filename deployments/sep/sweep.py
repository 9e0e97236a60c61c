"""The command `sep sweep`: exits of a recorded model compared on its past alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()
VALUES = "low:high:count, or a list such as 1,2,4"


@app.command()
def sweep(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="A model, or its beginning.")],
    threshold: Annotated[
        str | None, typer.Option(help=f"Least margins that signal: {VALUES}.")
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="Bars a trade is held, likewise.")] = None,
    stop: Annotated[
        str | None, typer.Option(help="In deviations of the horizon, likewise; none is one.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="As --stop.")] = None,
    axes: Annotated[
        str, typer.Option(help="Two to draw, across and upwards.")
    ] = "threshold,horizon",
    engine: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    html: Annotated[Path | None, typer.Option(help="Write a page with a heat map.")] = None,
    png: Annotated[Path | None, typer.Option(help="Write the heat map alone.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print figures for machines.")] = False,
    sets: Annotated[
        bool, typer.Option("--sets", help="Say how many sets and seconds, and no more.")
    ] = False,
) -> None:
    """Compare thresholds and exits of a model on its past, the test span unseen."""
    from rich.console import Console

    from deployments.sep import sweep_tables

    asked = sweep_tables.Asked(
        what,
        {"threshold": threshold, "horizon": horizon, "stop": stop, "target": target},
        axes,
        engine,
        html,
        png,
        as_json,
        sets,
    )
    sweep_tables.sweep(Console(highlight=False), asked)
