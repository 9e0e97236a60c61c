"""`sep ingest FILE`: what a file is taken for, and its bars into the store."""

from __future__ import annotations

import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import polars as pl
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments import environment, services
from deployments.sep.panel import confirm, whole
from infra.bars import PRICES
from infra.errors import SepError
from infra.settings import settings

if TYPE_CHECKING:
    from tasks.intake.look import Look

_SHOWN: Final = 3
_POLL: Final = 0.5
_OPTIONS: Final = (
    *("pair", "timeframe", "source", "clock", "decimal", "time_format", "scale", "columns"),
    *("stamp", "any_level"),
)
_VALUE: Final = r"\{[^}]*\}|'[^']*'|[^\s,;:)]*[^\s,;:.)]|"
_OPTION: Final = re.compile(rf"\b({'|'.join(_OPTIONS)})=({_VALUE})")
_FACTS: Final = ("times", "because", "clock", "stamp", "decimal")


class IngestFailed(SepError, RuntimeError):
    """A file was refused, or its run did not complete; the message says what to do."""


def bring(
    console: Console, path: Path, declared: dict[str, Any], *, yes: bool, dry_run: bool
) -> None:
    """Look at a file, show what it is taken for, ask, and run the deployment.

    Parameters
    ----------
    console : rich.console.Console
    path : Path
        A file, a folder or a pattern.
    declared : dict
        Fields of `IngestRequest` that the user has said.
    yes : bool
        Do not ask.
    dry_run : bool
        Stop before anything is stored.

    Raises
    ------
    IngestFailed
        If the file is refused, nobody is there to ask, or the run does not complete.
    """
    _know_the_server()
    from tasks.intake.look import look

    try:
        with console.status(f"reading {path}"):
            looked = look(path, declared)
    except ValidationError as error:
        raise IngestFailed(as_options(_plain(error))) from error
    except SepError as error:
        raise IngestFailed(as_options(str(error))) from error
    show(console, looked)
    if dry_run:
        console.print("Nothing was stored: leave out --dry-run to store it.")
        return
    if looked.validated.bars.is_empty():
        raise IngestFailed("no row is a bar: nothing was stored; the reasons are above")
    if not yes:
        _ask(looked)
    _tell(console, _run(console, looked.request.model_dump(mode="json", exclude_defaults=True)))


def _know_the_server() -> None:
    """Tell Prefect, before it is loaded, which server there is; a look needs none."""
    with suppress(SepError):
        api_url = services.api_url(settings())
        os.environ.update(environment.client_environment(settings(), api_url))


def _plain(error: ValidationError) -> str:
    """Say what is wrong with options, each with its name."""
    said = []
    for each in error.errors():
        name = ".".join(map(str, each["loc"]))
        message = str(each["msg"]).removeprefix("Value error, ")
        said.append(f"{name}={each['input']}: {message}" if name else message)
    return "; ".join(said)


def as_options(message: str) -> str:
    """Return a message that names options of the flow with those of the command line.

    Parameters
    ----------
    message : str
        Such as `say clock=UTC`.
    """

    def option(found: re.Match[str]) -> str:
        name = "--" + found[1].replace("_", "-")
        if found[2].startswith("{"):
            return f"{name} open=NAME"
        return name if found[2] in ("", "true") else f"{name} {found[2]}"

    return _OPTION.sub(option, message)


def show(console: Console, looked: Look) -> None:
    """Show what a file is taken for and why, and the first and last bars as read.

    Parameters
    ----------
    console : rich.console.Console
    looked : Look
    """
    request, validated = looked.request, looked.validated
    for name in ("source", "pair", "timeframe"):
        value = str(getattr(request, name))
        console.print(f"[dim]{name:<10}[/] {value}  [dim]{escape(looked.why[name])}[/]")
    facts = validated.facts
    for name in _FACTS[:1] + _FACTS[2:]:
        why = f"  [dim]{facts['because']}[/]" if name == "times" and facts.get("because") else ""
        console.print(f"[dim]{name:<10}[/] {escape(facts.get(name) or '-')}{why}", soft_wrap=True)
    if looked.columns:
        mapped = ", ".join(f"{ours}={theirs!r}" for ours, theirs in looked.columns.items())
        console.print(f"[dim]{'columns':<10}[/] {escape(mapped)}", soft_wrap=True)
    whole(console, _rows(validated.bars))
    console.print(f"{looked.rows:,} rows, [bold]{validated.bars.height:,}[/] bars")
    aside = validated.quarantined["reason"].value_counts(sort=True)
    for reason, n in aside.iter_rows():
        console.print(f"[yellow]{n:,}[/] into quarantine: {escape(reason)}")
    for note, n in validated.notes.items():
        console.print(f"[yellow]{n:,}[/] {escape(note)}")


def _rows(bars: pl.DataFrame) -> Table:
    """Return the first and last bars, all of them where they are few."""
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    names = [name for name in (*PRICES, "volume", "bid_close", "ask_close") if name in bars.columns]
    for name in ("time (UTC)", *names):
        table.add_column(name, justify="left" if name.startswith("time") else "right")
    few = bars.height <= 2 * _SHOWN
    parts = [bars] if few else [bars.head(_SHOWN), bars.tail(_SHOWN)]
    for at, part in enumerate(parts):
        if at:
            table.add_row("...")
        for row in part.select("timestamp", *names).iter_rows():
            values = ("" if value is None else f"{value:.10g}" for value in row[1:])
            table.add_row(f"{row[0]:%Y-%m-%d %H:%M}", *values)
    return table


def _ask(looked: Look) -> None:
    if not sys.stdin.isatty():
        raise IngestFailed("nobody is there to ask whether this is right: say --yes if it is")
    what = f"{looked.request.pair} {looked.request.timeframe}"
    confirm(f"Store these as {what}?", default=True)


def _run(console: Console, parameters: dict[str, Any]) -> dict[str, Any]:
    """Run the deployment, and show how far it is."""
    from prefect.client.orchestration import get_client
    from prefect.deployments import run_deployment

    services.api_url(settings())  # says so where none runs
    parameters["path"] = str(Path(parameters["path"]).expanduser().absolute())
    run: Any = run_deployment("ingest/local", parameters=parameters, timeout=0, as_subflow=False)
    with _progress(console) as bar, get_client(sync_client=True) as client:
        task = bar.add_task("ingest", total=100.0)
        while True:
            run = client.read_flow_run(run.id)
            bar.update(task, completed=_reached(client, run.id), description=run.state.name.lower())
            if run.state.is_final():
                break
            time.sleep(_POLL)
    if not run.state.is_completed():
        raise IngestFailed(
            f"the run ended as {run.state.name}: {as_options(run.state.message or '')} "
            f"(prefect flow-run logs {run.id})"
        )
    result: dict[str, Any] = run.state.result()
    return result


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _reached(client: Any, run: UUID) -> float:
    """Return the per cent that the run's progress artifact tells."""
    from prefect.client.schemas.filters import (
        ArtifactFilter,
        ArtifactFilterFlowRunId,
        ArtifactFilterType,
    )

    mine = ArtifactFilterFlowRunId(any_=[run])
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=mine, type=ArtifactFilterType(any_=["progress"]))
    )
    return max((float(artifact.data or 0.0) for artifact in found), default=0.0)


def _tell(console: Console, result: dict[str, Any]) -> None:
    aside = result["rows"] - result["good"]
    console.print(
        f"[green]\u2713[/] {result['added']:,} bars added, {result['revised']:,} revised, "
        f"{aside:,} rows in quarantine; the store has {result['stored']:,}, "
        f"{result['first']} to {result['last']}"
    )
    colour = {"ok": "green", "look": "yellow", "bad": "red"}[result["verdict"]]
    console.print(f"[{colour}]{result['verdict']}[/]: {escape(result['sentence'])}", soft_wrap=True)
    for picture in result["pictures"]:
        console.print(f"[dim]picture[/]    {picture}", soft_wrap=True)
