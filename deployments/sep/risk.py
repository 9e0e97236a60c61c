"""The command `sep risk`: limits, what is used of them, presets, and why a signal is denied."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(
    help="Show the limits of risk and what is used of them, choose a preset, explain a signal.",
    no_args_is_help=True,
)

OfAccount = Annotated[
    str | None, typer.Option("--account", help="Left out: the one that the settings mean.")
]


@app.command()
def show(account: OfAccount = None) -> None:
    """Show the account's state, what is used, and every limit with where it comes from."""
    from rich.console import Console

    from deployments.sep import risk_tables

    raise typer.Exit(risk_tables.show(Console(highlight=False), account))


@app.command()
def presets() -> None:
    """List sets of limits: careful ones, and those of common prop firms."""
    from rich.console import Console

    from deployments.sep import risk_tables

    risk_tables.presets(Console(highlight=False))


@app.command()
def use(
    preset: Annotated[str, typer.Argument(help="One that `sep risk presets` lists.")],
) -> None:
    """Write a preset to risk.toml in SEP_HOME, to be changed there; the old file is kept."""
    from rich.console import Console

    from deployments.sep import risk_tables

    risk_tables.use(Console(highlight=False), preset)


@app.command()
def explain(
    signal: Annotated[int, typer.Argument(help="Number of the signal.")],
    account: OfAccount = None,
    now: Annotated[
        bool, typer.Option("--now", help="Judge it anew, though there is a record.")
    ] = False,
) -> None:
    """Tell a signal's size and what every rule says: as recorded then, else judged now."""
    from rich.console import Console

    from deployments.sep import risk_explain

    raise typer.Exit(risk_explain.explain(Console(highlight=False), signal, account, now=now))
