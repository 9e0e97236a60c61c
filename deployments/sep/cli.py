"""The command `sep`. Every command imports what it needs when it runs, so that help is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.sep import (
    audit,
    bars,
    promotion,
    report,
    risk,
    selftest,
    standing,
    strategy,
    sweep,
    trading,
)
from infra.files import UMASK

app = typer.Typer(
    name="sep",
    help="Run SEP Trader: its servers, workers, deployments and the demo.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def up() -> None:
    """Start what does not run: PostgreSQL, Valkey, Prefect, workers, deployments."""
    from rich.console import Console

    from deployments.environment import user_command
    from deployments.sep.panel import panel
    from deployments.services import up as bring_up
    from infra.settings import settings

    console = Console(highlight=False)
    api_url = bring_up(settings(), console)
    console.print(panel(settings(), api_url, command=user_command(settings())))


@app.command()
def down() -> None:
    """Stop what `sep up` started; nothing stored is lost."""
    from rich.console import Console

    from deployments.services import down as take_down
    from infra.settings import settings

    take_down(settings(), Console(highlight=False))


@app.command()
def status() -> None:
    """Show what runs and where; ends with 1 if something that should run does not."""
    from rich.console import Console

    from deployments.sep.panel import finding_line, table
    from deployments.sep.status import status as look
    from deployments.services import is_wanted
    from infra.health import last
    from infra.settings import settings

    states = look(settings())
    console = Console(highlight=False)
    console.print(table(states))
    for finding in last(settings().home):
        if finding.state != "ok":
            console.print(finding_line(finding), soft_wrap=True)
    standing.show_if_any(console)
    wanted = is_wanted(settings().home)
    if not wanted:
        console.print("Nothing is asked to run: `sep up` starts it.")
    raise typer.Exit(int(wanted and not all(state.runs for state in states)))


@app.command()
def doctor() -> None:
    """Tell what is installed, which engine runs and why; ends with 1 if there is a problem."""
    from rich.console import Console

    from deployments.sep.doctor import examine
    from deployments.sep.panel import finding_line
    from infra.settings import settings

    console = Console(highlight=False)
    problems = 0
    for finding in examine(settings()):
        console.print(finding_line(finding), soft_wrap=True)
        problems += finding.state == "problem"
    raise typer.Exit(int(problems > 0))


@app.command()
def logs(
    part: Annotated[
        str | None, typer.Argument(help="postgres, valkey, prefect, local-gpu, droplet or all.")
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="Lines of each log.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as they grow.")] = False,
) -> None:
    """Show the ends of the logs, and with -f what is written from now on."""
    from deployments.sep import logs as logbook
    from infra.settings import settings

    paths = logbook.log_files(settings().home, part)
    for path in paths:
        print(f"==> {path} <==", *logbook.tail(path, lines), sep="\n")
    if follow:
        for path, line in logbook.follow(paths):
            print(f"{path.stem}: {line}", flush=True)


@app.command()
def env() -> None:
    """Print the exports that make a shell use these servers: eval "$(sep env)"."""
    from deployments.environment import exports
    from deployments.services import api_url
    from infra.settings import settings

    print(exports(settings(), api_url(settings())))


@app.command()
def ui() -> None:
    """Print the address of the Prefect UI and the password that it asks for once a browser."""
    from deployments.services import api_url
    from infra.servers import prefect
    from infra.settings import settings

    address = api_url(settings())
    print(address.removesuffix("/api"))
    if password := prefect.password(settings().home, address):
        print(f"password: {password}")


@app.command()
def ingest(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A file, folder or 'pattern*'.")],
    pair: Annotated[str | None, typer.Option(help="What the bars are of, such as EUR_USD.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="M1, M5, M15, M30, H1, H4 or D1.")] = None,
    source: Annotated[
        str | None, typer.Option(help="csv, parquet, histdata, metatrader, ..")
    ] = None,
    clock: Annotated[str | None, typer.Option(help="Of times without a zone: UTC, EST, ..")] = None,
    decimal: Annotated[str | None, typer.Option(help="The decimal mark: . or ,")] = None,
    time_format: Annotated[
        str | None, typer.Option(help="day-first, month-first, excel, %d.%m.%Y %H:%M, ..")
    ] = None,
    scale: Annotated[
        float | None, typer.Option(help="A price is the number times this: 0.001 for 103681.")
    ] = None,
    columns: Annotated[
        list[str] | None, typer.Option(help="Name here=name in the file, such as open=Erster.")
    ] = None,
    stamp: Annotated[str | None, typer.Option(help="Times are of a bar's open or close.")] = None,
    any_level: Annotated[
        bool, typer.Option("--any-level", help="Take prices the pair can hardly have, too.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look, and store nothing.")] = False,
) -> None:
    """Look at a file of bars, say what it is taken for, and bring it into the store."""
    from rich.console import Console

    from deployments.sep.ingest import IngestFailed, bring

    given = {
        "pair": pair,
        "timeframe": timeframe,
        "source": source,
        "clock": clock,
        "decimal": decimal,
        "time_format": time_format,
        "scale": scale,
        "stamp": stamp,
        "any_level": any_level or None,
    }
    declared: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if wrong := [word for word in columns or () if "=" not in word]:
        raise IngestFailed(f"--columns takes name=name, such as open=Erster, not {wrong[0]!r}")
    if columns:
        declared["columns"] = dict(word.split("=", 1) for word in columns)
    bring(Console(highlight=False), path, declared, yes=yes, dry_run=dry_run)


model = typer.Typer(
    help="Show the models that backtests left, and choose which one is in force.",
    no_args_is_help=True,
)
model.add_typer(standing.app)
model.add_typer(promotion.app)
app.add_typer(model, name="model")
app.add_typer(bars.app, name="bars")
app.add_typer(strategy.app, name="strategy")
app.add_typer(audit.app)
app.add_typer(selftest.app)
app.add_typer(sweep.app)
app.add_typer(report.app, name="report")
app.add_typer(trading.app)
app.add_typer(risk.app, name="risk")


@model.command("list")
def model_list(
    pair: Annotated[str | None, typer.Option(help="Of this pair alone.")] = None,
    timeframe: Annotated[str | None, typer.Option(help="Of this timeframe alone.")] = None,
) -> None:
    """List models, the newest first; a star marks those in force."""
    from rich.console import Console

    from deployments.sep import models

    models.show_all(Console(highlight=False), pair, timeframe)


@model.command("show")
def model_show(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model, or its beginning.")],
) -> None:
    """Show what is on record of a model, and whether it may be used here and now."""
    from rich.console import Console

    from deployments.sep import models

    models.show(Console(highlight=False), name)


instruments = typer.Typer(
    help="Show the instruments that are known, and ask OANDA for its own.", no_args_is_help=True
)
app.add_typer(instruments, name="instruments")


@instruments.command("list")
def instruments_list(
    kind: Annotated[
        str | None, typer.Option(help="Of this kind alone: forex, metals, index, crypto ...")
    ] = None,
) -> None:
    """List instruments with their usual costs; a tilde marks estimates."""
    from rich.console import Console

    from deployments.sep import instruments

    instruments.show_all(Console(highlight=False), kind)


@instruments.command("show")
def instruments_show(
    name: Annotated[str, typer.Argument(help="In any spelling: EUR_USD, eurusd, GOLD.")],
) -> None:
    """Show all that is known of an instrument, with its source and date."""
    from rich.console import Console

    from deployments.sep import instruments

    instruments.show(Console(highlight=False), name)


@instruments.command("refresh")
def instruments_refresh() -> None:
    """Ask OANDA, by SEP_OANDA_TOKEN, for pips, sizes, margins and financing rates."""
    from rich.console import Console

    from deployments.sep import instruments

    instruments.refresh(Console(highlight=False))


oanda = typer.Typer(help="Measure what OANDA does not document.", no_args_is_help=True)
app.add_typer(oanda, name="oanda")


@oanda.command("probe")
def oanda_probe(
    yes: Annotated[bool, typer.Option("--yes", help="Send the orders.")] = False,
) -> None:
    """Measure on a practice account, with the smallest orders, what is not documented."""
    from rich.console import Console

    from deployments.sep import oanda

    oanda.probe(Console(highlight=False), yes=yes)


@app.command()
def backup(
    to: Annotated[
        Path | None, typer.Option(help="Folder of backups; left out: SEP_BACKUP_FOLDER.")
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the backups there are.")] = False,
    verify: Annotated[
        Path | None, typer.Option(help="Check every file of this backup, a path or a name.")
    ] = None,
) -> None:
    """Back up database, bars and models; old backups beyond SEP_BACKUPS_KEPT are removed."""
    from rich.console import Console

    from deployments.sep import backups

    console = Console(highlight=False)
    if verify is not None:
        raise typer.Exit(int(not backups.check(console, to, verify)))
    (backups.show if listed else backups.make)(console, to)


@app.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="The backup: a path, or a name of the list.")],
    force: Annotated[
        bool, typer.Option("--force", help="Delete the rows, bars and models that are there.")
    ] = False,
) -> None:
    """Check a backup and restore it into an empty home and database."""
    from rich.console import Console

    from deployments.sep import backups
    from infra.settings import settings

    backups.restore(settings(), Console(highlight=False), folder, force=force)


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def demo(context: typer.Context) -> None:
    """Show the whole way on real data and on an instrument with a known edge."""
    from deployments.sep.demo import demo as show

    command = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    command.command("demo")(show)
    command(context.args, prog_name="sep demo")


@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    }
)
def simulate(context: typer.Context) -> None:
    """Serve a simulated OANDA on this machine, for who has no token."""
    from deployments.sep.simulate import app as command

    command(context.args, prog_name="sep simulate")


def main() -> None:
    """Run the command; what a user can mend is one message, not a traceback."""
    os.umask(UMASK)
    try:
        app()
    except Exception as error:
        if not _is_for_users(error):
            raise
        print(f"sep: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def _is_for_users(error: Exception) -> bool:
    """Say whether the message is enough: what is told of us, of the disk, or of what was given."""
    from infra.errors import SepError

    ours = isinstance(error, SepError | OSError)
    return ours or type(error).__name__ in ("ValidationError", "EngineUnavailable")


if __name__ == "__main__":
    main()
