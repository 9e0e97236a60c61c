"""The memory tiers: bars are moved down from where they are too many, old or stale, and counted."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, TypeAlias

import polars as pl

from infra.settings import settings
from infra.stores import cache, hot, ledger, tiers, warm
from infra.stores.bulk import BarStore
from infra.stores.tiers import TIERS, Reads
from tasks.folder import bar_store
from tasks.steps import step

Series: TypeAlias = tuple[str, str]
_MIB: Final = 2**20


def move_tiers() -> dict[str, Any]:
    """Move bars to the tier where they belong, and show what each tier holds and answers.

    Hot windows that are stale or too long are dropped (what nobody reads ends by itself, what is
    read comes back), PostgreSQL gets the newest `SEP_SHARED_BARS` bars and loses older ones, and
    chunks that are due are compressed where TimescaleDB is. A write that was killed before the
    database knew of it is told. Doing it again moves nothing.

    Returns
    -------
    dict
        `up`, `down` (rows into and out of PostgreSQL), `cooled` (windows dropped from Valkey),
        `chunks` (compressed), `table` (a row for each pair and timeframe), `sentence`.
    """
    store = bar_store()
    ledger.settle_all(store)
    cooled = cool(store)
    moves = {series: warm.share(store, *series) for series in store.pairs()}
    moved = {
        "up": sum(move.up for move in moves.values()),
        "down": sum(move.down for move in moves.values()),
        "cooled": cooled,
        "chunks": warm.compress(),
    }
    reads = tiers.usage.everywhere()
    table = tier_table(store, moves, reads)
    return {**moved, "table": table, "sentence": _sentence(store, moved, reads)}


def cool(store: BarStore) -> int:
    """Drop the hot windows that are of no use, and count them."""
    present, most = set(store.pairs()), settings().hot_bars
    dropped = 0
    for kept in hot.kept("bars"):
        series = (kept.pair, kept.timeframe)
        stale = series in present and store.content_hash(*series) != kept.version
        if stale or series not in present or kept.rows > most:
            dropped += hot.drop("bars", *series)
    return dropped


def tier_table(
    store: BarStore, moves: dict[Series, warm.Moved], reads: Reads
) -> list[dict[str, Any]]:
    """Return a row for each pair and timeframe: bars in each tier, who answered, what moved.

    Parameters
    ----------
    store : BarStore
        The bulk store.
    moves : dict
        By pair and timeframe.
    reads : Reads
        How often each tier answered.
    """
    windows = {(kept.pair, kept.timeframe): kept.rows for kept in hot.kept("bars")}
    shared = warm.rows()
    everything = sorted({*moves, *shared, *windows, *((p, t) for p, t, _ in reads)})
    nothing = warm.Moved(0, 0)
    return [
        {
            "pair": series[0],
            "timeframe": series[1],
            "hot bars": windows.get(series, 0),
            "warm bars": shared.get(series, 0),
            **_cold(store, series),
            **_shares(_of(reads, series)),
            "moved up": moves.get(series, nothing).up,
            "moved down": moves.get(series, nothing).down,
        }
        for series in everything
    ]


move = step("move tiers", version=1)(move_tiers)


def _cold(store: BarStore, series: Series) -> dict[str, Any]:
    time = pl.col("timestamp")
    n, newest = store.scan(*series).select(pl.len(), time.max()).collect().row(0)
    return {"cold bars": n, "newest bar": newest and newest.isoformat()}


def _of(reads: Reads, series: Series) -> Counter[str]:
    return Counter({tier: n for (*key, tier), n in reads.items() if (*key,) == series})


def _shares(answered: Counter[str]) -> dict[str, Any]:
    """Reads, and the share of them that each tier answered; None without a read."""
    reads = answered.total()
    shares = {
        f"{tier} %": round(100 * answered[tier] / reads, 1) if reads else None for tier in TIERS
    }
    return {"reads": reads, **shares}


def _sentence(store: BarStore, moved: dict[str, int], reads: Reads) -> str:
    answered: Counter[str] = Counter()
    for (_, _, tier), n in reads.items():
        answered[tier] += n
    shares = ", ".join(
        f"{share:g} % {name.removesuffix(' %')}"
        for name, share in _shares(answered).items()
        if name != "reads" and share is not None
    )
    return (
        f"hot: {_hot_size()}; warm: {warm.size() / _MIB:,.1f} MiB in PostgreSQL; cold: "
        f"{_size(store) / _MIB:,.1f} MiB of Parquet. {answered.total():,} reads in {tiers.DAYS} "
        f"days{f' ({shares})' if shares else ''}. Moved: {moved['up']:,} bars up, "
        f"{moved['down']:,} down; {moved['cooled']} windows dropped, {moved['chunks']} chunks "
        "compressed."
    )


def _hot_size() -> str:
    memory = cache.memory()
    if memory is None:
        return "Valkey does not answer"
    bound = f"of {memory.limit / _MIB:,.0f} MiB" if memory.bounded else "without a bound"
    return f"{memory.used / _MIB:,.1f} MiB {bound} in Valkey"


def _size(store: BarStore) -> int:
    return sum(path.stat().st_size for path in store.root.glob("*/*/*.parquet"))
