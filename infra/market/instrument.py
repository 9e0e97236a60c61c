"""An instrument: what is known of it before any bar is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from infra.errors import SepError
from infra.market.financing import USUAL_DAYS

CalendarName: TypeAlias = Literal[
    "forex", "metals", "index", "energy", "commodity", "bond", "crypto", "always"
]
CALENDARS: Final[tuple[str, ...]] = get_args(CalendarName)
NAME: Final = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*")
"""Spelling of a canonical name, such as EUR_USD or PLANTED."""

NO_CURRENCY: Final = "XXX"
"""ISO 4217's code where no currency is involved."""


class UnknownInstrument(SepError, ValueError):
    """No instrument goes by a name; the message tells the nearest ones."""


class InstrumentsError(SepError, ValueError):
    """A file of instruments is not what it should be; the message names file, entry and field."""


@dataclass(frozen=True)
class Instrument:
    """What is known of an instrument.

    Attributes
    ----------
    name : str
        Canonical: `EUR_USD`.
    kind : str
        forex, metals, index, energy, commodity, bond, crypto, cfd or synthetic.
    base, quote : str
        A unit of `base` costs so many of `quote`.
    pip : float
        Price of one pip.
    precision : int
        Decimals of a price; a point is one of the last.
    minimum_size : float
        Smallest order, units of `base`.
    spread_pips, slippage_pips : float
        Usual spread, and what every entry pays on top.
    long_rate, short_rate : float
        What holding earns a year, as a share of its worth; below zero it costs.
    margin : float
        Share of a position's worth that is held back.
    calendar : str
        When it trades: one of `CALENDARS`.
    low, high : float
        No print lies beyond; 0.0 and infinity where unknown.
    source, date : str
        Whence the figures are, and of when.
    estimate : tuple of str
        Which figures are estimates.
    aliases : tuple of str
        Other names it goes by.
    financing_days : tuple of int
        Days of those rates charged at 17:00 New York, from Monday on.
    """

    name: str
    kind: str
    base: str
    quote: str
    pip: float
    precision: int
    minimum_size: float
    spread_pips: float
    slippage_pips: float
    long_rate: float
    short_rate: float
    margin: float
    calendar: str
    low: float
    high: float
    source: str
    date: str
    estimate: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    financing_days: tuple[int, ...] = USUAL_DAYS

    @property
    def point(self) -> float:
        """Price of one point: the last decimal of a price."""
        return float(f"1e-{self.precision}")


FIGURES: Final[tuple[str, ...]] = (
    "pip", "precision", "minimum_size", "spread_pips", "slippage_pips", "long_rate", "short_rate",
    "margin", "low", "high",
)  # fmt: skip
"""What of an instrument is a number, and so may be an estimate."""

_WIDE_PIPS: Final = 50.0
_COARSE: Final = frozenset(
    {"CLP", "COP", "CRC", "HUF", "IDR", "INR", "ISK", "JPY", "KRW", "KZT", "NGN", "PHP", "PKR"}
    | {"RSD", "RUB", "THB", "TWD", "UAH", "VND"}
)
"""Currencies of which a hundred or so make a dollar: their pip is the second decimal."""


def pip_of(quote: str) -> float:
    """Return the pip that prices in a currency have as a rule."""
    return 0.01 if quote in _COARSE else 0.0001


def estimated(name: str, kind: str = "forex") -> Instrument:
    """Return an instrument of which nothing is known but its name: all estimated, costs wide.

    Parameters
    ----------
    name : str
        Canonical.
    kind : str
    """
    base, _, quote = name.partition("_")
    pip = pip_of(quote)
    return Instrument(
        name=name,
        kind=kind,
        base=base,
        quote=quote or NO_CURRENCY,
        pip=pip,
        precision=3 if pip == pip_of("JPY") else 5,
        minimum_size=1.0,
        spread_pips=_WIDE_PIPS,
        slippage_pips=_WIDE_PIPS / 10,
        long_rate=-0.1,
        short_rate=-0.1,
        margin=1.0,
        calendar=kind if kind in CALENDARS else "forex",
        low=0.0,
        high=float("inf"),
        source="estimate from the name alone",
        date="",
        estimate=FIGURES,
    )


def synthetic(name: str, calendar: CalendarName = "always") -> Instrument:
    """Return an instrument that no market trades: its bars carry their own costs.

    Parameters
    ----------
    name : str
        Canonical.
    calendar : str
    """
    return Instrument(
        name=name,
        kind="synthetic",
        base=name,
        quote=NO_CURRENCY,
        pip=0.0001,
        precision=5,
        minimum_size=1.0,
        spread_pips=0.0,
        slippage_pips=0.0,
        long_rate=0.0,
        short_rate=0.0,
        margin=0.0,
        calendar=calendar,
        low=0.0,
        high=float("inf"),
        source="made up",
        date="",
    )
