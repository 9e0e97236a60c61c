"""The command `sep strategy`: strategies as text, checked, explained, run, tested and watched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deployments.sep.bars import From, To, time_of

app = typer.Typer(
    help="Check, explain, lay out, run, test and watch strategies as text (.sep files).",
    no_args_is_help=True,
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="A .sep file, or an example's name.")]
Pair = Annotated[
    str | None, typer.Option(help="In place of the first stream's pair, such as GBP_USD.")
]
Timeframe = Annotated[
    str | None, typer.Option(help="In place of the first stream's timeframe, such as H1.")
]


@app.command()
def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of strategies.")],
) -> None:
    """Say whether files are programs; the first fault is told with its line and a caret."""
    from tasks.strategy.language.program import Program

    for file in files:
        program = Program.read(file)
        count = len(program.project.signals)
        typer.echo(f"{file}: {count} signal{'s' * (count != 1)}, digest {program.digest[:12]}")


@app.command()
def functions(
    name: Annotated[str | None, typer.Argument(help="One of them; left out: all.")] = None,
) -> None:
    """List the built-in functions, or tell all of one."""
    from tasks.strategy.language import reference

    typer.echo(reference.listed() if name is None else reference.described(name))


@app.command()
def explain(file: File, pair: Pair = None, timeframe: Timeframe = None) -> None:
    """Tell inputs, warm-up, parameters, exit rules and the compiled plan."""
    from tasks.strategy.language.explanation import explained

    typer.echo(explained(_program(file, pair, timeframe)))


@app.command("format")
def lay_out(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of strategies.")],
    only_look: Annotated[
        bool, typer.Option("--check", help="Change nothing; end with 1 if a file would change.")
    ] = False,
) -> None:
    """Bring texts into the one layout; comments stay."""
    from infra.files import replaced
    from tasks.strategy.language.formatting import formatted

    changed = []
    for file in files:
        text = _text(file)
        if (neat := formatted(text, file.name)) != text:
            changed.append(file)
            if not only_look:
                with replaced(file) as draft:
                    draft.write_text(neat)
    for file in changed:
        typer.echo(f"{file}: {'would change' if only_look else 'changed'}")
    raise typer.Exit(int(only_look and bool(changed)))


@app.command()
def run(
    file: File,
    pair: Pair = None,
    timeframe: Timeframe = None,
    start: From = None,
    end: To = None,
    to_file: Annotated[
        Path | None, typer.Option("--csv", metavar="CSV", help="Write all rows there.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter: pattern.name=value; again for more.")
    ] = None,
) -> None:
    """Print the signals that stored bars give."""
    from rich.console import Console

    from deployments.sep import strategy_bars, strategy_tables

    program = _program(file, pair, timeframe)
    first, last = time_of(start), time_of(end)
    signals = strategy_bars.signals(program, first, last, _parameters(param))
    if to_file is not None:
        signals.write_csv(to_file)
    strategy_tables.show(Console(highlight=False), program, signals)


@app.command()
def test(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of strategies.")],
) -> None:
    """Hold strategies to the tables beside them: FILE.test.csv; ends with 1 where one is missed."""
    from tasks.strategy.language import expectations
    from tasks.strategy.language.program import Program

    missed = False
    for file in files:
        outcome = expectations.held(Program.read(file), expectations.beside(file))
        for miss in outcome.misses:
            typer.echo(f"{file.name}: {miss}")
        kept = outcome.expected - len(outcome.misses)
        typer.echo(f"{file.name}: {kept} of {outcome.expected} bars as expected")
        missed = missed or bool(outcome.misses)
    raise typer.Exit(int(missed))


@app.command()
def watch(
    file: File,
    pair: Pair = None,
    timeframe: Timeframe = None,
    start: From = None,
    end: To = None,
    page: Annotated[
        Path | None, typer.Option(metavar="HTML", help="Left out: FILE.html beside the file.")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Draw the page and end.")] = False,
) -> None:
    """Draw signals on the price, and again whenever the file is saved, until Ctrl-C."""
    from deployments.sep import strategy_watch

    place = page or file.with_suffix(".html")
    watched = strategy_watch.Watched(file, place, pair, timeframe, time_of(start), time_of(end))
    if once:
        typer.echo(watched.draw())
    else:
        strategy_watch.watch(watched, typer.echo)


def _program(file: Path, pair: str | None, timeframe: str | None) -> Any:
    from infra.market.instruments import canonical
    from tasks.rules.texts import path_of
    from tasks.strategy.language.program import Program

    named = None if pair is None else canonical(pair)
    length = None if timeframe is None else timeframe.upper()
    return Program.read(path_of(str(file)), pair=named, timeframe=length)


def _parameters(given: list[str] | None) -> dict[str, float]:
    parameters = {}
    for word in given or ():
        name, _, value = word.partition("=")
        try:
            parameters[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{word!r} is not such as pattern.name=0.5") from None
    return parameters


def _text(file: Path) -> str:
    from tasks.strategy.language.errors import DslError

    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DslError(f"{file} cannot be read: {error}") from None
