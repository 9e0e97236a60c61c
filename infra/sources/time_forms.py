"""Forms of written times: what strptime may read a cell by, in each order of day and month."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import polars as pl

_DATE: Final = (
    r"(?P<digits>\d{8})|(?P<a>\d{1,4})(?P<s1>[-./ ])(?P<b>\d{1,2})(?P<s2>[-./ ])(?P<c>\d{1,4})"
    r"|(?P<d>\d{1,2})(?P<s3>[-./ ])(?P<m>[A-Za-z]{3,9})(?P<s4>[-./ ]|, ?)(?P<y>\d{2,4})"
    r"|(?P<m2>[A-Za-z]{3,9})(?P<s5> )(?P<d2>\d{1,2})(?P<s6>,? )(?P<y2>\d{4})"
    r"|(?P<y3>\d{4})(?P<s7>[-./ ])(?P<m3>[A-Za-z]{3})(?P<s8>[-./ ])(?P<d3>\d{1,2})"
)
_TIME: Final = r"\d{1,2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?|\d{6}(?:\.?\d{3})?|\d{4}|\d{2}"
NAMED: Final = {"EST": -5, "EDT": -4, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3}
"""Zones whose letters mean one thing; CST, IST and BST mean several."""
_OFFSET: Final = r"(?:UTC|GMT)?\s?[+-]\d{2}(?::?\d{2})?"
_ZONE: Final = rf"\s*(?:{'|'.join(NAMED)}|Z|z|{_OFFSET}|UTC|GMT)"
_CELL: Final = re.compile(
    rf"(?P<weekday>[A-Za-z]{{3}},?\s)?(?:{_DATE})"
    rf"(?:(?P<between>T|[ ,_]+| - )(?P<time>{_TIME})(?P<half>\s*[AaPp][Mm])?(?P<zone>{_ZONE})?)?"
    rf"(?P<bare>{_ZONE})?"
)
_WIDTHS: Final = {"%Y": r"\d{4}", "%3f": r"\d{3}", "%#z": r"[+-]\d\d:?(\d\d)?"}
_RUN: Final = re.compile(r"(%\.f|%#z|(?:%3f|%[A-Za-z])+)")
_BARE: Final = {2: "%H", 4: "%H%M", 6: "%H%M%S", 9: "%H%M%S%3f"}
_BLANKS: Final = ("", "nan", "NaN", "NaT", "null", "NULL", "None", "-", "N/A", "#N/A")


class Form(NamedTuple):
    """A form of strptime, whether a time in it names its zone, and that zone's hours if by name."""

    form: str
    zoned: bool
    ahead: int = 0


def is_blank(cells: pl.Series) -> pl.Series:
    """Return whether a cell of text holds nothing: Boolean."""
    return cells.is_null() | cells.str.strip_chars().is_in(_BLANKS)


def forms_of(cell: str, of_day: str | None = None) -> dict[str, Form]:
    """Return the forms that a cell may have, by the order of its date.

    Parameters
    ----------
    cell : str
    of_day : str, optional
        Form of the time behind the date, where it is known.

    Returns
    -------
    dict of str to Form
        Keys are `day-first`, `month-first`, `year-first`, and the empty one for dates that can be
        read in one order only; nothing where the cell is no time.
    """
    found = _CELL.fullmatch(cell)
    if found is None:
        return {}
    parts = found.groupdict()
    day = "" if parts["weekday"] is None else "%a" + parts["weekday"][3:]
    rest, zoned = _rest(parts, of_day)
    ahead = NAMED.get((parts["zone"] or parts["bare"] or "").strip(), 0)
    return {order: Form(day + date + rest, zoned, ahead) for order, date in _dates(parts).items()}


def strict_pattern(form: str) -> str | None:
    """Return what text must look like for a form with bare digits, which strptime reads in parts.

    None where no two numbers touch.
    """
    pieces = _RUN.split(form)
    if not any(piece.count("%") > 1 for piece in pieces):
        return None
    return f"^{''.join(map(_piece, pieces))}$"


def _piece(piece: str) -> str:
    """Return the pattern of numbers that touch, of one alone, or of what is between."""
    if piece.count("%") > 1:
        parts = re.findall("%3f|%[A-Za-z]", piece)
        return "".join(_WIDTHS.get(part, r"\d{2}") for part in parts)
    if piece == "%.f":
        return r"(\.\d+)?"
    if piece.startswith("%"):
        return _WIDTHS[piece] if piece == "%#z" else ".+?"
    return re.escape(piece)


def _dates(parts: dict[str, str | None]) -> dict[str, str]:
    if parts["digits"] is not None:
        return {"": "%Y%m%d"}
    if parts["a"] is not None:
        return _of_numbers(parts)
    if parts["d"] is not None:
        year = "%Y" if len(parts["y"] or "") == 4 else "%y"
        return {"": f"%d{parts['s3']}{_month(parts['m'])}{parts['s4']}{year}"}
    if parts["m2"] is not None:
        return {"": f"{_month(parts['m2'])}{parts['s5']}%d{parts['s6']}%Y"}
    return {"": f"%Y{parts['s7']}{_month(parts['m3'])}{parts['s8']}%d"}


def _of_numbers(parts: dict[str, str | None]) -> dict[str, str]:
    first, last, s1, s2 = parts["a"] or "", parts["c"] or "", parts["s1"], parts["s2"]
    if len(first) == 4:
        return {"": f"%Y{s1}%m{s2}%d"}
    if len(last) == 4:
        return {"day-first": f"%d{s1}%m{s2}%Y", "month-first": f"%m{s1}%d{s2}%Y"}
    if len(first) > 2 or len(last) > 2:
        return {}
    ways = {"day-first": f"%d{s1}%m{s2}%y", "month-first": f"%m{s1}%d{s2}%y"}
    return {**ways, "year-first": f"%y{s1}%m{s2}%d"} if len(first) == 2 else ways


def _month(name: str | None) -> str:
    return "%b" if len(name or "") == 3 else "%B"


def _rest(parts: dict[str, str | None], of_day: str | None) -> tuple[str, bool]:
    """Return the form of what stands behind the date, and whether it names a zone."""
    between, time, zone = parts["between"] or "", parts["time"], parts["zone"] or parts["bare"]
    if time is None:
        form = ""
    elif of_day is not None:
        form = between + of_day
    elif ":" in time:
        form = between + _clock(time, parts["half"])
    else:
        form = between + _BARE.get(len(time), "%H%M%S.%3f")
    return form + _zone(zone), zone is not None


def _clock(time: str, half: str | None) -> str:
    form = "%H:%M" if half is None else "%I:%M"
    if time.count(":") == 2:
        comma = f",%{len(time.partition(',')[2])}f" if "," in time else ""
        form += "%S".join((":", "%.f" if "." in time else comma))
    return form if half is None else form + half[:-2] + "%p"


def _zone(zone: str | None) -> str:
    if zone is None or ("+" not in zone and "-" not in zone):
        return zone or ""
    sign = max(zone.find("+"), zone.find("-"))
    return zone[:sign] + "%#z"
