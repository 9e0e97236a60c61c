"""Files of text with fields: plain or packed, UTF-8 or UTF-16, rows never judged."""

from __future__ import annotations

import codecs
import csv
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.archive import unpacked
from infra.sources.columns import SourceError

_HEAD: Final = 65_536
_SEPARATORS: Final = ",;\t|"
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WEB: Final = ("<!doc", "<html", "<?xml")
_ARROW: Final = (b"PAR1", b"ARROW1", b"FEA1", b"\xff\xff\xff\xff")


@dataclass(frozen=True)
class Text:
    """A file of text.

    Attributes
    ----------
    path : Path
    name : str
        Of the file, or of the member of an archive that holds the text.
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
        """Open a file, one in a zip (`bars.zip/name.csv`), or a workbook's first sheet.

        Raises
        ------
        SourceError
            If it is missing, empty, binary, a web page, or an archive of anything but one text.
        """
        try:
            name, content = unpacked(path)
            head = content[:_HEAD] if isinstance(content, bytes) else _begin(content)
            content, head = _decoded(content, head)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}") from error
        if len(head) == _HEAD and b"\n" not in head:
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
        return separator_of(self.first_line)

    def fields(self, names: Sequence[str], separator: str, *, header: int) -> pl.DataFrame:
        """Part each record into fields, quoted ones by RFC 4180.

        Parameters
        ----------
        names : sequence of str
            Of the fields.
        separator : str
        header : int
            How many lines come before the first record.

        Returns
        -------
        polars.DataFrame
            `source_row` (Int64, number of the line from 1), the fields as String without blanks
            and quotation marks around them, null behind the end of a line, and `excess`, what a
            line has behind its last field. Records without any content are left out.

        Raises
        ------
        SourceError
            If there is none.
        """
        try:
            cells = self._records(names, separator, header)
        except pl.exceptions.PolarsError:  # ragged, not UTF-8, or a quotation mark too many
            cells = self._lines(names, separator, header)
        content = pl.any_horizontal(pl.col(*names, "excess").str.len_bytes() > 0)
        if (blank := ~cells.select(content.fill_null(value=False)).to_series()).any():
            cells = cells.filter(~blank)
        if cells.is_empty():
            raise SourceError(f"{self.path} holds no bars: fetch or export it again")
        return cells

    def _records(self, names: Sequence[str], separator: str, header: int) -> pl.DataFrame:
        cells = pl.read_csv(
            self.content,
            separator=separator,
            has_header=False,
            skip_lines=header,
            schema=dict.fromkeys(names, pl.String()),
            infer_schema=False,
            empty_string_is_null=False,
            row_index_name="source_row",
            row_index_offset=header + 1,
            glob=False,
        )
        if self._has_blanks(separator):
            cells = cells.with_columns(pl.col(*names).str.strip_chars(' "\r'))
        return cells.with_columns(
            pl.col("source_row").cast(pl.Int64), excess=pl.lit(None, pl.String)
        )

    def _has_blanks(self, separator: str) -> bool:
        """Whether a field may begin or end with a blank."""
        marks = [separator + " ", " " + separator, " \n", " \r", "\n ", '"\r']
        if isinstance(self.content, bytes):
            return any(mark.encode() in self.content for mark in marks)
        with (
            self.content.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view,
        ):
            return any(view.find(mark.encode()) >= 0 for mark in marks)

    def _lines(self, names: Sequence[str], separator: str, header: int) -> pl.DataFrame:
        """Part each line for itself: whatever one holds, the others stay what they are."""
        try:
            lines = pl.read_lines(self.content, glob=False)
        except pl.exceptions.ComputeError:  # not UTF-8
            content = self.content
            raw = content if isinstance(content, bytes) else content.read_bytes()
            lines = pl.read_lines(raw.decode(errors="replace").encode())
        number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
        line = pl.col("line").str.strip_chars(" \r\ufeff")
        lines = lines.select(number, line).slice(header)
        quoted = lines["line"].str.contains('"', literal=True)
        parts = pl.col("line").str.splitn(separator, len(names) + 1)
        plain = lines.filter(~quoted).with_columns(parts.struct.rename_fields([*names, "excess"]))
        cells = plain.unnest("line")
        if quoted.any():
            cells = pl.concat([cells, _quoted(lines.filter(quoted), names, separator)])
        return cells.sort("source_row").with_columns(pl.col(*names).str.strip_chars(' "'))


def separator_of(line: str) -> str:
    """Return what parts the fields of a line most often: comma, semicolon, tab or bar."""
    return max(_SEPARATORS, key=line.count)


def _quoted(lines: pl.DataFrame, names: Sequence[str], separator: str) -> pl.DataFrame:
    """Part lines with quotation marks in them."""
    rows = []
    for number, line in lines.iter_rows():
        try:
            cells = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
        except csv.Error:
            cells = line.split(separator)
        excess = separator.join(cells[len(names) :]) if len(cells) > len(names) else None
        padded = [*cells[: len(names)], *[None] * (len(names) - len(cells))]
        rows.append((number, *padded, excess))
    schema = {"source_row": pl.Int64, **dict.fromkeys([*names, "excess"], pl.String)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _begin(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _decoded(content: Path | bytes, head: bytes) -> tuple[Path | bytes, bytes]:
    """Return UTF-8 with lines that end as everybody's do, and how it begins."""
    coding = _utf16(head)
    old = b"\r" in head and b"\n" not in head
    if coding is None and not old:
        return content, head
    raw = content if isinstance(content, bytes) else content.read_bytes()
    if coding is not None:
        raw = raw.decode(coding, errors="replace").encode()
    if b"\n" not in raw:
        raw = raw.replace(b"\r", b"\n")
    return raw, raw[:_HEAD]


def _utf16(head: bytes) -> str | None:
    """Return the coding of text whose every second byte is zero, marked or not."""
    if head.startswith(_UTF16):
        return "utf-16"
    if head.startswith(_ARROW) or len(head) < 16:
        return None
    even, odd = head[0::2], head[1::2]
    if b"\0" not in even and odd.count(0) > 0.9 * len(odd):
        return "utf-16-le"
    return "utf-16-be" if b"\0" not in odd and even.count(0) > 0.9 * len(even) else None


def _checked(head: bytes, path: Path) -> str:
    text = head.decode("utf-8-sig", errors="replace")
    start = text.lstrip()[:5].lower()
    if not start:
        raise SourceError(f"{path} is empty: fetch or export it again")
    if b"\0" in head or head.startswith(_ARROW):
        raise SourceError(f"{path} is binary, not CSV: unpack it, or use source=parquet")
    if start in _WEB:
        raise SourceError(f"{path} is a web page, not CSV: the download needs a login or moved")
    return text
