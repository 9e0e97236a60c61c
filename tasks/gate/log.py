"""The experiment log: every set of parameters that was compared, by pair, timeframe and span.

A span overlaps another or it does not; what the bars are called or hashed to does not count, so
that nobody starts from nought by bringing the same history in again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from infra.postgres import models
from infra.postgres.database import session


@dataclass(frozen=True)
class Tried:
    """What a run tried.

    Attributes
    ----------
    pair, timeframe : str
    first, last : datetime
        First and last bar that was looked at.
    run_id, kind, strategy : str
        The kind is "sweep", "setting", "backtest" or "train"; a run has one entry of each.
    sets : int
        Of parameters that were compared.
    effective : float
        About independent ones among them, 1 to `sets`.
    deviation : float or None
        Of their daily Sharpe ratios; None for one alone.
    details : dict
        Plain values for people: what was best, how it did.
    """

    pair: str
    timeframe: str
    first: datetime
    last: datetime
    run_id: str
    kind: str
    strategy: str
    sets: int
    effective: float
    deviation: float | None
    details: dict[str, Any]


@dataclass(frozen=True)
class Tally:
    """All that was tried on bars that overlap a span.

    Attributes
    ----------
    runs : int
    sets : int
        N: every set of every run.
    effective : float
        About independent ones, runs taken as independent of each other: never too few.
    openings : int
        How often a holdout of these bars was opened; each counts as one set more.
    """

    runs: int
    sets: int
    effective: float
    openings: int


def record(tried: Tried) -> None:
    """Write an entry; the same run and kind again changes nothing.

    Parameters
    ----------
    tried : Tried
    """
    row = insert(models.Trial).values(**vars(tried)).on_conflict_do_nothing()
    with session() as opened:
        opened.execute(row)


def tally(pair: str, timeframe: str, first: datetime, last: datetime) -> Tally:
    """Count what was tried on a pair, timeframe and any bars of a span, openings included.

    Parameters
    ----------
    pair, timeframe : str
    first, last : datetime
        First and last bar of the span.
    """
    runs = overlapping(pair, timeframe, first, last)
    opening = models.HoldoutOpening
    looked = select(opening.model_id).where(
        opening.pair == pair,
        opening.timeframe == timeframe,
        opening.first <= last,
        opening.last >= first,
    )
    with session() as opened:
        openings = len(opened.scalars(looked).all())
    sets = sum(each.sets for each in runs) + openings
    effective = sum(each.effective for each in runs) + openings
    return Tally(len(runs), sets, effective, openings)


def overlapping(pair: str, timeframe: str, first: datetime, last: datetime) -> list[Tried]:
    """Return the entries of a pair and timeframe whose bars overlap a span, the newest first.

    Parameters
    ----------
    pair, timeframe : str
    first, last : datetime
    """
    every = everything(pair, timeframe)
    return [each for each in every if each.first <= last and each.last >= first]


def everything(pair: str, timeframe: str) -> list[Tried]:
    """Return all entries of a pair and timeframe, the newest first.

    Parameters
    ----------
    pair, timeframe : str
    """
    trial, names = models.Trial, Tried.__dataclass_fields__
    wanted = select(trial).where(trial.pair == pair, trial.timeframe == timeframe)
    with session() as opened:
        rows = opened.scalars(wanted.order_by(trial.created_at.desc(), trial.id.desc()))
        return [Tried(**{name: getattr(row, name) for name in names}) for row in rows]
