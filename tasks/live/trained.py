"""What training left of a strategy's exit rules, as far as it may be used here and now."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from infra.stores.bulk import BarStore
from tasks import document
from tasks.folder import RunFolder
from tasks.research import registry
from tasks.research.library import PathLibrary
from tasks.research.model import Model
from tasks.research.pool import Pool
from tasks.research.registry import Entry, ModelRefused
from tasks.research.stored import open_library
from tasks.rules import texts
from tasks.rules.setup import Setup


@dataclass(frozen=True)
class Trained:
    """What training left of an exit rule."""

    model: Model
    library: PathLibrary
    pool: Pool | None = None


def trained(chosen: Entry, store: BarStore, engine: str) -> tuple[Setup, dict[str, Trained]]:
    """Return a strategy and what is trained of each of its exit rules.

    Parameters
    ----------
    chosen : Entry
        The model of its first rule.
    store : BarStore
    engine : {"auto", "cpu", "gpu"}

    Raises
    ------
    ModelRefused
        If a file is gone, or bars of its history or the code changed since.
    """
    first, run = registry.in_force(chosen, store), RunFolder(Path(chosen.folder))
    try:
        setup = Setup.read(run)
    except document.DocumentError as error:
        raise registry.refused(chosen, error) from error
    found = {}
    for rule, mine in setup.folders(run):
        other = replace(chosen, folder=str(mine.path))
        model = first if rule == setup.first else registry.open_model(other)
        library = open_library(model, mine.library, engine=engine)
        pool = Pool.read(mine.pool) if model.frozen.recipe.pool else None
        found[rule] = Trained(model, library, pool)
    return setup, found


def is_of(chosen: Entry, asked: str) -> bool:
    """Say whether a model is of a strategy, as its text stands now.

    Parameters
    ----------
    chosen : Entry
    asked : str
        Name or file.
    """
    strategy = texts.find(asked, chosen.pair, chosen.timeframe).open()
    if strategy.title != chosen.strategy:
        return False
    try:
        return registry.open_model(chosen).frozen.recipe.digest == strategy.digest
    except ModelRefused:  # whoever wants to use it is told why
        return True
