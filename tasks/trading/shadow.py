"""A venue against paper: the same signals on an account and on its paper shadow, compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import fmean, median
from typing import Any

from sqlalchemy import select

from infra.postgres.database import every
from infra.postgres.trading import Position
from tasks.trading.brokers import SHADOW
from tasks.trading.statement import slippage


@dataclass(frozen=True)
class Comparison:
    """How an account did against its shadow.

    Attributes
    ----------
    rows : list of dict
        A signal that both traded: `signal`, `pair`, `side`, `entry` and `exit` (pips by which the
        account was worse than paper; None while open), `reason`, `paper_reason`.
    alone : list of int
        Signals that the account traded and paper did not.
    paper_alone : list of int
        The other way round.
    """

    rows: list[dict[str, Any]]
    alone: list[int]
    paper_alone: list[int]

    def summary(self) -> list[dict[str, Any]]:
        """Return a row for each pair: how many, mean, median and worst slippage in pips."""
        pairs = sorted({row["pair"] for row in self.rows})
        return [_summary(pair, [r for r in self.rows if r["pair"] == pair]) for pair in pairs]


def compare(account: str, start: datetime, end: datetime) -> Comparison:
    """Compare the trades of an account with those of its shadow.

    Parameters
    ----------
    account : str
    start, end : datetime
        When either entered; `end` is not in it.
    """
    real, paper = _trades(account, start, end), _trades(SHADOW + account, start, end)
    both = sorted(real.keys() & paper.keys())
    return Comparison(
        [_row(real[signal], paper[signal]) for signal in both],
        sorted(real.keys() - paper.keys()),
        sorted(paper.keys() - real.keys()),
    )


def _trades(account: str, start: datetime, end: datetime) -> Mapping[int, Position]:
    entered = select(Position).where(
        Position.account == account,
        Position.orphan.is_(False),
        Position.opened_at >= start,
        Position.opened_at < end,
    )
    return {row.signal_id: row for row in every(entered)}


def _row(real: Position, paper: Position) -> dict[str, Any]:
    back = "short" if real.side == "long" else "long"
    left = None
    if real.exit_price is not None and paper.exit_price is not None:
        left = slippage(real.pair, back, real.exit_price, paper.exit_price)
    return {
        "signal": real.signal_id,
        "pair": real.pair,
        "side": real.side,
        "entry": slippage(real.pair, real.side, real.entry_price, paper.entry_price),
        "exit": left,
        "reason": real.exit_reason,
        "paper_reason": paper.exit_reason,
    }


def _summary(pair: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {"pair": pair, "trades": len(rows)}
    for name in ("entry", "exit"):
        known = [row[name] for row in rows if row[name] is not None]
        for word, measure in (("mean", fmean), ("median", median), ("worst", max)):
            figures[f"{name}, {word}"] = measure(known) if known else None
    return figures
