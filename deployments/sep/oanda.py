"""OANDA on the command line: what is not documented, measured on a practice account."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.brokers.oanda.broker import OandaBroker
from infra.brokers.oanda.experiments import EXPERIMENTS
from infra.brokers.oanda.probe import Probe, assert_practice
from infra.clock import Clock, WallClock
from infra.files import replaced
from infra.settings import Settings, settings

PLAN: Final = (
    "The probe opens and closes trades of the smallest size, each with a stop, in a pair where the "
    "account has none; it takes about a minute, and leaves no trade open. It asks:"
)


def probe(console: Console, *, yes: bool) -> None:
    """Say what is going to be done, and with `yes` do it, show what was found and keep it.

    Parameters
    ----------
    console : rich.console.Console
    yes : bool
    """
    clock = WallClock()
    broker = OandaBroker.of_settings(settings(), clock)
    with closing(broker.client):
        _probe(console, broker, clock, yes=yes)


def _probe(console: Console, broker: OandaBroker, clock: Clock, *, yes: bool) -> None:
    assert_practice(broker)
    console.print(f"{broker.name}, account {broker.account_id}", soft_wrap=True)
    console.print(PLAN, *(f"  {question}" for question in EXPERIMENTS), sep="\n", soft_wrap=True)
    if not yes:
        console.print("Nothing was sent: `sep oanda probe --yes` does it.")
        raise typer.Exit(1)
    measure(console, broker, clock, settings())


def measure(console: Console, broker: OandaBroker, clock: Clock, site: Settings) -> Path:
    """Run the probe; what it saw is kept and shown also if it is broken off.

    Parameters
    ----------
    console : rich.console.Console
    broker : OandaBroker
    clock : Clock
    site : Settings

    Returns
    -------
    Path
        Of what was kept.
    """
    begin = clock.now()
    run = Probe(broker, f"probe-{begin:%Y%m%dT%H%M%S}")
    path = site.home / f"probe-{begin:%Y-%m-%d}.json"
    try:
        run.run(EXPERIMENTS)
    finally:
        if run.findings:
            _keep(path, run)
            _show(console, run)
            console.print(f"what was seen: {escape(str(path))}", soft_wrap=True)
    return path


def _keep(path: Path, run: Probe) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replaced(path) as draft:
        draft.write_text(json.dumps(run.record(), indent=1, default=str))


def _show(console: Console, run: Probe) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("question")
    table.add_column("found")
    for finding in run.findings:
        table.add_row(escape(finding.question), escape(finding.answer))
    console.print(table)
