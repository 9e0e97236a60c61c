"""Switches on the command line: halt, resume, arm, disarm, and what is on."""

from __future__ import annotations

import getpass
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from socket import gethostname
from typing import Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from infra.clock import WallClock
from infra.errors import SepError
from infra.market.instruments import canonical
from infra.postgres.outage import reason
from infra.settings import Settings, settings
from infra.site import site
from tasks.trading import control, heartbeat
from tasks.trading.brokers import NoBroker, account_of, broker_of
from tasks.trading.control import NotArmed
from tasks.trading.halt_file import ALL

_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


class BadTime(SepError, ValueError):
    """A time that was typed is none."""


@dataclass(frozen=True)
class Halting:
    """What `sep halt` was told."""

    pair: str | None
    account: str | None
    why: str
    who: str | None
    until: str | None
    reduce: bool


def halt(console: Console, chosen: Halting) -> int:
    """Halt, or reduce, and say who knows of it; 1 if those who trade elsewhere may not.

    Parameters
    ----------
    console : rich.console.Console
    chosen : Halting

    Raises
    ------
    BadTime
        If a time is none, or it asks for what there is not.
    """
    now = WallClock().now()
    who, until = chosen.who or user(), time_of(chosen.until, now)
    account, pair = chosen.account or ALL, canonical(chosen.pair) if chosen.pair else ALL
    if chosen.reduce:
        if pair != ALL:
            raise BadTime("--reduce is of an account, not of a pair")
        control.reduce(who, chosen.why, account=account, until=until)
        console.print("reducing: positions are only made smaller; `sep resume` ends it")
        return 0
    unknown = control.halt(who, chosen.why, now, account=account, pair=pair, until=until)
    what = " ".join(word for word in (account, pair) if word != ALL) or "everything"
    console.print(f"[yellow]halted[/] {escape(what)}: nothing is entered; exits and stops go on")
    console.print("`sep resume` lifts it, `sep flatten` closes what is open")
    if unknown is None:
        return 0
    return _alone(console, unknown)


def resume(console: Console, pair: str | None, why: str, who: str | None) -> None:
    """Lift halts, and say which.

    Parameters
    ----------
    console : rich.console.Console
    pair : str or None
    why : str
    who : str or None
    """
    lifted = control.resume(who or user(), why, pair=canonical(pair) if pair else None)
    for each in lifted:
        console.print(f"lifted: {escape(each)}", soft_wrap=True)
    if not lifted:
        console.print("nothing was halted")


def arm(console: Console, account: str, until: str, why: str, who: str | None) -> None:
    """Arm live trading, once the account was typed again.

    Parameters
    ----------
    console : rich.console.Console
    account, until, why : str
    who : str or None

    Raises
    ------
    NotArmed
        If the settings do not mean that live account.
    """
    chosen, clock = settings(), WallClock()
    ends = time_of(until, clock.now())
    assert ends is not None
    _require_live(chosen, account)
    venue = broker_of(chosen, account, clock).name
    console.print(
        f"[red]Orders of real money[/] will be sent on {escape(account)} of {venue} until "
        f"{ends:%Y-%m-%d %H:%M} UTC."
    )
    if typer.prompt("Type the account to arm it") != account:
        raise NotArmed("that is not the account: nothing is armed")
    control.arm(account, venue, who or user(), why, ends, clock.now())
    console.print(f"armed: {escape(account)}; `sep live disarm` takes it back")


def disarm(console: Console, why: str, who: str | None) -> None:
    """Forbid live trading, and say what had been armed.

    Parameters
    ----------
    console : rich.console.Console
    why : str
    who : str or None

    Raises
    ------
    NotArmed
        If the database does not answer.
    """
    try:
        armed = control.disarm(who or user(), why)
    except (SepError, SQLAlchemyError) as error:
        raise NotArmed(
            f"the database does not answer ({reason(error)}): `sep halt` works without it"
        ) from error
    console.print(f"disarmed: {escape(', '.join(armed))}" if armed else "nothing was armed")


def show(console: Console, account: str | None) -> int:
    """Show broker, switches and signs of life; 1 if nothing may be entered.

    Parameters
    ----------
    console : rich.console.Console
    account : str or None
    """
    chosen, now = settings(), WallClock().now()
    name = account or _account(chosen)
    present = control.present(name, now)
    table = Table(box=None, pad_edge=False, padding=(0, 1), show_header=False)
    rows = {
        "broker": f"{chosen.broker} {chosen.oanda_environment if chosen.broker != 'paper' else ''}",
        "account": name,
        "token": "set" if chosen.oanda_trading_token else "none",
        "halted": present.halted or "no",
        **{f"halted {pair}": why for pair, why in present.halted_pairs.items()},
        "reducing": present.reducing or "no",
        "armed": str(_armed(present.armed)),
        "signals": _sign(heartbeat.SIGNALS, now),
        "executor": _sign(heartbeat.EXECUTOR, now),
    }
    for what, said in rows.items():
        table.add_row(what, escape(said))
    console.print(table, soft_wrap=True)
    return int(bool(present.halted or present.reducing))


def user() -> str:
    """Return who types, and where."""
    return f"{getpass.getuser()}@{gethostname()}"


def time_of(text: str | None, now: datetime) -> datetime | None:
    """Return a time that was typed: a length from now on, or ISO, in UTC where no zone is named.

    Parameters
    ----------
    text : str or None
    now : datetime

    Raises
    ------
    BadTime
        If it is neither, or has passed.
    """
    if text is None:
        return None
    if length := re.fullmatch(r"\+?([1-9]\d{0,3})([mhd])", text):
        return now + timedelta(**{_UNITS[length[2]]: int(length[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadTime(f"{text[:40]!r} is no time: write 30m, 4h, 2d or 2026-03-02T17:00") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment <= now:
        raise BadTime(f"{moment:%Y-%m-%d %H:%M} UTC has passed")
    return moment


def _alone(console: Console, unknown: str) -> int:
    """The halt file is all there is: enough where orders are sent from this machine."""
    here = site().trades
    console.print(
        f"[yellow]![/] the database does not answer ({escape(unknown)}): the halt file of this "
        + ("machine holds" if here else "machine alone knows, run `sep halt` on the droplet, too"),
        soft_wrap=True,
    )
    return int(not here)


def _require_live(chosen: Settings, account: str) -> None:
    if chosen.broker != "oanda" or chosen.oanda_environment != control.LIVE:
        raise NotArmed(
            "live trading needs SEP_BROKER=oanda and SEP_OANDA_ENVIRONMENT=live; here they are "
            f"{chosen.broker} and {chosen.oanda_environment}"
        )
    if chosen.oanda_account not in (None, account):
        raise NotArmed(f"SEP_OANDA_ACCOUNT is {chosen.oanda_account}, not {account}")


def _account(chosen: Settings) -> str:
    try:
        return account_of(chosen)
    except (SepError, OSError) as error:
        return ALL if isinstance(error, NoBroker) else f"unknown ({error})"


def _armed(armed: control.Arming | None) -> str:
    if armed is None:
        return "no"
    return f"{armed.account} on {armed.venue} until {armed.until:%Y-%m-%d %H:%M} UTC: {armed.why}"


def _sign(name: str, now: datetime) -> str:
    try:
        past = heartbeat.age(name, now)
    except (SepError, SQLAlchemyError) as error:
        return f"unknown: {reason(error)}"
    return "never" if past is None else f"{round(past.total_seconds())} s ago"
