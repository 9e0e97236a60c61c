"""What the tables tell of an account: equity over time, entries, losses, what is under way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from sqlalchemy import Select, func, or_, select
from sqlalchemy.orm import Session

from infra.postgres.database import read_frame, reading
from infra.postgres.models import Pair, Signal
from infra.postgres.trading import Control, Equity, Intent, Position
from tasks.trading.risk.day import day_start
from tasks.trading.risk.limits import Limits

LOSSES: Final = 100
"""Closed trades that are looked back at."""
BARS: Final = 240
SPAN: Final = timedelta(days=30)
"""Hours of which correlations are told, and how old they may be."""

_ROUNDING: Final = 1e-9
_BARS: Final = """
SELECT pair, timestamp, close FROM bars
WHERE timeframe = 'H1' AND pair = ANY(%s) AND timestamp > %s AND timestamp <= %s
"""


@dataclass(frozen=True)
class Sent:
    """An entry that was sent and has not ended; `order` are the fields of a proposal."""

    client_id: str
    order: Mapping[str, Any]


@dataclass(frozen=True)
class Record:
    """What is on record of an account; None where nothing is."""

    day_start: Decimal | None
    peak: Decimal | None
    start: Decimal | None
    entries: int
    losses: tuple[tuple[datetime, Decimal], ...]
    sent: tuple[Sent, ...]
    reducing: bool
    hits: Mapping[str, datetime] = field(default_factory=dict)
    overrides: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)


def read(account: str, limits: Limits, now: datetime) -> Record:
    """Return what is on record of an account.

    Parameters
    ----------
    account : str
    limits : Limits
        Whose day, start and floors count.
    now : datetime
        With a zone.
    """
    day = day_start(now, limits)
    with reading() as opened:
        told = opened.execute(_figures(account, limits, day, now)).one()
        first, start = _higher(told.before, told.after), limits.start_equity or _decimal(told.start)
        known = _Known(first, start, _decimal(told.low), _decimal(told.peak), day, now)
        return Record(
            day_start=first,
            peak=known.peak,
            start=start,
            entries=told.entries,
            losses=_losses(opened, account),
            sent=_sent(opened, account),
            reducing=bool(told.reduce or told.reduce_all),
            hits=_hits(opened, account, limits, known),
            overrides={
                (row.pair, row.timeframe): row.limits for row in opened.scalars(select(Pair))
            },
        )


def returns(pairs: Sequence[str], now: datetime) -> dict[str, list[float]]:
    """Return the latest hourly returns of pairs, all up to the same hour; none where no bars are.

    Parameters
    ----------
    pairs : sequence of str
    now : datetime
        With a zone.
    """
    bars = read_frame(_BARS, (list(pairs), now - SPAN, now))
    if bars.is_empty():
        return {}
    closes = (
        bars.pivot("pair", index="timestamp", values="close")
        .sort("timestamp")
        .fill_null(strategy="forward")
    )
    return {pair: _log_returns(closes[pair].tail(BARS + 1)) for pair in closes.columns[1:]}


def _log_returns(closes: pl.Series) -> list[float]:
    return [float(each) for each in np.diff(np.log(closes.drop_nulls().to_numpy()))]


def _equities(account: str, limits: Limits) -> list[Any]:
    since = [] if limits.since is None else [Equity.timestamp >= limits.since]
    return [Equity.account == account, *since]


def _figures(account: str, limits: Limits, day: datetime, now: datetime) -> Select[Any]:
    """Ask for all single figures at once.

    `before` and `after`: the last equity before the day, and the first one in it.
    """
    rows, at = select(Equity.equity).where(*_equities(account, limits)), Equity.timestamp
    whole = select(func.min(Equity.equity).label("low"), func.max(Equity.equity).label("peak"))
    extremes = whole.where(*_equities(account, limits), at <= now).subquery()
    asked: dict[str, Select[Any]] = {
        "start": rows.order_by(at).limit(1),
        "before": rows.where(at <= day).order_by(at.desc()).limit(1),
        "after": rows.where(at > day, at <= now).order_by(at).limit(1),
        "entries": _entries(account, day),
        "reduce": _switch(account, now),
        "reduce_all": _switch("*", now),
    }
    columns = (each.scalar_subquery().label(name) for name, each in asked.items())
    return select(extremes.c.low, extremes.c.peak, *columns)


def _higher(*equities: float | None) -> Decimal | None:
    known = [each for each in equities if each is not None]
    return _decimal(math.nan if any(map(math.isnan, known)) else max(known, default=None))


def _entries(account: str, day: datetime) -> Select[tuple[int]]:
    return select(func.count()).where(
        Intent.account == account,
        Intent.kind == "entry",
        Intent.sent_at >= day,
        Intent.state.in_(("SENT", "UNKNOWN", "FILLED")),
    )


def _losses(opened: Session, account: str) -> tuple[tuple[datetime, Decimal], ...]:
    closed = (
        select(Position.closed_at, Position.profit)
        .where(Position.account == account, Position.closed_at.is_not(None))
        .where(Position.exit_price.is_not(None))  # one that no fill closed lost nothing
        .order_by(Position.closed_at.desc())
        .limit(LOSSES)
    )
    return tuple((row[0], row[1]) for row in opened.execute(closed))


def _sent(opened: Session, account: str) -> tuple[Sent, ...]:
    waiting = (
        select(Intent, Signal)
        .join(Signal, Signal.id == Intent.signal_id)
        .where(Intent.account == account, Intent.kind == "entry")
        .where(Intent.state.in_(("SENT", "UNKNOWN")))
    )
    return tuple(
        Sent(intent.client_id, _order(intent, signal)) for intent, signal in opened.execute(waiting)
    )


def _order(intent: Intent, signal: Signal) -> dict[str, Any]:
    return {
        "signal_id": signal.id,
        "strategy": signal.strategy,
        "pair": intent.pair,
        "timeframe": signal.timeframe,
        "side": intent.side,
        "units": intent.units,
        "price": intent.bound if intent.bound is not None else intent.quoted,
        "stop": intent.stop_price,
        "spread": Decimal(0),
    }


def _switch(account: str, now: datetime) -> Select[tuple[bool]]:
    """Ask whether the newest switch of an account, or of all, is on."""
    lasts = or_(Control.until.is_(None), Control.until > now)
    return (
        select(Control.on & lasts)
        .where(Control.name == "reduce", Control.account == account, Control.scope == "*")
        .order_by(Control.id.desc())
        .limit(1)
    )


class _Known(NamedTuple):
    first: Decimal | None
    start: Decimal | None
    low: Decimal | None
    peak: Decimal | None
    day: datetime
    now: datetime


def _hits(opened: Session, account: str, limits: Limits, known: _Known) -> dict[str, datetime]:
    """Return which loss limits the equity on record has hit, and when for the first time."""
    first, start, low, peak, day, now = known
    seen = [*_equities(account, limits), Equity.timestamp <= now]
    found: dict[str, datetime | None] = {}
    whole = first if limits.share_of == "own" else start
    if limits.daily_loss is not None and first is not None and whole is not None:
        floor = first - limits.daily_loss * whole
        found["daily"] = _first_at(opened, [*seen, Equity.timestamp > day], floor)
    if start is None or low is None or peak is None:
        return _known_only(found)
    if limits.static_drawdown is not None:
        found["static"] = _first_at(opened, seen, start * (1 - limits.static_drawdown))
    # no floor was ever above that of the highest equity: as a rule all rows need not be read
    if limits.trailing_drawdown is not None and not float(low) > _floor(limits, start, peak):
        found["trailing"] = _trailing(opened, seen, limits, start)
    return _known_only(found)


def _known_only(found: Mapping[str, datetime | None]) -> dict[str, datetime]:
    return {name: at for name, at in found.items() if at is not None}


def _first_at(opened: Session, seen: list[Any], floor: Decimal) -> datetime | None:
    return opened.scalar(
        select(func.min(Equity.timestamp)).where(*seen, Equity.equity <= float(floor))
    )


def _floor(limits: Limits, start: Decimal, peak: Decimal) -> float:
    assert limits.trailing_drawdown is not None
    floor = peak - limits.trailing_drawdown * (peak if limits.share_of == "own" else start)
    return float(floor) * (1 + _ROUNDING)


def _trailing(opened: Session, seen: list[Any], limits: Limits, start: Decimal) -> datetime | None:
    assert limits.trailing_drawdown is not None
    share = float(limits.trailing_drawdown)
    peak = func.max(Equity.equity).over(order_by=Equity.timestamp)
    peaks = select(Equity.timestamp, Equity.equity, peak.label("peak")).where(*seen).subquery()
    floor = peaks.c.peak - share * (peaks.c.peak if limits.share_of == "own" else float(start))
    if limits.trailing_locks:
        floor = func.least(floor, float(start))
    hit: datetime | None = opened.scalar(
        select(func.min(peaks.c.timestamp)).where(peaks.c.equity <= floor)
    )
    return hit


def _decimal(value: float | None) -> Decimal | None:
    return None if value is None else _exact(value)


def _exact(value: float) -> Decimal:
    return Decimal(repr(value))
