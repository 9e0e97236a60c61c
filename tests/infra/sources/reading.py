"""A file by the way of `ingest`: a request, its rows, and which of them are bars."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from pydantic import ValidationError

from infra.errors import SepError
from tasks.ingest import fetch_rows, validate_rows
from tasks.intake.request import IngestRequest

SHOWN = 12
"""Failures that are told in full."""

OPTIONS = (
    *("decimal", "time_format", "clock", "scale", "columns", "stamp"),
    *("timeframe", "pair", "source", "any_level"),
)
"""What a refusal may tell to set."""


CRASHES = (Exception, pl.exceptions.PanicException)
"""What a reader must not raise: a panic of Polars is no `Exception`."""


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    bars, quarantine : polars.DataFrame or None
    reasons : dict of str to int
    refusal : str or None
        The message, where the file was refused as a whole.
    """

    bars: pl.DataFrame | None
    quarantine: pl.DataFrame | None
    reasons: dict[str, int]
    refusal: str | None = None

    @property
    def named(self) -> set[str]:
        """The options that the refusal names."""
        found = re.findall(rf"\b({'|'.join(OPTIONS)})=", self.refusal or "")
        return set(found)

    @property
    def times(self) -> list[Any]:
        """The times of the bars."""
        return self.known["timestamp"].to_list()

    @property
    def known(self) -> pl.DataFrame:
        """The bars of a file that was not refused."""
        assert self.bars is not None, f"refused: {self.refusal}"
        return self.bars


def read(**request: Any) -> Outcome:
    """Ingest up to the store, refusals as an outcome; whatever else is raised is raised."""
    with TemporaryDirectory() as folder:
        try:
            return _read(Path(folder), request)
        except (SepError, ValidationError) as refusal:
            return Outcome(None, None, {}, str(refusal))


def _read(folder: Path, values: dict[str, Any]) -> Outcome:
    request = IngestRequest(**values)
    validated = validate_rows(fetch_rows(request, str(folder)), timeframe=request.timeframe)
    bars, quarantine = (
        pl.read_parquet(validated[kind], glob=False) for kind in ("bars", "quarantine")
    )
    return Outcome(bars, quarantine, validated["reasons"])


def counted(check: Callable[[int], Counter[str]], seeds: int) -> Counter[str]:
    """Check each seed, and fail with the first of those that failed, and how many did."""
    counts, failures = Counter[str](), []
    for seed in range(seeds):
        try:
            counts += check(seed)
        except AssertionError as failure:
            failures.append(str(failure))
    shown = "\n".join(failures[:SHOWN])
    assert not failures, f"{len(failures)} of {seeds}, {dict(counts)}:\n{shown}"
    return counts
