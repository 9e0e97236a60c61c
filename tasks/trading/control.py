"""Switches: halt, reduce, arm. Rows of `control` that are never changed, and the halt file.

The newest row of a name, account and scope counts, until it runs out. What cannot be read halts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from infra.brokers.broker import Broker
from infra.errors import SepError
from infra.market.instruments import SYNTHETIC
from infra.postgres.database import every, session
from infra.postgres.outage import reason
from infra.postgres.trading import Control
from infra.settings import settings
from tasks.trading import halt_file
from tasks.trading.halt_file import ALL, Halt

LIVE: Final = "live"


class NotArmed(SepError, ValueError):
    """Live trading cannot be armed so."""


@dataclass(frozen=True)
class Arming:
    """Live trading is allowed: on which account of which venue, by whom, until when."""

    account: str
    venue: str
    who: str
    why: str
    until: datetime | None


@dataclass(frozen=True)
class Switches:
    """What is switched on for an account.

    Attributes
    ----------
    halted : str or None
        Why no pair is entered, and who said so.
    halted_pairs : mapping of str to str
        The same by pair.
    reducing : str or None
        Why positions may only be made smaller.
    armed : Arming or None
    """

    halted: str | None = None
    halted_pairs: Mapping[str, str] = field(default_factory=dict)
    reducing: str | None = None
    armed: Arming | None = None

    def against(self, pair: str) -> str | None:
        """Say why a pair may not be entered; None if it may."""
        return self.halted or self.halted_pairs.get(pair) or self.reducing


def present(account: str, now: datetime, *, home: Path | None = None) -> Switches:
    """Return what is switched on for an account; halted, if nobody can tell.

    Parameters
    ----------
    account : str
    now : datetime
        With a zone.
    home : Path, optional
        Where the halt file is; left out: `SEP_HOME`.
    """
    on_file = [h for h in halt_file.read(home or settings().home) if h.account in (ALL, account)]
    try:
        rows = [row for row in _newest() if row.account in (ALL, account)]
    except (SepError, SQLAlchemyError, OSError) as error:
        return Switches(halted=f"the control table cannot be read: {reason(error)}")
    rows = [row for row in rows if row.on and (row.until is None or row.until > now)]
    halts = [each for each in on_file if each.counts(now)]
    halts += [_as_halt(row) for row in rows if row.name == "halt"]
    return Switches(
        halted=next((str(each) for each in halts if each.pair == ALL), None),
        halted_pairs={each.pair: str(each) for each in halts if each.pair != ALL},
        reducing=next((str(_as_halt(row)) for row in rows if row.name == "reduce"), None),
        armed=next((_arming(row) for row in rows if row.name == "arm"), None),
    )


def halt(
    who: str,
    why: str,
    now: datetime,
    *,
    account: str = ALL,
    pair: str = ALL,
    until: datetime | None = None,
    home: Path | None = None,
) -> str | None:
    """Let no new entry happen: on file first, which always works, then in the database.

    Parameters
    ----------
    who, why : str
    now : datetime
        With a zone.
    account, pair : str
        ``*``: all.
    until : datetime, optional
        When it ends by itself.
    home : Path, optional
        Where the halt file is; left out: `SEP_HOME`.

    Returns
    -------
    str or None
        Why the database does not know of it: other machines go on then.

    Raises
    ------
    OSError
        If neither the file nor the database could be written.
    """
    on_file = _try_file(home or settings().home, Halt(account, pair, who, why, until, now))
    try:
        _write("halt", True, who, why, account=account, scope=pair, until=until)
    except (SepError, SQLAlchemyError) as error:
        if on_file is not None:
            raise on_file from error
        return reason(error)
    return None


def resume(who: str, why: str, *, pair: str | None = None, home: Path | None = None) -> list[str]:
    """Lift halts and `reduce`, and return what was lifted; the file goes last.

    Parameters
    ----------
    who, why : str
    pair : str, optional
        Lift that of this pair alone; left out: all, of every account.
    home : Path, optional
        Where the halt file is; left out: `SEP_HOME`.

    Raises
    ------
    DatabaseError, sqlalchemy.exc.SQLAlchemyError
        If the database does not answer: everything stays as it is.
    """
    wanted = ("halt",) if pair else ("halt", "reduce")
    on = [row for row in _newest() if row.on and row.name in wanted]
    chosen = [row for row in on if pair is None or row.scope == pair]
    for row in chosen:
        _write(row.name, False, who, why, account=row.account, scope=row.scope)
    gone = halt_file.lift(home or settings().home, pair)
    lifted = [f"{row.name} {_where(row.account, row.scope)}: {_as_halt(row)}" for row in chosen]
    alone = [each for each in gone if not _is_among(each, chosen)]
    return lifted + [f"halt {_where(each.account, each.pair)}: {each}" for each in alone]


def reduce(who: str, why: str, *, account: str = ALL, until: datetime | None = None) -> None:
    """Let positions be made smaller only.

    Parameters
    ----------
    who, why : str
    account : str
        ``*``: all.
    until : datetime, optional
        When it ends by itself.
    """
    _write("reduce", True, who, why, account=account, until=until)


def arm(account: str, venue: str, who: str, why: str, until: datetime, now: datetime) -> None:
    """Allow live trading on an account until a time.

    Parameters
    ----------
    account : str
        The broker's own number of it.
    venue : str
        The broker's name, as `Broker.name` says it: ``oanda live``.
    who, why : str
    until, now : datetime
        With zones.

    Raises
    ------
    NotArmed
        If the account is not a single one, or the time has passed.
    """
    if account in (ALL, ""):
        raise NotArmed("arming names one account: --account")
    if until <= now:
        raise NotArmed(f"{until:%Y-%m-%d %H:%M} UTC has passed: --until takes a later time")
    _write("arm", True, who, why, account=account, until=until, detail={"venue": venue})


def disarm(who: str, why: str) -> list[str]:
    """Forbid live trading on every account, and return those that were armed.

    Parameters
    ----------
    who, why : str
    """
    armed = [row.account for row in _newest() if row.on and row.name == "arm"]
    for account in armed:
        _write("arm", False, who, why, account=account)
    return armed


def refusal(broker: Broker, account: str, switches: Switches) -> str | None:
    """Say why a broker may not trade an account; None if it may.

    Only a broker of real money has to be armed: by setting, by account, by venue.

    Parameters
    ----------
    broker : Broker
    account : str
    switches : Switches
    """
    if not broker.real:
        return None
    chosen, environment, armed = settings().broker, settings().oanda_environment, switches.armed
    if chosen == "paper" or environment != LIVE:
        return f"{broker.name} moves real money, but SEP_OANDA_ENVIRONMENT is {environment}"
    if armed is None:
        return f"live trading is not armed for {account}: `sep live arm`"
    if (armed.account, armed.venue) != (account, broker.name):
        said, here = f"{armed.account} on {armed.venue}", f"{account} on {broker.name}"
        return f"live trading is armed for {said}, and this is {here}"
    return None


def refuse_pair(broker: Broker, pair: str) -> str | None:
    """Say why a broker may not trade a pair: one that is made up, where money or a venue is real.

    Parameters
    ----------
    broker : Broker
    pair : str
    """
    if pair in SYNTHETIC and not broker.synthetic:
        return f"{pair} is made up, and {broker.name} is not"
    return None


def on_record() -> list[Control]:
    """Return the newest row of each name, account and scope that is on, run out or not."""
    return [row for row in _newest() if row.on]


def _newest() -> list[Control]:
    key = (Control.name, Control.account, Control.scope)
    newest = select(Control).distinct(*key).order_by(*key, Control.id.desc())
    return sorted(every(newest), key=lambda row: row.account == ALL)  # an account's own come first


def _write(
    name: str,
    on: bool,
    who: str,
    why: str,
    *,
    account: str = ALL,
    scope: str = ALL,
    until: datetime | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    said = {"who": who, "why": why, "until": until, "detail": detail or {}}
    with session() as opened:
        opened.add(Control(name=name, on=on, account=account, scope=scope, **said))


def _try_file(home: Path, wanted: Halt) -> OSError | None:
    try:
        halt_file.add(home, wanted)
    except OSError as error:
        present = halt_file.read(home)
        return None if any(_covers(each, wanted) for each in present) else error
    return None


def _covers(halt: Halt, wanted: Halt) -> bool:
    wider = halt.account in (ALL, wanted.account) and halt.pair in (ALL, wanted.pair)
    later = halt.until is None or (wanted.until is not None and halt.until >= wanted.until)
    return wider and later


def _as_halt(row: Control) -> Halt:
    return Halt(row.account, row.scope, row.who, row.why, row.until, row.at)


def _arming(row: Control) -> Arming:
    venue = str(row.detail.get("venue", ""))
    return Arming(row.account, venue, row.who, row.why, row.until)


def _where(account: str, pair: str) -> str:
    words: Iterator[str] = (word for word in (account, pair) if word != ALL)
    return " ".join(words) or "of all"


def _is_among(halt: Halt, rows: Iterable[Control]) -> bool:
    return any((halt.account, halt.pair) == (row.account, row.scope) for row in rows)
