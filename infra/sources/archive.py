"""What is packed: the one text of a .zip, .gz, .bz2, .xz or .zst, never more than prices hold."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Final, Protocol

import fastexcel
import polars as pl
import zstandard

from infra.sources.columns import SourceError

LARGEST: Final = 512 << 20
DENSEST: Final = 200
"""Bytes of text a packed byte may hold; prices come to about ten."""
_FREE: Final = 65_536
_PIECE: Final = 1 << 20
_TEXTS: Final = (".csv", ".tsv", ".prn", ".txt")
_WORKBOOK: Final = "xl/workbook.xml"
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    zstandard.ZstdError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
)
_WINDOW: Final = 1 << 27


class Stream(Protocol):
    """What is read piece by piece."""

    def read(self, size: int, /) -> bytes:
        """Return at most so many bytes, none at the end."""


def _gzip(file: IO[bytes]) -> Stream:
    return gzip.GzipFile(fileobj=file)


def _zstandard(file: IO[bytes]) -> Stream:
    packer = zstandard.ZstdDecompressor(max_window_size=_WINDOW)
    return packer.stream_reader(file, read_across_frames=True)


_OPENERS: Final[dict[bytes, Callable[[IO[bytes]], Stream]]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"\x28\xb5\x2f\xfd": _zstandard,
}


def members(path: Path) -> list[Path]:
    """Return what a file is to be read as: itself, or the texts of a zip as `bars.zip/name.csv`.

    Texts that are no CSV count where there is none: publishers put a readme beside.

    Raises
    ------
    SourceError
        If a name leaves the archive.
    """
    if not zipfile.is_zipfile(path):
        return [path]
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _DAMAGE:
        return [path]
    texts = _texts(names)
    if strange := [name for name in texts if _leaves(name)]:
        raise SourceError(f"{path} holds {strange[0]!r}, which lies outside of it: fetch it again")
    return [path / name for name in sorted(texts)] if len(texts) > 1 else [path]


def _leaves(name: str) -> bool:
    """Whether a member's name is a path that leaves the archive."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in path.parts[0]


def unpacked(path: Path) -> tuple[str, Path | bytes]:
    """Return the name of the text, and where it is: the file itself, or what is packed in it.

    Parameters
    ----------
    path : Path
        A file, or one of `members`.

    Raises
    ------
    SourceError
        If it is damaged, locked, holds no text or more than one, or more than prices can.
    OSError
        If it cannot be read.
    """
    whole, member = _split(path)
    with whole.open("rb") as file:
        begin = file.read(8)
        opener = next((o for magic, o in _OPENERS.items() if begin.startswith(magic)), None)
        if opener is not None:
            file.seek(0)
            return whole.stem, _stream(opener, file, whole)
    return _of_zip(whole, member) if zipfile.is_zipfile(whole) else (path.name, path)


def _split(path: Path) -> tuple[Path, str | None]:
    """Return the file on disk, and the name inside it of a path of `members`."""
    for parent in path.parents:
        if parent.is_file():
            return parent, str(path.relative_to(parent))
    return path, None


def _texts(names: list[str]) -> list[str]:
    files = [name for name in names if not name.startswith("__MACOSX/")]
    for kinds in (_TEXTS[:1], _TEXTS):
        if texts := [name for name in files if name.lower().endswith(kinds)]:
            return texts
    return []


def _stream(opener: Callable[[IO[bytes]], Stream], file: IO[bytes], path: Path) -> bytes:
    size, text = path.stat().st_size, io.BytesIO()
    try:
        packed = opener(file)
        while piece := packed.read(_PIECE):
            text.write(piece)
            _refuse_bomb(path, text.tell(), size)
    except SourceError:
        raise
    except _DAMAGE as error:
        what = str(error) or "it ends early"
        raise SourceError(f"{path} is damaged: {what}; fetch it again") from error
    return text.getvalue()


def _of_zip(path: Path, member: str | None) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(path) as archive:
            if _WORKBOOK in archive.namelist():
                size = sum(item.file_size for item in archive.infolist())
                _refuse_bomb(path, size, path.stat().st_size)
                return path.name, _sheet(path)
            texts = [member] if member is not None else _texts(archive.namelist())
            if len(texts) != 1:
                raise SourceError(
                    f"{path} holds {len(texts)} CSV files, not one: unpack it and name the file"
                )
            item = archive.getinfo(texts[0])
            _refuse_bomb(path, item.file_size, item.compress_size)
            return item.filename, archive.read(item)
    except SourceError:
        raise
    except (KeyError, *_DAMAGE) as error:
        raise SourceError(f"{path} is a damaged or locked zip: {error}; fetch it again") from error


def _refuse_bomb(path: Path, size: int, packed: int) -> None:
    if size > min(LARGEST, DENSEST * packed + _FREE):
        raise SourceError(
            f"{path} would unpack to {size:,} bytes, more than such prices "
            "can have: fetch it again, or unpack it yourself if it is right"
        )


def _sheet(path: Path) -> bytes:
    """Return the first sheet of a workbook as CSV; its dates are ISO 8601."""
    try:
        sheet = fastexcel.read_excel(path).load_sheet(0, header_row=None, dtypes="string")
        frame = pl.DataFrame(sheet)
    except Exception as error:
        raise SourceError(f"{path} is no spreadsheet that can be read: {error}") from error
    return frame.write_csv(include_header=False).encode()
