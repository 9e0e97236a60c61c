"""Numbers, times and names as OANDA writes them, and JSON that leaves no doubt."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator

_PLAIN: Final = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_DIGITS: Final = re.compile(r"[0-9]{1,18}")
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)
_UNIX: Final = re.compile(r"(\d{1,12})(?:\.(\d{1,12}))?", re.ASCII)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_DIGITS: Final = 18


def number(value: object) -> Decimal:
    """Return a number of JSON: a string, as OANDA sends them, or one without quotes.

    Raises
    ------
    ValueError
        If it is none, not finite, or longer than any amount of money.
    """
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < _MOST_DIGITS:
        value = f"{value:f}"
    elif isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not _PLAIN.fullmatch(value):
        raise ValueError("no number")
    return Decimal(value)


def identity(value: object) -> int:
    """Return the number of a transaction, an order or a trade.

    Raises
    ------
    ValueError
        If it is none.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _DIGITS.fullmatch(text):
        raise ValueError("no number of a transaction")
    return int(text)


def moment(value: object) -> datetime:
    """Return a time in UTC, RFC 3339 or seconds since 1970; what is finer than a microsecond goes.

    Raises
    ------
    ValueError
        If it is none.
    """
    try:
        return _moment(value)
    except OverflowError:
        raise ValueError("no time") from None


def _moment(value: object) -> datetime:
    if isinstance(value, str) and (match := _MOMENT.fullmatch(value)):
        day, fraction, zone = match.groups()
        at = datetime.fromisoformat(day.upper() + zone.upper().replace("Z", "+00:00"))
        return at.astimezone(UTC) + _micros(fraction)
    if isinstance(value, str) and (match := _UNIX.fullmatch(value)):
        return _EPOCH + timedelta(seconds=int(match[1])) + _micros(match[2])
    raise ValueError("no time")


def _micros(fraction: str | None) -> timedelta:
    return timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("not above zero")
    return value


Number = Annotated[Decimal, BeforeValidator(number)]
Positive = Annotated[Decimal, BeforeValidator(number), AfterValidator(_positive)]
Identity = Annotated[int, BeforeValidator(identity)]
Moment = Annotated[datetime, BeforeValidator(moment)]


def read_json(text: str) -> Any:
    """Read JSON; numbers without quotes become decimals.

    Raises
    ------
    ValueError
        If it is none, is too deep, holds NaN, or tells a name twice.
    """
    try:
        return json.loads(
            text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_once
        )
    except RecursionError:
        raise ValueError("JSON that is too deep") from None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) != len(pairs):
        raise ValueError("a name that is told twice")
    return told


def plain(value: Decimal) -> str:
    """Write a number as OANDA reads it: never with an exponent."""
    return f"{value:f}"


def wire_name(name: str) -> str:
    """Return OANDA's spelling of one of our names: ``last_transaction_id``, `lastTransactionID`."""
    if name == "nav":
        return "NAV"
    first, *others = name.split("_")
    upper = {"id": "ID", "ids": "IDs", "pl": "PL", "vwap": "VWAP"}
    return first + "".join(upper.get(word, word.capitalize()) for word in others)
