"""The steps that keep a search honest: what is locked, what is logged, what the gate says."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.errors import SepError
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.gate import holdout, log
from tasks.gate.checks import Judged, checks
from tasks.gate.evidence import Search, Unseen, unseen
from tasks.gate.paths import paths_of
from tasks.gate.promotion import promote
from tasks.research.model import Model
from tasks.research.returns import varied
from tasks.research.simulation import Simulation
from tasks.rules.bench import Bench
from tasks.steps import step

Floats = NDArray[np.float64]


class Locked(SepError, RuntimeError):
    """Bars of a holdout were asked for; the message says how to leave them, or to open them."""


@step("reserve", version=1)
def reserve_bars(
    run_id: str,
    pair: str,
    timeframe: str,
    start: str | None,
    end: str | None,
    share: float,
    i_know: bool,
) -> dict[str, Any]:
    """Say up to which bar a run may look, and lock what comes after it.

    Parameters
    ----------
    run_id : str
    pair, timeframe : str
    start, end : str, optional
        ISO times of the first bar that is asked for, and of one past the last.
    share : float
        Of the bars that is locked; 0 locks none.
    i_know : bool
        Look at locked bars: the look is written down, and counts.

    Returns
    -------
    dict
        `end` (ISO time, None for all), `locked` (first bar that is locked, None for none).

    Raises
    ------
    Locked
        If `end` reaches into a holdout.
    """
    until = datetime.fromisoformat(end) if end else None
    first = holdout.locked(pair, timeframe)
    if first is None and share > 0:
        first = _lock(run_id, pair, timeframe, start, until, share)
    if first is None or (until is not None and until <= first):
        return {"end": end, "locked": first and first.isoformat()}
    if until is None and not i_know:
        return {"end": first.isoformat(), "locked": first.isoformat()}
    if not i_know:
        raise Locked(
            f"the bars of {pair} {timeframe} from {first} on are a locked holdout: leave `end` out "
            "or let it be no later, or open them by i_know=true, which is written down and counts "
            "as a trial"
        )
    looked = bar_store().starts(pair, timeframe, first, until)
    if len(looked):
        holdout.open_for(
            pair, timeframe, first, looked[-1], model_id=run_id, who="i_know", again=True
        )
    return {"end": end, "locked": None}


def _lock(
    run_id: str,
    pair: str,
    timeframe: str,
    start: str | None,
    until: datetime | None,
    share: float,
) -> datetime | None:
    """Lock the last share of the bars, those that somebody has looked at left out."""
    since = datetime.fromisoformat(start) if start else None
    times = bar_store().starts(pair, timeframe, since, until)
    seen = holdout.openings(pair, timeframe)
    first = times[int(len(times) * (1 - share))] if len(times) else None
    if first is None:
        return None
    if seen:
        newest = max(each.last for each in seen)
        fresh = times.filter(times > max(newest, first - timedelta.resolution))
        if fresh.is_empty():
            return None
        first = fresh[0]
    return holdout.lock(pair, timeframe, first, times[-1], run_id)


@step("judge", version=1)
def judge(folder: str, run_id: str, kind: str, seed: int) -> dict[str, Any]:
    """Log what was tried, and ask the gate of the test span.

    Parameters
    ----------
    folder : str
        The run's folder.
    run_id : str
    kind : {"backtest", "train"}
    seed : int
        Of the bootstraps.

    Returns
    -------
    dict
        `passed`, `gate` (criteria as plain values), `trials` (what was tried on these bars),
        `paths` (Sharpe ratios of the choice along other ways through the past).
    """
    run = RunFolder(Path(folder))
    bench, returns = Bench.read(run), _returns(run)
    model = document.read(run.model, Model)
    found = _unseen(run, bench, model, seed)
    own = _record(bench, model, run_id, kind, returns)
    counted = log.tally(own.pair, own.timeframe, own.first, own.last)
    search = Search(returns, counted.sets, counted.effective)
    asked = checks(found, search, seed=seed)
    judged = Judged(asked, found, counted, own.sets, paths_of(returns))
    document.write(run.gate, judged)
    return judged.told()


def _returns(run: RunFolder) -> Floats:
    if not run.trials.exists():
        return np.zeros((0, 0))
    return varied(pl.read_parquet(run.trials).to_numpy().astype(np.float64))


def _unseen(run: RunFolder, bench: Bench, model: Model, seed: int) -> Unseen:
    simulation = Simulation(pl.read_parquet(run.trades), pl.read_parquet(run.equity))
    return unseen(
        bench,
        pl.read_parquet(run.predictions),
        pl.read_parquet(run.signals),
        simulation,
        model.frozen.recipe.horizon,
        seed=seed,
    )


def _record(
    bench: Bench,
    model: Model,
    run_id: str,
    kind: str,
    returns: Floats,
) -> log.Tried:
    frozen, setup = model.frozen, bench.setup
    tried = log.Tried(
        pair=frozen.recipe.pair,
        timeframe=frozen.recipe.timeframe,
        first=frozen.first_bar,
        last=frozen.last_bar,
        run_id=run_id,
        kind=kind,
        strategy=frozen.recipe.strategy,
        sets=max(1, setup.tried),
        effective=max(1.0, min(setup.effective, float(max(1, setup.tried)))),
        deviation=None,
        details={"model": model.model_id, "days": len(returns)},
    )
    log.record(tried)
    return tried


@step("promote", version=1)
def promote_model(model_id: str, engine: str) -> dict[str, Any]:
    """Open the holdout and ask the gate, as `sep model promote` does.

    Parameters
    ----------
    model_id : str
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    dict
        `passed` and `reasons`, and, where it was asked, what else a promotion tells.
    """
    try:
        return promote(model_id, bar_store(), who="train", engine=engine).to_dict()
    except holdout.HoldoutUsed as error:  # the model is made and recorded all the same
        return {"passed": False, "reasons": [str(error)]}
