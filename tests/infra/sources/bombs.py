"""Files that are small and become large, or hold what no file of bars has."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl

LARGE = 100_000_000
FIELD = 10_000_000
WIDE = "," * 1_000_000
HEAD = "timestamp,open,high,low,close,volume\n"
ROW = "2024-06-03T{:02d}:00:00Z,1.1,1.2,1.0,1.1,5\n"
BARS = HEAD + "".join(ROW.format(hour) for hour in range(24))


def zipped(members: dict[str, bytes]) -> bytes:
    """A zip of some files, by whatever names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def nested(depth: int) -> bytes:
    """A zip in a zip in a zip of zeros."""
    content = zipped({"bars.csv": bytes(LARGE)})
    for _ in range(depth):
        content = zipped({"bars.zip": content, "bars.csv": content})
    return content


def liar() -> bytes:
    """A zip that says of its 100 MB of lines that they are 1,000 bytes."""
    content = zipped({"bars.csv": (HEAD + "2024\n" * (LARGE // 5)).encode()})
    size, said = struct.pack("<I", len(HEAD) + LARGE // 5 * 5), struct.pack("<I", 1_000)
    return content.replace(size, said)


def locked() -> bytes:
    """A zip that asks for a password."""
    content = bytearray(zipped({"bars.csv": BARS.encode()}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def concatenated() -> bytes:
    """Ten thousand gzips one behind the other, each with 10 kB of lines."""
    return gzip.compress(b"2024-06-03T00:00:00Z,1,1,1,1\n" * 350) * 10_000


def parquet(rows: int) -> bytes:
    """A Parquet file of a few kB, which holds gigabytes of one and the same bar."""
    buffer, price = io.BytesIO(), pl.repeat(1.1, rows, dtype=pl.Float64(), eager=True)
    times = pl.repeat(1_717_372_800, rows, dtype=pl.Int64(), eager=True)
    names = ("open", "high", "low", "close")
    table = pl.DataFrame([times.alias("timestamp"), *(price.alias(name) for name in names)])
    table.write_parquet(buffer, compression="zstd", row_group_size=1_000_000)
    return buffer.getvalue()


def zeros(compress: Callable[[bytes], bytes]) -> bytes:
    return compress(bytes(LARGE))


def spaces() -> bytes:
    return gzip.compress((HEAD + " \n" * (LARGE // 2)).encode())


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "zeros in gzip": ("bars.csv.gz", lambda: zeros(gzip.compress)),
    "zeros in bzip2": ("bars.csv.bz2", lambda: zeros(bz2.compress)),
    "zeros in xz": ("bars.csv.xz", lambda: zeros(lzma.compress)),
    "zeros in a zip": ("bars.zip", lambda: zipped({"bars.csv": bytes(LARGE)})),
    "gzip in gzip": ("bars.csv.gz", lambda: gzip.compress(zeros(gzip.compress))),
    "blank lines in gzip": ("bars.csv.gz", spaces),
    "bars in gzip": ("bars.csv.gz", lambda: gzip.compress((BARS * 100_000).encode())),
    "many gzips": ("bars.csv.gz", concatenated),
    "zip in zip": ("bars.zip", lambda: nested(3)),
    "zip that lies": ("bars.zip", liar),
    "locked zip": ("bars.zip", locked),
    "many members": ("bars.zip", lambda: zipped({f"{n}.csv": b"" for n in range(30_000)})),
    "no member": ("bars.zip", lambda: zipped({})),
    "path upwards": ("bars.zip", lambda: zipped({"../../../escaped.csv": BARS.encode()})),
    "path from the root": ("bars.zip", lambda: zipped({"/tmp/escaped.csv": BARS.encode()})),
    "field of 10 MB": ("bars.csv", lambda: (BARS + "x" * FIELD).encode()),
    "quoted field of 10 MB": (
        "bars.csv",
        lambda: (BARS + '"' + "x," * (FIELD // 2) + '"').encode(),
    ),
    "price of 10 MB": ("bars.csv", lambda: (BARS + "2024," + "1" * FIELD + ",1,1,1").encode()),
    "header of 10 MB": ("bars.csv", lambda: b"x" * FIELD + BARS.encode()),
    "quote that never ends": ("bars.csv", lambda: b'"' + (BARS * 10_000).encode()),
    "quote that never ends behind": (
        "bars.csv",
        lambda: (BARS + '2024-06-04T00:00:00Z,"1.1,').encode() + (ROW * 300_000).encode(),
    ),
    "a million columns": (
        "bars.csv",
        lambda: (BARS.replace("\n", "," * 1_000_000 + "\n", 1)).encode(),
    ),
    "a million separators": ("bars.csv", lambda: (BARS + "," * FIELD).encode()),
    "NULs of 10 MB": ("bars.csv", lambda: BARS.encode() + bytes(FIELD)),
    "bars in Parquet": ("bars.parquet", lambda: parquet(30_000_000)),
}
"""Name of the file and what makes its content."""


def laid(folder: Path) -> dict[str, Path]:
    """Write all of them, each into a folder of its own."""
    paths = {}
    for name, (file, content) in BOMBS.items():
        paths[name] = folder / name / file
        paths[name].parent.mkdir()
        paths[name].write_bytes(content())
    return paths
