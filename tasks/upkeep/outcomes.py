"""What became of published signals, traded or not: each is followed to the end of its exit rule.

By the code and the costs of a backtest. A model's files are not needed: its recipe is on record.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl
from polars._typing import PolarsDataType
from pydantic import ValidationError
from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.dialects.postgresql import insert

from infra.errors import SepError
from infra.market.fills import exit_due_by_calendar
from infra.market.timeframes import bar_length
from infra.postgres.database import read_frame, reading, session
from infra.postgres.models import Model, Signal
from infra.postgres.outcomes import SignalOutcome
from infra.stores.bulk import BarStore
from tasks.document import from_plain
from tasks.folder import bar_store
from tasks.research.measure import segments_of
from tasks.research.recipe import Recipe
from tasks.research.simulation import follow

logger = logging.getLogger(__name__)

PAGE: Final = 1_000
"""Signals that are resolved and written at once."""

SPAN: Final = 50_000
"""Bars that are read at once, about."""

LATE: Final = timedelta(days=3)
"""Bars are waited for so long after an exit was due; then they are missing."""

OPEN: Final = ("missing", "refused")
"""States that may still become another."""

_KNOWN: Final[dict[str, PolarsDataType]] = {
    "won": pl.Boolean,
    **dict.fromkeys(("gain", "gross", "entry_price", "exit_price"), pl.Float64),
    **dict.fromkeys(("entry_at", "exit_at"), pl.Datetime("us", "UTC")),
    "exit_reason": pl.String,
}
_PENDING = """
SELECT s.id AS signal_id, s.bar_ts, s.side, s.horizon, s.stop_distance, s.target_distance,
    s.confidence, s.break_even
FROM signal AS s LEFT JOIN signal_outcome AS o ON o.signal_id = s.id
WHERE s.model_id = %s AND s.bar_ts > %s AND s.action IN ('BUY', 'SELL')
    AND (o.state IS NULL OR o.state IN ('missing', 'refused'))
ORDER BY s.bar_ts LIMIT %s
"""
_BEGIN = datetime(1, 1, 2, tzinfo=UTC)


def resolve_signals(
    *, now: datetime | None = None, tell: Callable[[str], object] = logger.info
) -> dict[str, int]:
    """Resolve each published signal whose exit rule has ended by the bars that are here.

    Whoever is killed in between, or runs twice or beside another, leaves the same rows.

    Parameters
    ----------
    now : datetime, optional
        Since when bars are late; left out: the wall clock.
    tell : callable
        Hears of progress.

    Returns
    -------
    dict
        How many are `resolved`, `void`, `missing` and `refused` now, of those that were not
        before, and `waiting` for bars. Nothing where this home has no bars at all.
    """
    store, moment = bar_store(), now or datetime.now(UTC)
    counts = Counter(dict.fromkeys(("resolved", "void", *OPEN, "waiting"), 0))
    if not store.pairs():
        return dict(counts)
    for model_id, plain, many in _models():
        done = 0
        for page in _pages(model_id, bar_length(plain["timeframe"])):
            found = _outcomes(page, plain, store, moment)
            _keep(found.filter(pl.col("state") != "waiting"))
            counts.update(found["state"].to_list())
            done += len(page)
            tell(f"{model_id}: {done:,} of {many:,} signals looked at")
    return dict(counts)


def resolved(
    signals: pl.DataFrame, bars: pl.DataFrame, recipe: Recipe, *, now: datetime
) -> pl.DataFrame:
    """Say what became of signals of one model.

    Parameters
    ----------
    signals : polars.DataFrame
        `signal_id`, `bar_ts`, `side`, `horizon`, `stop_distance`, `target_distance`,
        `confidence`, `break_even`; one a bar, ascending.
    bars : polars.DataFrame
        Of its pair, at least from the first signal's on.
    recipe : Recipe
        Of its model: costs.
    now : datetime

    Returns
    -------
    polars.DataFrame
        A row for each: `signal_id`, `state` (resolved, void, missing, refused, waiting), `reason`
        (None if resolved) and what is known: `won`, `gain`, `gross`, `entry_price`,
        `exit_price`, `entry_at`, `exit_at`, `exit_reason`.

    Raises
    ------
    ValueError
        If a price is no number.
    """
    numbers = bars.select(bar_ts="timestamp").with_row_index("bar")
    told = signals.join(numbers, on="bar_ts", how="left", maintain_order="left")
    told = told.with_columns(pl.col("stop_distance", "target_distance").fill_nan(None))
    least = pl.min_horizontal("horizon", "stop_distance", "target_distance")
    sound = told.filter((least > 0) & pl.col("bar").is_not_null())
    if sound.is_empty():
        return _said(told.with_columns(_nothing()), bars, recipe, now)
    segments = segments_of(bars, recipe.pair, recipe.timeframe)
    trades = follow(
        bars,
        sound.rename({"bar_ts": "timestamp"}),
        segments=segments,
        horizon=sound["horizon"],
        costs=recipe.costs,
        stop=sound["stop_distance"],
        target=sound["target_distance"],
    )
    ends = trades.select(
        *("gain", "gross", "entry_price", "exit_price", "exit_reason"),
        bar_ts="signal_time",
        won=pl.col("gain") > 0,
        entry_at="entry_time",
        exit_at="exit_time",
    )
    both = told.join(ends, on="bar_ts", how="left", maintain_order="left")
    return _said(both, bars, recipe, now)


def _nothing() -> list[pl.Expr]:
    return [pl.lit(None, dtype).alias(name) for name, dtype in _KNOWN.items()]


def _said(told: pl.DataFrame, bars: pl.DataFrame, recipe: Recipe, now: datetime) -> pl.DataFrame:
    """Give each signal a state, and a reason where it is not resolved."""
    judged = [_state(row, bars, recipe, now) for row in told.iter_rows(named=True)]
    said = pl.DataFrame(judged, schema={"state": pl.String, "reason": pl.String}, orient="row")
    return told.select("signal_id", *_KNOWN).hstack(said)


def _state(
    row: dict[str, Any], bars: pl.DataFrame, recipe: Recipe, now: datetime
) -> tuple[str, str | None]:
    if row["gain"] is not None:
        return "resolved", None
    rule = [row[name] for name in ("horizon", "stop_distance", "target_distance")]
    if min(each for each in rule if each is not None) <= 0:
        return "refused", "its horizon, stop or target is not above zero"
    if row["bar"] is None:
        return "missing", f"its own bar, {row['bar_ts']}, is not in the store"
    if row["bar"] + row["horizon"] + 1 < len(bars):
        return "void", "bars are missing right behind its own: nothing could be entered"
    last = bars["timestamp"][-1]
    due = exit_due_by_calendar(row["bar_ts"], row["horizon"], recipe.pair, recipe.timeframe)
    if due + LATE < now:
        return "missing", f"the bars end at {last}, its exit was due at {due}"
    return "waiting", f"the bars end at {last}"


def _models() -> list[tuple[str, dict[str, Any], int]]:
    """Return models with signals to be resolved, their recipes, and how many."""
    query = (
        select(Model.model_id, Model.pair, Model.timeframe, Model.parameters, func.count())
        .join(Signal, Signal.model_id == Model.model_id)
        .join(SignalOutcome, SignalOutcome.signal_id == Signal.id, isouter=True)
        .where(Signal.action.in_(("BUY", "SELL")))
        .where(or_(SignalOutcome.state.is_(None), SignalOutcome.state.in_(OPEN)))
        .group_by(Model.model_id)
        .order_by(Model.model_id)
    )
    with reading() as opened:
        found = opened.execute(query).all()
    return [
        (model_id, {**plain, "pair": pair, "timeframe": timeframe}, many)
        for model_id, pair, timeframe, plain, many in found
    ]


def _pages(model_id: str, bar: timedelta) -> Iterator[pl.DataFrame]:
    """Yield a model's signals, the oldest first; neither they nor their bars are many."""
    last = _BEGIN
    while not (page := read_frame(_PENDING, (model_id, last, PAGE))).is_empty():
        page = page.filter(pl.col("bar_ts") <= page["bar_ts"][0] + SPAN * bar)
        yield page
        last = page["bar_ts"][-1]


def _outcomes(
    page: pl.DataFrame, plain: dict[str, Any], store: BarStore, now: datetime
) -> pl.DataFrame:
    try:
        recipe = from_plain(Recipe, plain)
        return resolved(page, _bars(page, store, recipe), recipe, now=now)
    except (SepError, ValidationError, ValueError) as error:
        why = " ".join(str(error).split())
        return page.select("signal_id", *_nothing(), state=pl.lit("refused"), reason=pl.lit(why))


def _bars(page: pl.DataFrame, store: BarStore, recipe: Recipe) -> pl.DataFrame:
    """Return the bars from the first signal's up to the last one's exit."""
    every, time = store.scan(recipe.pair, recipe.timeframe), pl.col("timestamp")
    first, last, horizon = page["bar_ts"][0], page["bar_ts"][-1], page["horizon"].max()
    assert isinstance(horizon, int)
    inside = every.filter(time >= first, time <= last)
    behind = every.filter(time > last).head(max(horizon, 0) + 2)
    return pl.concat([inside, behind]).collect()


def _keep(found: pl.DataFrame) -> None:
    """Write outcomes; what was resolved or void before stays as it is."""
    if found.is_empty():
        return
    row, kept = insert(SignalOutcome), SignalOutcome
    new = row.excluded
    changed = {name: new[name] for name in ("state", "reason", *_KNOWN)}
    update = row.on_conflict_do_update(
        index_elements=["signal_id"],
        set_={**changed, "resolved_at": func.now()},
        where=or_(*(kept.state == state for state in OPEN))
        & tuple_(kept.state, kept.reason).is_distinct_from(tuple_(new.state, new.reason)),
    )
    with session() as opened:
        opened.execute(update, found.sort("signal_id").to_dicts())
