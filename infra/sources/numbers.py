"""Numbers as files write them: which mark is the decimal one is proved from all of them.

`1,234.5` and `1.234,5` prove it, so do `1,2` and `1,234,567`; `1,234` alone does not. Then the
level may: a price that the instrument can have with one mark and not with the other.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import polars as pl

from infra.sources.columns import SourceError
from infra.sources.time_forms import is_blank

MARKS: Final = (".", ",")
_SPACES: Final = r"[\s\u00a0\u202f'\u2019]"
"""Blanks of all kinds and apostrophes part thousands, never decimals."""
_STRAYS: Final = 0.2
"""Share of cells that may speak for the other mark: they are damaged, and set aside."""
_SUFFIXES: Final = {"K": 1e3, "M": 1e6, "B": 1e9}
_HAS_SUFFIX: Final = r"(?i)[KMB]$"
_EXAMPLES: Final = 40
_GROUP: Final = r"^\s*\d{1,3}[.,]\d{3}\s*$"
LEVEL: Final = "the level of the prices proves it"
_BOTH: Final = r"^\d{1,3}(?:,\d{3}\.\d+|\.\d{3},\d+)$"


class Numbers(NamedTuple):
    """Columns as numbers.

    Attributes
    ----------
    frame : polars.DataFrame
        Float64, null where a cell is none.
    decimal : str
        The decimal mark.
    why : str
        What proves it; empty where no number could be read otherwise.
    """

    frame: pl.DataFrame
    decimal: str
    why: str


def read_numbers(
    cells: pl.DataFrame,
    *,
    beside: pl.Series | None = None,
    declared: str | None = None,
    bounds: tuple[float, float] = (0.0, math.inf),
) -> Numbers:
    """Read columns that share one way of writing.

    Parameters
    ----------
    cells : polars.DataFrame
        Prices as text or numbers.
    beside : polars.Series, optional
        Volumes: one with both marks proves what the prices do not.
    declared : str, optional
        The decimal mark, `.` or `,`.
    bounds : (float, float)
        Between which prices lie.

    Raises
    ------
    SourceError
        If the decimal mark cannot be told, or is not the one declared.
    """
    # 1.2 as a float32 is the shortest number that means it, not 1.2000000476837158
    kinds = cells.schema.items()
    short = [name for name, kind in kinds if kind.is_float() and kind != pl.Float64]
    cells = cells.with_columns(pl.col(short).cast(pl.String))
    plain = _floats(cells)
    texts = [name for name, kind in cells.schema.items() if kind == pl.String]
    odd = pl.Series("cell", [], pl.String)
    for name in texts:
        odd = odd.append(cells[name].filter(plain[name].is_null()))
    odd = odd.filter(~is_blank(odd))
    if declared != "," and (odd.is_empty() or not odd.str.contains(rf"\d(,|{_SPACES})\d").any()):
        if declared is None and texts and bounds[1] > 1000 * bounds[0] > 0:
            _refuse_dotted(cells[texts[0]], bounds)
        return Numbers(plain, ".", "declared" if declared else "")
    written = pl.concat([cells[name].alias("cell") for name in texts]) if texts else odd
    if beside is not None and beside.dtype == pl.String:
        written = written.append(beside.filter(beside.str.contains(_BOTH)).alias("cell"))
    mark, why = (declared, "declared") if declared else _proved(written, bounds)
    frame = cells.with_columns(pl.col(name).pipe(_as_numbers, mark) for name in texts)
    frame = _floats(frame)
    if declared:
        _must_apply(frame, cells, mark)
    return Numbers(frame, mark, why)


def _floats(cells: pl.DataFrame) -> pl.DataFrame:
    numbers = cells.cast(pl.Float64, strict=False)
    return numbers.select(pl.all().fill_nan(None))  # apart: within one expression it casts twice


def _refuse_dotted(cells: pl.Series, bounds: tuple[float, float]) -> None:
    """Refuse `97.345` of an instrument that may cost 97 as well as 97 thousand."""
    written = cells.filter(~is_blank(cells))
    median = written.cast(pl.Float64, strict=False).median()
    dotted = len(written) > 0 and written.str.contains(r"^\s*\d{1,3}\.\d{3}\s*$").all()
    if dotted and isinstance(median, float) and median * 1000 <= bounds[1]:
        raise SourceError(
            f"prices such as {written[0]!r} have a dot before three digits, which may part "
            "thousands or decimals of such an instrument: say decimal='.' or decimal=','"
        )


def read_volume(cells: pl.Series, decimal: str, *, sure: bool = True) -> pl.Series:
    """Read volumes, with `K`, `M`, `B` where a file shortens them; null where one is unreadable.

    Parameters
    ----------
    cells : polars.Series
    decimal : str
        Mark of the prices beside.
    sure : bool
        Whether they prove it by how they are written; otherwise `1,234` is no volume.
    """
    plain = cells.cast(pl.Float64, strict=False).fill_nan(None)
    if cells.dtype != pl.String:
        return plain
    if not sure:
        cells = cells.set(cells.str.contains(_GROUP).fill_null(value=False), "?")
        plain = cells.cast(pl.Float64, strict=False).fill_nan(None)
    if decimal == MARKS[1]:
        plain = plain.set(cells.str.contains(".", literal=True).fill_null(value=False), None)
    if plain.null_count() == cells.null_count():
        return plain
    rest = (plain.is_null() & ~is_blank(cells)).arg_true()
    words = cells.gather(rest).str.strip_chars().alias("cell").to_frame()
    bare = pl.col("cell").str.replace(_HAS_SUFFIX, "").pipe(_as_numbers, decimal)
    bare = bare.cast(pl.Float64, strict=False)
    factor = pl.col("cell").str.slice(-1).str.to_uppercase().replace_strict(_SUFFIXES, default=1.0)
    return plain.scatter(rest, words.select(bare * factor).to_series())


def _as_numbers(cell: pl.Expr, mark: str) -> pl.Expr:
    """Text with thousands parted and the given decimal mark as plain text of a number, or null."""
    other = MARKS[1 - MARKS.index(mark)]
    m, o = rf"\{mark}", rf"\{other}"
    text = cell.str.strip_chars(' \t\r"').str.strip_chars("\u00a0")
    grouped = rf"^[+-]?\d{{1,3}}(?:(?:{o}\d{{3}})+|(?:{_SPACES}\d{{3}})+)?(?:{m}\d*)?$"
    free = rf"^[+-]?\d*(?:{m}\d*)?(?:[eE][+-]?\d+)?$"
    right = text.str.contains(grouped) | text.str.contains(free)
    bare = text.str.replace_all(rf"{o}|{_SPACES}", "").str.replace(m, ".")
    return pl.when(right).then(bare)


def _proved(cells: pl.Series, bounds: tuple[float, float]) -> tuple[str, str]:
    """Return the decimal mark that the cells prove, and how."""
    cells = cells.filter(~is_blank(cells)).str.strip_chars(' \t\r"')
    votes = {mark: int(cells.str.contains(_proof(mark)).sum()) for mark in MARKS}
    mark = max(votes, key=lambda mark: votes[mark])
    against = min(votes.values())
    if votes[mark] and against <= _STRAYS * votes[mark]:
        return mark, "the prices prove it"
    if votes[mark]:
        both = " and ".join(repr(cells.filter(cells.str.contains(_proof(m)))[0]) for m in MARKS)
        raise SourceError(
            f"prices such as {both} have different decimal marks: say decimal='.' or "
            "decimal=',' to set the others aside, or export the file again"
        )
    return _by_level(cells, bounds)


def _proof(mark: str) -> str:
    """Return what only a number with this decimal mark looks like."""
    other = MARKS[1 - MARKS.index(mark)]
    m, o = rf"\{mark}", rf"\{other}"
    shapes = (
        rf"\d{{1,3}}(?:{o}\d{{3}})+{m}\d*",  # both
        rf"\d*{m}(?:\d{{1,2}}|\d{{4,}})",  # a group of thousands has three digits
        rf"\d{{4,}}{m}\d*|0{m}\d*",  # and is not the fourth digit, nor behind a zero
        rf"\d{{1,3}}(?:{o}\d{{3}}){{2,}}",  # twice: never a decimal mark
        rf"\d{{1,3}}(?:{_SPACES}\d{{3}})+{m}\d*",
    )
    return rf"^[+-]?(?:{'|'.join(shapes)})$"


def _by_level(cells: pl.Series, bounds: tuple[float, float]) -> tuple[str, str]:
    """Return the mark that makes possible prices, if no number scaled otherwise makes some."""
    digits = (
        cells.alias("cell")
        .to_frame()
        .select(pl.col("cell").pipe(_as_numbers, MARKS[0]).cast(pl.Float64, strict=False))
    )
    median = digits.to_series().median()
    if isinstance(median, float) and bounds != (0.0, math.inf):
        powers = [p for p in range(7) if bounds[0] <= median / 10.0**p <= bounds[1]]
        if powers in ([0], [3]):
            return MARKS[powers[0] // 3], LEVEL
    shown = next((cell for cell in cells if "," in cell), cells[0] if len(cells) else "")
    raise SourceError(
        f"prices such as {shown[:_EXAMPLES]!r} have a mark before three digits, which may part "
        "thousands or decimals: say decimal=',' or decimal='.'"
    )


def _must_apply(frame: pl.DataFrame, cells: pl.DataFrame, mark: str) -> None:
    """Refuse a declared mark that reads clearly less than the other one would."""
    texts = [name for name, kind in cells.schema.items() if kind == pl.String]
    written = sum(int((~is_blank(cells[name])).sum()) for name in texts)
    read = sum(frame[name].count() for name in texts)
    if read == written:
        return
    other = MARKS[1 - MARKS.index(mark)]
    numbers = cells.select(pl.col(name).pipe(_as_numbers, other) for name in texts)
    if read < (1 - _STRAYS) * _count(numbers.cast(pl.Float64, strict=False)) or not read:
        lost = (cells[name].filter(frame[name].is_null()) for name in texts)
        shown = next((c for part in lost for c in part.drop_nulls()[:1]), "")
        raise SourceError(
            f"decimal={mark} cannot apply: prices such as {shown[:_EXAMPLES]!r} do not have it"
        )


def _count(frame: pl.DataFrame) -> int:
    return int(frame.count().sum_horizontal().item()) if frame.width else 0
