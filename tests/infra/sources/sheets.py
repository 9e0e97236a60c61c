"""Cells as bytes in files: quotes, line ends, encodings, compressions, by the standard library."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import zipfile
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from random import Random

ENCODINGS = {"utf-8": 60, "utf-8-sig": 20, "utf-16": 10, "cp1252": 10}
PACKINGS = ("", "", "", "", "", ".gz", ".zip", ".bz2", ".xz", ".zst")


@dataclass(frozen=True)
class Sheet:
    """How a grid of cells becomes bytes.

    Attributes
    ----------
    separator, ending, encoding : str
    quoting : int
        Of `csv`.
    headless : bool
    blank : int
        Lines without anything.
    hollow : int
        Lines of separators alone.
    """

    separator: str = ","
    ending: str = "\n"
    encoding: str = "utf-8"
    quoting: int = csv.QUOTE_MINIMAL
    headless: bool = False
    blank: int = 0
    hollow: int = 0

    @classmethod
    def random(cls, rng: Random, separator: str, *, headless: bool = False) -> Sheet:
        """Draw one.

        Parameters
        ----------
        rng : random.Random
        separator : str
        headless : bool
        """
        return cls(
            separator,
            rng.choice(["\n", "\n", "\r\n"]),
            rng.choices(list(ENCODINGS), list(ENCODINGS.values()))[0],
            rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
            headless,
            blank=rng.choice([0, 0, 0, 0, 1, 3]),
            hollow=rng.choice([0] * 12 + [2]),
        )

    def encoded(self, grid: list[list[str]], footers: list[str]) -> bytes:
        """Write a grid, its first row the header.

        Parameters
        ----------
        grid : list of list of str
        footers : list of str
            Lines behind it.
        """
        buffer = io.StringIO(newline="")
        writer = csv.writer(
            buffer,
            delimiter=self.separator,
            lineterminator=self.ending,
            quoting=self.quoting,  # type: ignore[arg-type]
        )
        rows = grid[self.headless :]
        cut = len(rows) // 2 + 1
        writer.writerows(rows[:cut])
        buffer.write(self.ending * self.blank)
        writer.writerows(rows[cut:])
        hollow = self.separator * (len(grid[0]) - 1)
        for line in [*[hollow] * self.hollow, *[""] * self.blank, *footers]:
            buffer.write(line + self.ending)
        return buffer.getvalue().encode(self.encoding)


def packing(rng: Random) -> str:
    """Draw how a file is packed; `.zst` only where its package is."""
    ending = rng.choice(PACKINGS)
    return ".gz" if ending == ".zst" and find_spec("zstandard") is None else ending


def packed(content: bytes, ending: str, name: str = "bars.csv") -> bytes:
    """Pack a file; `name` is that of a zip's member."""
    if ending == ".zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        return buffer.getvalue()
    if ending == ".zst":
        return bytes(import_module("zstandard").compress(content))
    if ending == ".gz":
        return gzip.compress(content)
    if ending == ".bz2":
        return bz2.compress(content)
    return lzma.compress(content) if ending == ".xz" else content


def unpacked(content: bytes, ending: str) -> bytes:
    """Undo `packed`."""
    if ending == ".zip":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.read(archive.infolist()[0])
    if ending == ".zst":
        return bytes(import_module("zstandard").decompress(content))
    if ending in (".gz", ".bz2", ".xz"):
        opened = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}
        return bytes(opened[ending](content))
    return content


def laid_out(
    rng: Random, sheet: Sheet, grid: list[list[str]], footers: list[str], *, whole: bool
) -> tuple[dict[str, bytes], str]:
    """Put a grid into one file, or several of a folder; the files, and the path to read."""
    ending = packing(rng)
    if whole or len(grid) < 8 or rng.random() < 0.9:
        name = rng.choice(["bars.csv", "bars.csv", "bars.txt", "some bars [1].csv", "BARS.CSV"])
        content = packed(sheet.encoded(grid, footers), ending)
        return {name + ending: content}, name + ending
    header, *rows = grid
    cut = rng.randint(1, len(rows) - 1)
    parts = {
        f"parts/part_{n}.csv{ending}": packed(sheet.encoded([header, *part], footers), ending)
        for n, part in enumerate((rows[:cut], rows[cut:]))
    }
    return parts, rng.choice(["parts", f"parts/*.csv{ending}", "parts/part_?.csv*"])
