"""How much of its limits an account uses: rows for people."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from tasks.trading.risk.activity import losses_in_row
from tasks.trading.risk.drawdown import FLOORS, Floor
from tasks.trading.risk.limits import OFF, Limits
from tasks.trading.risk.situation import Situation
from tasks.trading.risk.worth import equity, exposures, money, number, open_risk, share, worth


class Usage(NamedTuple):
    """What is used of a limit, and what is allowed."""

    name: str
    used: str
    allowed: str


_Row: TypeAlias = Callable[[Situation, Limits], tuple[str, str]]


def usage(situation: Situation, limits: Limits) -> list[Usage]:
    """Return what is used of each limit of the account; what cannot be told says why.

    Parameters
    ----------
    situation : Situation
    limits : Limits
    """
    rows = [_told(name, row, situation, limits) for name, row in _ROWS]
    return [*rows, *_floors(situation, limits), *_currencies(situation, limits)]


def _told(name: str, row: _Row, situation: Situation, limits: Limits) -> Usage:
    try:
        return Usage(name, *row(situation, limits))
    except Exception as error:
        return Usage(name, f"unknown: {error}", "")


def _equity(situation: Situation, limits: Limits) -> tuple[str, str]:
    return money(equity(situation), situation), ""


def _own(situation: Situation, limits: Limits) -> tuple[str, str]:
    return str(len(situation.own)), _written(limits.max_own_trades)


def _all(situation: Situation, limits: Limits) -> tuple[str, str]:
    count = len(situation.held) + len(situation.account.pending)
    return str(count), _written(limits.max_trades)


def _entries(situation: Situation, limits: Limits) -> tuple[str, str]:
    return str(situation.entries_today), _written(limits.max_entries)


def _losses(situation: Situation, limits: Limits) -> tuple[str, str]:
    return str(losses_in_row(situation)), _written(limits.cool_down_after)


def _risk(situation: Situation, limits: Limits) -> tuple[str, str]:
    return share(open_risk(situation), situation), _percent(limits.max_open_risk)


def _worth(situation: Situation, limits: Limits) -> tuple[str, str]:
    total = sum((worth(held, situation) for held in situation.held), Decimal(0))
    most = limits.max_total_leverage
    return share(total, situation), OFF if most is None else f"{most:.0%}"


def _margin(situation: Situation, limits: Limits) -> tuple[str, str]:
    free = number(situation.account.margin_available, "free margin")
    return share(free, situation), f"at least {limits.min_free_margin:.0%}"


_ROWS: Final[tuple[tuple[str, _Row], ...]] = (
    ("equity", _equity),
    ("own trades", _own),
    ("all trades", _all),
    ("entries of the day", _entries),
    ("losses in a row", _losses),
    ("risk at the stops", _risk),
    ("worth of all", _worth),
    ("free margin", _margin),
)


def _floors(situation: Situation, limits: Limits) -> list[Usage]:
    words = ("daily loss", "trailing drawdown", "static drawdown")
    return [
        _told(name, partial(_floor, each), situation, limits)
        for name, each in zip(words, FLOORS, strict=True)
    ]


def _floor(
    find: Callable[[Situation, Limits], Floor | None], situation: Situation, limits: Limits
) -> tuple[str, str]:
    floor = find(situation, limits)
    if floor is None:
        return "", OFF
    used = max(floor.used(equity(situation)), Decimal(0))
    level = money(floor.level, situation)
    return f"{used:.0%} of {money(floor.allowed, situation)}", f"{floor.words}: {level}"


def _currencies(situation: Situation, limits: Limits) -> list[Usage]:
    try:
        held = exposures(situation.held, situation)
        most = limits.max_currency_leverage
        allowed = OFF if most is None else f"{most:.0%}"
        return [Usage(f"net {name}", share(net, situation), allowed) for name, net in held.items()]
    except Exception as error:
        return [Usage("net of currencies", f"unknown: {error}", "")]


def _percent(part: Decimal | None) -> str:
    return OFF if part is None else f"{part:.2%}"


def _written(count: int | None) -> str:
    return OFF if count is None else str(count)
