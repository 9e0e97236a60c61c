"""The command `sep bars`: what is in the store, looked at, taken out and put back."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Look at the bars in the store, export them, take them out and put them back.",
    no_args_is_help=True,
)


def _pair(name: str) -> str:
    """Return the pair of any spelling, as it is where nobody knows it."""
    from infra.market.instruments import UnknownInstrument, canonical

    try:
        return canonical(name)
    except UnknownInstrument:
        return name


def _timeframe(name: str) -> str:
    """Return the timeframe as it is written here."""
    return name.upper()


Pair = Annotated[str, typer.Argument(help="Such as EUR_USD, in any spelling.", callback=_pair)]
Timeframe = Annotated[str, typer.Argument(help="Such as H1.", callback=_timeframe)]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="TIME", help="First bar, ISO; UTC where it names no zone."),
]
To = Annotated[
    str | None, typer.Option("--to", metavar="TIME", help="One past the last bar, as --from.")
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="As the store had them then; see --from."),
]


@app.command("list")
def listed() -> None:
    """List what is in the store: bars, their span, sources, size."""
    from rich.console import Console

    from deployments.sep import bar_tables

    bar_tables.show_all(Console(highlight=False))


@app.command()
def show(
    pair: Pair,
    timeframe: Timeframe,
    last: Annotated[int | None, typer.Option(min=1, help="The newest bars; 10 as a rule.")] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="The bar of this time, and what it was.")
    ] = None,
    start: From = None,
    end: To = None,
    as_of: AsOf = None,
) -> None:
    """Show some bars; a star marks those that were revised."""
    from rich.console import Console

    from deployments.sep import bar_tables

    chosen = [name for name, given in (("--last", last), ("--at", at)) if given]
    if len(chosen) + bool(start or end) > 1:
        raise typer.BadParameter("give one of --last, --at, or --from and --to")
    key, moment = (pair, timeframe), time_of(as_of)
    console = Console(highlight=False)
    if at:
        bar_tables.show_at(console, *key, _needed(at), moment)
    elif start or end:
        bar_tables.show_span(console, *key, time_of(start), time_of(end), moment)
    else:
        bar_tables.show_last(console, *key, last or bar_tables.LAST, moment)


@app.command()
def plot(
    pair: Pair,
    timeframe: Timeframe,
    start: From = None,
    end: To = None,
    to_file: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Where; left out: `plots` under SEP_HOME.")
    ] = None,
) -> None:
    """Draw prices and how complete they are, and print where the picture is."""
    from deployments.sep import bar_files

    typer.echo(bar_files.plot(pair, timeframe, time_of(start), time_of(end), to_file))


@app.command()
def export(
    pair: Pair,
    timeframe: Timeframe,
    file: Annotated[Path, typer.Argument(help="Its ending says how: .csv or .parquet.")],
    start: From = None,
    end: To = None,
    as_of: AsOf = None,
) -> None:
    """Write bars to a file that `ingest` reads again as the same bars."""
    from deployments.sep import bar_files

    span = (time_of(start), time_of(end))
    rows = bar_files.export(pair, timeframe, file, *span, time_of(as_of))
    typer.echo(f"{rows:,} bars of {pair} {timeframe} in {file}")


@app.command()
def remove(
    pair: Pair,
    timeframe: Timeframe,
    start: From = None,
    end: To = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN_ID", help="Those of an ingest; what it replaced comes back."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Take bars out of the store; `sep bars undo` puts them back."""
    from rich.console import Console

    from deployments.sep import bar_changes

    if run and (start or end):
        raise typer.BadParameter("give --run, or --from and --to")
    wanted = bar_changes.wanted(pair, timeframe, time_of(start), time_of(end), run)
    typer.echo(bar_changes.look(wanted))
    if not yes:
        from deployments.sep.panel import confirm

        confirm("Take them out?")
    bar_changes.remove(Console(highlight=False), wanted)


@app.command()
def undo(
    number: Annotated[
        int | None, typer.Argument(metavar="ID", help="The removal; left out: the newest.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the removals there are.")] = False,
) -> None:
    """Put back what a removal took out; bars that came since stay."""
    from rich.console import Console

    from deployments.sep import bar_changes

    console = Console(highlight=False)
    if listed:
        bar_changes.show(console)
    else:
        bar_changes.undo(console, number)


def time_of(text: str | None) -> datetime | None:
    """Return the time that an option says, in UTC; None where it is left out."""
    return None if text is None else _needed(text)


def _needed(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        problem = f"{text!r} is no time: 2024-06-03, 2024-06-03T14:00 or 2024-06-03T14:00+02:00"
        raise typer.BadParameter(problem) from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
