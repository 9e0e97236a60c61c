"""What differs between two results: figures, settings, hashes and signals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import polars as pl

HASHES: Final = ("model", "data_hash", "code")
"""What `about` says that is no setting."""

_MISSING: Final = object()


@dataclass(frozen=True)
class Differs:
    """A value that is another in each of two results.

    Attributes
    ----------
    name : str
        Such as ``money: net``.
    ours, theirs : object
        None where one has nothing of the name.
    difference : float, optional
        Theirs less ours, of numbers; of lists the greatest.
    """

    name: str
    ours: Any
    theirs: Any
    difference: float | None = None


@dataclass(frozen=True)
class Signals:
    """How signals differ, by the time of their bar.

    Attributes
    ----------
    ours, theirs : int
        How many there are.
    added, removed, changed : int
        Only in theirs, only in ours, in both with another value.
    """

    ours: int
    theirs: int
    added: int
    removed: int
    changed: int

    @property
    def equal(self) -> bool:
        """Whether they are the same."""
        return not (self.added or self.removed or self.changed)


@dataclass(frozen=True)
class Difference:
    """What differs between two results.

    Attributes
    ----------
    figures, settings, hashes : list of Differs
    signals : Signals, optional
        None where one of the results has no list of signals.
    """

    figures: list[Differs]
    settings: list[Differs]
    hashes: list[Differs]
    signals: Signals | None

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        told = (self.figures, self.settings, self.hashes)
        return not any(told) and (self.signals is None or self.signals.equal)

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"equal": self.equal, **asdict(self)}


def difference(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    signals: tuple[pl.DataFrame, pl.DataFrame] | None = None,
) -> Difference:
    """Compare two summaries, value by value, and the signals of both.

    Parameters
    ----------
    ours, theirs : dict
        What `summarise` returned, with what else is known.
    signals : (polars.DataFrame, polars.DataFrame), optional
        Ours and theirs.
    """
    parts = {"figures": _figures, "settings": _settings, "hashes": _hashes}
    found = {
        name: list(_differing(dict(_flat(part(ours))), dict(_flat(part(theirs)))))
        for name, part in parts.items()
    }
    return Difference(**found, signals=None if signals is None else _signals(*signals))


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in summary.items() if name not in ("about", "hashes")}


def _settings(summary: Mapping[str, Any]) -> dict[str, Any]:
    about = summary.get("about", {})
    return {name: value for name, value in about.items() if name not in HASHES}


def _hashes(summary: Mapping[str, Any]) -> dict[str, Any]:
    about = summary.get("about", {})
    own = {f"about: {name}": about[name] for name in HASHES if name in about}
    return {**own, **summary.get("hashes", {})}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value by its name; rows of a list go by their own name, numbers stay a list."""
    if isinstance(value, Mapping):
        inner = [(str(key), each) for key, each in value.items()]
    elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
        inner = [(_name_of(each, place), each) for place, each in enumerate(value)]
    else:
        yield name, value
        return
    for key, each in inner:
        yield from _flat(each, f"{name}: {key}" if name else key)


def _name_of(row: Any, place: int) -> str:
    named = row if isinstance(row, Mapping) else {}
    return str(named.get("name", named.get("caution", place)))


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[Differs]:
    for name in dict.fromkeys([*ours, *theirs]):
        one, other = (each.get(name, _MISSING) for each in (ours, theirs))
        if one != other:
            told, asked = (None if each is _MISSING else each for each in (one, other))
            yield Differs(name, told, asked, _distance(one, other))


def _distance(one: Any, other: Any) -> float | None:
    if _is_number(one) and _is_number(other):
        return float(other - one)
    if _are_numbers(one) and _are_numbers(other) and len(one) == len(other):
        return max((float(b - a) for a, b in zip(one, other, strict=True)), key=abs, default=None)
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, Sequence) and all(map(_is_number, value))


def _signals(ours: pl.DataFrame, theirs: pl.DataFrame) -> Signals:
    key = "timestamp"
    both = ours.join(theirs, on=key, how="inner", suffix=" of theirs")
    same = [name for name in ours.columns if name != key and name in theirs.columns]
    moved = [pl.col(name).ne_missing(pl.col(f"{name} of theirs")) for name in same]
    changed = both.height
    if set(ours.columns) == set(theirs.columns):
        changed = both.filter(pl.any_horizontal(moved)).height if moved else 0
    return Signals(
        ours.height,
        theirs.height,
        added=theirs.join(ours, on=key, how="anti").height,
        removed=ours.join(theirs, on=key, how="anti").height,
        changed=changed,
    )
