"""MetaTrader's exports: version 5 with its header of `<DATE>`, version 4 without any, and Python's.

```
<DATE>	<TIME>	<OPEN>	<HIGH>	<LOW>	<CLOSE>	<TICKVOL>	<VOL>	<SPREAD>
2018.01.02	03:04:00	1.20123	1.20129	1.20119	1.20125	57	0	4

2018.01.02,03:04,1.20123,1.20129,1.20119,1.20125,57

time,open,high,low,close,tick_volume,spread,real_volume
1514862240,1.20123,1.20129,1.20119,1.20125,57,4,0
```

The last is what `copy_rates` of the package MetaTrader5 gives, as text or as NumPy's `.npy`: its
seconds since 1970 are counted by the server's clock, too.

Times are of the broker's server, mostly seven hours ahead of New York. Prices are bid and stand in
`open .. close`: the store has no bid without ask, and one spread a bar is no ask of four prices.
It stays in the column `spread`, in points, null where it is 0, which is unknown. The volume is
the number of ticks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import polars as pl

from infra.bars import PRICES
from infra.sources.columns import SourceError, strange_time, unless_zero
from infra.sources.text import Text

_ROW: Final = re.compile(r"^\d{4}\.\d\d\.\d\d,\d\d:\d\d,", re.MULTILINE)
_DAY: Final = r"\d{4}\.\d\d\.\d\d"
_TIME: Final = _DAY + r" \d\d:\d\d(:\d\d)?"
_VERSION_4: Final = ("date", "time", *PRICES, "volume")
_VERSION_5: Final = ("date", "time", *PRICES, "tickvol", "vol", "spread")
_RATES: Final = ("time", *PRICES, "tick_volume", "spread", "real_volume")
NUMPY: Final = b"\x93NUMPY"
"""How a saved array begins."""
_DAILY: Final = tuple(name for name in _VERSION_5 if name != "time")


@dataclass(frozen=True)
class MetaTrader:
    """Bars that MetaTrader 4 or 5 exported.

    Attributes
    ----------
    clock : str
        Of the broker's server.
    """

    clock: str = "New York+7"
    timeframe: ClassVar[str | None] = None
    price: ClassVar[str] = "bid"

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file as text, without judging any row.

        Returns
        -------
        polars.DataFrame
            As of `infra.sources.csv.read_csv`, `fault`, and of version 5 `spread`.

        Raises
        ------
        SourceError
            If the file is not one of these.
        """
        if (rates := _array(path)) is not None:
            return rates
        return self.rows(Text.of(path))

    def rows(self, text: Text) -> pl.DataFrame:
        """Read what is open already; see `read`."""
        if _names_rates(text):
            return _rates(text.fields(_RATES, ",", header=True))
        names = _names(text)
        if names in (_VERSION_5, _DAILY):
            rows = text.fields(names, "\t", header=True).rename({"tickvol": "volume"})
            rows = rows.with_columns(unless_zero("spread")).drop("vol")
        elif _ROW.search(text.head):
            rows = text.fields(_VERSION_4, ",", header=False)
        else:
            raise SourceError(
                f"{text.path} is no export of bars of MetaTrader, which begins with <DATE> or a "
                "row `2018.01.02,03:04,open,high,low,close,volume`: use source=csv for others"
            )
        moment = [name for name in ("date", "time") if name in rows.columns]
        rows = rows.with_columns(timestamp=pl.concat_str(moment, separator=" ")).drop(moment)
        return rows.with_columns(strange_time(_TIME if "time" in moment else _DAY))


def is_headed(text: Text) -> bool:
    """Return whether a text begins with one of MetaTrader's headers."""
    return _names_rates(text) or _names(text) in (_VERSION_5, _DAILY)


def _names_rates(text: Text) -> bool:
    return tuple(text.first_line.lower().replace('"', "").split(",")) == _RATES


def _names(text: Text) -> tuple[str, ...]:
    return tuple(re.sub(r"[^a-z]", "", name) for name in text.first_line.lower().split("\t"))


def _rates(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `copy_rates` as of any other export."""
    rows = rows.rename({"time": "timestamp", "tick_volume": "volume"}).drop("real_volume")
    known = pl.col("spread").cast(pl.Int64, strict=False) != 0
    return rows.with_columns(pl.when(known).then("spread").alias("spread"))


def _array(path: Path) -> pl.DataFrame | None:
    """Return the rows of a saved array of `copy_rates`; None where it is another file."""
    try:
        with path.open("rb") as file:
            if file.read(len(NUMPY)) != NUMPY:
                return None
    except OSError:  # told better by those who read text
        return None
    try:
        array = np.load(path, allow_pickle=False)
        columns = {name: pl.Series(np.ascontiguousarray(array[name])) for name in _RATES}
    except Exception as error:  # NumPy parses the header as Python, and raises whatever that may
        raise SourceError(
            f"{path} is no array of MetaTrader's copy_rates, or a damaged one: {error}"
        ) from error
    rows = pl.DataFrame(columns)
    if rows.is_empty():
        raise SourceError(f"{path} holds no rows: export it again")
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
    return _rates(rows.select(number, pl.all()))
