"""Bars taken out of the store and put back, on the command line."""

from __future__ import annotations

import getpass
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deployments.sep.asking import asked
from deployments.sep.panel import whole
from infra.postgres import database
from infra.stores import catalog, ledger, removals
from infra.stores.removals import Removed, Wanted
from tasks.folder import bar_store

_REMOVALS: Final = "SELECT * FROM bar_removal ORDER BY id"


def wanted(
    pair: str,
    timeframe: str,
    start: datetime | None,
    end: datetime | None,
    run_id: str | None,
) -> Wanted:
    """Return which bars are meant.

    Parameters
    ----------
    pair, timeframe : str
        As somebody typed them.
    start, end : datetime or None
        With a zone.
    run_id : str or None

    Raises
    ------
    infra.stores.catalog.NoSeries
        If the store has none of the pair and timeframe.
    """
    catalog.require(bar_store(), pair, timeframe)
    return Wanted(pair, timeframe, start, end, run_id)


def look(which: Wanted) -> str:
    """Say what `remove` would do."""
    with asked("removing bars"):
        return f"{which}: {_said(removals.look(bar_store(), which))}"


def remove(console: Console, which: Wanted) -> None:
    """Take bars out, and say how to put them back.

    Parameters
    ----------
    console : rich.console.Console
        Where it is said.
    which : Wanted
    """
    with asked("removing bars"):
        done = removals.remove(bar_store(), which, who=getpass.getuser())
    console.print(f"removed {_said(done)}", soft_wrap=True)
    console.print(f"`sep bars undo {done.id}` puts them back")


def undo(console: Console, number: int | None) -> None:
    """Put back what a removal took out, and say what stayed.

    Parameters
    ----------
    console : rich.console.Console
        Where it is said.
    number : int or None
        Of the removal; None: the newest.
    """
    with asked("putting bars back"):
        done = removals.undo(bar_store(), number)
    stayed = f"; {done.stayed:,} that came since stay" if done.stayed else ""
    console.print(
        f"removal {done.id} is undone: {done.rows:,} bars of {done.pair} {done.timeframe} are "
        f"back{stayed}",
        soft_wrap=True,
    )


def show(console: Console) -> None:
    """List the removals, the newest last.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    """
    with asked("the list of removals"):
        ledger.settle_all(bar_store())
        rows = database.read_frame(_REMOVALS)
    if rows.is_empty():
        console.print("nothing was removed")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in ("id", "removed", "bars", "what", "who", "state"):
        table.add_column(heading, justify="right" if heading in ("id", "bars") else "left")
    for row in rows.iter_rows(named=True):
        there = ledger.removed_file(row["file"]).exists()
        state = "undone" if row["undone_at"] else "can be undone" if there else "cleared"
        at = f"{row['removed_at']:%Y-%m-%d %H:%M}"
        words = (escape(row["what"]), escape(row["who"]), state)
        table.add_row(str(row["id"]), at, f"{row['rows']:,}", *words)
    whole(console, table)


def _said(done: Removed) -> str:
    back = f", {done.put_back:,} of them with the rows they had before" if done.put_back else ""
    return f"{done.rows:,} bars, {done.first:%Y-%m-%d %H:%M} to {done.last:%Y-%m-%d %H:%M}{back}"
