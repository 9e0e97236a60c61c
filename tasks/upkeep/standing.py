"""Where models stand: in force, in the shadow, demoted or retired, and why.

A pointer says which model speaks for a pair, timeframe and strategy. A demotion is written beside
it, never into it: a demoted model speaks on in the shadow until somebody promotes or retires it,
and who may demote can put nothing in force.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from prefect import get_run_logger
from sqlalchemy import ColumnElement, and_, delete, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from infra.postgres.database import reading, session
from infra.postgres.models import Champion
from infra.postgres.outcomes import Demotion
from kernels.statistics.sequential import LEVEL
from tasks.research import registry
from tasks.research.registry import Entry, NoModel
from tasks.steps import step
from tasks.upkeep.outcomes import resolve_signals
from tasks.upkeep.record import Record, record

State = Literal["champion", "shadow", "demoted", "retired"]
MAINTAIN: Final = "maintain"


@dataclass(frozen=True)
class Standing:
    """Where a model stands.

    Attributes
    ----------
    model_id : str
    state : {"champion", "shadow", "demoted", "retired"}
        Signals of a champion alone may be live; who is retired publishes none.
    since : datetime
        When it was put in force.
    who, why : str
        Who put it where it stands, and the reason.
    at : datetime
        When.
    """

    model_id: str
    state: State
    since: datetime
    who: str
    why: str
    at: datetime

    @property
    def words(self) -> str:
        """The state, and how it came to it."""
        why = f": {self.why}" if self.why else ""
        return f"{self.state} since {self.at:%Y-%m-%d %H:%M} by {self.who}{why}"


def standings() -> dict[str, Standing]:
    """Return where models stand, by their names; a model that is left out is a candidate."""
    with reading() as opened:
        left = list(opened.scalars(select(Demotion).order_by(Demotion.at)))
        found = {row.model_id: _of_demotion(row) for row in left}
        for pointer, ended in opened.execute(_pointers()):
            state: State = "shadow" if pointer.shadow else "champion"
            own = Standing(
                pointer.model_id, state, pointer.since, pointer.who, pointer.why, pointer.since
            )
            found[pointer.model_id] = own if ended is None else _of_demotion(ended)
    return found


def speaks_live(model_id: str) -> bool:
    """Say whether a model is champion, so that its signals may be live.

    Parameters
    ----------
    model_id : str
        Of a strategy's first exit rule.
    """
    own = standings().get(model_id)
    return own is not None and own.state == "champion"


def retire(model_id: str, *, who: str, why: str) -> Entry:
    """Take a model out of force: nothing is published in its place until another is chosen.

    Parameters
    ----------
    model_id : str
        Or its beginning; of the model of a later exit rule the first one is meant.
    who, why : str

    Raises
    ------
    NoModel
        If there is no such model, or it is not in force.
    """
    chosen = registry.entry(model_id)
    chosen = registry.entry(chosen.metrics.get("of", chosen.model_id))
    mine = Champion.model_id == chosen.model_id
    with session() as opened:
        pointer = opened.scalars(select(Champion).where(mine).with_for_update()).first()
        if pointer is None:
            raise NoModel(
                f"the model {chosen.model_id} is not in force: `sep model list` says which"
            )
        figures = record(chosen.model_id, pointer.since).to_dict()
        _end(opened, chosen.model_id, pointer.since, "retired", who, why, figures)
        opened.execute(delete(Champion).where(mine))
    return registry.entry(chosen.model_id)


def pointed() -> list[Standing]:
    """Return where the models stand that publish signals."""
    with reading() as opened:
        names = set(opened.scalars(select(Champion.model_id)))
    return [own for own in standings().values() if own.model_id in names]


def in_force() -> list[tuple[Standing, Record]]:
    """Return the models that publish signals, with what came of these since they do."""
    return [(own, record(own.model_id, own.since)) for own in pointed()]


def judge_champions() -> dict[str, Any]:
    """Demote each champion whose signals did not come true; doing it again changes nothing.

    Returns
    -------
    dict
        `champions` (judged), `demoted` (now), `table` (a row for each model in force).
    """
    before = in_force()
    champions = [(own, told) for own, told in before if own.state == "champion"]
    demoted = sum(_demote(own, told) for own, told in champions if told.alarm is not None)
    after = standings()
    table = [
        {"model": own.model_id, "standing": after.get(own.model_id, own).words, **told.to_dict()}
        for own, told in before
    ]
    return {"champions": len(champions), "demoted": demoted, "table": table}


@step("outcomes", version=1)
def watch() -> dict[str, Any]:
    """Resolve published signals, then judge the champions by them.

    Returns
    -------
    dict
        What `resolve_signals` and `judge_champions` return.
    """
    return {**resolve_signals(tell=get_run_logger().info), **judge_champions()}


def reason(told: Record) -> str:
    """Say why a record demotes.

    Parameters
    ----------
    told : Record
        With an alarm.
    """
    return (
        f"confidence was too {told.side}: {told.sentence}, by the signal of {told.alarm}; a model "
        f"that speaks the truth is taken for a false one with a probability of {LEVEL:.0%} at most"
    )


def _demote(own: Standing, told: Record) -> int:
    with session() as opened:
        why, figures = reason(told), told.to_dict()
        return _end(opened, own.model_id, own.since, "demoted", MAINTAIN, why, figures)


def _end(
    opened: Session,
    model_id: str,
    since: datetime,
    kind: str,
    who: str,
    why: str,
    figures: dict[str, Any],
) -> int:
    values = {"model_id": model_id, "since": since, "kind": kind, "who": who, "why": why}
    row = insert(Demotion).values(**values, figures=figures).on_conflict_do_nothing()
    return len(opened.scalars(row.returning(Demotion.model_id)).all())


def _pointers() -> Any:
    return select(Champion, Demotion).join(Demotion, _ends_it(), isouter=True)


def _ends_it() -> ColumnElement[bool]:
    same = and_(Demotion.model_id == Champion.model_id, Demotion.since == Champion.since)
    return and_(same, Demotion.kind == literal("demoted"))


def _of_demotion(row: Demotion) -> Standing:
    state: State = "demoted" if row.kind == "demoted" else "retired"
    return Standing(row.model_id, state, row.since, row.who, row.why, row.at)
