"""QuantConnect Lean: a zip with the quotes of a day in minutes, or of years in hours or days.

```
60000,1.38711,1.38714,1.38711,1.38714,0,1.38728,1.38729,1.38728,1.38729,0
20140505 01:00,1.38710,...
```

A row holds milliseconds since local midnight of the day in the file's name, or day and time; bid
prices and size, ask prices and size. Mid prices follow from both. Sizes are left out: the market
has no volume. The local time is that of the market's folder: UTC of `oanda`, EST of `fxcm`; the
file does not say, so there is no default. Shares, whose prices are whole numbers of 1/10,000, are
refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import ClassVar, Final

import polars as pl

from infra.bars import QUOTES
from infra.sources.columns import SourceError, strange_time
from infra.sources.readings import NAIVE
from infra.sources.text import Text

_FIELDS: Final = ("time", *QUOTES[:4], "bid_size", *QUOTES[4:], "ask_size")
_DAY: Final = re.compile(r"(?<!\d)\d{8}(?!\d)")
_MS: Final = r"[0-7]?\d{1,7}|8[0-5]\d{6}|86[0-3]\d{5}"
"""Milliseconds less than a day."""


@dataclass(frozen=True)
class Lean:
    """Quotes of Lean's data folder.

    Attributes
    ----------
    clock : str, optional
        Of the market; without it rows are naive.
    """

    clock: str | None = None
    timeframe: ClassVar[str | None] = None
    price: ClassVar[str] = "mid"

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file without judging any row.

        Returns
        -------
        polars.DataFrame
            `source_row`, `timestamp` (naive), quotes as String, `excess`, `fault`, and `time` as
            the file has it.

        Raises
        ------
        SourceError
            If the file is not one of these.
        """
        return self.rows(Text.of(path))

    def rows(self, text: Text) -> pl.DataFrame:
        """Read what is open already; see `read`."""
        first = text.first_line.split(",")
        if len(first) != len(_FIELDS) or not re.fullmatch(r"\d+|\d{8} \d\d:\d\d", first[0]):
            raise SourceError(
                f"{text.path} holds no quotes of Lean, whose rows have {len(_FIELDS)} fields: "
                "milliseconds, bid open .. close and size, ask open .. close and size"
            )
        rows = text.fields(_FIELDS, ",", header=False).drop("bid_size", "ask_size")
        if not rows["bid_open"].str.contains(".", literal=True).any():
            raise SourceError(
                f"{text.path} holds whole numbers alone, as Lean writes prices of shares, in "
                "1/10,000: divide them and use source=csv"
            )
        if " " in first[0]:
            return rows.with_columns(strange_time(r"\d{8} \d\d:\d\d", "time"), timestamp="time")
        return rows.with_columns(strange_time(_MS, "time"), timestamp=_of_day(_day(text)))


def _of_day(day: date) -> pl.Expr:
    """Milliseconds since midnight as a naive time."""
    since = pl.col("time").str.extract(f"^({_MS})$").cast(pl.Int64)
    return pl.lit(day).cast(NAIVE) + pl.duration(milliseconds=since)


def _day(text: Text) -> date:
    """Return the day that a file is of, which its name holds."""
    names = (Path(text.name).stem, text.path.stem)
    days = {written for name in names for written in _DAY.findall(name)}
    try:
        (day,) = days
        return date.fromisoformat(day)
    except ValueError as error:
        raise SourceError(
            f"{text.path} and its {text.name} name not one day but {sorted(days)}: rows are of the "
            "day in the name, such as 20140505_quote.zip"
        ) from error
