"""What `sep` puts on the screen."""

from __future__ import annotations

import signal
from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from deployments.sep.status import State
from infra.health import Finding
from infra.servers import prefect
from infra.settings import Settings

_LEVELS = {"ok": "green", "note": "yellow", "problem": "red"}
_COLOURS = {"runs": "green", "external": "green", "stopped": "yellow", "no answer": "red"}


def confirm(question: str, *, default: bool = False) -> None:
    """Ask, and end the program unless the answer is yes.

    Polars takes SIGINT over in a way that lets a read go on: Ctrl-C would do nothing.

    Parameters
    ----------
    question : str
    default : bool
        What an empty answer means.

    Raises
    ------
    typer.Abort
        If it is no.
    """
    signal.siginterrupt(signal.SIGINT, True)
    typer.confirm(question, default=default, abort=True)


def whole(console: Console, table: Table) -> None:
    """Print a table and cut nothing of it, however narrow the screen is.

    Parameters
    ----------
    console : rich.console.Console
    table : rich.table.Table
    """
    wanted = console.measure(table, options=console.options.update(width=1_000)).maximum
    console.print(table, width=max(wanted, 1), crop=False, no_wrap=True)


def panel(settings: Settings, api_url: str, *, command: str) -> Panel:
    """Return what to do next; `command` is what makes `prefect` find the server, if anything.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    api_url : str
        Address of the Prefect API.
    command : str
        To be typed first; empty where nothing is.
    """
    lines = Text()
    for label, text in (
        ("UI", api_url.removesuffix("/api")),
        ("login", _login(settings, api_url)),
        ("state", str(settings.home)),
        ("first", command),
        ("try", "prefect deployment run ingest/local"),
        ("then", "prefect deployment run backtest/local -p pair=EUR_USD -p timeframe=H1"),
        ("look", "sep status, sep logs -f, sep doctor"),
        ("stop", "sep down"),
    ):
        if text:
            lines.append(f"{label:<6}", style="dim").append(f"{text}\n")
    lines.rstrip()
    return Panel(lines, title="SEP Trader is up", title_align="left", expand=False)


def _login(settings: Settings, api_url: str) -> str:
    """Say where the password of the UI is; nothing for a server that a setting names."""
    ours = prefect.address(settings.home) == api_url
    return f"the password in {prefect.password_path(settings.home)}" if ours else ""


def table(states: list[State]) -> Table:
    """Return a row for each part."""
    rows = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("part", "state", "address", "pid", "MiB", "since"):
        right = heading in ("pid", "MiB", "since")
        rows.add_column(heading, justify="right" if right else "left", no_wrap=heading != "address")
    for state in states:
        rows.add_row(
            state.title,
            f"[{_COLOURS[state.state]}]{state.state}[/]",
            state.address,
            "" if state.pid is None else str(state.pid),
            "" if state.memory is None else f"{state.memory / 2**20:.0f}",
            "" if state.since is None else _ago(state.since),
        )
    return rows


def finding_line(finding: Finding) -> Text:
    """Return one line of the doctor's report."""
    line = Text(f"{finding.state:<8} ", style=_LEVELS[finding.state])
    line.append(f"{finding.topic:<20} ", style="default")
    line.append(finding.text, style="default")
    if finding.since:
        line.append(f", since {finding.since:%Y-%m-%d %H:%M} UTC", style="dim")
    return line.append(f" - {finding.advice}", style="dim") if finding.advice else line


def _ago(since: datetime) -> str:
    seconds = round((datetime.now(UTC) - since).total_seconds())
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02} ago"
