"""The user's own instruments: `instruments.toml` in the home, each entry checked."""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from infra.market.instrument import (
    FIGURES,
    NAME,
    CalendarName,
    Instrument,
    InstrumentsError,
    UnknownInstrument,
    estimated,
)
from infra.market.spelling import key

FILE: Final = "instruments.toml"
_PRICED: Final = ("pip", "spread_pips", "low", "high")
"""What is in prices, so not alike in another currency."""

_Word = Annotated[str, Field(pattern=r"^[A-Z0-9]+$", max_length=16)]
_Line = Annotated[str, Field(min_length=1, max_length=200)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[_Finite, Field(gt=0)]
_Cost = Annotated[_Finite, Field(ge=0)]


class Entry(BaseModel):
    """What an entry may say; what it leaves out is that of `like`, or of the table's own row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    like: _Line | None = None
    kind: Annotated[str, Field(pattern=r"^[a-z]+$", max_length=16)] | None = None
    base: _Word | None = None
    quote: _Word | None = None
    pip: _Positive | None = None
    precision: Annotated[int, Field(ge=0, le=12)] | None = None
    minimum_size: _Positive | None = None
    spread_pips: _Cost | None = None
    slippage_pips: _Cost | None = None
    long_rate: _Finite | None = None
    short_rate: _Finite | None = None
    margin: Annotated[_Finite, Field(gt=0, le=1)] | None = None
    calendar: CalendarName | None = None
    low: _Cost | None = None
    high: Annotated[float, Field(gt=0)] | None = None
    source: _Line | None = None
    date: datetime.date | None = None
    aliases: list[_Line] | None = None

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValueError("low must lie below high")
        return self

    def figures(self) -> dict[str, Any]:
        """Return what it says, as fields of an instrument."""
        said = self.model_dump(exclude_none=True, exclude={"like", "date"})
        said |= {"aliases": tuple(self.aliases)} if self.aliases is not None else {}
        return said | ({"date": self.date.isoformat()} if self.date is not None else {})


def own(
    home: Path, others: dict[str, Instrument], find: Callable[[str], Instrument]
) -> dict[str, Instrument]:
    """Return the user's own instruments by name; none where there is no file.

    Parameters
    ----------
    home : Path
    others : dict of str to Instrument
        Those known without the file; an entry of one of their names changes it.
    find : callable
        Finds one of them by any spelling, for `like`.

    Raises
    ------
    InstrumentsError
        If the file is not what it should be; the message names file, entry and field.
    """
    path = home / FILE
    names = {key(name): name for name in others}
    made = {}
    for name, said in _read(path).items():
        entry = _entry(path, name, names.get(key(name), name), said)
        try:
            start = find(entry.like) if entry.like else others.get(name) or estimated(name)
        except UnknownInstrument as error:
            raise InstrumentsError(f"{path}, [{name}], like: {error}") from error
        made[name] = _made(path, name, entry, start)
        if entry.like:
            _comparable(f"{path}, [{name}]", entry, start, made[name].quote)
    return made


def _comparable(where: str, entry: Entry, start: Instrument, quote: str) -> None:
    """Refuse figures in the prices of another currency, or of what no market trades."""
    if start.kind == "synthetic":
        raise InstrumentsError(f"{where}, like: {start.name} is made up and costs nothing")
    missing = [name for name in _PRICED if getattr(entry, name) is None]
    if quote != start.quote and missing:
        raise InstrumentsError(
            f"{where}, like: {start.name} is priced in {start.quote}, not {quote}: "
            f"write {', '.join(missing)}, too"
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InstrumentsError(f"{path} is no TOML: {error}") from error


def _entry(path: Path, name: str, usual: str, said: Any) -> Entry:
    if not NAME.fullmatch(name) or name != usual:
        right = usual if name != usual else "BTC_EUR"
        raise InstrumentsError(f"{path}, [{name}]: write the name as [{right}]")
    try:
        return Entry.model_validate(said)
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'entry'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise InstrumentsError(f"{path}, [{name}], {faults}") from error


def _made(path: Path, name: str, entry: Entry, start: Instrument) -> Instrument:
    written = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)
    base, _, quote = name.partition("_")
    said, usual = entry.figures(), {"source": f"{FILE}, else {start.source}"}
    usual |= {"date": written.date().isoformat()}
    parts: dict[str, Any] = {"base": base, "quote": quote or start.quote, "aliases": ()}
    guessed = FIGURES
    if start.name == name:
        parts, guessed = {}, start.estimate
    estimate = tuple(figure for figure in guessed if figure not in said)
    made = replace(start, **{**parts, **usual, **said, "name": name, "estimate": estimate})
    if made.low >= made.high:
        raise InstrumentsError(f"{path}, [{name}], low: it must lie below high ({made.high:g})")
    return made
