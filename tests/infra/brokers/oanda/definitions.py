"""Samples of every definition of the v20 interface, made from the table beside this file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.infra.brokers.oanda.replies import ACCOUNT, AT

TABLE = Path(__file__).with_name("definitions.txt")
VARIANTS = ("full", "null", "alien", "unix", "old")
"""All fields; those that may be missing null; unknown fields and words; times in seconds; the
spellings of 2016."""

WORDS = {"accountID": ACCOUNT, "instrument": "EUR_USD", "name": "EUR_USD", "currency": "USD"}
WORDS |= {"state": "PENDING", "status": "tradeable", "units": "1000"}
OLD = {"triggerCondition": "TRIGGER_DEFAULT", "positionFill": "POSITION_DEFAULT"}
OLD |= {"reason": "REPLACEMENT"}
ALIEN = {"novelty": {"unheard": [1, None, {"of": "1e999"}]}, "tags": [], "": 5}
_DEPTH = 3


def definitions() -> dict[str, dict[str, str]]:
    """Fields of each definition, with what they hold."""
    rows = (line.partition(": ") for line in TABLE.read_text().splitlines())
    return {
        name: dict(field.split("=") for field in fields.split())
        for name, _, fields in rows
        if fields and not name.startswith("#")
    }


KNOWN = definitions()
TRANSACTIONS = sorted(name for name in KNOWN if re.fullmatch(r"\w+Transaction", name))
ORDERS = sorted(name for name in KNOWN if re.fullmatch(r"\w*Order", name))


def type_of(name: str) -> str:
    """The venue's word for a class: ``OrderFillTransaction`` is ORDER_FILL."""
    bare = re.sub(r"(?<=.)(Transaction|Order)$", "", name) if name not in KNOWN else name
    bare = bare.removesuffix("Transaction") if name.endswith("Transaction") else bare
    bare = bare.removesuffix("Order") if name in ORDERS else bare
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).upper()


def sample(name: str, variant: str, needed: frozenset[str] = frozenset(), depth: int = 0) -> Any:
    """A message of a definition; in ``null`` all but the needed fields are null."""
    told = {field: value(name, field, kind, variant, depth) for field, kind in KNOWN[name].items()}
    if variant == "null":
        told = {field: told[field] if field in needed else None for field in told}
    if variant == "alien":
        told |= ALIEN
    return told


def value(name: str, field: str, kind: str, variant: str, depth: int) -> Any:
    if kind.startswith("["):
        one = value(name, field, kind[1:-1], variant, depth)
        return [] if one is None else [one]
    if kind.startswith("{"):
        deep = depth >= _DEPTH or kind[1:-1] not in KNOWN
        return None if deep else sample(kind[1:-1], variant, depth=depth + 1)
    if kind == "s":
        return word(name, field, variant)
    moment = "1782907203.512345678" if variant == "unix" else AT
    return {"n": "1.23450", "i": 7, "b": True, "d": "6357", "t": moment}[kind]


def word(name: str, field: str, variant: str) -> str:
    if field == "type" and name not in ("ClientPrice", "Instrument"):
        return type_of(name)
    if field in WORDS:
        return WORDS[field]
    if variant == "old" and field in OLD:
        return OLD[field]
    return "A_WORD_OF_TOMORROW" if variant == "alien" else "WORD"
