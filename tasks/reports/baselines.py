"""What confidence has to beat: simple forecasts, fitted on the library and calibration spans."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from kernels.confidence import STRENGTHS
from kernels.outcomes import SIDES
from kernels.tally import posterior
from tasks.research.learners.folds import Folds
from tasks.research.learners.hours import HOURS, MONDAY
from tasks.research.learners.linear import Logistic
from tasks.research.learners.rows import Floats, Ints, Labels, Rows

TRAINED: Final = ("library", "calibration")
LAGS: Final = 5
DRAWN: Final = 50
"""Random neighbours of a bar."""
MOST: Final = 20_000
"""Bars that the regression is fitted on; of more every second, third .. is taken."""


@dataclass(frozen=True)
class History:
    """Bars with their outcomes, as baselines see them.

    Attributes
    ----------
    close : float64[n]
    hour : int64[n]
        Of the week, UTC.
    win : int8[n, 2]
        -1 where unknown.
    split : str[n]
        Span of each bar; empty in none.
    horizon : int
    seed : int
    """

    close: Floats
    hour: Ints
    win: np.ndarray[tuple[int, int], np.dtype[np.int8]]
    split: np.ndarray[tuple[int], np.dtype[np.str_]]
    horizon: int
    seed: int

    @classmethod
    def of(cls, predictions: pl.DataFrame, horizon: int, seed: int) -> History:
        """Read the metrics frame.

        Parameters
        ----------
        predictions : polars.DataFrame
        horizon : int
        seed : int
            Of the random neighbours.
        """
        time = predictions["timestamp"].dt.epoch("us").to_numpy()
        wins = [predictions[f"win_{side}"].fill_null(-1).to_numpy() for side in SIDES]
        return cls(
            close=predictions["close"].cast(pl.Float64).fill_null(np.nan).to_numpy(),
            hour=(time // 3_600_000_000 + MONDAY) % HOURS,
            win=np.column_stack(wins).astype(np.int8),
            split=predictions["split"].fill_null("").to_numpy().astype(np.str_),
            horizon=horizon,
            seed=seed,
        )

    def rows(self, *splits: str) -> Ints:
        """Return numbers of the bars of some spans."""
        return np.flatnonzero(np.isin(self.split, splits))

    def known(self, *splits: str) -> Ints:
        """Return those of them whose outcomes are known on both sides."""
        rows = self.rows(*splits)
        return rows[(self.win[rows] >= 0).all(axis=1)]

    def move(self, bars: int) -> Floats:
        """Return the log return over the last so many bars, float64[n]; NaN at the start."""
        moved = np.full(len(self.close), np.nan)
        moved[bars:] = np.log(self.close[bars:] / self.close[: len(self.close) - bars])
        return moved

    def base(self) -> Floats:
        """Return the share of wins of the training spans by side, float64[2]."""
        known = self.known(*TRAINED)
        return (self.win[known] == 1).mean(axis=0) if len(known) else np.full(2, np.nan)


def baselines(history: History) -> dict[str, Floats]:
    """Return what each baseline says of the bars of the test span, float64[t, 2] by name.

    Where one knows nothing of a bar it says the base rate.

    Parameters
    ----------
    history : History
    """
    base = history.base()
    told = {name: forecast(history) for name, forecast in BASELINES.items()}
    return {name: np.where(np.isfinite(said), said, base) for name, said in told.items()}


def base_rate(history: History) -> Floats:
    """Say the share of wins of the training spans."""
    return np.tile(history.base(), (len(history.rows("test")), 1))


def persistence(history: History) -> Floats:
    """Say how often trades along the last move won, if more often than those against it.

    The move is as long as a trade.
    """
    return _by_sign(history, along=True)


def reversal(history: History) -> Floats:
    """Say how often trades against the last move won, if more often than those along it."""
    return _by_sign(history, along=False)


def _by_sign(history: History, *, along: bool) -> Floats:
    sign = np.sign(history.move(history.horizon))
    known, test, base = history.known(*TRAINED), history.rows("test"), history.base()
    said = np.tile(base, (len(test), 1))
    for side, way in enumerate((1.0, -1.0)):
        won = history.win[known, side] == 1
        rates = {to: _share(won[sign[known] == to], base[side]) for to in (way, -way)}
        if (rates[way] > rates[-way]) is along:
            for to, rate in rates.items():
                said[sign[test] == to, side] = rate
    return said


def logistic(history: History) -> Floats:
    """Say what a ridge logistic regression on the last five returns says."""
    lags = history.move(1)
    columns = np.column_stack([_behind(lags, lag) for lag in range(LAGS)])
    known, test = history.known(*TRAINED), history.rows("test")
    known = known[:: -(-len(known) // MOST) or 1]
    labels = Labels.of(known, history.win[known], history.horizon)
    forward = _first(history.rows("calibration"), otherwise=len(history.close))
    said = np.full((len(test), 2), np.nan)
    if not len(known) or labels.rarest() < 1:
        return said
    folds = Folds.cut(known, forward=forward, horizon=history.horizon, seed=history.seed)
    trained = _LAGS.fit(_rows(known, columns[known]), labels, folds)
    if trained is not None:
        said = 1 / (1 + np.exp(-trained.fitted.apply(_rows(test, columns[test]))))
    return said


def random_neighbours(history: History) -> Floats:
    """Say the share of wins among bars of the library drawn from the same hour of the week.

    Drawn as often as similar paths are asked, and shrunk by what the calibration span bears out:
    where these do better, similarity is what tells.
    """
    rng, base = np.random.default_rng(history.seed), history.base()
    asked, test = history.known("calibration"), history.rows("test")
    drawn = _drawn(history, np.concatenate([asked, test]), rng)
    before, after = drawn[: len(asked)], drawn[len(asked) :]
    said = np.full((len(test), 2), np.nan)
    for side, rate in enumerate(base.tolist()):
        won = history.win[asked, side]
        strength = min(STRENGTHS, key=lambda m: _error(_shrunk(before[:, side], rate, m), won))
        said[:, side] = _shrunk(after[:, side], rate, strength)
    return said


def _shrunk(wins: Ints, rate: float, strength: float) -> Floats:
    """Return shrunk shares of wins, float64[n]; NaN where none were drawn."""
    drawn = np.where(wins >= 0, DRAWN, 0)
    return np.asarray(posterior(wins, drawn, base_rate=rate, strength=strength))


def _error(said: Floats, won: Ints) -> float:
    heard = np.isfinite(said)
    return float(((said - won)[heard] ** 2).mean()) if heard.any() else 0.0


BASELINES: Final[dict[str, Callable[[History], Floats]]] = {
    "base rate": base_rate,
    "sign persistence": persistence,
    "sign reversal": reversal,
    "logistic on five returns": logistic,
    "random neighbours": random_neighbours,
}
"""The first says the base rate that all are judged against: its skill is 0."""

_LAGS = Logistic(lambda rows: rows.leads)


def _drawn(history: History, asked: Ints, rng: np.random.Generator) -> Ints:
    """Return wins among the neighbours drawn for bars, int64[n, 2]; -1 where there are none."""
    library, wins = history.known("library"), np.full((len(asked), 2), -1, np.int64)
    hours = history.hour[library]
    for hour in range(HOURS):
        alike, mine = library[hours == hour], np.flatnonzero(history.hour[asked] == hour)
        if len(alike) and len(mine):
            chosen = alike[rng.integers(len(alike), size=(len(mine), DRAWN))]
            wins[mine] = (history.win[chosen] == 1).sum(axis=1)
    return wins


def _rows(position: Ints, columns: Floats) -> Rows:
    """Return rows of which nothing but columns is known: they stand where other pairs do."""
    n = len(position)
    none, pairs, nothing = np.zeros(n, np.int64), np.zeros((n, 2), np.int64), np.zeros(n)
    return Rows(
        position=position,
        time=none,
        trajectory=np.zeros((n, 64), np.float32),
        volatility=nothing,
        cost=nothing,
        momentum=np.zeros((n, 3)),
        pattern=none,
        leads=columns,
        wins=pairs,
        k_eff=none,
        local=np.zeros((n, 2)),
        pooled_wins=pairs,
        pooled_k_eff=none,
    )


def _behind(values: Floats, bars: int) -> Floats:
    return np.concatenate([np.full(bars, np.nan), values[: len(values) - bars]])


def _share(won: np.ndarray[tuple[int], np.dtype[np.bool_]], otherwise: float) -> float:
    return float(won.mean()) if len(won) else otherwise


def _first(rows: Ints, *, otherwise: int) -> int:
    return int(rows[0]) if len(rows) else otherwise
