"""Files of text with fields: plain or the one CSV in a zip, UTF-8 or UTF-16, rows never judged."""

from __future__ import annotations

import codecs
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.columns import SourceError

_HEAD = 65_536
_SEPARATORS = ",;\t|"
_LARGEST: Final = 1 << 30
_DENSEST: Final = 200
"""Bytes of text a byte of a zip may hold; prices come to about ten."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class Text:
    """A file of text.

    Attributes
    ----------
    path : Path
    name : str
        Of the file, or of the member of a zip that holds the text.
    head : str
        How it begins, to look at.
    content : Path or bytes
    """

    path: Path
    name: str
    head: str
    content: Path | bytes

    @classmethod
    def of(cls, path: Path) -> Text:
        """Open a file.

        Raises
        ------
        SourceError
            If it is missing, empty, binary, a web page, or a zip of anything but one CSV.
        """
        try:
            name, content = _unpack(path) if zipfile.is_zipfile(path) else (path.name, path)
            head = content[:_HEAD] if isinstance(content, bytes) else _begin(content)
            if head.startswith(_UTF16):
                raw = content if isinstance(content, bytes) else content.read_bytes()
                content = raw.decode("utf-16", errors="replace").encode()
                head = content[:_HEAD]
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        if len(head) == _HEAD and b"\n" not in head and b"\r" not in head:
            raise SourceError(
                f"{path} has a first line of more than {_HEAD:,} bytes: it is no CSV with a header"
            )
        return cls(path, name, _checked(head, path), content)

    @property
    def first_line(self) -> str:
        """The first line."""
        return (self.head.splitlines() or [""])[0]

    @property
    def separator(self) -> str:
        """What parts the fields of the first line: comma, semicolon, tab or bar."""
        return max(_SEPARATORS, key=self.first_line.count)

    def fields(self, names: Sequence[str], separator: str, *, header: bool) -> pl.DataFrame:
        """Part each line into fields.

        Parameters
        ----------
        names : sequence of str
            Of the fields.
        separator : str
        header : bool
            Whether the first line holds names.

        Returns
        -------
        polars.DataFrame
            `source_row` (Int64, number of the line from 1), the fields as String without blanks
            and quotation marks around them, null behind the end of a line, and `excess`, what a
            line has behind its last field. Blank lines are left out.

        Raises
        ------
        SourceError
            If there is none.
        """
        parts = pl.col("line").str.splitn(separator, len(names) + 1)
        cells = self._lines(header).with_columns(parts.struct.rename_fields([*names, "excess"]))
        if cells.is_empty():
            raise SourceError(f"{self.path} holds no bars: fetch or export it again")
        return cells.unnest("line").with_columns(pl.col(*names).str.strip_chars(' "'))

    def _lines(self, header: bool) -> pl.DataFrame:
        try:
            lines = pl.read_lines(self.content, glob=False)
        except pl.exceptions.ComputeError:  # not UTF-8
            content = self.content
            raw = content if isinstance(content, bytes) else content.read_bytes()
            lines = pl.read_lines(raw.decode(errors="replace").encode())
        number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
        line = pl.col("line").str.strip_chars(" \r\ufeff")
        return lines.select(number, line).slice(header).filter(line.str.len_bytes() > 0)


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _checked(head: bytes, path: Path) -> str:
    text = head.decode("utf-8-sig", errors="replace")
    start = text.lstrip()[:5].lower()
    if not start:
        raise SourceError(f"{path} is empty: fetch or export it again")
    if b"\0" in head:
        raise SourceError(f"{path} is binary, not CSV: unpack it, or use source=parquet")
    if start in ("<!doc", "<html", "<?xml"):
        raise SourceError(f"{path} is a web page, not CSV: the download needs a login or moved")
    return text


def _unpack(path: Path) -> tuple[str, bytes]:
    """Return name and content of the one CSV in a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            texts = [item for item in archive.infolist() if item.filename.lower().endswith(".csv")]
            if len(texts) != 1:
                raise SourceError(
                    f"{path} holds {len(texts)} CSV files, not one: unpack it and name the file"
                )
            if texts[0].file_size > min(_LARGEST, _DENSEST * texts[0].compress_size + _HEAD):
                raise SourceError(
                    f"{path} would unpack to {texts[0].file_size:,} bytes, more than such prices "
                    "can have: fetch it again, or unpack it yourself if it is right"
                )
            return texts[0].filename, archive.read(texts[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{path} is a damaged or locked zip: {error}; fetch it again") from error
