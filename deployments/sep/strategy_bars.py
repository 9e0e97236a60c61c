"""Frames of stored bars for a strategy, with the engine's metrics where it asks for them."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from tasks.folder import bar_store
from tasks.rules.frames import inside as within
from tasks.rules.frames import measured, stored
from tasks.strategy import commands
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.program import Program

__all__ = ["frames", "within"]


def frames(
    program: Program, start: datetime | None, end: datetime | None
) -> dict[str, pl.DataFrame]:
    """Return the bars of a program's streams, with those of the warm-up before them.

    Parameters
    ----------
    program : Program
    start, end : datetime or None
        Of the signals that are wanted.

    Raises
    ------
    DslError
        If it asks what a model believes, which only a trained one tells.
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    if rules := program.requires.rules:
        base = program.streams[0]
        train = commands.train(program.asked, base.pair, base.timeframe)
        problem = f"{program.name} asks what is believed of {', '.join(rules)}, which a run tells"
        raise DslError(f"{problem} that trains it: {train}")
    return measured(program, stored(program, bar_store(), start, end))
