"""The bulk store: bars as Parquet, a file for each pair, timeframe and year.

```
<root>/EUR_USD/H1/2017.parquet
```

A file is replaced by an atomic rename, so a reader sees the old one or the new one. It carries
the schema version and a hash of its rows; rows that are there already leave it untouched.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from infra.bars import QUOTES, SCHEMA, SCHEMA_VERSION, content_hash, schema, within
from infra.files import replaced

_HASH = "sep_content_hash"
_VERSION = "sep_schema_version"
_YEARS = "[0-9]*.parquet"
_NAME = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*")


class StoreError(RuntimeError):
    """Bars do not fit the store, or a file of it is damaged; the message names the cause."""


@dataclass(frozen=True)
class Written:
    """What a write did to the file of one year.

    Attributes
    ----------
    year : int
    path : Path
    rows : int
        Rows in the file now.
    added : int
        Timestamps that were not there before.
    changed : bool
        Whether the file was replaced.
    content_hash : str
    """

    year: int
    path: Path
    rows: int
    added: int
    changed: bool
    content_hash: str


class BarStore:
    """Bars of every pair and timeframe under one folder.

    Parameters
    ----------
    root : Path
        Folder; made at the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, pair: str, timeframe: str, bars: pl.DataFrame) -> list[Written]:
        """Add bars; where a timestamp is there already the new row replaces it.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        bars : polars.DataFrame
            Columns of `SCHEMA`, the quotes optional; timestamps unique.

        Returns
        -------
        list of Written
            One entry a year of the bars, in order.

        Raises
        ------
        StoreError
            If columns are missing or strange, or a timestamp is null or repeated.
        """
        bars = _conform(bars)
        folder = self._folder(pair, timeframe)
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            return [_write_year(folder, year, rows) for year, rows in _by_year(bars)]

    def scan(self, pair: str, timeframe: str) -> pl.LazyFrame:
        """Return all bars lazily, oldest first; empty where there are none."""
        files = self._files(pair, timeframe)
        if not files:
            return pl.LazyFrame(schema=schema(quotes=False))
        quotes = any(map(_quoted, files))
        return pl.scan_parquet(
            files, schema=schema(quotes=quotes), missing_columns="insert", glob=False
        )

    def read(
        self,
        pair: str,
        timeframe: str,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Return bars with start <= timestamp < end, oldest first.

        Parameters
        ----------
        pair, timeframe : str
        start, end : datetime, optional
            With a zone; left out: from the first, to the last.
        """
        return self.scan(pair, timeframe).filter(*within(start, end)).collect()

    def content_hash(self, pair: str, timeframe: str) -> str:
        """Return a hash of all bars of a pair and timeframe; equal hashes mean equal bars."""
        digest = hashlib.sha256()
        for file in self._files(pair, timeframe):
            digest.update(f"{file.stem}:{_stored_hash(file)}\n".encode())
        return digest.hexdigest()

    def pairs(self) -> list[tuple[str, str]]:
        """Return the (pair, timeframe) that have bars, sorted."""
        found = {
            (file.parent.parent.name, file.parent.name) for file in self.root.glob(f"*/*/{_YEARS}")
        }
        return sorted(found)

    def _folder(self, pair: str, timeframe: str) -> Path:
        for name in (pair, timeframe):
            if not _NAME.fullmatch(name):
                raise StoreError(f"{name!r} is no name of a pair or timeframe: EUR_USD, H1")
        return self.root / pair / timeframe

    def _files(self, pair: str, timeframe: str) -> list[Path]:
        return sorted(self._folder(pair, timeframe).glob(_YEARS))


def _conform(bars: pl.DataFrame) -> pl.DataFrame:
    """Put columns into order and leave out quotes that nobody gave."""
    strange = set(bars.columns) - set(SCHEMA)
    missing = set(schema(quotes=False)) - set(bars.columns)
    if strange or missing:
        raise StoreError(
            f"bars lack the columns {sorted(missing)} or have others: {sorted(strange)}"
        )
    quoted = any(name in bars.columns and bars[name].count() for name in QUOTES)
    wanted = schema(quotes=quoted)
    absent = [pl.lit(None, kind).alias(name) for name, kind in wanted.items() if name not in bars]
    bars = bars.with_columns(absent).select(*wanted).cast(wanted).sort("timestamp")
    if bars["timestamp"].null_count() or not bars["timestamp"].is_unique().all():
        raise StoreError("bars have missing or repeated timestamps: validate them first")
    return bars


def _by_year(bars: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    years = bars["timestamp"].dt.year()
    for year in years.unique(maintain_order=True):
        yield year, bars.filter(years == year)


def _write_year(folder: Path, year: int, rows: pl.DataFrame) -> Written:
    path = folder / f"{year:04d}.parquet"
    before, known = 0, None
    if path.exists():
        known = _stored_hash(path)
        old = pl.read_parquet(path, glob=False)
        before = old.height
        rows = _merge(old, rows)
    fresh = content_hash(rows)
    if fresh != known:
        _replace(path, rows, fresh)
    return Written(year, path, rows.height, rows.height - before, fresh != known, fresh)


def _merge(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    both = pl.concat([old, new], how="diagonal")
    return both.unique("timestamp", keep="last", maintain_order=True).sort("timestamp")


def _replace(path: Path, rows: pl.DataFrame, content: str) -> None:
    """Write beside the file, make it durable, rename: whole or not at all."""
    with replaced(path, durable=True) as draft:
        rows.write_parquet(draft, metadata={_HASH: content, _VERSION: SCHEMA_VERSION})


def _quoted(path: Path) -> bool:
    with path.open("rb") as file:
        return "bid_open" in pl.read_parquet_schema(file)


def _stored_hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            metadata = pl.read_parquet_metadata(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(f"{path} is damaged: delete it and ingest that year again") from error
    if metadata.get(_VERSION) != SCHEMA_VERSION or _HASH not in metadata:
        raise StoreError(f"{path} is not of this store's version: delete it and ingest again")
    return metadata[_HASH]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time; the system frees the lock of one that dies."""
    with (folder / ".lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
