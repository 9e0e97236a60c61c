"""The ledger of the store: what came, was replaced, taken out and put back, in the database.

Files are seen right before the commit. Killed between the two, the database lacks what the
manifest's note says; whoever comes next tells it (`settle`), from the note and the files it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from sqlalchemy import Connection, text

from infra.bars import TIME
from infra.postgres import database
from infra.settings import settings
from infra.stores import changes, versions, warm, years
from infra.stores.bulk import Ahead, BarStore
from infra.stores.changes import Change
from infra.stores.years import Note

FOLDER: Final = "removed"
"""Of the rows that were taken out, under `SEP_HOME`."""

_LAST: Final = """
SELECT greatest(
    (SELECT max(arrived_at) FROM bar_span WHERE pair = :pair AND timeframe = :timeframe),
    (SELECT max(replaced_at) FROM bar_revision WHERE pair = :pair AND timeframe = :timeframe),
    (SELECT max(removed_at) FROM bar_removal WHERE pair = :pair AND timeframe = :timeframe)
)
"""
_ARRIVAL: Final = """
INSERT INTO bar_arrival AS present
    (pair, timeframe, run_id, part, source, arrived_at, first, last, added, revised)
VALUES (:pair, :timeframe, :run_id, :part, :source, :at, :first, :last, :added, :revised)
ON CONFLICT (pair, timeframe, run_id, part) DO UPDATE SET
    arrived_at = CASE WHEN excluded.added + excluded.revised > 0
        THEN excluded.arrived_at ELSE present.arrived_at END,
    first = least(present.first, excluded.first), last = greatest(present.last, excluded.last),
    added = present.added + excluded.added, revised = present.revised + excluded.revised
RETURNING added, revised
"""
_REMOVAL: Final = """
INSERT INTO bar_removal
    (pair, timeframe, first, last, run_id, removed_at, rows, put_back, who, what, file)
VALUES (:pair, :timeframe, :first, :last, :run_id, :at, :rows, :put_back, :who, :what, :file)
"""
_UNDONE: Final = "UPDATE bar_removal SET undone_at = :at WHERE file = :file"


class Counts(NamedTuple):
    """Bars that a store step of a run added and revised, against the store before the run."""

    added: int
    revised: int


def next_moment(connection: Connection, pair: str, timeframe: str) -> datetime:
    """Return the time, or right after the last event where a clock was put back.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In whose transaction nobody else stores bars of the pair.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    """
    key = {"pair": pair, "timeframe": timeframe}
    last: datetime | None = connection.scalar(text(_LAST), key)
    now = datetime.now(UTC)
    return max(now, last.astimezone(UTC) + timedelta.resolution) if last else now


def arrive(
    connection: Connection,
    ahead: Ahead,
    *,
    run_id: str,
    part: str,
    source: str,
    span: tuple[datetime | None, datetime | None],
) -> Counts:
    """Note what a store step of a run adds and revises.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In whose transaction nobody else stores bars of the pair, after `settle`.
    ahead : Ahead
        The store as it will be.
    run_id, part : str
        They name the step; a retry of it has the same.
    source : str
    span : tuple of datetime or None
        First and last timestamp of what it brought.

    Returns
    -------
    Counts
        Of all tries of the step together.
    """
    change = changes.between(ahead.folder(*ahead.key), ahead.before, ahead.years)
    first, last = (edge.isoformat() if edge else None for edge in span)
    note = {"kind": "arrival", "at": next_moment(connection, *ahead.key).isoformat()}
    fields = {"run_id": run_id, "part": part, "source": source, "first": first, "last": last}
    return record(connection, ahead, {**note, **fields}, change)


def record(
    connection: Connection,
    ahead: Ahead,
    note: Note,
    change: Change | None = None,
    *,
    equal: pl.DataFrame | None = None,
) -> Counts:
    """Tell the database of a write, and the manifest's note so that neither is without the other.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In whose transaction nobody else stores bars of the pair, after `settle`.
    ahead : Ahead
        The store as it will be.
    note : dict
        What it is, without `before`.
    change : Change, optional
        What it changes, where that is known.
    equal : polars.DataFrame, optional
        Rows that another version takes the place of with the same values, which files do not tell.
    """
    if change is None:
        change = changes.between(ahead.folder(*ahead.key), ahead.before, ahead.years)
    if equal is not None:
        rows = pl.concat([change.replaced, equal.select(change.replaced.columns)])
        change = Change(change.added, rows.sort("timestamp"))
    if change or note["kind"] != "arrival":
        ahead.note = {**note, "before": years.plain(ahead.before)}
    return _tell(connection, *ahead.key, note, change)


def settle(store: BarStore, pair: str, timeframe: str) -> None:
    """Tell the database of a write that was killed before it could; nothing as a rule.

    Parameters
    ----------
    store : BarStore
    pair, timeframe : str
        Nobody else stores bars of the pair (`infra.stores.warm.alone`).
    """
    note = store.pending(pair, timeframe)
    if note is None:
        return
    with database.engine().begin() as connection:
        if not _is_known(connection, pair, timeframe, note):
            folder = store.folder(pair, timeframe)
            change = changes.between(folder, years.before(note), years.read(folder))
            _tell(connection, pair, timeframe, note, change)
    store.told(pair, timeframe, note)


def settle_all(store: BarStore) -> None:
    """Tell the database of all that it was not told, and share what is there now."""
    for pair, timeframe in store.noted():
        with database.engine().begin() as connection:
            warm.alone(connection, pair, timeframe)
            settle(store, pair, timeframe)
            warm.share(store, pair, timeframe, connection=connection)


def _tell(
    connection: Connection, pair: str, timeframe: str, note: Mapping[str, Any], change: Change
) -> Counts:
    key = {"pair": pair, "timeframe": timeframe}
    at, kind = datetime.fromisoformat(note["at"]), note["kind"]
    authors = note["run_id"] if kind == "arrival" else _authors(note)
    replaced = versions.note(connection, pair, timeframe, change, authors, at)
    if kind == "removal":
        connection.execute(text(_REMOVAL), {**key, **note})
    if kind == "undo":
        connection.execute(text(_UNDONE), note)
    if kind != "arrival":
        return Counts(change.added.height, replaced.height)
    others = replaced.filter(pl.col("arrived_by").ne_missing(pl.lit(authors)))
    counts = {"added": change.added.height, "revised": others.height}
    row = connection.execute(text(_ARRIVAL), {**key, **note, **counts}).one()
    return Counts(*row)


def _authors(note: Mapping[str, Any]) -> pl.DataFrame:
    """Return whose rows came by a removal (those of before) or its end (those removed)."""
    name = "back_by" if note["kind"] == "removal" else "arrived_by"
    file = removed_file(note["file"])
    if not file.exists():  # of a backup that was taken just then
        return pl.DataFrame(schema={"timestamp": TIME, "run_id": pl.String})
    return pl.read_parquet(file, columns=["timestamp", name], glob=False).rename({name: "run_id"})


def removed_file(name: str) -> Path:
    """Return where rows lie that were taken out."""
    return settings().home / FOLDER / name


def _is_known(connection: Connection, pair: str, timeframe: str, note: Note) -> bool:
    key = {"pair": pair, "timeframe": timeframe}
    last = connection.scalar(text(_LAST), key)
    return last is not None and last >= datetime.fromisoformat(note["at"])
