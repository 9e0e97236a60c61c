"""HistData.com, Generic ASCII in minutes: `20180102 030405;open;high;low;close;0`, no header.

Prices are bid and stand in `open .. close`: the store has no bid without ask. The volume is
always 0, which is none. The publisher documents EST without daylight saving, the default here;
files of 2018 follow New York, those of 2019 London less five hours: declare `clock="New York"`
and `clock="London-5"` for these. A week begins on Sunday at 17:00 New York, which tells.
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

_ROW: Final = re.compile(r"^\d{8} \d{6};[\d.]+;", re.MULTILINE)


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
        text = Text.of(path)
        if not _ROW.search(text.head):
            raise SourceError(
                f"{path} is not HistData's Generic ASCII of minutes, whose rows are "
                "`20180102 030405;open;high;low;close;volume`: use source=csv for one with a header"
            )
        rows = text.fields(["timestamp", *PRICES, "volume"], ";", header=False)
        return rows.with_columns(unless_zero("volume"), strange_time(r"\d{8} \d{6}"))
