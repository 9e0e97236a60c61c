"""Files of text with fields: plain or packed, UTF-8 or UTF-16, rows never judged."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.archive import unpacked
from infra.sources.columns import SourceError

_HEAD: Final = 65_536
_SEPARATORS: Final = "\t;|,"
_LOOKED: Final = 20
_FIELDS: Final = 5
"""A time and four prices."""
_LONGEST: Final = 20
"""Lines that a record may have."""
_MARKS: Final = (" ", '"', "\r")
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
        return separator_of(self.head.splitlines()[:-1] or [self.head])

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
        cells = self._cells(names, separator, header)
        surplus = pl.col("excess").str.strip_chars(separator + ' "\r')
        cells = cells.with_columns(
            pl.when(surplus.str.len_bytes() > 0).then("excess").alias("excess")
        )
        content = pl.any_horizontal(pl.col(*names, "excess").str.len_bytes() > 0)
        if (blank := ~cells.select(content.fill_null(value=False)).to_series()).any():
            cells = cells.filter(~blank)
        if cells.is_empty():
            raise SourceError(f"{self.path} holds no bars: fetch or export it again")
        return cells

    def _cells(self, names: Sequence[str], separator: str, header: int) -> pl.DataFrame:
        """Part by the fast way if every record is as it should be, otherwise one by one."""
        with suppress(pl.exceptions.PolarsError):
            return self._records(names, separator, header)
        # ragged, not UTF-8, or a quotation mark too many
        with suppress(pl.exceptions.PolarsError):
            return replace(self, content=self._replaced())._records(names, separator, header)
        return self._lines(names, separator, header)

    def _replaced(self) -> bytes:
        content = self.content
        return _text(content if isinstance(content, bytes) else content.read_bytes()).encode()

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
        marks = _edges(self.content)
        odd = [name for name in names if _has_edges(cells[name], marks)]
        cells = cells.with_columns(pl.col(odd).str.strip_chars(' "\r'))
        return cells.with_columns(
            pl.col("source_row").cast(pl.Int64), excess=pl.lit(None, pl.String)
        )

    def _lines(self, names: Sequence[str], separator: str, header: int) -> pl.DataFrame:
        """Part each line for itself: whatever one holds, the others stay what they are."""
        content = self._replaced()
        if b'"' in content:
            written = content.decode().split("\n")[header:]
            return _padded(_quoted(written, separator), names, separator, header)
        lines = pl.read_lines(content)
        number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("source_row")
        line = pl.col("line").str.strip_chars(" \r\ufeff")
        parts = pl.col("line").str.splitn(separator, len(names) + 1)
        cells = (
            lines.select(number, line)
            .slice(header)
            .with_columns(parts.struct.rename_fields([*names, "excess"]))
        )
        return cells.unnest("line").with_columns(pl.col(*names).str.strip_chars(' "'))


def separator_of(lines: Sequence[str]) -> str:
    """Return what parts the fields of lines: tab, semicolon, bar or comma.

    It is the one that makes as many fields of each, most of all; where none does, the one that is
    most frequent in the first line. A comma comes last: it may be a decimal one.
    """
    looked = [line for line in lines if line.strip()][:_LOOKED]
    for separator in _SEPARATORS:
        counts = {len(cells) for cells in _quoted(looked, separator).values()}
        if len(counts) == 1 and counts.pop() >= _FIELDS:
            return separator
    return max(_SEPARATORS, key=looked[0].count) if looked else ","


def _quoted(lines: Sequence[str], separator: str) -> dict[int, list[str]]:
    """Part records by RFC 4180, number of the first line (from 0) to cells.

    A quotation mark that is never closed would swallow the rest of a file: beyond a few lines a
    record is taken line by line.
    """
    records, at = {}, 0
    while at < len(lines):
        taken = 1
        while taken <= _LONGEST and at + taken <= len(lines):
            whole = "\n".join(lines[at : at + taken])
            if whole.count('"') % 2 == 0:
                break
            taken += 1
        else:
            taken, whole = 1, lines[at]
        records[at] = cells_of(whole, separator)
        at += taken
    return records


def cells_of(record: str, separator: str) -> list[str]:
    """Part one record into its fields.

    Parameters
    ----------
    record : str
    separator : str
    """
    try:
        return next(csv.reader(io.StringIO(record), delimiter=separator, skipinitialspace=True), [])
    except csv.Error:
        return record.split(separator)


def _padded(
    rows: Mapping[int, list[str]], names: Sequence[str], separator: str, header: int
) -> pl.DataFrame:
    """Return records as a frame, what they have too much in `excess`."""
    width, table = len(names), []
    for at, cells in rows.items():
        excess = separator.join(cells[width:]) if len(cells) > width else None
        padded = [*cells[:width], *[None] * (width - len(cells))]
        table.append((at + header + 1, *padded, excess))
    schema = {"source_row": pl.Int64, **dict.fromkeys([*names, "excess"], pl.String)}
    frame = pl.DataFrame(table, schema=schema, orient="row")
    return frame.with_columns(pl.col(*names).str.strip_chars(' "\r'))


def _edges(content: Path | bytes) -> list[str]:
    """Return what of blanks and quotation marks a text holds at all: few hold any."""
    if isinstance(content, bytes):
        return [mark for mark in _MARKS if content.find(mark.encode()) >= 0]
    with content.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as mapped:
        return [mark for mark in _MARKS if mapped.find(mark.encode()) >= 0]


def _has_edges(cells: pl.Series, marks: Sequence[str]) -> bool:
    """Whether a cell begins or ends with one of the marks."""
    return any(cells.str.starts_with(m).any() or cells.str.ends_with(m).any() for m in marks)


def _text(raw: bytes) -> str:
    """Decode UTF-8, or else what Windows writes in the west; what is neither is U+FFFD."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


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
    text = _text(head[: head.rfind(b"\n") + 1] if len(head) == _HEAD else head)
    start = text.lstrip()[:5].lower()
    if not start:
        raise SourceError(f"{path} is empty: fetch or export it again")
    if b"\0" in head or head.startswith(_ARROW):
        raise SourceError(f"{path} is binary, not CSV: unpack it, or use source=parquet")
    if start in _WEB:
        raise SourceError(f"{path} is a web page, not CSV: the download needs a login or moved")
    return text
