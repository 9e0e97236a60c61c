"""Statements on the command line."""

from __future__ import annotations

from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.panel import whole
from deployments.sep.switches import BadTime
from infra.clock import WallClock
from infra.settings import settings
from tasks.reports.statement_report import keep, shown, tables
from tasks.trading.brokers import account_of, shadow_of
from tasks.trading.shadow import compare
from tasks.trading.statement import day_of, statement


def show(console: Console, day: str | None, account: str | None) -> None:
    """Show the statement of a day, and say where it is kept.

    Parameters
    ----------
    console : rich.console.Console
    day : str or None
        None: the present one.
    account : str or None

    Raises
    ------
    BadTime
        If it is no day.
    """
    try:
        chosen = date.fromisoformat(day) if day else day_of(WallClock().now())
    except ValueError as error:
        raise BadTime(f"{day!r} is no day: write 2026-03-02") from error
    name = account or account_of(settings())
    told = statement(name, chosen)
    if told.empty:
        console.print(f"nothing is known of {escape(name)} on {chosen}")
        return
    both = compare(name, told.start, told.end) if shadow_of(settings(), name) else None
    for title, rows in tables(told, both).items():
        table = Table(box=None, pad_edge=False, padding=(0, 1), title=title, title_justify="left")
        for heading in rows[0]:
            table.add_column(heading)
        for row in rows:
            table.add_row(*(escape(shown(value)) for value in row.values()))
        whole(console, table)
    for path in keep(told, both):
        console.print(escape(str(path)), soft_wrap=True)
