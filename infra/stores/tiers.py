"""Bars of any range, from the fastest tier that holds them: hot, warm or cold.

Hot is the newest window in Valkey, warm the newest rows in PostgreSQL, cold the bulk store. The
bulk store is the truth: a copy counts only while it was made of the content that is there now.
"""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, Final, Literal, TypeAlias

import polars as pl
import redis
from sqlalchemy.exc import DBAPIError

from infra.bars import within
from infra.postgres.database import DatabaseError
from infra.postgres.outage import is_outage, reason
from infra.settings import settings
from infra.stores import cache, hot, warm
from infra.stores.bulk import BarStore

Tier = Literal["hot", "warm", "cold"]
Reads: TypeAlias = "Counter[tuple[str, str, Tier]]"

TIERS: Final[tuple[Tier, ...]] = ("hot", "warm", "cold")
DAYS: Final = 7
"""How long Valkey counts reads."""

logger = logging.getLogger(__name__)


class Usage:
    """How many reads each tier answered: of this process, and in Valkey of all.

    Attributes
    ----------
    here : Counter
        Of this process, by pair, timeframe and tier.
    """

    def __init__(self) -> None:
        self.here: Reads = Counter()
        self._untold: Reads = Counter()
        self._lock = Lock()

    def add(self, pair: str, timeframe: str, tier: Tier) -> None:
        """Count a read; while Valkey is away it is counted here and told later.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        tier : {"hot", "warm", "cold"}
            The one that answered.
        """
        with self._lock:
            self.here[pair, timeframe, tier] += 1
            self._untold[pair, timeframe, tier] += 1
            untold, self._untold = self._untold, Counter()
        if not cache.ask(lambda valkey: _tell(valkey, untold)):
            with self._lock:
                self._untold += untold

    def everywhere(self) -> Reads:
        """Return the reads of all processes in the last `DAYS` days, and those not yet told."""
        today = datetime.now(UTC)
        keys = [_day(today - timedelta(days=back)) for back in range(DAYS)]
        reads: Reads = Counter(self._untold)
        days: list[Any] = cache.ask(lambda valkey: [valkey.hgetall(key) for key in keys]) or []
        for field, n in (counted for day in days for counted in day.items()):
            pair, timeframe, tier = field.decode().split(":")
            reads[pair, timeframe, tier] += int(n)
        return reads


usage = Usage()


class TieredBars:
    """Reads bars as `BarStore.read` does, from the fastest tier that holds them.

    Parameters
    ----------
    store : BarStore
        The cold tier.

    Notes
    -----
    A read that the hot tier could not answer pulls the newest `SEP_HOT_BARS` bars up into it.
    On a machine without the pair's bulk store PostgreSQL answers alone.
    """

    def __init__(self, store: BarStore) -> None:
        self.store = store

    def read(
        self,
        pair: str,
        timeframe: str,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        """Return bars with start <= timestamp < end, oldest first; the same from every tier.

        Parameters
        ----------
        pair, timeframe : str
        start, end : datetime, optional
            With a zone; left out: from the first, to the last.

        Raises
        ------
        ValueError
            If a time has no zone.
        infra.stores.warm.TierError
            If the bars are on another machine alone.
        """
        for edge in (start, end):
            if edge is not None and edge.tzinfo is None:
                raise ValueError(f"{edge} has no zone: start and end need one")
        version = self.store.content_hash(pair, timeframe)
        if version == warm.NOTHING:
            usage.add(pair, timeframe, "warm")
            return warm.read_shared(pair, timeframe, start, end)
        kept = _fresh(pair, timeframe, version)
        bars, tier = None, TIERS[-1]
        if kept is not None and kept.covers(start):
            bars, tier = self._hot(pair, timeframe, start, end, version), "hot"
        if bars is None:
            bars, tier = self._warm(pair, timeframe, start, end, version), "warm"
        if bars is None:
            bars, tier = self.store.read(pair, timeframe, start, end), "cold"
        usage.add(pair, timeframe, tier)
        if kept is None:
            self.pull_up(pair, timeframe)
        return bars

    def newest(
        self, pair: str, timeframe: str, count: int, end: datetime | None = None
    ) -> pl.DataFrame:
        """Return the newest bars before a time, oldest first.

        Parameters
        ----------
        pair, timeframe : str
        count : int
            How many; there may be fewer.
        end : datetime, optional
            With a zone; left out: up to the last.
        """
        version = self.store.content_hash(pair, timeframe)
        kept = _fresh(pair, timeframe, version)
        bars = self._hot(pair, timeframe, None, end, version) if kept else None
        if bars is not None and kept and (kept.covers(None) or bars.height >= count):
            usage.add(pair, timeframe, "hot")
            return bars.tail(count)
        usage.add(pair, timeframe, "cold")
        if kept is None:
            self.pull_up(pair, timeframe)
        return self.store.scan(pair, timeframe).filter(*within(None, end)).tail(count).collect()

    def pull_up(self, pair: str, timeframe: str) -> bool:
        """Bring the newest bars into the hot tier; whether they are there now.

        Parameters
        ----------
        pair, timeframe : str
            Such as `EUR_USD`, `H1`.
        """
        bars = settings().hot_bars
        if not bars or not cache.ask(lambda valkey: valkey.ping()):
            return False
        # one more than is kept tells whether these are all
        version, recent = warm.newest(self.store, pair, timeframe, bars + 1)
        whole, recent = recent.height <= bars, recent.tail(bars)
        if recent.is_empty():
            return False
        start = None if whole else recent["timestamp"][0]
        return hot.keep("bars", pair, timeframe, recent, version=version, start=start)

    def _hot(
        self,
        pair: str,
        timeframe: str,
        start: datetime | None,
        end: datetime | None,
        version: str,
    ) -> pl.DataFrame | None:
        bars = hot.take("bars", pair, timeframe, version=version)
        return None if bars is None else bars.filter(*within(start, end))

    def _warm(
        self,
        pair: str,
        timeframe: str,
        start: datetime | None,
        end: datetime | None,
        version: str,
    ) -> pl.DataFrame | None:
        try:
            bars = warm.read(pair, timeframe, start, end, version)
        except (DatabaseError, DBAPIError) as error:
            if isinstance(error, DBAPIError) and not (is_outage(error) or warm.denied(error)):
                raise
            logger.info("PostgreSQL holds no bars for us (%s): the bulk store does", reason(error))
            return None
        columns = self.store.scan(pair, timeframe).collect_schema().names()
        return None if bars is None else bars.select(columns)


def _fresh(pair: str, timeframe: str, version: str) -> hot.Kept | None:
    """Return what the hot tier keeps of a pair, if it was made of the content that is there now."""
    kept = hot.look("bars", pair, timeframe)
    return kept if kept is not None and kept.version == version else None


def _tell(valkey: redis.Redis, reads: Reads) -> bool:
    key = _day(datetime.now(UTC))
    with valkey.pipeline() as whole:
        for (pair, timeframe, tier), n in reads.items():
            whole.hincrby(key, f"{pair}:{timeframe}:{tier}", n)
        whole.expire(key, (DAYS + 1) * 86_400)
        return bool(whole.execute())


def _day(moment: datetime) -> str:
    return f"{cache.PREFIX}reads:{moment:%Y-%m-%d}"
