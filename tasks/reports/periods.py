"""When trades won and lost: by year, by session and by hour of their entry."""

from __future__ import annotations

from typing import Any, Final

import polars as pl

from kernels.evaluation import wilson
from tasks.reports.calibration import finite
from tasks.strategy.language.builtins.market import SESSIONS

SHOWN: Final = {"tokyo": "Tokyo", "london": "London", "new_york": "New York"}
"""Sessions that are told apart, by their name in the language of strategies."""
CLOSED: Final = "none of them"


def periods(trades: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Count trades by when they were entered.

    Parameters
    ----------
    trades : polars.DataFrame
        Columns of `tasks.research.simulation.TRADES`.

    Returns
    -------
    dict
        "year", "session" (on the clock of each place; where two are open, both are named) and
        "hour" (UTC): rows of ``name``, ``trades``, ``wins``, ``hit_rate`` with its Wilson bounds
        ``hit_low`` and ``hit_high``, and ``net``, the sum of net gains.
    """
    entry = pl.col("entry_time")
    names = {
        "year": entry.dt.strftime("%Y"),
        "session": _session(),
        "hour": entry.dt.strftime("%H"),
    }
    return {kind: _rows(trades, name, ordered=kind != "session") for kind, name in names.items()}


def _rows(trades: pl.DataFrame, name: pl.Expr, *, ordered: bool) -> list[dict[str, Any]]:
    gain = pl.col("gain")
    counted = trades.group_by(name.alias("name"), maintain_order=True).agg(
        trades=pl.len(), wins=(gain > 0).sum(), net=gain.sum()
    )
    rows = [_row(**each) for each in counted.iter_rows(named=True)]
    return sorted(rows, key=lambda row: row["name"] if ordered else _ORDER.index(row["name"]))


def _row(name: str, trades: int, wins: int, net: float) -> dict[str, Any]:
    low, high = map(finite, wilson(wins, trades))
    bounds = {"hit_rate": wins / trades, "hit_low": low, "hit_high": high}
    return {"name": name, "trades": trades, "wins": wins, **bounds, "net": finite(net)}


def _session() -> pl.Expr:
    """Return the names of the sessions that are open."""
    shown = [pl.when(_is_open(each)).then(pl.lit(name)) for each, name in SHOWN.items()]
    open_now = pl.concat_str(shown, separator=" and ", ignore_nulls=True)
    return pl.when(open_now == "").then(pl.lit(CLOSED)).otherwise(open_now)


def _is_open(session: str) -> pl.Expr:
    zone, first, last = SESSIONS[session]
    local = pl.col("entry_time").dt.convert_time_zone(zone)
    return local.dt.hour().is_between(first, last - 1) & (local.dt.weekday() <= 5)


def _orders() -> list[str]:
    """Return all names in the order of the day: a session, then that and the next."""
    names = list(SHOWN.values())
    pairs = [f"{one} and {other}" for i, one in enumerate(names) for other in names[i + 1 :]]
    every = sorted([*names, *pairs], key=lambda name: names.index(name.partition(" and ")[0]))
    return [*every, " and ".join(names), CLOSED]


_ORDER: Final = _orders()
