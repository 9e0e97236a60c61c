"""Pools: paths of several pairs in one library, where a pair's own history is short."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.market.financing import Financing
from infra.market.instruments import default_slippage, default_spread, pip, usual_financing
from kernels.device import choose_engine
from kernels.nearest import Neighbours, nearest
from kernels.outcomes import SIDES
from kernels.tally import count_wins
from tasks.folder import keep
from tasks.research.library import NEVER, Library
from tasks.research.measure import Measures, measure_by
from tasks.research.model import Frozen
from tasks.research.recipe import Recipe
from tasks.research.resolve import resolve
from tasks.research.search import CHUNK, Rule
from tasks.research.timeline import Timeline, Times

OWN = 0
"""Group of the pair that asks."""


@dataclass(frozen=True)
class Pool:
    """Paths of past bars of several pairs with what became of them.

    Attributes
    ----------
    paths : float32[N, 64]
        Unit paths, under the standard and the similarity of the model that asks.
    time : datetime64[us][N]
        When their bars began (UTC).
    known : datetime64[us][N]
        When the bar began at whose close the outcome became known, ascending.
    position : int64[N]
        Number of a row's bar among those of its own pair.
    group : int32[N]
        `OWN`, or the number of another pair, from 1 on.
    win : int8[N, 2]
        1 if the trade ended above zero after its pair's costs; long, short.
    """

    paths: NDArray[np.float32]
    time: Times
    known: Times
    position: NDArray[np.int64]
    group: NDArray[np.int32]
    win: NDArray[np.int8]

    @classmethod
    def of(cls, libraries: Sequence[Library], timelines: Sequence[Timeline]) -> Pool:
        """Pool libraries.

        Parameters
        ----------
        libraries : sequence of Library
            The first is of the pair that asks.
        timelines : sequence of Timeline
            Of the same pairs.
        """
        pairs = list(zip(libraries, timelines, strict=True))
        groups = [np.full(len(library), g, np.int32) for g, library in enumerate(libraries)]
        return cls(
            paths=np.concatenate([library.paths for library in libraries]),
            time=np.concatenate([library.time for library in libraries]),
            known=np.concatenate([library.known for library in libraries]),
            position=np.concatenate([timeline.numbers(each.time) for each, timeline in pairs]),
            group=np.concatenate(groups),
            win=np.concatenate([library.win for library in libraries]),
        )._in_order()

    def __len__(self) -> int:
        return len(self.time)

    @property
    def last(self) -> np.datetime64:
        """Start of the bar of the last row of the pair that asks; NaT without one."""
        own = self.time[self.group == OWN]
        return own.max() if len(own) else NEVER

    def extend(self, later: Library, timeline: Timeline) -> Pool:
        """Add later rows of the pair that asks; those not after its last one are dropped.

        Parameters
        ----------
        later : Library
        timeline : Timeline
            Of the pair that asks.
        """
        new = Pool.of([later], [timeline])
        new = new if np.isnat(self.last) else new.take(new.time > self.last)
        columns = zip(vars(self).values(), vars(new).values(), strict=True)
        return Pool(*(np.concatenate(pair) for pair in columns))._in_order()

    def ask(
        self,
        answers: pl.DataFrame,
        paths: NDArray[np.float32],
        timeline: Timeline,
        *,
        rule: Rule,
        engine: str = "auto",
    ) -> pl.DataFrame:
        """Return answers with what the nearest of all pairs say of the same bars.

        Parameters
        ----------
        answers : polars.DataFrame
            Of q bars, by `position`.
        paths : float32[q, 64]
            Theirs.
        timeline : Timeline
            Of the pair that asks: a query sees what was known, of any pair, at its own close.
        rule : Rule
        engine : {"auto", "cpu", "gpu"}

        Returns
        -------
        polars.DataFrame
            With pooled_k_eff, pooled_wins_long and pooled_wins_short.
        """
        asked = timeline.starts[answers["position"].to_numpy()]
        size = CHUNK[choose_engine(engine).name]
        parts = []
        for start in range(0, max(len(answers), 1), size):
            rows = slice(start, start + size)
            found = self.find(paths[rows], asked[rows], rule=rule, engine=engine)
            wins, k_eff = count_wins(found, self.win)
            columns = {f"pooled_wins_{name}": wins[:, side] for side, name in enumerate(SIDES)}
            parts.append(pl.DataFrame({"pooled_k_eff": k_eff[:, 0], **columns}))
        return answers.hstack(pl.concat(parts))

    def find(
        self, paths: NDArray[np.float32], asked: Times, *, rule: Rule, engine: str = "auto"
    ) -> Neighbours:
        """Find the nearest rows among those known at the close of the bars that ask.

        Parameters
        ----------
        paths : float32[q, 64]
        asked : datetime64[us][q]
            When their bars began: bars of all pairs are of one length.
        rule : Rule
        engine : {"auto", "cpu", "gpu"}
        """
        return nearest(
            paths,
            self.paths,
            position=self.position,
            group=self.group,
            known_before=np.searchsorted(self.known, asked, side="right").astype(np.int64),
            exclusion=rule.horizon,
            k=rule.k,
            engine=engine,
        )

    def take(self, rows: NDArray[Any]) -> Pool:
        """Return some of the rows, in the order asked for."""
        return Pool(*(column[rows] for column in vars(self).values()))

    def _in_order(self) -> Pool:
        """Sort by when outcomes became known; at one moment, by pair and time."""
        return self.take(np.lexsort((self.time, self.group, self.known)))

    def write(self, path: Path) -> None:
        """Write the pool as Parquet."""
        frame = pl.from_numpy(self.paths, [f"path_{d}" for d in range(self.paths.shape[1])])
        plain = {name: getattr(self, name) for name in ("time", "known", "position", "group")}
        wins = {f"win_{side}": self.win[:, s] for s, side in enumerate(SIDES)}
        keep(frame.with_columns(**plain, **wins), path)

    @classmethod
    def read(cls, path: Path) -> Pool:
        """Read what `write` wrote."""
        frame = pl.read_parquet(path)
        return cls(
            paths=np.ascontiguousarray(frame.select("^path_\\d+$").to_numpy()),
            win=np.stack([frame[f"win_{side}"].to_numpy() for side in SIDES], axis=1),
            **{name: frame[name].to_numpy() for name in ("time", "known", "position", "group")},
        )


def pooled(
    measures: Measures,
    frozen: Frozen,
    library: Library,
    answers: pl.DataFrame,
    bars: Mapping[str, pl.DataFrame],
    *,
    engine: str = "auto",
) -> tuple[Pool, pl.DataFrame]:
    """Pool a library with the past of other pairs, and ask it what the library was asked.

    Parameters
    ----------
    measures : Measures
        Of the pair that asks.
    frozen : Frozen
        Its recipe names the pool.
    library : Library
    answers : polars.DataFrame
        What `replay` returned with the library.
    bars : mapping of str to polars.DataFrame
        Of each pair of the pool, of the same timeframe; with `stop_RULE` and `target_RULE` where
        the recipe has a strategy's rule.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    pool : Pool
    answers : polars.DataFrame
        With the columns of `Pool.ask`.

    Notes
    -----
    All bars ask what was known at their close, those of the library span, too: what is said of
    a row is then out of its fold as it is.
    """
    timeline = Timeline.of(measures.metrics["timestamp"])
    others = [_past(bars[pair], pair, frozen, engine) for pair in frozen.recipe.pool]
    times = [Timeline.of(bars[pair]["timestamp"]) for pair in frozen.recipe.pool]
    pool = Pool.of([library, *others], [timeline, *times])
    paths = frozen.paths(measures.trajectory[answers["position"].to_numpy()])
    return pool, pool.ask(answers, paths, timeline, rule=frozen.rule, engine=engine)


def _past(bars: pl.DataFrame, pair: str, frozen: Frozen, engine: str) -> Library:
    """Return the past of another pair: trades by the model's rules, at that pair's usual costs."""
    recipe = _recipe_of(pair, frozen.recipe)
    measures = measure_by(recipe, bars, engine=engine)
    exits = [
        name for name in bars.columns if name in (f"stop_{recipe.rule}", f"target_{recipe.rule}")
    ]
    metrics = measures.metrics.with_columns(bars[name] for name in exits)
    return Library.build(
        frozen.paths(measures.trajectory),
        np.empty((len(bars), 0), np.float32),
        resolve(bars, metrics, recipe, engine=engine),
        Timeline.of(bars["timestamp"]).starts,
        stride=recipe.stride_for(len(bars)),
    )


def _recipe_of(pair: str, recipe: Recipe) -> Recipe:
    financing = usual_financing(pair) if recipe.costs.financing else Financing()
    return replace(
        recipe,
        pair=pair,
        spread=default_spread(pair),
        slippage=default_slippage(pair),
        spread_share=0.0,
        commission=recipe.commission / pip(recipe.pair) * pip(pair),
        swap_long=financing.long,
        swap_short=financing.short,
        swap_days=financing.days,
        leads=(),
        pool=(),
    )
