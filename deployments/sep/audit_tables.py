"""Audits on the command line: look-ahead in strategies and models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.market.instruments import canonical
from infra.stores.catalog import require
from tasks.audit import detectors, models
from tasks.audit.cases import Case
from tasks.audit.detectors import Finding, audited
from tasks.folder import bar_store
from tasks.research import registry
from tasks.rules import texts
from tasks.rules.frames import stored
from tasks.strategy.language.errors import DslError
from tasks.strategy.seam import Strategy

MOST: Final = 20_000
"""Bars that a strategy is audited over where no time is named."""
NO_SPAN: Final = (
    "a model is audited over the end of its test span: leave pair, timeframe and times out"
)


@dataclass(frozen=True)
class Asked:
    """What is audited, and over which bars.

    Attributes
    ----------
    what : str
        A .sep file, a strategy's name, or a model.
    pair, timeframe : str, optional
        In place of the strategy's own.
    start, end : datetime, optional
        Of its bars.
    count : int, optional
        At how many bars the future is changed.
    """

    what: str
    pair: str | None = None
    timeframe: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    count: int | None = None


def audit(console: Console, asked: Asked) -> int:
    """Show what the detectors found; return 1 where something leaks.

    Parameters
    ----------
    console : rich.console.Console
    asked : Asked

    Raises
    ------
    DslError
        If the strategy asks what a model believes (its model is what can be audited), or bars are
        named for a model.
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    of_strategy = asked.what.endswith(".sep") or asked.what in texts.names()
    with console.status("asking for signals over other pasts and futures"):
        found = _of_strategy(asked) if of_strategy else _of_model(asked)
    _show(console, found)
    return int(not all(each.clean for each in found))


def _of_strategy(asked: Asked) -> list[Finding]:
    pair = asked.pair and canonical(asked.pair)
    strategy = texts.find(asked.what, pair, asked.timeframe).open()
    if strategy.requires.rules:
        ways = "`sep model list` shows its models, `sep audit MODEL` audits one"
        raise DslError(f"{strategy.title} asks what a model believes: {ways}")
    start = asked.start or newest(strategy, asked.end)
    bars = stored(strategy, bar_store(), start, asked.end)
    return audited(Case.of(strategy), bars, count=asked.count or detectors.COUNT)


def newest(strategy: Strategy, end: datetime | None) -> datetime | None:
    """Return where the newest bars begin that are audited, or None where there are no more.

    Parameters
    ----------
    strategy : Strategy
    end : datetime, optional
        One past the last of them.
    """
    base, store = strategy.requires.streams[0], bar_store()
    require(store, base.pair, base.timeframe)
    times = store.starts(base.pair, base.timeframe, None, end)
    return times[-MOST] if times.len() > MOST else None


def _of_model(asked: Asked) -> list[Finding]:
    if asked.pair or asked.timeframe or asked.start or asked.end:
        raise DslError(NO_SPAN)
    chosen = registry.entry(asked.what)
    return models.audit(chosen, bar_store(), count=asked.count or models.COUNT)


def _show(console: Console, found: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    for each in found:
        table.add_row("PASS" if each.clean else "FAIL", each.detector, escape(each.detail))
    console.print(table)
