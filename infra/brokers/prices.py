"""Prices of the paper broker: from the bulk store, the database or arrays in memory.

Prices are floats here, as bars have them; money is counted in decimals elsewhere.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple, Protocol, TypeAlias

import polars as pl
import psycopg
from sqlalchemy.exc import SQLAlchemyError

from infra.bars import QUOTES, TIME, schema, within
from infra.brokers.broker import BrokerError
from infra.errors import SepError
from infra.market.currencies import rate
from infra.market.instrument import NO_CURRENCY, Instrument
from infra.market.instruments import find, usual_costs
from infra.market.quotes import Costs, with_quotes
from infra.market.timeframes import TIMEFRAMES, bar_length
from infra.postgres.database import read_frame
from infra.stores.bulk import BarStore

CostsOf: TypeAlias = Callable[[str], Costs]
"""Tells a pair's own costs: the spread of bars without bid and ask, the slippage of entries."""

_FRESH: Final = 3
"""Bars that began so many lengths ago are looked at: a price is at most two bars old."""
_TICK: Final = timedelta.resolution
_NO_BARS: Final = pl.DataFrame(schema=schema(quotes=False))
_UNREADABLE: Final = (SepError, OSError, SQLAlchemyError, psycopg.Error, pl.exceptions.PolarsError)
_QUERY: Final = """
SELECT * FROM bars WHERE pair = %s AND timeframe = %s AND timestamp >= %s AND timestamp < %s
ORDER BY timestamp
"""


class PriceError(BrokerError):
    """Prices cannot be read; the message says why."""


class Bar(NamedTuple):
    """Open, high, low and close of both sides; `start` is when it begins."""

    start: datetime
    bid: tuple[float, float, float, float]
    ask: tuple[float, float, float, float]


class Known(dict[str, Instrument]):
    """Instruments as they were when first asked for: files are not looked at each time."""

    def __missing__(self, pair: str) -> Instrument:
        return self.setdefault(pair, find(pair))


class Quote(NamedTuple):
    """Bid and ask, since when they are known, and whether a bar opened at them."""

    bid: float
    ask: float
    at: datetime
    opened: bool = True


class Prices(Protocol):
    """Where prices come from."""

    def quote(self, pair: str, timeframe: str | None, now: datetime) -> Quote | None:
        """Return the newest price that is known at a moment; None if there is none of late.

        Parameters
        ----------
        pair : str
        timeframe : str or None
            Of the bars that come first, if one of them begins right then.
        now : datetime

        Raises
        ------
        PriceError
        """
        ...

    def bars(self, pair: str, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """Return bars with start <= their start < end, ascending.

        Parameters
        ----------
        pair, timeframe : str
        start, end : datetime

        Raises
        ------
        PriceError
        """
        ...

    def rate(self, pair: str, currency: str, at: datetime) -> float | None:
        """Return what a unit of a pair's quote currency is worth; None where nobody knows.

        Parameters
        ----------
        pair : str
        currency : str
            The account's.
        at : datetime

        Raises
        ------
        PriceError
        """
        ...

    def slippage(self, pair: str) -> float:
        """Return what every entry in a pair pays on top, in price units."""
        ...


def newest(bars: Sequence[Bar], timeframe: str, now: datetime) -> Quote | None:
    """Return the newest price of bars that is known at a moment: an open, or a close.

    Parameters
    ----------
    bars : sequence of Bar
        That begin by then, ascending.
    timeframe : str
    now : datetime
    """
    if not bars:
        return None
    last, end = bars[-1], bars[-1].start + bar_length(timeframe)
    if end <= now:
        return Quote(last.bid[3], last.ask[3], end, opened=False)
    return Quote(last.bid[0], last.ask[0], last.start)


@dataclass(frozen=True)
class _Frames:
    """What all sources do alike with the frames that `_frame` reads.

    Attributes
    ----------
    costs : callable
        Tells each pair's own costs.
    known : Known
    """

    costs: CostsOf = field(default=usual_costs, kw_only=True)
    known: Known = field(default_factory=Known, kw_only=True, repr=False)

    def quote(self, pair: str, timeframe: str | None, now: datetime) -> Quote | None:
        """See `Prices`: of bars of several lengths the freshest price."""
        found: list[Quote] = []
        lengths = self._timeframes(pair)
        for each in dict.fromkeys((timeframe, *lengths) if timeframe else lengths):
            bars = self.bars(pair, each, now - _FRESH * bar_length(each), now + _TICK)
            if told := newest(bars, each, now):
                found.append(told)
                if told.opened and told.at == now:
                    break
        return max(found, key=lambda told: (told.at, told.opened), default=None)

    def bars(self, pair: str, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """See `Prices`."""
        frame = self._checked(pair, timeframe, start, end)
        quoted = with_quotes(frame, self.costs(pair)).select("timestamp", *QUOTES)
        return [Bar(row[0], row[1:5], row[5:]) for row in quoted.iter_rows()]

    def rate(self, pair: str, currency: str, at: datetime) -> float | None:
        """See `Prices`: the freshest bars count, the shortest first."""
        quote = self.known[pair].quote
        if quote in (currency, NO_CURRENCY):
            return 1.0
        value: float | None
        (value,) = rate(quote, currency, pl.Series([at], dtype=TIME), self._freshest).values
        return value

    def slippage(self, pair: str) -> float:
        """See `Prices`."""
        return self.costs(pair).slippage

    def _freshest(self, pair: str, start: datetime, end: datetime) -> pl.DataFrame:
        """Return the bars of a pair between two times that reach furthest, the shortest first."""

        def last(bars: pl.DataFrame) -> datetime:
            return start if bars.is_empty() else bars["timestamp"][-1]

        frames = [self._checked(pair, each, start, end) for each in self._timeframes(pair)]
        return max(frames, key=last, default=_NO_BARS)

    def _timeframes(self, pair: str) -> Iterable[str]:
        return TIMEFRAMES

    def _checked(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        try:
            return self._frame(pair, timeframe, start, end)
        except _UNREADABLE as error:
            raise PriceError(f"no price of {pair} can be read: {error}") from error

    def _frame(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        raise NotImplementedError


@dataclass(frozen=True)
class StorePrices(_Frames):
    """Prices of the bulk store: at home, where bars are ingested.

    Attributes
    ----------
    store : BarStore
    costs : callable
        Tells each pair's own costs.
    """

    store: BarStore

    def _frame(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        return self.store.read(pair, timeframe, start, end)


@dataclass(frozen=True)
class DatabasePrices(_Frames):
    """Prices of the shared database's recent bars: all that a droplet has."""

    def _frame(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        return read_frame(_QUERY, (pair, timeframe, start, end))


@dataclass(frozen=True)
class HomePrices(StorePrices):
    """Prices of this machine: of the bulk store where it has a series, else of the database.

    A series that cannot be read from files is read from the database, too: exits go on.
    """

    def _frame(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        try:
            if self.store.folder(pair, timeframe).exists():
                return self.store.read(pair, timeframe, start, end)
        except _UNREADABLE:
            pass  # the database tells, or why it does not
        return read_frame(_QUERY, (pair, timeframe, start, end))


@dataclass(frozen=True)
class ArrayPrices(_Frames):
    """Prices of bars in memory, for replays.

    Attributes
    ----------
    frames : dict of (str, str) to polars.DataFrame
        Bars by pair and timeframe, ascending.
    costs : callable
        Tells each pair's own costs.
    """

    frames: Mapping[tuple[str, str], pl.DataFrame]
    _columns: dict[tuple[str, str], _Columns] = field(default_factory=dict, repr=False)

    def bars(self, pair: str, timeframe: str, start: datetime, end: datetime) -> Sequence[Bar]:
        """See `Prices`.

        Parameters
        ----------
        pair, timeframe : str
        start, end : datetime
        """
        key = pair, timeframe
        if key not in self._columns:
            if key not in self.frames:
                return ()
            self._columns[key] = _columns(self.frames[key], self.costs(pair))
        starts, quotes = self._columns[key]
        first = bisect_left(starts, start)
        last = bisect_left(starts, end, first)
        rows = zip(*(column[first:last] for column in quotes), strict=True)
        begun = starts[first:last]
        return [Bar(at, row[:4], row[4:]) for at, row in zip(begun, rows, strict=True)]

    def _frame(self, pair: str, timeframe: str, start: datetime, end: datetime) -> pl.DataFrame:
        bars = self.frames.get((pair, timeframe), _NO_BARS)
        return bars.filter(*within(start, end))

    def _timeframes(self, pair: str) -> Iterable[str]:
        return [each for each in TIMEFRAMES if (pair, each) in self.frames]


_Columns: TypeAlias = tuple[list[datetime], list[list[float]]]


def _columns(bars: pl.DataFrame, costs: Costs) -> _Columns:
    quoted = with_quotes(bars, costs)
    return quoted["timestamp"].to_list(), [quoted[name].to_list() for name in QUOTES]
