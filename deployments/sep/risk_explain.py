"""Why a signal may or may not be entered: its size, and what every rule says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select

from deployments.sep.risk_tables import look
from infra.errors import SepError
from infra.postgres.database import session
from infra.postgres.models import Signal
from infra.postgres.trading import Intent, IntentEvent
from infra.settings import settings
from tasks.trading.brokers import account_of
from tasks.trading.plan import plan, refusal
from tasks.trading.risk.engine import STATE
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.rules import CHECKS

_ORDER: Final = {name: place for place, name in enumerate((STATE, *(n for n, _ in CHECKS)))}


class NoSignal(SepError, LookupError):
    """There is no signal of that number."""


@dataclass(frozen=True)
class _Thought:
    """What was or is thought of a signal.

    Attributes
    ----------
    when : str
        Since when it is so, for people.
    detail : mapping
        `size`, `rules`: as the journal records them.
    denied : str or None
        Why it is not entered.
    """

    when: str
    detail: Mapping[str, Any]
    denied: str | None


def explain(console: Console, number: int, account: str | None, *, now: bool = False) -> int:
    """Tell size, rules and verdict of a signal; 1 if it is denied.

    Parameters
    ----------
    console : rich.console.Console
    number : int
        Of the signal.
    account : str or None
        None: the one that the settings mean.
    now : bool
        Judge it anew, though there is a record.

    Raises
    ------
    NoSignal
        If there is none.
    """
    signal = _signal(number)
    _show_signal(console, signal)
    thought = None if now else _recorded(number, account or account_of(settings()))
    thought = thought or _judged(signal, account)
    console.print(f"[dim]{thought.when}[/]")
    if size := thought.detail.get("size"):
        console.print(f"size: {escape(str(size))}", soft_wrap=True)
    console.print(_rules(thought))
    if thought.denied is None:
        console.print("[green]allowed[/]")
        return 0
    console.print(f"[red]denied[/] {escape(thought.denied)}", soft_wrap=True)
    return 1


def _signal(number: int) -> Signal:
    with session() as opened:
        found = opened.get(Signal, number)
        if found is None:
            raise NoSignal(f"there is no signal {number}: `signal` is the table of them")
        opened.expunge_all()
    return found


def _show_signal(console: Console, signal: Signal) -> None:
    what = f"{signal.strategy} {signal.pair} {signal.timeframe}, bar {_time(signal.bar_ts)}"
    console.print(f"[bold]signal {signal.id}[/] {signal.action} {escape(what)}")
    console.print(f"[dim]{signal.mode}, valid until {_time(signal.valid_until)}[/]")


def _recorded(number: int, account: str) -> _Thought | None:
    """Return what the journal says of it; None if nothing was judged."""
    events = (
        select(IntentEvent, Intent)
        .join(Intent, Intent.id == IntentEvent.intent_id)
        .where(Intent.signal_id == number, Intent.account == account, Intent.kind == "entry")
        .order_by(IntentEvent.id)
    )
    with session() as opened:
        rows = [
            (event.at, event.detail, intent.state, intent.note)
            for event, intent in opened.execute(events)
        ]
    told = [row for row in rows if row[1]] or rows[:1]
    if not told:
        return None
    at, detail, state, note = told[0]
    return _Thought(
        f"as recorded at {_time(at)}; the order is {state}{f': {note}' if note else ''}",
        detail,
        (note or "it was denied") if state == "DENIED" else None,
    )


def _judged(signal: Signal, account: str | None) -> _Thought:
    limits = Limits.load(settings().home)
    name, found = look(settings(), account, [signal.pair], limits)
    thought = plan(signal, found, limits, limits.sizing)
    never = refusal(signal)
    return _Thought(f"judged now, on {name}", thought.detail, never or thought.refusal)


def _rules(thought: _Thought) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    rules = thought.detail.get("rules", {})
    # the database keeps no order
    for name in sorted(rules, key=lambda each: _ORDER.get(each, len(_ORDER))):
        text = rules[name]
        denies = f"{name}: {text}" in (thought.denied or "")
        table.add_row("[red]denies[/]" if denies else "[green]allows[/]", name, escape(str(text)))
    return table


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
