"""Limits of risk on the command line: in force, used, presets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from infra.clock import Clock, WallClock
from infra.errors import SepError
from infra.files import replaced
from infra.postgres.database import session
from infra.postgres.models import Pair
from infra.postgres.outage import reason
from infra.settings import Settings, settings
from tasks.trading.brokers import account_of, broker_of
from tasks.trading.risk.engine import state_of
from tasks.trading.risk.limits import FILE, OFF, Limits, LimitsError, stated
from tasks.trading.risk.presets import MEANINGS, PRESETS
from tasks.trading.risk.situation import Situation, situation
from tasks.trading.risk.usage import usage

_COLOURS: Final = {"ACTIVE": "green", "REDUCING": "yellow", "HALTED": "red"}
_COMPARED: Final = (
    "max_risk", "max_open_risk", "daily_loss", "trailing_drawdown", "static_drawdown",
    "max_own_trades", "max_total_leverage",
)  # fmt: skip


def show(console: Console, account: str | None) -> int:
    """Show state, usage and limits; 1 if nothing may be entered, or nobody knows.

    Parameters
    ----------
    console : rich.console.Console
    account : str or None
    """
    chosen = settings()
    limits = Limits.load(chosen.home)
    code = _show_state(console, chosen, account, limits)
    console.print(_limits(limits, stated(chosen.home)))
    _show_pairs(console)
    where = chosen.home / FILE
    console.print(f"{where} {'says' if where.exists() else 'would say'} which differ", style="dim")
    return code


def presets(console: Console) -> None:
    """List the presets, with their main figures.

    Parameters
    ----------
    console : rich.console.Console
    """
    table = _table("preset", *_COMPARED)
    for name, limits in PRESETS.items():
        table.add_row(name, *(_value(getattr(limits, limit)) for limit in _COMPARED))
    console.print(table)
    for name, meaning in MEANINGS.items():
        console.print(f"[bold]{name}[/]: {meaning}", soft_wrap=True)
    console.print("`sep risk use PRESET` writes one to risk.toml", style="dim")


def use(console: Console, preset: str, clock: Clock | None = None) -> None:
    """Write a preset to the file of limits; the old one is kept beside it.

    Parameters
    ----------
    console : rich.console.Console
    preset : str
    clock : Clock, optional

    Raises
    ------
    LimitsError
        If there is no preset of that name.
    """
    if preset not in PRESETS:
        raise LimitsError(f"{preset[:40]!r} is no preset; there are {', '.join(PRESETS)}")
    path = settings().home / FILE
    kept = path.with_name(f"risk-{(clock or WallClock()).now():%Y%m%dT%H%M%S%f}.toml")
    if path.exists():
        kept.write_bytes(path.read_bytes())
        console.print(f"the limits of before are kept in {kept}", soft_wrap=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path, durable=True) as draft:
        draft.write_text(f"# {preset}: {MEANINGS[preset]}\n\n{PRESETS[preset].toml()}")
    console.print(f"{preset} is in force, from the next cycle on: {path}", soft_wrap=True)


def look(
    chosen: Settings, account: str | None, pairs: Iterable[str], limits: Limits
) -> tuple[str, Situation]:
    """Return the name of an account and how it stands.

    Parameters
    ----------
    chosen : Settings
    account : str or None
        None: the one that the settings mean.
    pairs : iterable of str
    limits : Limits
    """
    clock, name = WallClock(), account or account_of(chosen)
    broker = broker_of(chosen, name, clock)
    return name, situation(name, broker, list(pairs), limits, clock.now())


def _show_state(console: Console, chosen: Settings, account: str | None, limits: Limits) -> int:
    try:
        name, found = look(chosen, account, (), limits)
    except (SepError, SQLAlchemyError, OSError) as error:
        console.print(f"[red]unknown[/] {escape(reason(error))}", soft_wrap=True)
        return 1
    state, reasons = state_of(found, limits)
    console.print(f"[{_COLOURS[state]}]{state}[/] {escape(name)}")
    for which, text in reasons:
        console.print(f"  {which}: {escape(text)}", soft_wrap=True)
    table = _table("", "used", "allowed")
    for row in usage(found, limits):
        table.add_row(*map(escape, row))
    console.print(table)
    return int(state != "ACTIVE")


def _limits(limits: Limits, said: dict[str, object]) -> Table:
    table = _table("limit", "in force", "from", "meaning")
    for name, field in Limits.model_fields.items():
        whence = FILE if name in said else "default"
        table.add_row(name, escape(_value(getattr(limits, name))), whence, field.description)
    return table


def _show_pairs(console: Console) -> None:
    """Show what pairs tighten, from their table; nothing where no database answers."""
    try:
        with session() as opened:
            rows = [(p.pair, p.timeframe, p.limits) for p in opened.scalars(select(Pair))]
    except (SepError, SQLAlchemyError):
        return
    for pair, timeframe, said in rows:
        words = ", ".join(f"{name} {value}" for name, value in said.items())
        if words:
            console.print(f"{pair} {timeframe} (table pairs): {escape(words)}", soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1))
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _value(value: object) -> str:
    if value is None or value == ():
        return OFF
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)
