"""The locked holdout: the last bars of a series, which nobody looks at before the gate does.

`train` locks them; what runs after it ends before them. The gate opens a holdout once, by one
model, and says so before it looks. A model of later sees what was opened as any other past, and
gets a holdout of the bars that came after.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.errors import SepError
from infra.postgres import models
from infra.postgres.database import session


class HoldoutUsed(SepError, RuntimeError):
    """A holdout was looked at before; the message says by whom, and what can be done."""


@dataclass(frozen=True)
class Opening:
    """A look at a holdout.

    Attributes
    ----------
    first, last : datetime
        First and last bar that was looked at.
    model_id, who : str
    opened_at : datetime
    """

    first: datetime
    last: datetime
    model_id: str
    who: str
    opened_at: datetime


def lock(pair: str, timeframe: str, first: datetime, last: datetime, run_id: str) -> datetime:
    """Lock the bars of a series from one on, unless some are locked already.

    Parameters
    ----------
    pair, timeframe : str
    first : datetime
        First bar to be locked.
    last : datetime
        The newest bar there is.
    run_id : str
        Of the run that locks.

    Returns
    -------
    datetime
        First bar that is locked now: another one, if that was and nobody has opened it.
    """
    values = {"pair": pair, "timeframe": timeframe, "first": first, "last": last}
    row = insert(models.Holdout).values(**values, run_id=run_id).on_conflict_do_nothing()
    with _alone(pair, timeframe) as opened:
        kept = opened.scalars(_locked(pair, timeframe)).first()
        if kept is None:
            opened.execute(row)
    return kept or first


def locked(pair: str, timeframe: str) -> datetime | None:
    """Return the first bar of the holdout that nobody has opened, None if there is none.

    Parameters
    ----------
    pair, timeframe : str
    """
    with session() as opened:
        return opened.scalars(_locked(pair, timeframe)).first()


def _locked(pair: str, timeframe: str) -> Select[tuple[datetime]]:
    holdout, opening = models.Holdout, models.HoldoutOpening
    looked = select(opening.id).where(
        opening.pair == holdout.pair,
        opening.timeframe == holdout.timeframe,
        opening.first == holdout.first,
    )
    closed = select(holdout.first).where(
        holdout.pair == pair, holdout.timeframe == timeframe, ~looked.exists()
    )
    return closed.order_by(holdout.first)


@contextmanager
def _alone(pair: str, timeframe: str) -> Iterator[Session]:
    """Open a session in which nobody else locks or opens a holdout of the series."""
    with session() as opened:
        key = func.hashtextextended(f"holdout {pair} {timeframe}", 0)
        opened.execute(select(func.pg_advisory_xact_lock(key)))
        yield opened


def openings(pair: str, timeframe: str, since: datetime | None = None) -> list[Opening]:
    """Return who looked at holdouts of a series, the newest look first.

    Parameters
    ----------
    pair, timeframe : str
    since : datetime, optional
        Of bars from this one on.
    """
    opening = models.HoldoutOpening
    wanted = select(opening).where(opening.pair == pair, opening.timeframe == timeframe)
    if since is not None:
        wanted = wanted.where(opening.last >= since)
    with session() as opened:
        rows = opened.scalars(wanted.order_by(opening.opened_at.desc(), opening.id.desc()))
        names = Opening.__dataclass_fields__
        return [Opening(**{name: getattr(row, name) for name in names}) for row in rows]


def open_for(
    pair: str,
    timeframe: str,
    first: datetime,
    last: datetime,
    *,
    model_id: str,
    who: str,
    again: bool = False,
) -> None:
    """Write down that a model is about to look at a holdout; the same model twice changes nothing.

    Parameters
    ----------
    pair, timeframe : str
    first : datetime
        Of the holdout.
    last : datetime
        Last bar that is looked at.
    model_id, who : str
    again : bool
        Open it although another model has.

    Raises
    ------
    HoldoutUsed
        If another model has, and it is not to be opened again.
    """
    opening = models.HoldoutOpening
    values = {"pair": pair, "timeframe": timeframe, "first": first, "last": last}
    row = insert(opening).values(**values, model_id=model_id, who=who)
    others = select(opening).where(
        opening.pair == pair,
        opening.timeframe == timeframe,
        opening.first == first,
        opening.model_id != model_id,
    )
    with _alone(pair, timeframe) as opened:
        other = opened.scalars(others.order_by(opening.id)).first()
        if other is not None and not again:
            raise HoldoutUsed(_used(other))
        opened.execute(row.on_conflict_do_nothing())


def _used(other: models.HoldoutOpening) -> str:
    return (
        f"the holdout of {other.pair} {other.timeframe} from {other.first} on was opened on "
        f"{other.opened_at:%Y-%m-%d} by {other.who} for the model {other.model_id}: a second look "
        "is no proof. Train again once bars have come that nobody has seen, or look again by "
        "--i-know, which counts as one more trial"
    )
