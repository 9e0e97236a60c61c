"""Which files hold the bars of a pair and timeframe: a manifest, swapped as a whole.

```
manifest.json                 {"version": "1", "years": {"2017": {"file": ..., "content": ...}},
                               "note": ...}
2017.3f0a9c2e11d4.parquet     a year, named by its content
```

A write puts new files beside the old ones and swaps the manifest last, so that a reader sees all of
it or nothing, across years too. Files that no manifest names any more stay for a while: somebody
may have begun to read them.

The note says what the write was, and which files were there before: with them the database can be
told of it at any later time (`infra.stores.ledger`), so it goes once the database knows.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import polars as pl

from infra.bars import SCHEMA_VERSION, content_hash
from infra.errors import SepError
from infra.files import replaced

MANIFEST: Final = "manifest.json"
GRACE: Final = 600.0
"""Seconds for which files stay that are named no more."""

_HASH = "sep_content_hash"
_VERSION = "sep_schema_version"
BEFORE = "[0-9][0-9][0-9][0-9].parquet"
"""Files of stores that had no manifest."""


class StoreError(SepError, RuntimeError):
    """Bars do not fit the store, or a file of it is damaged; the message names the cause."""


@dataclass(frozen=True)
class Year:
    """A file of bars: its name, and the hash of its rows."""

    file: str
    content: str


Years = Mapping[str, Year]
"""By year, `2017`, ascending."""

Note: TypeAlias = dict[str, Any]
"""What a write was: `kind`, `at` (ISO time), `before` (the files there were), and more by kind."""


def read(folder: Path) -> Years:
    """Return the files of a folder, oldest year first; nothing where there is none.

    Raises
    ------
    StoreError
        If the manifest, or a file of a store without one, is damaged or of another version.
    """
    try:
        return _open(folder)[0]
    except FileNotFoundError:
        files = sorted(folder.glob(BEFORE))
        return {file.stem: Year(file.name, stored_hash(file)) for file in files}


def note(folder: Path) -> Note | None:
    """Return what the last write left to be told to the database; None as a rule.

    Raises
    ------
    StoreError
        If the manifest is damaged or of another version.
    """
    try:
        return _open(folder)[1]
    except FileNotFoundError:
        return None


def before(note: Note) -> Years:
    """Return the files that were there before the write of a note."""
    return {year: Year(**fields) for year, fields in note["before"].items()}


def plain(years: Years) -> dict[str, dict[str, str]]:
    """Return files as JSON takes them, oldest year first."""
    return {year: asdict(years[year]) for year in sorted(years)}


def _open(folder: Path) -> tuple[Years, Note | None]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["version"] != SCHEMA_VERSION:
            raise StoreError(f"{folder} is not of this store's version: ingest it again")
        years = {year: Year(**fields) for year, fields in manifest["years"].items()}
        return years, manifest.get("note")
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{folder / MANIFEST} is damaged: restore it, or delete the folder and ingest again"
        ) from error


def swap(folder: Path, years: Years, note: Note | None = None) -> None:
    """Make these the files of a folder, and delete those that were named long ago.

    Parameters
    ----------
    folder : Path
    years : mapping of str to Year
        Of files that lie in the folder.
    note : dict, optional
        What the database is not yet told; the files that it names stay.
    """
    manifest: dict[str, Any] = {"version": SCHEMA_VERSION, "years": plain(years)}
    with replaced(folder / MANIFEST, durable=True) as draft:
        draft.write_text(json.dumps(manifest | ({"note": note} if note else {}), indent=1))
    named = {year.file for year in (*years.values(), *(before(note).values() if note else ()))}
    for path in folder.glob("*.parquet"):
        if path.name not in named and path.stat().st_mtime < time.time() - GRACE:
            path.unlink(missing_ok=True)


def write(folder: Path, year: str, rows: pl.DataFrame, content: str) -> Year:
    """Write a year beside the others, durably; it counts once a manifest names it.

    Parameters
    ----------
    folder : Path
        Of the pair and timeframe; must be there.
    year : str
        Such as `2017`.
    rows : polars.DataFrame
        All bars of the year, oldest first, columns of `SCHEMA`.
    content : str
        Their hash.
    """
    written = Year(f"{year}.{content[:12]}.parquet", content)
    with replaced(folder / written.file, durable=True) as draft:
        rows.write_parquet(draft, metadata={_HASH: content, _VERSION: SCHEMA_VERSION})
    return written


def whole_hash(years: Years) -> str:
    """Return a hash of all bars; equal hashes mean equal bars."""
    digest = hashlib.sha256()
    for name, year in sorted(years.items()):
        digest.update(f"{name}:{year.content}\n".encode())
    return digest.hexdigest()


def stored_hash(path: Path) -> str:
    """Return the hash of its rows that a file carries.

    Raises
    ------
    StoreError
        If the file is damaged, or not of this store.
    """
    try:
        with path.open("rb") as file:
            metadata = pl.read_parquet_metadata(file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StoreError(f"{path} is damaged: delete it and ingest that year again") from error
    if metadata.get(_VERSION) != SCHEMA_VERSION or _HASH not in metadata:
        raise StoreError(f"{path} is not of this store's version: delete it and ingest again")
    return metadata[_HASH]


def checked_hash(path: Path) -> str:
    """Return the hash of a file's rows, which must be the one that it carries.

    Raises
    ------
    StoreError
        If the file is damaged, or not of this store.
    """
    stored = stored_hash(path)
    try:
        rows = pl.read_parquet(path, glob=False)
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"{path} is damaged: {error}") from error
    if content_hash(rows) != stored:
        raise StoreError(f"{path} does not hold the rows that it says it does")
    return stored
