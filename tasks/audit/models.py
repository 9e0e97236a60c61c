"""Models under audit: the live cycle replayed over bars with other futures, and the backtest."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from infra.market.timeframes import bar_length
from infra.stores.bulk import BarStore
from tasks.audit.cases import Case
from tasks.audit.detectors import Finding, audited, difference, fills
from tasks.folder import RunFolder
from tasks.live.cycle import newest_signals
from tasks.live.trained import Trained, trained
from tasks.research.registry import Entry
from tasks.rules.setup import Setup
from tasks.strategy.seam import Frames

COUNT: Final = 6
"""Bars whose future is changed: each change asks for the signals of the whole span anew."""
SPAN: Final = 2_000
"""Bars of the test span, the newest ones, whose signals are asked for again."""


def audit(
    chosen: Entry, store: BarStore, *, count: int = COUNT, engine: str = "auto"
) -> list[Finding]:
    """Look for look-ahead in a model, its strategy and its backtest.

    Parameters
    ----------
    chosen : Entry
        The model.
    store : infra.stores.bulk.BarStore
        With the bars it was made of.
    count : int
        At how many bars the future is changed.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    list of Finding
        "truncation", "poison" and "future twin" of the replayed live cycle; "backtest": whether
        that says what the backtest said; "fills" of the backtest's trades.

    Raises
    ------
    tasks.research.registry.ModelRefused
        If a file is gone, or bars of its history or the code changed since.
    """
    setup, rules = trained(chosen, store, engine)
    run, bars = RunFolder(Path(chosen.folder)), _bars(rules, store)
    base = next(iter(bars))
    told, start = pl.read_parquet(run.signals), _begin(rules, bars[base])
    case = _case(setup, rules, bars, start, engine)
    replayed = case.signals(bars)
    expected = told.filter(pl.col("timestamp") >= bars[base]["timestamp"][start])
    said = difference(expected, replayed)
    same = f"{expected.height} signals of the backtest are those of the replayed live cycle"
    found = audited(case, bars, count=count, starts=False)
    found.append(Finding("backtest", clean=not said, detail=said or same))
    costs, timeframe = setup.recipe.costs, setup.recipe.timeframe
    found.append(fills(pl.read_parquet(run.trades), bars[base], timeframe, costs))
    return found


def _bars(rules: Mapping[str, Trained], store: BarStore) -> dict[str, pl.DataFrame]:
    """Return the bars of all series that a model looks at, by pair and timeframe, its own first."""
    models = [each.model.frozen for each in rules.values()]
    recipe = models[0].recipe
    wanted = dict.fromkeys([(recipe.pair, recipe.timeframe)])
    for frozen in models:
        wanted |= dict.fromkeys((pair, recipe.timeframe) for pair in frozen.lead_hashes)
        wanted |= dict.fromkeys(_series(name) for name in frozen.stream_hashes)
    end = models[0].last_bar + bar_length(recipe.timeframe)
    return {
        f"{pair} {timeframe}": store.read(pair, timeframe, None, end) for pair, timeframe in wanted
    }


def _begin(rules: Mapping[str, Trained], bars: pl.DataFrame) -> int:
    """Return the row of the first bar whose signals are asked for."""
    frozen = [each.model.frozen for each in rules.values()]
    first = int((bars["timestamp"] < frozen[0].first_bar).sum())
    return max(first + max(each.spans.test.start for each in frozen), bars.height - SPAN)


def _case(
    setup: Setup, rules: Mapping[str, Trained], bars: Frames, start: int, engine: str
) -> Case:
    """Return a model's signals as the live cycle says them at the end of bars that are known.

    Where the future is cut off the store has it still, and the cycle is asked before it: the
    library names bars of the whole test span.
    """
    base = next(iter(bars))
    begin: datetime = bars[base]["timestamp"][start]
    timeframes = {name: name.split()[1] for name in bars}

    def signals(known: Frames) -> pl.DataFrame:
        times = known[base]["timestamp"]
        as_of = times[-1] + bar_length(timeframes[base])
        count = int((times >= begin).sum())
        with TemporaryDirectory(prefix="sep-audit-") as folder:
            store = _store(Path(folder), {name: _whole(known[name], bars[name]) for name in bars})
            return newest_signals(
                setup, rules, store, as_of=as_of, count=count, engine=engine
            )[1]  # fmt: skip

    return Case(setup.strategy.title, signals, timeframes, start)


def _whole(known: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([known, bars.tail(bars.height - known.height)])


def _store(folder: Path, bars: Frames) -> BarStore:
    store = BarStore(folder)
    for name, each in bars.items():
        store.write(*_series(name), each)
    return store


def _series(name: str) -> tuple[str, str]:
    pair, timeframe = name.split()
    return pair, timeframe
