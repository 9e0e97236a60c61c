"""Hours of trade: the calendar that an instrument keeps."""

from __future__ import annotations

from typing import Final

from infra.market.calendar import Calendar
from infra.market.instrument import Instrument
from infra.market.instruments import find
from infra.market.week import Week

_ALWAYS: Final = frozenset({"crypto", "always"})


def calendar_of(pair: str) -> Calendar:
    """Return the calendar of an instrument.

    Cryptocurrencies and what is made up trade around the clock. All else keeps the forex week:
    venues agree neither on the break of metals nor on the shorter hours of indices, bonds and
    commodities, so that nothing which may be open is told to be closed.

    Raises
    ------
    UnknownInstrument
        If no instrument goes by that name.
    """
    return calendar_for(find(pair))


def calendar_for(instrument: Instrument) -> Calendar:
    """Return the calendar of an instrument that has been found; see `calendar_of`."""
    if instrument.calendar in _ALWAYS:
        return Calendar(Week.always(), ())
    return Calendar(Week.forex())
