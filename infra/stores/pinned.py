"""Bars as they were at one moment, by the hash of their content, whatever is ingested meanwhile.

```
<home>/pinned/<16 digits of the hash>/EUR_USD/H1/manifest.json, 2017.3f0a9c2e11d4.parquet
```

The files are those of the bulk store, linked, or came from another machine.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias

from infra.files import replaced
from infra.settings import settings
from infra.stores import years
from infra.stores.bulk import BarStore
from infra.stores.years import Year, Years

Series: TypeAlias = tuple[str, str]
_DAY: Final = 86_400


class Pinned(BarStore):
    """A store some of whose series are those of a hash; they are read, never written.

    Parameters
    ----------
    store : BarStore
        Has all others.
    hashes : mapping of (str, str) to str
        By pair and timeframe; those that are here alone.
    """

    def __init__(self, store: BarStore, hashes: Mapping[Series, str]) -> None:
        super().__init__(store.root)
        self._kept = {key: _folder(*key, digest) for key, digest in hashes.items()}

    def folder(self, pair: str, timeframe: str) -> Path:
        """Return where the files of a pair and timeframe lie.

        Parameters
        ----------
        pair, timeframe : str
        """
        return self._kept.get((pair, timeframe)) or super().folder(pair, timeframe)


def pin(store: BarStore, pair: str, timeframe: str) -> str | None:
    """Keep the present bars of a pair, and return their hash; None where there are none.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
    """
    while True:
        source = store.folder(pair, timeframe)
        files = years.read(source)
        if not files:
            return None
        digest = years.whole_hash(files)
        try:
            _link(source, _folder(pair, timeframe, digest), files)
        except FileNotFoundError:  # written anew, and cleared, in between
            continue
        return digest


def is_here(store: BarStore, pair: str, timeframe: str, digest: str) -> bool:
    """Say whether bars of a hash are on this machine, and keep them if they are.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
    digest : str
    """
    kept = years.read(_folder(pair, timeframe, digest))
    return years.whole_hash(kept) == digest or (
        store.content_hash(pair, timeframe) == digest and pin(store, pair, timeframe) == digest
    )


def files_of(pair: str, timeframe: str, digest: str) -> dict[str, Path]:
    """Return the files of bars that are kept, by year.

    Parameters
    ----------
    pair, timeframe : str
    digest : str
    """
    folder = _folder(pair, timeframe, digest)
    return {name: folder / year.file for name, year in years.read(folder).items()}


def keep(pair: str, timeframe: str, digest: str, source: Path) -> bool:
    """Keep bars that came as files of years; whether they are of the hash, else nothing is kept.

    Parameters
    ----------
    pair, timeframe : str
    digest : str
    source : Path
        Folder of the files, and of nothing else: 2017.parquet, 2018.parquet.

    Raises
    ------
    infra.stores.years.StoreError
        If a file is damaged.
    """
    found = {
        path.stem: Year(path.name, years.checked_hash(path)) for path in source.glob("*.parquet")
    }
    if years.whole_hash(found) != digest:
        return False
    _link(source, _folder(pair, timeframe, digest), found)
    return True


def clear(days: int) -> int:
    """Forget bars that nobody has pinned for some days, and count the hashes.

    Parameters
    ----------
    days : int
    """
    oldest = time.time() - days * _DAY
    manifests = _root().glob(f"*/*/*/{years.MANIFEST}")
    old = {path.parents[2] for path in manifests if path.stat().st_mtime < oldest}
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def _link(source: Path, folder: Path, files: Years) -> None:
    """Let files lie in a folder, too; the manifest, which makes them count, comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    for year in files.values():
        if not (folder / year.file).exists():
            _link_file(source / year.file, folder / year.file)
    years.swap(folder, files)


def _link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:  # another run was faster
        return
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        with replaced(target) as draft:
            shutil.copyfile(source, draft)


def _folder(pair: str, timeframe: str, digest: str) -> Path:
    return BarStore(_root() / digest[:16]).folder(pair, timeframe)


def _root() -> Path:
    return settings().home / "pinned"
