"""Promotion: a model becomes champion by what it does on bars that nobody had looked at."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from infra.market.timeframes import bar_length
from infra.stores.bulk import BarStore
from tasks import document
from tasks.audit.detectors import NothingToAudit
from tasks.audit.models import audit
from tasks.folder import RunFolder
from tasks.gate import holdout, log
from tasks.gate.checks import Check, Judged, checks, passed, reasons
from tasks.gate.evidence import Search, Unseen, unseen
from tasks.live.cycle import newest_signals
from tasks.live.trained import trained
from tasks.research import registry
from tasks.research.model import Model
from tasks.research.registry import Entry
from tasks.research.resolve import resolve
from tasks.research.returns import varied
from tasks.rules.bench import Bench

AUDITED: Final = 2
"""Bars whose future the leak detectors change."""


@dataclass(frozen=True)
class Promotion:
    """What came of asking for a promotion.

    Attributes
    ----------
    model_id, pair, timeframe, strategy : str
    passed : bool
        Whether the model is champion now.
    checks : list of Check
        Of test span and holdout together, and of the holdout alone.
    reasons : list of str
        Why it is not champion.
    first, last : datetime or None
        Bars of the holdout that were looked at; None where there was none.
    again : bool
        Whether they had been looked at before.
    kept : str or None
        The champion that stays in force instead.
    """

    model_id: str
    pair: str
    timeframe: str
    strategy: str
    passed: bool
    checks: list[Check]
    reasons: list[str]
    first: datetime | None = None
    last: datetime | None = None
    again: bool = False
    kept: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = asdict(self)
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in plain.items()}


def promote(
    model_id: str, store: BarStore, *, who: str, i_know: bool = False, engine: str = "auto"
) -> Promotion:
    """Open the holdout, ask the gate, and put a model in force: as champion, or to speak in shadow.

    Parameters
    ----------
    model_id : str
        Or its beginning.
    store : BarStore
    who : str
        Who asks.
    i_know : bool
        Look at a holdout although another model was judged by it; it counts as one more trial.
    engine : {"auto", "cpu", "gpu"}

    Returns
    -------
    Promotion

    Raises
    ------
    tasks.research.registry.NoModel
        If there is no such model.
    tasks.research.registry.ModelRefused
        If a file is gone, or bars of its history or the code changed since.
    tasks.gate.holdout.HoldoutUsed
        If another model was judged by the holdout.
    """
    chosen = registry.entry(model_id)
    chosen = registry.entry(chosen.metrics.get("of", chosen.model_id))
    model = registry.in_force(chosen, store)
    span = _span(chosen, model, store)
    judged = _judged(chosen)
    if judged is None or span is None or not judged.own > 1:
        return _in_shadow(chosen, who, [], [_missing(chosen, judged, span)])
    first, last = span
    others = holdout.openings(chosen.pair, chosen.timeframe, first)
    again = any(each.model_id != chosen.model_id for each in others)
    holdout.open_for(
        chosen.pair,
        chosen.timeframe,
        first,
        last,
        model_id=chosen.model_id,
        who=who,
        again=i_know,
    )
    asked = _asked(chosen, judged, span, store, engine)
    about: dict[str, Any] = {"first": first, "last": last, "again": again}
    if not passed(asked):
        return _in_shadow(chosen, who, asked, reasons(asked), **about)
    why = f"passed the gate on bars up to {last:%Y-%m-%d %H:%M}"
    registry.appoint(chosen.model_id, who=who, why=why)
    return Promotion(*_key(chosen), passed=True, checks=asked, reasons=[], **about)


def _key(chosen: Entry) -> tuple[str, str, str, str]:
    return chosen.model_id, chosen.pair, chosen.timeframe, chosen.strategy


def _span(chosen: Entry, model: Model, store: BarStore) -> tuple[datetime, datetime] | None:
    """Return first and last bar of the holdout that comes after a model's bars."""
    pair, timeframe, known = chosen.pair, chosen.timeframe, model.frozen.last_bar
    found = holdout.locked(pair, timeframe)
    seen = [each.first for each in holdout.openings(pair, timeframe) if each.first > known]
    first = found if found is not None and found > known else max(seen, default=None)
    if first is None:
        return None
    times = store.starts(pair, timeframe, first)
    return (first, times[-1]) if len(times) else None


def _judged(chosen: Entry) -> Judged | None:
    path = RunFolder(Path(chosen.folder)).gate
    return document.read(path, Judged) if path.exists() else None


def _missing(chosen: Entry, judged: Judged | None, span: object) -> str:
    if judged is None or not judged.own > 1:
        return "no sets of parameters were compared for it: make one by `train`, not by `backtest`"
    return (
        f"no bars of {chosen.pair} {chosen.timeframe} were kept from it: `train` locks the last "
        "15 % of them, or ingest bars of later"
    )


def _in_shadow(
    chosen: Entry, who: str, asked: list[Check], why: list[str], **about: Any
) -> Promotion:
    """Let a model speak in shadow, unless a champion is in force for its key."""
    champion = _in_force(chosen)
    kept = champion.model_id if champion else None
    if kept is None:
        registry.appoint(chosen.model_id, who=who, shadow=True, why="; ".join(why))
    return Promotion(*_key(chosen), passed=False, checks=asked, reasons=why, kept=kept, **about)


def _asked(
    chosen: Entry, judged: Judged, span: tuple[datetime, datetime], store: BarStore, engine: str
) -> list[Check]:
    """Hold what a model did on test span and holdout against the gate."""
    first, last = span
    alone, together = _evidence(chosen, judged, first, store, engine)
    run = RunFolder(Path(chosen.folder))
    returns = varied(pl.read_parquet(run.trials).to_numpy().astype(np.float64))
    counted = log.tally(chosen.pair, chosen.timeframe, chosen.trained_from, last)
    asked = checks(together, Search(returns, counted.sets, counted.effective))
    asked.append(_positive("net gain on the holdout alone", alone.net))
    asked.append(_leaks(chosen, store, engine))
    champion = _champion(chosen, first)
    if champion is not None:
        theirs = _evidence_alone(champion, first, store, engine).net
        name = f"net gain on the holdout, less that of the champion {champion.model_id}"
        asked.append(_positive(name, alone.net - theirs))
    return asked


def _leaks(chosen: Entry, store: BarStore, engine: str) -> Check:
    """Say how many of the leak detectors find look-ahead."""
    name = "leak detectors that find look-ahead"
    try:
        found = audit(chosen, store, count=AUDITED, engine=engine)
    except NothingToAudit as error:
        return Check(name, None, 0.0, passed=False, why=str(error))
    leaks = [each.detector for each in found if not each.clean]
    why = f"of {len(found)}: {', '.join(leaks) or 'none'}; at most"
    return Check(name, float(len(leaks)), 0.0, passed=not leaks, why=why)


def _positive(name: str, value: float) -> Check:
    return Check(name, value, 0.0, value > 0, "above")


def _champion(chosen: Entry, first: datetime) -> Entry | None:
    """Return the champion that a model would replace, if the holdout is unseen by it, too."""
    champion = _in_force(chosen)
    if champion is None or champion.model_id == chosen.model_id:
        return None
    return champion if champion.trained_until < first else None


def _in_force(chosen: Entry) -> Entry | None:
    """Return the champion of a model's pair, timeframe and strategy; shadows are none."""
    for each in registry.entries(chosen.pair, chosen.timeframe):
        if each.champion and not each.shadow and each.strategy == chosen.strategy:
            return each
    return None


def _evidence_alone(chosen: Entry, first: datetime, store: BarStore, engine: str) -> Unseen:
    return _evidence(chosen, None, first, store, engine)[0]


def _evidence(
    chosen: Entry, judged: Judged | None, first: datetime, store: BarStore, engine: str
) -> tuple[Unseen, Unseen]:
    """Return what a model did on the holdout, and on its test span and the holdout together."""
    setup, rules = trained(chosen, store, engine)
    model = rules[setup.first].model
    recipe = model.frozen.recipe
    bars = store.read(recipe.pair, recipe.timeframe, first)
    as_of = bars["timestamp"][-1] + bar_length(recipe.timeframe)
    told, signals = newest_signals(setup, rules, store, as_of=as_of, count=len(bars), engine=engine)
    bench = Bench(setup, {}, {}, bars, told["segment"].to_numpy(), 0)
    simulation = bench.trade(signals)
    known = _with_outcomes(told, bars, model, engine)
    before = pl.read_parquet(RunFolder(Path(chosen.folder)).predictions)
    library = before.filter(pl.col("split") == "library")
    alone = unseen(
        bench,
        pl.concat([library, known], how="diagonal_relaxed"),
        signals,
        simulation,
        recipe.horizon,
    )
    if judged is None:
        return alone, alone
    both = unseen(
        bench,
        pl.concat([before, known], how="diagonal_relaxed"),
        signals,
        simulation,
        recipe.horizon,
    )
    return alone, _together(judged.unseen, both)


def _with_outcomes(
    told: pl.DataFrame, bars: pl.DataFrame, model: Model, engine: str
) -> pl.DataFrame:
    """Return predictions of the holdout with what became of their trades."""
    recipe = model.frozen.recipe
    exits = {}
    if recipe.rule:
        exits = {f"{kind}_{recipe.rule}": pl.col(f"{kind}_distance") for kind in ("stop", "target")}
    found = resolve(bars, told.with_columns(**exits), recipe, engine=engine)
    won = {
        f"win_{side}": pl.Series(np.asarray(found.win)[:, number]).replace(-1, None)
        for number, side in enumerate(("long", "short"))
    }
    return told.with_columns(**won, split=pl.lit("test"))


def _together(test: Unseen, both: Unseen) -> Unseen:
    """Return test span and holdout as one: their trades do not overlap."""
    return replace(
        both,
        daily=(*test.daily, *both.daily),
        trades=test.trades + both.trades,
        net=test.net + both.net,
        delayed=test.delayed + both.delayed,
        wider=test.wider + both.wider,
    )
