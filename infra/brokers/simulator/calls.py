"""What a client sends, read as strictly as the venue reads it, and how it is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NoReturn

from infra.brokers.simulator.wire import Body
from infra.errors import SepError

Reply = tuple[int, Body]

LONGEST: Final = 128
"""Letters of a client's id, tag or comment."""

_NUMBER: Final = re.compile(r"[+-]?\d{1,20}(\.\d{1,12})?", re.ASCII)


class Refusal(SepError):
    """The venue refuses, with a status and a body."""

    def __init__(self, status: int, body: Body) -> None:
        super().__init__(body.get("errorMessage", ""))
        self.reply: Reply = status, body


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes
    ----------
    method, path : str
    query : dict of str to str
    content : bytes
    token : str
        Header `Authorization`, with its `Bearer`.
    style : str
        How times are told: ``RFC3339`` or ``UNIX``.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    token: str = ""
    style: str = "RFC3339"

    @property
    def changes(self) -> bool:
        """Whether it asks for a change."""
        return self.method != "GET"

    def body(self) -> Body:
        """Return the JSON object that was sent.

        Raises
        ------
        Refusal
            If it is none.
        """
        try:
            told = json.loads(self.content, parse_constant=_no_number)
        except (ValueError, RecursionError):
            invalid("Invalid JSON, ParseErrorCode: 3, Message: Invalid value.")
        if not isinstance(told, dict):
            invalid("Invalid JSON, ParseErrorCode: 3, Message: Invalid value.")
        return told

    def integer(self, name: str, default: int, most: int) -> int:
        """Return a whole number of the query.

        Parameters
        ----------
        name : str
        default, most : int

        Raises
        ------
        Refusal
        """
        told = self.query.get(name, str(default))
        if not re.fullmatch(r"\d{1,18}", told, re.ASCII):
            invalid(f"Invalid value specified for '{name}'")
        if int(told) > most:
            invalid(f"Maximum value for '{name}' exceeded")
        return int(told)

    def names(self, name: str) -> list[str] | None:
        """Return a list of the query; None if it is not there."""
        return self.query[name].split(",") if name in self.query else None

    def moment(self, name: str) -> datetime | None:
        """Return a time of the query; None if it is not there.

        Raises
        ------
        Refusal
        """
        if name not in self.query:
            return None
        try:
            return moment(self.query[name])
        except (ValueError, OverflowError, OSError):
            invalid(f"Invalid value specified for '{name}'")


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


def invalid(message: str) -> NoReturn:
    """Refuse a request at the door: no transaction tells of it.

    Raises
    ------
    Refusal
    """
    raise Refusal(400, {"errorMessage": message})


def missing(code: str, message: str) -> NoReturn:
    """Say that what was asked for is not there.

    Parameters
    ----------
    code, message : str

    Raises
    ------
    Refusal
    """
    raise Refusal(404, {"errorCode": code, "errorMessage": message})


def moment(told: str) -> datetime:
    """Return a time, told as RFC 3339 with up to nine digits or as seconds since 1970.

    Raises
    ------
    ValueError
        As OverflowError and OSError: if it is none.
    """
    if _NUMBER.fullmatch(told):
        return datetime.fromtimestamp(float(told), UTC)
    at = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", told))
    if at.tzinfo is None:
        raise ValueError(told)
    return at.astimezone(UTC)


def decimal(told: Any, name: str) -> Decimal:
    """Return a decimal that was sent as a string, or as a whole number.

    Parameters
    ----------
    told : object
    name : str
        Of the field, for the message.

    Raises
    ------
    Refusal
    """
    if isinstance(told, int) and not isinstance(told, bool) and abs(told) < 10**20:
        return Decimal(told)
    if not isinstance(told, str) or not _NUMBER.fullmatch(told):
        invalid(f"Invalid value specified for '{name}'")
    return Decimal(told)


def section(told: Body, name: str) -> Body | None:
    """Return an object within an object; None if it is not there or null.

    Parameters
    ----------
    told : dict
    name : str

    Raises
    ------
    Refusal
        If it is no object.
    """
    inner = told.get(name)
    if inner is not None and not isinstance(inner, dict):
        invalid(f"Invalid value specified for '{name}'")
    return inner


def places(value: Decimal) -> int:
    """Return how many decimals a number has, zeros at its end aside."""
    exponent = value.normalize().as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0
