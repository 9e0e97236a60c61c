"""Frames of stored bars for a strategy, with the engine's metrics where it asks for them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from infra.market.timeframes import bar_length
from infra.postgres.database import DatabaseError
from infra.stores.catalog import require
from tasks.folder import bar_store
from tasks.live.cycle import newest_signals
from tasks.live.trained import is_of, trained
from tasks.research.registry import Entry, champions
from tasks.rules.frames import inside as within
from tasks.rules.frames import measured, stored
from tasks.rules.setup import Setup
from tasks.strategy import commands
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.program import Program
from tasks.strategy.language.rows import SCHEMA

__all__ = ["frames", "signals", "within"]


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
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    return measured(program, stored(program, bar_store(), start, end))


def signals(
    program: Program,
    start: datetime | None,
    end: datetime | None,
    parameters: Mapping[str, float] | None = None,
    *,
    known: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Return the signals of a span.

    A program that asks beliefs has those of its model in force, of bars that were not learnt from.

    Parameters
    ----------
    program : Program
    start, end : datetime or None
    parameters : mapping of str to float, optional
    known : mapping of str to polars.DataFrame, optional
        What `frames` returned for the span, where it is at hand.

    Raises
    ------
    DslError
        If it asks what a model believes, and none of it is in force, or for other parameters.
    infra.stores.catalog.NoSeries
        If there are no bars of a stream; the message says how they come.
    """
    if not program.requires.rules:
        known = known or frames(program, start, end)
        return within(program.evaluate(known, parameters), start, end)
    base, store = program.streams[0], bar_store()
    require(store, base.pair, base.timeframe)
    setup, rules = trained(_in_force(program), store, "auto")
    asked = Setup.of(setup.source, setup.recipe, parameters or setup.parameters)
    if asked.parameters != setup.parameters:
        problem = f"the model in force is of {setup.parameters or 'the defaults'}"
        raise DslError(f"{program.name}: {problem}; {_command(program)} trains one of others")
    frozen = [each.model.frozen for each in rules.values()]
    times = store.starts(base.pair, base.timeframe, frozen[0].first_bar, end)
    unseen = times[max(each.spans.test.start for each in frozen) :]
    count = len(unseen if start is None else unseen.filter(unseen >= start))
    if not count:
        return pl.DataFrame(schema=SCHEMA)
    as_of = unseen[-1] + bar_length(base.timeframe)
    found = newest_signals(setup, rules, store, as_of=as_of, count=count)[1]
    named = {"stop_distance": "stop", "target_distance": "target"}
    return found.rename(named).select(*SCHEMA)


def _in_force(program: Program) -> Entry:
    """Return the model in force of a program."""
    base = program.streams[0]
    try:
        every = [each for each in champions(base.timeframe) if each.pair == base.pair]
    except DatabaseError as error:  # where no database is, no model is
        raise _untrained(program) from error
    found = [each for each in every if is_of(each, program.asked)]
    if not found:
        raise _untrained(program)
    return found[0]


def _untrained(program: Program) -> DslError:
    asked = ", ".join(program.requires.rules)
    problem = f"{program.name} asks what a model believes of {asked}"
    ways = "`sep model promote` puts it in force, `sep strategy run` then tells its signals"
    return DslError(f"{problem}: {_command(program)} trains one, {ways}")


def _command(program: Program) -> str:
    base = program.streams[0]
    return commands.train(program.asked, base.pair, base.timeframe)
