"""Candles as OANDA tells them: an answer's rows, each once, with what is wrong with some."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from infra.bars import PRICES, QUOTES
from infra.sources.troubles import NoAnswer

INCOMPLETE: Final = "incomplete candle"
"""Fault of a candle that the venue has not finished though it finished one behind it."""

REPLACED: Final = "replaced candle"
"""Fault of a candle that came again in the same answer with other values."""

_SIDES: Final = {"mid": "", "bid": "bid_", "ask": "ask_"}
_LETTERS: Final = dict(zip("ohlc", PRICES, strict=True))
_QUOTE: Final = pl.Struct(dict.fromkeys("ohlc", pl.String()))
_CANDLE: Final = pl.Struct(
    {
        "complete": pl.Boolean(),
        "volume": pl.Int64(),
        "time": pl.String(),
        **dict.fromkeys(_SIDES, _QUOTE),
    }
)
_UNREADABLE: Final = (ValueError, KeyError, TypeError, pl.exceptions.PolarsError)


@dataclass(frozen=True)
class Page:
    """Candles of one answer.

    Attributes
    ----------
    rows : polars.DataFrame
        ``timestamp`` (UTC, start of the bar), mid prices, ``volume`` (price updates), quotes and
        ``fault``: `INCOMPLETE` or `REPLACED` of candles that are no bars, else null. Ascending;
        of those without a fault no time twice.
    next : datetime or None
        The candle behind which the next page begins; None behind the last one.
    """

    rows: pl.DataFrame
    next: datetime | None

    @classmethod
    def read(cls, answer: Any, pair: str, *, size: int, after: datetime | None = None) -> Page:
        """Read an answer. Candles that nothing complete follows are under way: not taken.

        Where the page is full, more may follow: the next one begins with them.

        Parameters
        ----------
        answer : object
            What the venue's JSON holds.
        pair : str
            That was asked for.
        size : int
            How many candles were asked for.
        after : datetime, optional
            Only candles behind it count.

        Raises
        ------
        NoAnswer
            If it is no answer for the pair, or out of order.
        """
        told = _frame(answer, pair)
        full = told.height >= size - 1
        candles = _once(told if after is None else told.filter(pl.col("timestamp") > after))
        if full and candles.is_empty():
            raise NoAnswer("candles of before what was asked for")
        last = candles.filter("complete")["timestamp"].max()
        if last is None and full:  # none of so many is under way
            last = candles["timestamp"].max()
        assert last is None or isinstance(last, datetime)
        known = candles.clear() if last is None else candles.filter(pl.col("timestamp") <= last)
        return cls(known.drop("complete"), last if full else None)

    def before(self, end: datetime) -> Page:
        """Return what of the page begins before `end`; behind it there is no next page."""
        more = self.next is not None and self.next < end
        rows = self.rows.filter(pl.col("timestamp") < end)
        return replace(self, rows=rows, next=self.next if more else None)


def _once(told: pl.DataFrame) -> pl.DataFrame:
    """Return each candle once: equal ones are one, of others the last complete one counts."""
    firsts = told["timestamp"].unique(maintain_order=True)
    if not (firsts.diff().drop_nulls() > timedelta(0)).all():
        raise NoAnswer("candles that do not ascend")
    different = told.unique(keep="last", maintain_order=True)
    candles = different.sort("timestamp", "complete", maintain_order=True)
    newest = pl.col("timestamp").is_last_distinct()
    return candles.with_columns(
        fault=pl.when(~newest)
        .then(pl.lit(REPLACED))
        .when(~pl.col("complete"))
        .then(pl.lit(INCOMPLETE))
    ).filter(newest | pl.col("complete"))


def _frame(answer: Any, pair: str) -> pl.DataFrame:
    try:
        if answer["instrument"] != pair:
            raise NoAnswer(f"candles of another pair than {pair}")
        frame = _columns(answer["candles"])
    except _UNREADABLE as error:
        raise NoAnswer("an answer that holds no candles") from error
    if frame["timestamp"].null_count():
        raise NoAnswer("candles without a time")
    if frame["complete"].null_count():
        raise NoAnswer("candles that may be complete or not")
    return frame


def _columns(candles: list[dict[str, Any]]) -> pl.DataFrame:
    series = pl.Series("candle", candles, dtype=_CANDLE)
    rows = pl.DataFrame({"candle": series}).unnest("candle")
    prices = {
        f"{prefix}{name}": pl.col(side).struct.field(letter).cast(pl.Float64)
        for side, prefix in _SIDES.items()
        for letter, name in _LETTERS.items()
    }
    stamp = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us")
    return rows.select(
        pl.col("complete"),
        stamp.dt.replace_time_zone("UTC").alias("timestamp"),
        pl.col("volume").cast(pl.Float64),
        **prices,
    ).select("complete", "timestamp", *PRICES, "volume", *QUOTES)
