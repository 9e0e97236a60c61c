"""Instruments on the command line: which there are, what is known of one, and asking anew."""

from __future__ import annotations

from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.panel import whole
from infra.brokers import offers
from infra.market import instruments, offered
from infra.settings import settings


def show_all(console: Console, kind: str | None) -> None:
    """List instruments by kind and name; a tilde marks figures that are estimates.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    kind : str, optional
        None: all.
    """
    known = instruments.known().by_name.values()
    listed = [each for each in known if kind is None or each.kind == kind.lower()]
    if not listed:
        kinds = sorted({each.kind for each in known})
        console.print(f"no instruments of that kind: there are {', '.join(kinds)}")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("instrument", "kind", "pip", "spread", "margin", "date", "source"):
        table.add_column(heading, no_wrap=heading != "source")
    for each in sorted(listed, key=lambda each: (each.kind, each.name)):
        figures = (_figure(each, name) for name in ("pip", "spread_pips", "margin"))
        table.add_row(each.name, each.kind, *figures, each.date, escape(each.source))
    whole(console, table)
    console.print("~ an estimate; spreads are in pips; `sep instruments show NAME` tells all")


def show(console: Console, name: str) -> None:
    """Show all that is known of an instrument.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    name : str
        In any spelling.
    """
    found = instruments.find(name)
    for field, value in asdict(found).items():
        if field != "estimate":
            text = " ".join(map(str, value)) if isinstance(value, tuple) else _figure(found, field)
            console.print(f"[dim]{field:<14}[/] {escape(text)}", soft_wrap=True)
    if found.estimate:
        console.print("~ an estimate")


def refresh(console: Console) -> None:
    """Ask OANDA for its instruments and keep the answer.

    Parameters
    ----------
    console : rich.console.Console
        Where it is told.
    """
    told = offers.ask()
    path = offered.keep(settings().home, told)
    console.print(
        f"{len(told.instruments)} instruments of {told.source} as of {told.date}: {path}",
        soft_wrap=True,
    )
    if told.left_out:
        left_out = escape(", ".join(told.left_out))
        console.print(f"left out, for what is told of them makes no sense: {left_out}")


def _figure(each: instruments.Instrument, name: str) -> str:
    value = getattr(each, name)
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return f"~{text}" if name in each.estimate else text
