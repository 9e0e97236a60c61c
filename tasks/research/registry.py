"""Models on record, and the one in force: the champion of a pair, timeframe and strategy.

A backtest records candidates. Which of them counts is said by a pointer that somebody sets, and
a champion is used with the bars and the code it was trained on alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from infra.bars import content_hash, without_empty_quotes
from infra.errors import SepError
from infra.market.timeframes import bar_length
from infra.postgres import models
from infra.postgres.database import session
from infra.postgres.outcomes import Demotion
from infra.stores.bulk import BarStore
from tasks import document
from tasks.folder import RunFolder
from tasks.research import carried
from tasks.research.model import Model
from tasks.version import code_version


class NoModel(SepError, LookupError):
    """There is no such model; the message says how to make one."""


class ModelRefused(SepError, RuntimeError):
    """A model does not fit the bars or the code that are here; the message says the way out."""


@dataclass(frozen=True)
class Entry:
    """A model on record.

    Attributes
    ----------
    model_id, pair, timeframe, strategy : str
    folder : str
        Where its files lie, or will once they have come from another machine.
    code_version : str
    trained_from, trained_until : datetime
        Starts of the first and the last bar of its history.
    created_at : datetime
    metrics : dict
        What its backtest said.
    champion : bool
        Whether it is in force.
    shadow : bool
        Whether it is in force to speak in shadow alone.
    """

    model_id: str
    pair: str
    timeframe: str
    strategy: str
    folder: str
    code_version: str
    trained_from: datetime
    trained_until: datetime
    created_at: datetime
    metrics: dict[str, Any]
    champion: bool
    shadow: bool = False


def register(model: Model, path: str, metrics: dict[str, Any]) -> None:
    """Record a model as a candidate; the same model again brings its figures up to date.

    Parameters
    ----------
    model : Model
    path : str
        Its folder.
    metrics : dict
        What its backtest said; the base rate of its training comes with it.
    """
    frozen = model.frozen
    metrics = metrics | {"base_rate": list(frozen.base_rate)}
    row = insert(models.Model).values(
        model_id=model.model_id,
        pair=frozen.recipe.pair,
        timeframe=frozen.recipe.timeframe,
        strategy=frozen.recipe.strategy,
        parameters=document.to_plain(frozen.recipe),
        data_hash=frozen.data_hash,
        code_version=frozen.code_version,
        trained_from=frozen.first_bar,
        trained_until=frozen.last_bar,
        path=path,
        metrics=metrics,
    )
    changed = {"path": path, "metrics": metrics, "created_at": func.now()}
    with session() as opened:
        opened.execute(row.on_conflict_do_update(index_elements=["model_id"], set_=changed))


def entries(pair: str | None = None, timeframe: str | None = None) -> list[Entry]:
    """Return the models on record, the newest first; that of a first exit rule stands for all.

    Parameters
    ----------
    pair, timeframe : str, optional
        Of these alone.
    """
    chosen = {"pair": pair, "timeframe": timeframe}
    wanted = {name: value for name, value in chosen.items() if value is not None}
    found = _entries(select(models.Model).filter_by(**wanted))
    return [each for each in found if "of" not in each.metrics]


def entry(model_id: str) -> Entry:
    """Return a model on record.

    Raises
    ------
    NoModel
        If there is none of that name, or the beginning of a name fits several.
    """
    fit = _entries(
        select(models.Model).where(models.Model.model_id.startswith(model_id, autoescape=True))
    )
    if len(fit) != 1:
        how_many = "no model" if not fit else f"{len(fit)} models"
        raise NoModel(f"{how_many} of the name {model_id!r}: `sep model list` shows all there are")
    return fit[0]


def champions(timeframe: str | None = None) -> list[Entry]:
    """Return the models in force of the pairs that are enabled, by pair.

    Parameters
    ----------
    timeframe : str, optional
        Of this alone.
    """
    enabled = select(models.Pair).where(
        models.Pair.pair == models.Model.pair,
        models.Pair.timeframe == models.Model.timeframe,
        models.Pair.enabled,
    )
    enabled_models = _entries(select(models.Model).where(enabled.exists()))
    chosen = [e for e in enabled_models if e.champion and timeframe in (None, e.timeframe)]
    return sorted(chosen, key=lambda each: (each.timeframe, each.pair, each.strategy))


def appoint(model_id: str, *, who: str, shadow: bool = False, why: str = "") -> Entry:
    """Put a model in force for its pair, timeframe and strategy.

    One that is in force, and was not demoted, stays so since it has been.

    Parameters
    ----------
    model_id : str
        Or its beginning; of the model of a later exit rule the first one is meant.
    who : str
        Who says so.
    shadow : bool
        Whether its signals are published in shadow: resolved, never executed.
    why : str
        What is said for it, or against.

    Raises
    ------
    NoModel
        If there is no such model.
    ModelRefused
        If its files are gone, or the code that is here is another than it was trained with.
    """
    chosen = entry(model_id)
    chosen = entry(chosen.metrics.get("of", chosen.model_id))
    _check_code(open_model(chosen), chosen)
    key = {"pair": chosen.pair, "timeframe": chosen.timeframe, "strategy": chosen.strategy}
    said = {"model_id": chosen.model_id, "who": who, "shadow": shadow, "why": why}
    pointer: dict[str, Any] = {**said, "since": func.now()}
    row = insert(models.Champion).values(**key, **pointer)
    pointer["since"] = case((_stays(chosen), models.Champion.since), else_=func.now())
    with session() as opened:
        opened.execute(row.on_conflict_do_update(index_elements=list(key), set_=pointer))
    return entry(chosen.model_id)


def _stays(chosen: Entry) -> ColumnElement[bool]:
    ended = exists().where(
        Demotion.model_id == models.Champion.model_id, Demotion.since == models.Champion.since
    )
    return and_(models.Champion.model_id == chosen.model_id, ~ended)


def in_force(chosen: Entry, store: BarStore) -> Model:
    """Return a model that may be used with the bars of a store and the code that is here.

    Parameters
    ----------
    chosen : Entry
    store : BarStore

    Raises
    ------
    ModelRefused
        If its files are gone, or bars of its history or the code changed since it was trained.
    """
    model = open_model(chosen)
    _check_code(model, chosen)
    _check_bars(model, chosen, store)
    return model


def open_model(chosen: Entry) -> Model:
    """Return a model, whether or not it may be used; all its files are here from then on.

    Raises
    ------
    ModelRefused
        If its files are gone, or are of another version.
    """
    path = RunFolder(Path(chosen.folder)).model
    try:
        if _is_fetched(chosen):
            carried.fetch(_first(chosen.model_id, chosen.metrics))
        return document.read(path, Model)
    except (document.DocumentError, carried.NotCarried) as error:
        raise refused(chosen, error) from error


def _is_fetched(chosen: Entry) -> bool:
    return Path(chosen.folder).is_relative_to(
        carried.place(_first(chosen.model_id, chosen.metrics))
    )


def _first(model_id: str, metrics: Mapping[str, Any]) -> str:
    """Return the model of the first exit rule, whose files all lie with."""
    return str(metrics.get("of", model_id))


def _folder(row: models.Model) -> str:
    """Return where a model's files lie: in its run's folder, or where they are fetched to."""
    first = _first(row.model_id, row.metrics)
    if Path(row.path).is_dir() or not (carried.place(first).is_dir() or carried.is_carried(first)):
        return row.path
    place = RunFolder(carried.place(first))
    return str(place.path / "rules" / row.metrics["rule"] if "of" in row.metrics else place.path)


def refused(chosen: Entry, why: Exception) -> ModelRefused:
    """Return the refusal of a model whose files are not what they should be.

    Parameters
    ----------
    chosen : Entry
    why : Exception
    """
    return ModelRefused(f"{why}; {_way_out(chosen)}")


def _check_code(model: Model, chosen: Entry) -> None:
    if model.frozen.code_version != code_version():
        raise ModelRefused(
            f"{_title(chosen)} was trained by the code {model.frozen.code_version}, here is "
            f"{code_version()}: {_way_out(chosen)}"
        )


def _check_bars(model: Model, chosen: Entry, store: BarStore) -> None:
    frozen = model.frozen
    end = frozen.last_bar + timedelta.resolution
    since_first = {chosen.pair: frozen.data_hash, **frozen.lead_hashes}
    own = chosen.timeframe
    looked_at = [
        *((f"{pair} {own}", digest, frozen.first_bar) for pair, digest in since_first.items()),
        *((f"{pair} {own}", digest, None) for pair, digest in frozen.pool_hashes.items()),
        *((series, digest, frozen.first_bar) for series, digest in frozen.stream_hashes.items()),
    ]
    for series, digest, start in looked_at:
        pair, timeframe = series.split()
        bars = store.read(pair, timeframe, start, end + bar_length(own) - bar_length(timeframe))
        if content_hash(without_empty_quotes(bars)) != digest:
            raise ModelRefused(
                f"{_title(chosen)} was trained on {frozen.bars:,} bars from {frozen.first_bar} to "
                f"{frozen.last_bar}, and those of {pair} are not as they were ({len(bars):,} are "
                f"there now): {_way_out(chosen)}"
            )


def _title(chosen: Entry) -> str:
    return f"the model {chosen.model_id} of {chosen.pair} {chosen.timeframe}"


def _way_out(chosen: Entry) -> str:
    asked = quote(chosen.metrics.get("strategy", chosen.strategy))
    return (
        f"train again by `prefect deployment run backtest/local -p strategy={asked} "
        f"-p pair={chosen.pair} -p timeframe={chosen.timeframe}`, then put the new one in force by "
        "`sep model promote`"
    )


def _entries(chosen: Select[tuple[models.Model]]) -> list[Entry]:
    newest = chosen.order_by(models.Model.created_at.desc(), models.Model.model_id)
    with session() as opened:
        rows = opened.execute(select(models.Champion.model_id, models.Champion.shadow))
        pointers = {row.model_id: row.shadow for row in rows}
        return [_entry(row, pointers) for row in opened.scalars(newest)]


def _entry(row: models.Model, pointers: Mapping[str, bool]) -> Entry:
    same = Entry.__dataclass_fields__.keys() - {"folder", "champion", "shadow"}
    return Entry(
        folder=_folder(row),
        champion=row.model_id in pointers,
        shadow=pointers.get(row.model_id, False),
        **{name: getattr(row, name) for name in same},
    )


def plain(chosen: Entry) -> dict[str, Any]:
    """Return plain values for JSON."""
    return {name: str(v) if isinstance(v, datetime) else v for name, v in asdict(chosen).items()}
