"""Hot state of each pair and timeframe in Valkey: frames, each with the content it was made of.

A frame counts only while the bars it was made of are those of the bulk store: it is asked for by
their content hash, so that what was revised since is never hidden by an old copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any, Final, Literal

import polars as pl
import redis

from infra.stores import cache

Kind = Literal["bars", "metrics"]

LIFETIME: Final = 24 * 3600
"""Seconds that a frame is kept after it was last written or read."""

_ALWAYS: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Kept:
    """What is known of a frame without reading it.

    Attributes
    ----------
    pair, timeframe : str
    version : str
        Content hash of the bars it was made of.
    start : datetime
        It holds all there is from this time on.
    rows : int
    """

    pair: str
    timeframe: str
    version: str
    start: datetime
    rows: int

    def covers(self, start: datetime | None) -> bool:
        """Say whether it holds everything from a time on (None: from the first bar)."""
        return self.start <= (start or _ALWAYS)


def keep(
    kind: Kind,
    pair: str,
    timeframe: str,
    frame: pl.DataFrame,
    *,
    version: str,
    start: datetime | None = None,
) -> bool:
    """Keep a frame in the place of the one before; whether it is kept now.

    Parameters
    ----------
    kind : {"bars", "metrics"}
        The latest window, or the metrics state.
    pair, timeframe : str
    frame : polars.DataFrame
    version : str
        Content hash of the bars it was made of.
    start : datetime, optional
        The frame holds all there is from this time on; left out: everything.
    """
    key, data = _key(kind, pair, timeframe), BytesIO()
    frame.write_ipc(data, compression="lz4")
    fields: dict[Any, Any] = {
        "version": version,
        "start": (start or _ALWAYS).isoformat(),
        "rows": str(frame.height),
        "frame": data.getvalue(),
    }

    def write(valkey: redis.Redis) -> bool:
        with valkey.pipeline() as whole:
            whole.hset(key, mapping=fields)
            whole.expire(key, LIFETIME)
            return len(whole.execute()) == 2

    return bool(cache.ask(write))


def look(kind: Kind, pair: str, timeframe: str) -> Kept | None:
    """Tell what is kept without reading it; None where nothing is.

    Parameters
    ----------
    kind : {"bars", "metrics"}
        The latest window, or the metrics state.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    """
    key = _key(kind, pair, timeframe)
    fields: list[Any] | None = cache.ask(
        lambda valkey: valkey.hmget(key, "version", "start", "rows")
    )
    if fields is None or None in fields:
        return None
    version, start, rows = (field.decode() for field in fields)
    return Kept(pair, timeframe, version, datetime.fromisoformat(start), int(rows))


def take(kind: Kind, pair: str, timeframe: str, *, version: str) -> pl.DataFrame | None:
    """Read what is kept, if it was made of this content; that prolongs its life.

    Parameters
    ----------
    kind : {"bars", "metrics"}
        The latest window, or the metrics state.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    version : str
        Content hash of the bars it must have been made of.

    Returns
    -------
    polars.DataFrame or None
        None where none is kept, or of other content.
    """
    key = _key(kind, pair, timeframe)

    def read(valkey: redis.Redis) -> list[bytes | None]:
        with valkey.pipeline() as whole:
            whole.hmget(key, "version", "frame")
            whole.expire(key, LIFETIME)
            values: list[bytes | None] = whole.execute()[0]
            return values

    stored, data = cache.ask(read) or (None, None)
    if stored != version.encode() or data is None:
        return None
    try:
        return pl.read_ipc(data)
    except (pl.exceptions.PolarsError, OSError):
        return None


def drop(kind: Kind, pair: str, timeframe: str) -> bool:
    """Forget a frame; whether there was one.

    Parameters
    ----------
    kind : {"bars", "metrics"}
        The latest window, or the metrics state.
    pair, timeframe : str
        Such as `EUR_USD`, `H1`.
    """
    return bool(cache.ask(lambda valkey: valkey.delete(_key(kind, pair, timeframe))))


def kept(kind: Kind) -> Iterator[Kept]:
    """Tell of all frames of a kind, in order."""
    keys = cache.ask(lambda valkey: sorted(valkey.scan_iter(_key(kind, "*", "*"), count=1000)))
    for key in keys or ():
        pair, timeframe = key.decode().rsplit(":", 2)[1:]
        window = look(kind, pair, timeframe)
        if window is not None:
            yield window


def _key(kind: Kind, pair: str, timeframe: str) -> str:
    return f"{cache.PREFIX}{kind}:{pair}:{timeframe}"
