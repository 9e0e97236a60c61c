"""Bars in any dialect come back as they were, or the file is refused with the option to set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from infra.bars import PRICES, QUOTES
from tests.infra.sources.dialects import Dialect
from tests.infra.sources.drawn import MINUTES, Bar
from tests.infra.sources.reading import CRASHES, OPTIONS, Outcome, counted, read

SEEDS, FALSE_SEEDS = 250, 125
"""Here; `make chaos` goes on without end."""
REFUSED = 0.02
"""Share of dialects that may be refused although all is declared."""


def check(seed: int) -> Counter[str]:
    """Read the dialect of a seed with all that a user can declare, and with a part of it.

    Returns
    -------
    Counter
        `files`, and how many were `refused` with all declared.

    Raises
    ------
    AssertionError
        If other bars come back, or a refusal names no option.
    """
    dialect = Dialect.random(Random(seed))
    with TemporaryDirectory() as folder:
        path = dialect.write(Path(folder))
        counts = {"files": 1, "refused": _check(seed, dialect, path, dialect.full)}
        if dialect.some != dialect.full:
            counts["refused in part"] = _check(seed, dialect, path, dialect.some)
    return Counter(counts)


def _check(seed: int, dialect: Dialect, path: Path, options: dict[str, Any]) -> bool:
    """Whether the file is refused; the bars of one that is not are those that were drawn."""
    about = f"\nseed {seed} with {options} of {dialect}\n   "
    outcome = _read(about, dialect.request(path, options))
    if outcome.refusal is not None:
        assert outcome.named, f"{about} no option in {outcome.refusal!r}"
        return True
    wrong = next(differences(dialect, outcome, lossy=options != dialect.full), None)
    assert wrong is None, f"{about} {wrong}"
    return False


def _read(about: str, request: dict[str, Any]) -> Outcome:
    """Ingest; whatever is raised is a failed assertion about the seed."""
    try:
        return read(**request)
    except CRASHES as error:
        raise AssertionError(f"{about} {type(error).__name__}: {error}") from error


def check_false(seed: int) -> Counter[str]:
    """Read the dialect of a seed with one thing declared that its whole file contradicts.

    Returns
    -------
    Counter
        `files`, and how often each option was `false`.

    Raises
    ------
    AssertionError
        If bars come that are not those that were drawn, or a refusal names no option.
    """
    rng = Random(seed)
    dialect = Dialect.random(rng)
    name, options = rng.choice(falsehoods(rng, dialect))
    about = f"\nseed {seed} with {options} of {dialect}\n   "
    with TemporaryDirectory() as folder:
        path = dialect.write(Path(folder))
        outcome = _read(about, {**dialect.request(path, dialect.full), **options})
    if outcome.refusal is not None:
        assert outcome.named, f"{about} no option in {outcome.refusal!r}"
    elif name in ("decimal", "time_format"):  # which may have nothing to say of such a file
        wrong = next(differences(dialect, outcome, lossy=True), None)
        assert wrong is None, f"{about} {wrong}"
    else:
        raise AssertionError(f"{about} {outcome.known.height} bars of a false {name}")
    return Counter(["files", f"false {name}"])


def falsehoods(rng: Random, dialect: Dialect) -> list[tuple[str, dict[str, Any]]]:
    """What can be declared of a file that is not so, and that the file tells is not."""
    drawn, full = dialect.drawn, dialect.full
    other = "EUR_USD" if drawn.pair == "XAU_USD" else "XAU_USD"
    known = [("pair", {"pair": other})] if drawn.pair != "USD_JPY" else []
    if len(drawn.bars) >= 10:
        lengths = [name for name in MINUTES if name != drawn.timeframe]
        known.append(("timeframe", {"timeframe": rng.choice(lengths)}))
    if dialect.source not in ("csv", "parquet"):
        fixed = dialect.source in ("histdata", "dukascopy", "truefx")
        return known or [("timeframe", {"timeframe": "H1"}) if fixed else ("scale", {"scale": 1e6})]
    known.append(("scale", {"scale": full.get("scale", 1.0) * 1e6}))
    if "scale" not in full and dialect.source == "csv":
        known.append(("decimal", {"decimal": "." if full.get("decimal") == "," else ","}))
    if any(14 <= bar.time.day <= 27 for bar in drawn.bars) and full.get("stamp") != "close":
        false = "day-first" if _says_month_first(full) else "month-first"
        known.append(("time_format", {"time_format": false}))
    return known


def _says_month_first(full: dict[str, Any]) -> bool:
    form = str(full.get("time_format", ""))
    return form.startswith(("month-first", "%m", "%b"))


def differences(dialect: Dialect, outcome: Outcome, *, lossy: bool) -> Iterator[str]:
    """Say what of the bars is not as it was drawn; volumes may be unknown where `lossy`."""
    bars, drawn = outcome.known, dialect.drawn.bars
    times = [bar.time for bar in drawn]
    if outcome.times != times:
        strange = sorted(set(outcome.times) - set(times))[:2]
        yield f"{bars.height} of {len(times)} bars, {strange} are none, aside {outcome.reasons}"
        return
    tolerance = 0.0 if dialect.exact and not dialect.lossy else 1e-12
    for name, expected in _columns(drawn, dialect.drawn.digits).items():
        found = bars[name].to_list() if name in bars.columns else [None] * len(times)
        allowed = (None,) if name == "volume" and (lossy or dialect.lossy) else ()
        for at, one, other in zip(times, found, expected, strict=True):
            if not (one in allowed or _same(one, other, tolerance)):
                yield f"{name} of {at} is {one}, not {other}"
                break
    if (aside := sum(outcome.reasons.values())) > dialect.junk:
        yield f"{aside} rows are set aside, of {dialect.junk} that may be: {outcome.reasons}"


def _columns(drawn: list[Bar], digits: int) -> dict[str, list[float | None]]:
    """What must come back; prices are the number nearest to what is written."""
    columns: dict[str, list[float | None]] = {"volume": [bar.volume for bar in drawn]}
    for i, name in enumerate(PRICES):
        middle = [bar.points[i] + (bar.spread or 0) // 2 for bar in drawn]
        columns[name] = [points / 10**digits for points in middle]
    if drawn[0].spread is not None:
        for i, name in enumerate(QUOTES):
            above = [(bar.spread or 0) * (i // 4) for bar in drawn]
            columns[name] = [
                (bar.points[i % 4] + more) / 10**digits
                for bar, more in zip(drawn, above, strict=True)
            ]
    return columns


def _same(one: float | None, other: float | None, tolerance: float) -> bool:
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=0.0)


@pytest.mark.slow
def test_bars_come_back_or_an_option_is_asked_for() -> None:
    counts = counted(check, SEEDS)
    assert counts["refused"] < REFUSED * counts["files"], counts


@pytest.mark.slow
def test_what_the_file_contradicts_is_refused() -> None:
    assert counted(check_false, FALSE_SEEDS)["files"] == FALSE_SEEDS


@pytest.mark.parametrize("seed", range(3))
def test_dialects_are_those_of_their_seed(seed: int) -> None:
    one, other = (Dialect.random(Random(seed)) for _ in range(2))
    assert (one.drawn, one.full, one.some) == (other.drawn, other.full, other.some)


def test_what_users_declare_is_what_refusals_name() -> None:
    declared = {name for seed in range(300) for name in Dialect.random(Random(seed)).full}
    assert declared >= {"decimal", "time_format", "clock", "scale", "columns", "stamp"}
    assert declared <= set(OPTIONS)
