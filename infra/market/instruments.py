"""Instruments by any of their names: the user's own entries, the broker's, the table's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from infra.market import offered, own, spelling
from infra.market.financing import Financing
from infra.market.instrument import (
    CalendarName,
    Instrument,
    InstrumentsError,
    UnknownInstrument,
    estimated,
    synthetic,
)
from infra.market.quotes import Costs
from infra.market.table import shipped
from infra.settings import settings

__all__ = ["Instrument", "InstrumentsError", "UnknownInstrument"]

_ALWAYS: Final[tuple[str, ...]] = (
    "PLANTED", "PLANTED_NONE", "PLANTED_FAT", "PLANTED_CLUSTERED", "PLANTED_REVERSAL",
    "PLANTED_REGIME", "PLANTED_PATTERN", "PLANTED_HOURS", "PLANTED_LEAD", "PLANTED_LEADER",
    "PLANTED_DYING", "PLANTED_COSTLY",
)  # fmt: skip

SYNTHETIC: Final[Mapping[str, CalendarName]] = MappingProxyType(
    {**dict.fromkeys(_ALWAYS, "always"), "PLANTED_GAPS": "forex"}
)
"""Instruments that no market trades, and the calendar of each: the paper broker and the simulator
alone take them."""


@dataclass(frozen=True)
class Catalogue:
    """All instruments that are known.

    Attributes
    ----------
    by_name : dict of str to Instrument
    by_key : dict of str to str
        Canonical name of each name and alias, spelt as `spelling.key` does.
    """

    by_name: dict[str, Instrument]
    by_key: dict[str, str]

    @classmethod
    def of(cls, known: dict[str, Instrument]) -> Catalogue:
        """Return the catalogue of these instruments; a name goes before an alias."""
        aliases = {spelling.key(a): each.name for each in known.values() for a in each.aliases}
        return cls(known, {**aliases, **{spelling.key(name): name for name in known}})

    def find(self, name: str) -> Instrument:
        """Return the instrument that goes by a name, in any spelling.

        Raises
        ------
        UnknownInstrument
            If there is none.
        """
        keys = list(spelling.keys(name, self.by_key))
        for key in (*keys, *map(self._quoted, keys)):
            if key in self.by_key:
                return self.by_name[self.by_key[key]]
        for key in keys:
            if pair := spelling.currencies(key):
                return estimated(pair)
        raise UnknownInstrument(self._refusal(name, spelling.key(name[: spelling.LONGEST])))

    def _quoted(self, key: str) -> str:
        """Return the name that is meant by an alias and a currency, GOLDEUR: XAUEUR."""
        alias, quote = key[:-3], key[-3:]
        if alias not in self.by_key:
            return ""
        usual = self.by_name[self.by_key[alias]]
        return "" if alias.endswith(usual.quote) else usual.base + quote

    def _refusal(self, name: str, key: str) -> str:
        near = get_close_matches(key, self.by_key, n=8, cutoff=0.5)
        names = list(dict.fromkeys(self.by_key[each] for each in near))[:4] or ["EUR_USD"]
        said, nearest = name[: spelling.LONGEST], ", ".join(names)
        return (
            f"no instrument is known as {said!r}: the nearest are {nearest}. "
            f"`sep instruments list` shows all; one of your own is an entry in "
            f'{settings().home / own.FILE}, such as [BTC_EUR] with like = "BTC_USD" '
            "and pip, spread_pips, low and high in EUR"
        )


def known() -> Catalogue:
    """Return what is known now: the user's entries before the broker's before the table's.

    Raises
    ------
    InstrumentsError
        If one of the files in the home is not what it should be.
    """
    home = settings().home
    return _known(home, tuple(_stamp(home / file) for file in (own.FILE, offered.FILE)))


def find(name: str) -> Instrument:
    """Return the instrument that goes by a name: `EURUSD`, `eur/usd`, `OANDA:EUR_USD`, `GOLD`.

    Two currencies that no row is of are an instrument, too, of which all is estimated.

    Raises
    ------
    UnknownInstrument
        If there is none; the message tells the nearest ones and how to make an own entry.
    InstrumentsError
        If one of the files in the home is not what it should be.
    """
    return known().find(name)


def canonical(name: str) -> str:
    """Return the one name of an instrument: `EUR_USD`.

    Raises
    ------
    UnknownInstrument
        If there is none.
    """
    return find(name).name


def pip(pair: str) -> float:
    """Return the price of one pip."""
    return find(pair).pip


def usual_costs(pair: str) -> Costs:
    """Return what a round trip in a pair costs as a rule."""
    return Costs(default_spread(pair), default_slippage(pair))


def default_spread(pair: str) -> float:
    """Return the typical spread in price units; 0 for instruments whose bars carry their own."""
    instrument = find(pair)
    return instrument.spread_pips * instrument.pip


def usual_financing(pair: str) -> Financing:
    """Return what holding a pair earns by rates that somebody stated; estimates are none."""
    instrument = find(pair)
    if {"long_rate", "short_rate"} & {*instrument.estimate}:
        return Financing()
    return Financing(instrument.long_rate, instrument.short_rate, instrument.financing_days)


def default_slippage(pair: str) -> float:
    """Return the slippage paid at entry, in price units."""
    instrument = find(pair)
    return instrument.slippage_pips * instrument.pip


@lru_cache(maxsize=4)
def _known(home: Path, _stamps: tuple[object, ...]) -> Catalogue:
    made = {name: synthetic(name, calendar) for name, calendar in SYNTHETIC.items()}
    table = {**shipped(), **made}
    others = {**table, **offered.offered(home, table)}
    mine = own.own(home, others, Catalogue.of(others).find)
    return Catalogue.of({**others, **mine, **made})


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what tells one state of a file from another; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
