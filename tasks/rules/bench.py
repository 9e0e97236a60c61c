"""The test span of a run: its signals, and what trading them brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.bars import without_empty_quotes
from infra.market.quotes import Costs
from tasks import document
from tasks.folder import RunFolder
from tasks.research.model import Model
from tasks.research.simulation import Simulation, simulate
from tasks.rules.frames import measured
from tasks.rules.setup import Setup
from tasks.rules.signals import signals
from tasks.strategy.language.errors import DslError


@dataclass(frozen=True)
class Bench:
    """Bars of a test span, and what is known of them.

    Attributes
    ----------
    setup : Setup
    frames : dict of str to polars.DataFrame
        Of all bars, by stream.
    told : dict of str to polars.DataFrame
        By rule, predictions of the test span.
    bars : polars.DataFrame
        Of the test span.
    segments : int32[n]
        Of the same bars.
    start : int
        Position of the first of them.
    """

    setup: Setup
    frames: dict[str, pl.DataFrame]
    told: dict[str, pl.DataFrame]
    bars: pl.DataFrame
    segments: NDArray[np.int32]
    start: int

    @classmethod
    def read(cls, run: RunFolder) -> Bench:
        """Read what the steps up to training left.

        Where rules have horizons of their own the test span is the one that all have.
        """
        setup, bars = Setup.read(run), pl.read_parquet(run.bars)
        metrics = pl.read_parquet(run.metrics)
        models, told = {}, {}
        for rule, folder in setup.folders(run):
            models[rule] = document.read(folder.model, Model)
            told[rule] = pl.read_parquet(folder.predictions)
        test = max(each.frozen.spans.test.start for each in models.values())
        return cls(
            setup,
            frames_of(run, setup, metrics, engine=models[setup.first].frozen.engine),
            {rule: each[test:] for rule, each in told.items()},
            bars[test:],
            metrics["segment"].to_numpy()[test:],
            test,
        )

    def signals(self, told: Mapping[str, pl.DataFrame] | None = None) -> pl.DataFrame:
        """Return the signals of the test span.

        Parameters
        ----------
        told : mapping of str to polars.DataFrame, optional
            Other predictions of it, by rule.
        """
        known = {**self.told, **(told or {})}
        last = len(self.bars)
        return signals(self.setup, self.frames, known, start=self.start, last=last)

    def trade(self, found: pl.DataFrame) -> Simulation:
        """Trade signals with costs.

        Parameters
        ----------
        found : polars.DataFrame
        """
        return traded(self.bars, found, self.segments, self.setup.recipe.costs)

    def trader(self, rule: str) -> Callable[[pl.DataFrame], Simulation]:
        """Return what trades by other predictions of a rule, those of the others as they are."""
        later = pl.col("position") >= self.start
        return lambda predictions: self.trade(self.signals({rule: predictions.filter(later)}))


def traded(
    bars: pl.DataFrame, found: pl.DataFrame, segments: NDArray[np.int32], costs: Costs
) -> Simulation:
    """Trade signals as each says itself: its horizon, stop and target.

    Parameters
    ----------
    bars : polars.DataFrame
    found : polars.DataFrame
        Signals, with `horizon`, `stop_distance` and `target_distance`.
    segments : int32[n]
        Of the bars.
    costs : Costs
    """
    return simulate(
        bars,
        found,
        segments=segments,
        horizon=found["horizon"],
        costs=costs,
        stop=found["stop_distance"],
        target=found["target_distance"],
    )


def frames_of(
    run: RunFolder, setup: Setup, metrics: pl.DataFrame, *, engine: str
) -> dict[str, pl.DataFrame]:
    """Return the frames of a run's bars.

    Parameters
    ----------
    run : RunFolder
    setup : Setup
    metrics : polars.DataFrame
        Of the first stream's bars.
    engine : {"auto", "cpu", "gpu"}
    """
    base, *more = setup.strategy.requires.streams
    bars = {base.name: pl.read_parquet(run.bars)}
    if more:
        kept = pl.read_parquet(run.streams)
        for stream in more:
            mine = kept.filter(pl.col("stream") == stream.name).drop("stream")
            bars[stream.name] = without_empty_quotes(mine)
    known = {setup.recipe.encoder: metrics}
    return measured(setup.strategy, bars, known=known, engine=engine)


def with_exits(
    setup: Setup, bars: Mapping[str, pl.DataFrame], *, engine: str
) -> dict[str, pl.DataFrame]:
    """Return the bars of other pairs with stop and target distances of each rule.

    Parameters
    ----------
    setup : Setup
    bars : mapping of str to polars.DataFrame
        By pair.
    engine : {"auto", "cpu", "gpu"}

    Raises
    ------
    DslError
        If the strategy looks at several streams: which bars are then meant is not said.
    """
    found = {}
    for pair, each in bars.items():
        strategy = setup.source.open(pair)
        if len(strategy.requires.streams) > 1:
            raise DslError(f"{strategy.title} has several streams: it cannot ask a pool")
        (base,) = strategy.requires.streams
        frames = measured(strategy, {base.name: each}, engine=engine)
        exits = strategy.distances(frames, setup.parameters).drop("timestamp")
        found[pair] = each.with_columns(exits)
    return found
