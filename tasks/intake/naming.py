"""What the name of a file tells of its bars: the instrument, where it names one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from infra.market.instruments import UnknownInstrument, canonical
from infra.market.spelling import MONEY
from infra.sources.columns import SourceError

_EXCHANGES: Final = (
    "AMEX ARCA ASX BATS BSE CBOE CBOT CME COMEX EURONEXT HKEX LSE NASDAQ NSE NYMEX NYSE TSE TSX"
    " XETRA"
)
"""A file named after one is of a share or a future, whatever else its name says."""

_FRAME: Final = re.compile(r"(?i)(?<=[a-z]{6})(MN|[MHDW])\d+(?![a-z0-9])")
_PLAIN: Final = frozenset({"ALL", "TOP"})
"""Currencies that are words before that."""
_SIDES: Final = frozenset({"BID", "ASK"})


def named_by(name: str) -> str | None:
    """Return the one instrument that the name of a file names; None where it is none or several."""
    found = {pair for word in _words(name) if (pair := known(word)) is not None}
    return found.pop() if len(found) == 1 else None


def known(word: str) -> str | None:
    """Return the instrument of a spelling, None where nobody knows it."""
    try:
        return canonical(word)
    except UnknownInstrument:
        return None


def refuse_others(paths: Sequence[Path], pair: str) -> None:
    """Refuse files of one source whose names say that they are of several instruments or sides.

    Parameters
    ----------
    paths : sequence of Path
    pair : str
        That is asked for.

    Raises
    ------
    SourceError
        It names the file.
    """
    if len(paths) < 2:
        return
    for path in paths:
        if (other := named_by(path.name)) not in (None, pair):
            raise SourceError(
                f"{path.name} is of {other} by its name, not of {pair}: ingest the files of each "
                "pair= alone, by a pattern such as '*EURUSD*'"
            )
    sides = [side for path in paths for side in _SIDES & {*_parts(path.name)}]
    if len(set(sides)) > 1:
        raise SourceError(
            "some of the files are of bid by their names, others of ask: ingest one side alone, by "
            "a pattern such as '*BID*', with its pair="
        )


def _parts(name: str) -> list[str]:
    return re.findall(r"[A-Z0-9]+", name.upper())


def _words(name: str) -> list[str]:
    """Return what may be the name of an instrument in the name of a file."""
    if {*_EXCHANGES.split()} & {*_parts(name)}:
        return []
    words = re.findall(r"[A-Za-z]+", _FRAME.sub("", name))
    pairs = [f"{one}_{two}" for one, two in pairwise(words)]
    said = {word.upper() for word in words} & MONEY - _PLAIN
    told = [word for word in (*words, *pairs) if len(word) >= 6]
    indices = re.findall(r"(?<![A-Za-z0-9])[A-Z]{2,4}\d{2,3}(?:_[A-Z]{3})?(?![A-Za-z0-9])", name)
    told += indices
    return [word for word in told if said <= {*(known(word) or "").split("_")} or word in indices]
