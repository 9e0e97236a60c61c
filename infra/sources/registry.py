"""Which sources there are, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import polars as pl

from infra.sources.csv import Csv
from infra.sources.histdata import HistData
from infra.sources.lean import Lean
from infra.sources.metatrader import MetaTrader
from infra.sources.parquet import Parquet
from infra.sources.ticks import Dukascopy, TrueFx


class Source(Protocol):
    """A kind of file of bars."""

    @property
    def clock(self) -> str | None:
        """Clock of timestamps that name no zone; None where it must be declared."""

    @property
    def timeframe(self) -> str | None:
        """Timeframe of its bars; None where it is the file's."""

    @property
    def price(self) -> str:
        """What `open .. close` are: bid, mid, or unknown."""

    def read(self, path: Path) -> pl.DataFrame:
        """Read a file without judging any row.

        Returns
        -------
        polars.DataFrame
            `source_row` (Int64), `timestamp`, prices, `volume` and quotes as text or numbers, as
            far as the file has them; `excess`, text behind a line's last field; `fault`, why a row
            is none as far as only the source can know; others to show with a row in quarantine.

        Raises
        ------
        infra.sources.columns.SourceError
            If the file is not of this kind; the message names it and what to do.
        """


SOURCES: Final[Mapping[str, type[Source]]] = {
    "csv": Csv,
    "parquet": Parquet,
    "histdata": HistData,
    "metatrader": MetaTrader,
    "dukascopy": Dukascopy,
    "truefx": TrueFx,
    "lean": Lean,
}
"""Sources that read a file, each made with `clock=...` where it is not the default."""
MAPPED: Final = frozenset({"csv", "parquet"})
"""Those that take `columns`."""
TICKS: Final = frozenset({"dukascopy", "truefx"})
"""Those that make minutes of ticks, and read times and prices themselves."""
