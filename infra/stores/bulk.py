"""The bulk store: bars as Parquet, a folder for each pair and timeframe, a file for each year.

```
<root>/EUR_USD/H1/manifest.json
<root>/EUR_USD/H1/2017.3f0a9c2e11d4.parquet
```

A reader sees all of a write or nothing (`infra.stores.years`). Each file carries the schema version
and a hash of its rows; rows that are there already leave it untouched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeAlias

import polars as pl

from infra.bars import QUOTES, SCHEMA, content_hash, schema, within, without_empty_quotes
from infra.files import locked
from infra.stores import years
from infra.stores.years import Note, StoreError, Year, Years

_NAME = re.compile(r"[A-Z0-9]+(_[A-Z0-9]+)*")


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


Change: TypeAlias = tuple[str, Year | None, Written]
"""A year that was written, its file (None where no bar is left), and what that did."""


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
        with self.writing(pair, timeframe, bars) as ahead:
            return ahead.written

    @contextmanager
    def writing(
        self, pair: str, timeframe: str, bars: pl.DataFrame, *, gone: pl.Series | None = None
    ) -> Iterator[Ahead]:
        """Write bars as `write` does, but let others see them at the end of the block only.

        If the block raises, nothing has changed.

        Parameters
        ----------
        pair, timeframe : str
        bars : polars.DataFrame
        gone : polars.Series, optional
            Timestamps of bars that are taken out first.

        Yields
        ------
        Ahead
            The store as it will be.

        Raises
        ------
        StoreError
            If columns are missing or strange, or a timestamp is null or repeated.
        """
        bars = _conform(bars)
        folder = self.folder(pair, timeframe)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock"):
            present = years.read(folder)
            parts = _by_year(bars, bars["timestamp"].clear() if gone is None else gone)
            changes = [_write_year(folder, name, *part, present) for name, part in parts]
            ahead = Ahead(self.root, (pair, timeframe), present, changes)
            ahead.note = years.note(folder)
            yield ahead
            if ahead.years != present or not (folder / years.MANIFEST).exists():
                years.swap(folder, ahead.years, ahead.note)

    def pending(self, pair: str, timeframe: str) -> Note | None:
        """Return what the last write left to be told to the database; None as a rule.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        return years.note(self.folder(pair, timeframe))

    def noted(self) -> list[tuple[str, str]]:
        """Return the (pair, timeframe) of which the database is to be told something, sorted."""
        folders = [file.parent for file in self.root.glob(f"*/*/{years.MANIFEST}")]
        return sorted((f.parent.name, f.name) for f in folders if years.note(f))

    def told(self, pair: str, timeframe: str, note: Note) -> None:
        """Forget a note, and the files it keeps: the database knows.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        note : dict
            Another one stays.
        """
        folder = self.folder(pair, timeframe)
        with locked(folder / ".lock"):
            if years.note(folder) == note:
                years.swap(folder, years.read(folder))

    def scan(self, pair: str, timeframe: str) -> pl.LazyFrame:
        """Return all bars lazily, oldest first; empty where there are none.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        files = self.files(pair, timeframe)
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

    def starts(
        self, pair: str, timeframe: str, start: datetime | None, end: datetime | None = None
    ) -> pl.Series:
        """Return when the bars with start <= timestamp < end began, oldest first.

        Parameters
        ----------
        pair, timeframe : str
        start, end : datetime or None
            With a zone; None: from the first, up to the last.
        """
        inside = self.scan(pair, timeframe).filter(*within(start, end))
        return inside.select("timestamp").collect().to_series()

    def content_hash(self, pair: str, timeframe: str) -> str:
        """Return a hash of all bars of a pair and timeframe; equal hashes mean equal bars.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        return years.whole_hash(self._years(pair, timeframe))

    def check(self, pair: str, timeframe: str) -> None:
        """Look whether every file is there and says that it holds what the manifest says.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.

        Raises
        ------
        StoreError
            If one does not; the message names it.
        """
        folder = self.folder(pair, timeframe)
        for year in self._years(pair, timeframe).values():
            if years.stored_hash(folder / year.file) != year.content:
                raise StoreError(f"{folder / year.file} is not what was written: restore it")

    def pairs(self) -> list[tuple[str, str]]:
        """Return the (pair, timeframe) that have bars, sorted."""
        files = (*self.root.glob(f"*/*/{years.MANIFEST}"), *self.root.glob(f"*/*/{years.BEFORE}"))
        folders = {file.parent for file in files if _has_bars(file.parent)}
        return sorted((folder.parent.name, folder.name) for folder in folders)

    def folder(self, pair: str, timeframe: str) -> Path:
        """Return where the files of a pair and timeframe lie.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.

        Raises
        ------
        StoreError
            If these are no such names.
        """
        for name in (pair, timeframe):
            if not _NAME.fullmatch(name):
                raise StoreError(f"{name!r} is no name of a pair or timeframe: EUR_USD, H1")
        return self.root / pair / timeframe

    def files(self, pair: str, timeframe: str) -> list[Path]:
        """Return the files of a pair and timeframe, oldest year first; the manifest is none.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        folder = self.folder(pair, timeframe)
        return [folder / year.file for _, year in sorted(self._years(pair, timeframe).items())]

    def manifest(self, pair: str, timeframe: str) -> Path:
        """Return where the manifest of a pair and timeframe lies.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        return self.folder(pair, timeframe) / years.MANIFEST

    def _years(self, pair: str, timeframe: str) -> Years:
        return years.read(self.folder(pair, timeframe))


class Ahead(BarStore):
    """A store as it will be once a write is over.

    Attributes
    ----------
    key : tuple of str
        Pair and timeframe that are written.
    before, years : mapping of str to Year
        Their files as they are, and as they will be.
    written : list of Written
        What the write does.
    note : dict or None
        What the manifest is to keep of the write until the database knows.
    """

    def __init__(
        self, root: Path, key: tuple[str, str], present: Years, changes: Sequence[Change]
    ) -> None:
        super().__init__(root)
        fresh = {**present, **{name: year for name, year, _ in changes}}
        self.key, self.before = key, present
        self.years: Years = {name: year for name, year in fresh.items() if year}
        self.written = [written for _, _, written in changes]
        self.note: Note | None = None

    def _years(self, pair: str, timeframe: str) -> Years:
        return self.years if (pair, timeframe) == self.key else super()._years(pair, timeframe)


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
    bars = bars.with_columns(absent).select(*wanted).cast(wanted)
    if not bars["timestamp"].is_sorted():
        bars = bars.sort("timestamp")
    times = bars["timestamp"]
    if times.null_count() or (times == times.shift()).any():
        raise StoreError("bars have missing or repeated timestamps: validate them first")
    return bars


def _by_year(
    bars: pl.DataFrame, gone: pl.Series
) -> Iterator[tuple[str, tuple[pl.DataFrame, pl.Series]]]:
    coming, going = bars["timestamp"].dt.year(), gone.dt.year()
    for year in sorted({*coming.unique(), *going.unique()}):
        yield f"{year:04d}", (bars.filter(coming == year), gone.filter(going == year))


def _write_year(
    folder: Path, name: str, rows: pl.DataFrame, gone: pl.Series, present: Years
) -> Change:
    """Write a year's rows over those that are there and stay, if that changes any."""
    stored, kept = present.get(name), 0
    if stored is not None:
        path = folder / stored.file
        years.stored_hash(path)  # a damaged file could end the process when it is read
        old = pl.read_parquet(path, glob=False)
        old = old.filter(~pl.col("timestamp").is_in(gone.implode())) if len(gone) else old
        kept, rows = old.height, _merge(old, rows)
    if rows.is_empty():
        return name, None, Written(int(name), folder, 0, 0, stored is not None, content_hash(rows))
    rows = without_empty_quotes(rows)
    content = content_hash(rows)
    if stored is not None and content == stored.content:
        year = stored
    else:
        year = years.write(folder, name, rows, content)
    added, changed = rows.height - kept, year != stored
    written = Written(int(name), folder / year.file, rows.height, added, changed, content)
    return name, year, written


def _merge(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    both = pl.concat([old, new], how="diagonal")
    return both.unique("timestamp", keep="last", maintain_order=True).sort("timestamp")


def _quoted(path: Path) -> bool:
    with path.open("rb") as file:
        return "bid_open" in pl.read_parquet_schema(file)


def _has_bars(folder: Path) -> bool:
    """Say whether a manifest names any; of a damaged one its reader will hear."""
    try:
        return bool(years.read(folder))
    except StoreError:
        return True
