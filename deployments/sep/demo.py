"""The demo: the whole way on real hours, then on an instrument whose edge is known."""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from deployments import environment, services
from infra.errors import SepError
from infra.settings import Settings, settings

HOUR = timedelta(hours=1)
LONG = 900.0
COMMAND = os.path.relpath(sys.argv[0]) if Path(sys.argv[0]).name == "sep" else "sep"
"""How the user called us: .venv/bin/sep after `make demo`."""

Seed = Annotated[int, typer.Option(min=0, help="Of the planted walk.")]
Bars = Annotated[int, typer.Option(min=4_000, help="Hours of the planted walk.")]
Replay = Annotated[int, typer.Option(min=1, help="Bars of the replayed live cycle.")]


class DemoFailed(SepError, RuntimeError):
    """A run of the demo did not complete; the message says which and where its log is."""


def demo(seed: Seed = 1, bars: Bars = 20_000, replay: Replay = 240) -> None:
    """Show the whole way on 5,000 real EURUSD hours and on PLANTED, a walk with a known edge.

    Parameters
    ----------
    seed : int
        Of the planted walk.
    bars : int
        Of the planted walk.
    replay : int
        Hours of it that the live cycle replays.
    """
    console = Console(highlight=False)
    present = settings()
    began = time.monotonic()
    api_url = services.up(present, console)
    os.environ.update(environment.client_environment(present, api_url))
    real = _whole_way(console, "EUR_USD", {"source": "sample"}, replay)
    console.print(
        f"\nNow [bold]PLANTED[/]: a random walk of {bars:,} bars, seed {seed}, whose drift "
        "switches between -0.25, 0 and +0.25 one-bar deviations; a round trip costs 0.5 deviations."
    )
    planted = _whole_way(
        console, "PLANTED", {"source": "planted", "seed": seed, "bars": bars}, replay
    )
    _goodbye(console, present, api_url, [real, planted], time.monotonic() - began)


def _whole_way(console: Console, pair: str, source: dict[str, Any], replay: int) -> dict[str, Any]:
    from infra.market.instruments import SYNTHETIC
    from tasks.reports.summary import print_table
    from tasks.research import registry

    what = {"pair": pair, "timeframe": "H1"}
    ingested = _run(console, "ingest/local", {**what, **source})
    tested: dict[str, Any] = _run(console, "backtest/local", what)
    summary = json.loads((Path(tested["folder"]) / "summary.json").read_text())
    print_table(summary, console)
    closed = datetime.fromisoformat(ingested["last"]) + HOUR
    # what is synthetic may be traded to be looked at; a market's model has to pass the gate
    shadow = pair not in SYNTHETIC
    registry.appoint(tested["model_id"], who="sep demo", shadow=shadow, why="shown, not judged")
    clock = {"as_of": closed.isoformat(), "bars": replay}
    cycled = _run(console, "signals/H1", {"pairs": [pair], **clock})
    executed = _run(console, "execute/droplet", clock)
    (published,) = cycled["pairs"]
    mode = published["mode"]
    why = "" if mode == "live" else ": recorded, never executed, as no model has passed a gate"
    console.print(
        f"Live cycle, replayed over the last {replay} bars: {published['new']} signals "
        f"published as [bold]{mode}[/] ({published['present']} were before){why}; "
        f"{executed['entered']} entered and {executed['left']} left on the paper broker."
    )
    return tested


def _run(console: Console, deployment: str, parameters: dict[str, Any]) -> Any:
    from prefect.deployments import run_deployment

    options = " ".join(f"{name}={value}" for name, value in parameters.items())
    began = time.monotonic()
    with console.status(f"{deployment} {options}"):
        run: Any = run_deployment(
            deployment, parameters=parameters, timeout=LONG, poll_interval=0.5, as_subflow=False
        )
    if run.state is None or not run.state.is_completed():
        state = run.state.name if run.state else "unknown"
        raise DemoFailed(
            f"{deployment} ended as {state}: {run.state.message if run.state else ''} "
            f"(prefect flow-run logs {run.id})"
        )
    console.print(f"[green]✓[/] {deployment} {options} [dim]{time.monotonic() - began:.0f} s[/]")
    return run.state.result()


def _goodbye(
    console: Console,
    present: Settings,
    api_url: str,
    tested: list[dict[str, Any]],
    seconds: float,
) -> None:
    console.rule("SEP Trader", style="dim")
    for test in tested:
        console.print(f"[bold]Report[/]      {test['report']}  ({test['verdict']})", soft_wrap=True)
    for name, text in {
        "Prefect UI": f"{api_url.removesuffix('/api')}/runs",
        "Stop": f"{COMMAND} down",
        "Next": f"{COMMAND} status, {COMMAND} doctor",
    }.items():
        console.print(f"[bold]{name:<12}[/]{text}", soft_wrap=True)
    console.print(
        f"[dim]All state is under {present.home}. {seconds:.0f} s. Not financial advice.[/]",
        soft_wrap=True,
    )
