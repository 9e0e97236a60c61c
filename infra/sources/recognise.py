"""What a file is, told by how it begins: the source that reads it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from infra.sources.columns import SourceError, map_columns
from infra.sources.histdata import HistData
from infra.sources.lean import Lean
from infra.sources.metatrader import NUMPY, MetaTrader, is_headed
from infra.sources.parquet import is_columnar
from infra.sources.text import Text, cells_of
from infra.sources.ticks import Dukascopy, TrueFx

_KINDS: Final = {
    "dukascopy": (Dukascopy("UTC"), "it has the header of Dukascopy's ticks"),
    "truefx": (TrueFx(), "its rows are TrueFX's ticks"),
    "lean": (Lean("UTC"), "its rows have the eleven fields of Lean's quotes"),
    "metatrader": (MetaTrader(), "its rows are those that MetaTrader exports"),
    "histdata": (HistData(), "its rows are those of HistData.com"),
}
_GENERIC: Final = re.compile(r"\d{8} \d{6};[\d.;]+;0\s*|\d{8} \d{9},[\d.]+,[\d.]+,0\s*")
_HISTDATA: Final = "DAT_"
"""How HistData's own files begin: their rows may look like MetaTrader's."""


def recognise(path: Path) -> tuple[str, str]:
    """Return the source that reads a file, and why.

    Parameters
    ----------
    path : Path
        An ordinary file, or a text in a zip as of `infra.sources.archive.members`.

    Raises
    ------
    SourceError
        If it is no file of text, Parquet or Arrow.
    """
    if path.is_file() and is_columnar(path):
        return "parquet", "it begins as Parquet or Arrow does"
    if path.is_file() and _begins(path, NUMPY):
        return "metatrader", "it is a NumPy array"
    text = Text.of(path)
    named = any(_HISTDATA in part.upper() for part in (text.name, path.name))
    head = _head(text)
    kinds = ["histdata", *_KINDS] if named else list(_KINDS)
    if _is_headed(text) and not named:
        kinds = ["metatrader"] if is_headed(text) else []
    for kind in kinds:
        source, why = _KINDS[kind]
        try:
            rows: pl.DataFrame = source.rows(head)  # type: ignore[attr-defined]
        except SourceError:
            continue
        if not rows.is_empty() and (named or kind != "histdata" or _is_generic(head)):
            return kind, why
    return "csv", "its header names the columns of bars"


def _is_generic(head: Text) -> bool:
    """Whether rows are HistData's own: those of NinjaTrader look alike, and have a volume."""
    return all(_GENERIC.fullmatch(line) for line in head.head.splitlines()[:-1][:64] if line)


def _is_headed(text: Text) -> bool:
    """Whether the first line names the columns of bars."""
    try:
        map_columns(cells_of(text.first_line, text.separator), text.path)
    except SourceError:
        return False
    return True


def _begins(path: Path, magic: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def _head(text: Text) -> Text:
    """Return the beginning of a text, up to its last whole line."""
    whole, newline, _ = text.head.rpartition("\n")
    return replace(text, content=((whole + newline) or text.head).encode())
