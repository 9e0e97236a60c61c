"""Planted leaks, each with the detectors that must catch it, and strategies that have none.

What `sep selftest` and the tests hold the detectors to: a detector is worth what it was seen to
catch, and what it was seen to let pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import polars as pl

from infra.bars import PRICES
from infra.market.quotes import Costs
from tasks.audit.cases import Case, Signals, warm_up
from tasks.audit.detectors import Finding, NothingToAudit, audited, fills
from tasks.audit.drawn import program
from tasks.audit.frames import frame, frames_for
from tasks.strategy.language.program import Program
from tasks.strategy.seam import Frames

BARS: Final = ["timestamp", *PRICES, "volume"]
FUTURES: Final = frozenset({"truncation", "poison", "future twin"})
"""The detectors that change what comes after a bar."""
MOVE: Final = pl.col("close") / pl.col("close").shift(20) - 1
"""Of the last 20 bars: clean."""
COSTS: Final = Costs(spread=2e-4, slippage=0.0)
WARM_UP: Final = 60
CLEAN_BARS: Final = 500


@dataclass(frozen=True)
class Leak:
    """A planted leak.

    Attributes
    ----------
    detectors : frozenset of str
        Which must raise an alarm; others may.
    caught : callable
        Returns which do.
    """

    detectors: frozenset[str]
    caught: Callable[[], set[str]]

    @classmethod
    def of(cls, signals: Signals, *detectors: str) -> Leak:
        """Return the leak of signals that know more than they may.

        Parameters
        ----------
        signals : callable
            Of the streams `h1` and `h4`.
        *detectors : str
        """
        return cls(frozenset(detectors), lambda: alarms(signals))


def bars_of(n: int, timeframe: str = "H1", seed: int = 0) -> pl.DataFrame:
    """Return bars of a walk without anything besides prices.

    Parameters
    ----------
    n : int
    timeframe : str
    seed : int
    """
    return frame(n, timeframe, seed=seed).select(BARS)


def alarms(signals: Signals, warm_up: int = WARM_UP) -> set[str]:
    """Return which detectors raise an alarm over hours, beside which there are bars of four.

    Parameters
    ----------
    signals : callable
    warm_up : int
    """
    case = Case("planted", signals, {"h1": "H1", "h4": "H4"}, warm_up)
    bars = {"h1": bars_of(600), "h4": bars_of(150, "H4", seed=1)}
    return {each.detector for each in audited(case, bars) if not each.clean}


def where_above(bars: pl.DataFrame, value: pl.Expr) -> pl.DataFrame:
    """Return signals where a value is above nought.

    Parameters
    ----------
    bars : polars.DataFrame
    value : polars.Expr
    """
    valued = bars.with_columns(value=value.cast(pl.Float64))
    return valued.filter(pl.col("value") > 0).select("timestamp", "value")


def clean(bars: Frames) -> pl.DataFrame:
    """Return signals that know no more than they may."""
    return where_above(bars["h1"], MOVE)


def _next_bar(bars: Frames) -> pl.DataFrame:
    return where_above(bars["h1"], pl.col("close").shift(-1) - pl.col("close"))


def _hidden(bars: Frames) -> pl.DataFrame:
    """No signal shows it: one is missing where the next bar falls."""
    rising = pl.col("close").shift(-1) > pl.col("close")
    return where_above(bars["h1"], (MOVE > 0.008) & rising)


def _score(bars: Frames) -> pl.DataFrame:
    close = pl.col("close")
    return where_above(bars["h1"], (close - close.mean()) / close.std())


def _unclosed(bars: Frames) -> pl.DataFrame:
    slow = bars["h4"].select("timestamp", slow="close")
    joined = bars["h1"].join_asof(slow, on="timestamp")
    return where_above(joined, pl.col("slow") - pl.col("open"))


def _unknown(bars: Frames) -> pl.DataFrame:
    """The likest of all other bars, those to come among them, tells what comes."""
    returns = bars["h1"]["close"].pct_change().fill_null(0.0).to_numpy()
    asked = np.arange(100, returns.size - 5, 25)
    apart = np.abs(returns[asked, None] - returns[None, :-1])
    apart[np.arange(asked.size), asked] = np.inf
    outcome = returns[apart.argmin(axis=1) + 1]
    return pl.DataFrame({"timestamp": bars["h1"]["timestamp"].gather(asked), "value": outcome})


def _counted(bars: Frames) -> pl.DataFrame:
    return where_above(bars["h1"], pl.int_range(pl.len()) % 7 - 3)


def _filled_at_close() -> set[str]:
    found = filled_at_close()
    return set() if found.clean else {found.detector}


def filled_at_close() -> Finding:
    """Return what is said of longs filled at the close of their signal's bar, as prices rise.

    The close is a price that there was no more when the signal was known: the next open is.
    """
    rise = 1e-3 * pl.int_range(pl.len())
    bars = bars_of(400).with_columns(pl.col(*PRICES) + rise)
    signalled, entered = bars[9:299:10], bars[10:300:10]["timestamp"]
    trades = signalled.select(
        signal_time="timestamp",
        entry_time=entered,
        exit_time=entered,
        side=pl.lit("long"),
        entry_price=pl.col("close") + COSTS.spread / 2,
        exit_price=pl.lit(0.0),
    )
    return fills(trades, bars, "H1", COSTS)


LEAKS: Final[Mapping[str, Leak]] = MappingProxyType(
    {
        "a bar to come": Leak.of(_next_bar, *FUTURES),
        "a bar to come that hides signals": Leak.of(_hidden, "truncation"),
        "a z-score of the whole frame": Leak.of(_score, *FUTURES),
        "a slower bar that has not closed": Leak.of(_unclosed, "truncation"),
        "a library of unknown outcomes": Leak.of(_unknown, "truncation", "future twin"),
        "a count from the first bar": Leak.of(_counted, "start"),
        "a fill at the signal's close": Leak(frozenset({"fills"}), _filled_at_close),
    }
)
"""By what leaks."""


def alarms_of(seed: int) -> list[Finding] | None:
    """Return the alarms that a random strategy raises; none may.

    Its frames have all that engine and models say, some of it null: nothing is measured.

    Parameters
    ----------
    seed : int

    Returns
    -------
    list of Finding or None
        None where its signals are too few to be audited.
    """
    drawn = Program.of(program(seed))
    timeframes = {each.name: each.timeframe for each in drawn.streams}
    case = Case(str(seed), drawn.evaluate, timeframes, warm_up(drawn))
    try:
        found = audited(case, frames_for(drawn, CLEAN_BARS, seed=seed), count=3)
    except NothingToAudit:
        return None
    return [each for each in found if not each.clean]
