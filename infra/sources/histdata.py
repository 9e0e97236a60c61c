"""HistData.com, in all of its layouts: minutes of bid prices, or ticks of both.

```
20180102 030405;open;high;low;close;0                     Generic ASCII and NinjaTrader
2018.01.02,03:04,open,high,low,close,0                    MetaTrader
EURUSD,20180102,030400,open,high,low,close,0              MetaStock, with or without a header
2018-01-02 03:04:00,open,high,low,close,0                 Excel
20180102 030405678,bid,ask,0                              ticks, made into minutes
```

Prices of minutes are bid and stand in `open .. close`: the store has no bid without ask. The volume
is always 0, which is none. The publisher documents EST without daylight saving for every layout,
the default here; files of 2018 follow New York, those of 2019 London less five hours: declare
`clock="New York"` and `clock="London-5"` for these. A week begins on Sunday at 17:00 New York,
which tells.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import polars as pl

from infra.bars import PRICES
from infra.sources.columns import SourceError, strange_time, unless_zero
from infra.sources.text import Text
from infra.sources.ticks import minutes

_PRICE: Final = r"[\d.]+"
_VALUES: Final = (*PRICES, "volume")


@dataclass(frozen=True)
class _Layout:
    """How a row begins, what parts it, what its fields are, and what a time looks like."""

    row: re.Pattern[str]
    separator: str
    fields: tuple[str, ...]
    time: str


def _layout(row: str, separator: str, fields: tuple[str, ...], time: str) -> _Layout:
    pattern = re.compile(rf"^{row}{separator}{_PRICE}{separator}", re.MULTILINE)
    return _Layout(pattern, separator, fields, time)


_MINUTES: Final = (
    _layout(r"\d{8} \d{6}", ";", ("timestamp", *_VALUES), r"\d{8} \d{6}"),
    _layout(
        r"\d{4}\.\d\d\.\d\d,\d\d:\d\d",
        ",",
        ("date", "time", *_VALUES),
        r"\d{4}\.\d\d\.\d\d \d\d:\d\d",
    ),
    _layout(r"[A-Z]{6},\d{8},\d{6}", ",", ("ticker", "date", "time", *_VALUES), r"\d{8} \d{6}"),
    _layout(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:00",
        ",",
        ("timestamp", *_VALUES),
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    ),
)
_TICK: Final = re.compile(r"^\d{8} \d{9},[\d.]+,[\d.]+,", re.MULTILINE)
_TICK_FIELDS: Final = ("time", "bid", "ask", "size")
_ONE_SIDE: Final = re.compile(r"^\d{8} \d{6};[\d.]+;\d+\s*$", re.MULTILINE)


@dataclass(frozen=True)
class HistData:
    """Minutes of HistData.com, as text or in the zip they come in.

    Attributes
    ----------
    clock : str
    """

    clock: str = "EST"
    timeframe: ClassVar[str | None] = "M1"
    price: ClassVar[str] = "bid"

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file as text, without judging any row.

        Returns
        -------
        polars.DataFrame
            As of `infra.sources.csv.read_csv`, and `fault`; `source_row` 1 is the first line.

        Raises
        ------
        SourceError
            If the file is not one of these.
        """
        return self.rows(Text.of(path))

    def rows(self, text: Text) -> pl.DataFrame:
        """Read what is open already; see `read`."""
        if _TICK.search(text.head):
            rows = text.fields(_TICK_FIELDS, ",", header=0)
            return minutes(rows, _TICK_FIELDS, self.clock, r"\d{8} \d{9}")
        layout = next((each for each in _MINUTES if each.row.search(text.head)), None)
        if layout is None or _ONE_SIDE.search(text.head):
            raise SourceError(_unknown(text))
        header = text.first_line.startswith("<")
        rows = text.fields(layout.fields, layout.separator, header=header)
        if "date" in layout.fields:
            moment = pl.concat_str("date", "time", separator=" ")
            rows = rows.with_columns(timestamp=moment).drop("date", "time")
        return rows.with_columns(unless_zero("volume"), strange_time(layout.time))


def _unknown(text: Text) -> str:
    if _ONE_SIDE.search(text.head):
        return (
            f"{text.path} holds ticks of one side alone, as of HistData's NinjaTrader layout: "
            "fetch its Generic ASCII, which has bid and ask"
        )
    return (
        f"{text.path} is not HistData's Generic ASCII of minutes, whose rows are "
        "`20180102 030405;open;high;low;close;volume`, nor another of its layouts: use source=csv "
        "for one with a header"
    )
