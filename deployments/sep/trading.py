"""The commands that stop, close and look after trading; they need neither Prefect nor flows.

`sep halt`, `resume`, `flatten`, `exits`, `accept`, `statement`, and `sep live`.
"""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()
live = typer.Typer(
    help="Allow live trading on one account until a time, take that back, or look.",
    no_args_is_help=True,
)
app.add_typer(live, name="live")

Why = Annotated[str, typer.Option(help="For the record.")]
Who = Annotated[str | None, typer.Option(help="Who says so; left out: you, as the system knows.")]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="When it ends by itself: 30m, 4h, 2d, or ISO in UTC."),
]
OfAccount = Annotated[
    str | None, typer.Option("--account", help="Left out: the one that the settings mean.")
]


@app.command()
def halt(
    pair: Annotated[str | None, typer.Option(help="This pair alone.")] = None,
    account: Annotated[str | None, typer.Option(help="This account alone.")] = None,
    why: Why = "by hand",
    who: Who = None,
    until: Until = None,
    reduce: Annotated[
        bool, typer.Option("--reduce", help="Instead: positions may only be made smaller.")
    ] = False,
) -> None:
    """Enter nothing from now on; exits and stops go on. Works with everything else down."""
    from rich.console import Console

    from deployments.sep import switches

    chosen = switches.Halting(pair, account, why, who, until, reduce)
    raise typer.Exit(switches.halt(Console(highlight=False), chosen))


@app.command()
def resume(
    pair: Annotated[str | None, typer.Option(help="Lift the halt of this pair alone.")] = None,
    why: Why = "by hand",
    who: Who = None,
) -> None:
    """Lift what was halted; the database must answer."""
    from rich.console import Console

    from deployments.sep import switches
    from deployments.sep.asking import asked

    with asked("lifting a halt"):
        switches.resume(Console(highlight=False), pair, why, who)


@app.command()
def flatten(
    account: OfAccount = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Trades that are not ours, too.")
    ] = False,
    why: Why = "flatten",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Halt, then close the open trades: ours by their numbers, others' with --all."""
    from rich.console import Console

    from deployments.sep import closing
    from deployments.sep.asking import asked

    console = Console(highlight=False)
    with asked("the paper account"):
        code = closing.flatten(console, account, everything=everything, why=why, yes=yes)
    raise typer.Exit(code)


@app.command()
def exits(account: OfAccount = None) -> None:
    """Make one round of reconciliation, stop checks and exits; nothing is entered."""
    from rich.console import Console

    from deployments.sep import closing
    from deployments.sep.asking import asked

    with asked("a round of exits"):
        raise typer.Exit(closing.exits(Console(highlight=False), account))


@app.command()
def accept(
    account: OfAccount = None,
    why: Why = "by hand",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take the broker's word where the journal disagrees for good, after an account's reset."""
    from rich.console import Console

    from deployments.sep import closing
    from deployments.sep.asking import asked

    with asked("accepting"):
        raise typer.Exit(closing.accept(Console(highlight=False), account, why=why, yes=yes))


@app.command()
def statement(
    day: Annotated[
        str | None, typer.Option(help="Such as 2026-03-02; it ends at 17:00 New York.")
    ] = None,
    account: OfAccount = None,
) -> None:
    """Show a day's fills, costs, profit and equity, and keep them as a file with a picture."""
    from rich.console import Console

    from deployments.sep import statements
    from deployments.sep.asking import asked

    with asked("a statement"):
        statements.show(Console(highlight=False), day, account)


@live.command()
def arm(
    account: Annotated[str, typer.Option(help="The venue's number of it.")],
    until: Annotated[str, typer.Option(metavar="TIME", help="30m, 4h, 2d, or ISO in UTC.")],
    why: Annotated[str, typer.Option(help="For the record.")],
    who: Who = None,
) -> None:
    """Allow orders of real money on one account until a time; asks for its number again."""
    from rich.console import Console

    from deployments.sep import switches
    from deployments.sep.asking import asked

    with asked("arming"):
        switches.arm(Console(highlight=False), account, until, why, who)


@live.command()
def disarm(why: Why = "by hand", who: Who = None) -> None:
    """Forbid live trading; open trades keep their stops, and exits go on."""
    from rich.console import Console

    from deployments.sep import switches

    switches.disarm(Console(highlight=False), why, who)


@live.command()
def status(account: OfAccount = None) -> None:
    """Show the broker, what is armed and halted, and who gave a sign of life when."""
    from rich.console import Console

    from deployments.sep import switches

    raise typer.Exit(switches.show(Console(highlight=False), account))
