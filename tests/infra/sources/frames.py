"""Dialects of files with types: Parquet and Arrow, times and prices in whatever types they have."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from random import Random
from typing import Any

import polars as pl

from tests.infra.sources.dialects import Dialect, Numbers, forgotten
from tests.infra.sources.drawn import Bar, Drawn, draw, with_quotes
from tests.infra.sources.stamps import CLOCKS, local

PLAIN = Numbers()
_NAMES = (("open", "high", "low", "close", "volume"), ("Open", "High", "Low", "Close", "Volume"))
_TIMES = ("timestamp", "time", "Date", "datetime", "__index_level_0__")

Frame = tuple[pl.Series, dict[str, Any]]
"""A column, and what must be declared of it."""


def frame(rng: Random) -> Dialect:
    """Draw a file."""
    drawn = draw(rng)
    drawn = with_quotes(rng, drawn) if rng.random() < 0.2 else drawn
    time, told = _time(rng, drawn)
    how = rng.choice([_floats, _floats, _decimals, _strings, _categories, _integers])
    columns, scaled = _prices(rng, drawn, how)
    full = {**told, **scaled}
    table = pl.DataFrame([time, *columns])
    table = table.reverse() if rng.random() < 0.2 else table
    name, content = _bytes(rng, table)
    return Dialect(
        f"frame of {time.dtype} and {columns[0].dtype}",
        drawn,
        {name: content},
        name,
        "parquet",
        full,
        forgotten(rng, full, frozenset()),
        exact=how in (_floats, _strings, _categories) and drawn.bars[0].spread is None,
    )


def _bytes(rng: Random, table: pl.DataFrame) -> tuple[str, bytes]:
    buffer = io.BytesIO()
    name = rng.choice(["bars.parquet", "bars.pq", "bars.arrow", "bars.feather", "bars.arrows"])
    if name in ("bars.parquet", "bars.pq"):
        table.write_parquet(buffer, compression=rng.choice(["zstd", "snappy", "uncompressed"]))
    elif name == "bars.arrows":
        table.write_ipc_stream(buffer)
    else:
        table.write_ipc(buffer, compression=rng.choice(["uncompressed", "lz4", "zstd"]))
    return name, buffer.getvalue()


def _time(rng: Random, drawn: Drawn) -> Frame:
    times, name = [bar.time for bar in drawn.bars], rng.choice(_TIMES)
    if drawn.timeframe == "D1" and rng.random() < 0.5:
        clock = "New York+7" if drawn.anchor == "New York" else "UTC"
        days = [local(at, clock).date() for at in times]
        return pl.Series(name, days, dtype=pl.Date()), {"clock": clock}
    ways: list[Callable[[Random, str, list[datetime]], Frame]] = [_aware, _naive, _words, _epochs]
    return rng.choices(ways, [4, 4, 2, 2])[0](rng, name, times)


def _aware(rng: Random, name: str, times: list[datetime]) -> Frame:
    utc = pl.Series(name, times, dtype=pl.Datetime(rng.choice(["ms", "us", "ns"]), "UTC"))
    zone = rng.choice(["UTC", "UTC", "America/New_York", "Asia/Tokyo"])
    return utc.dt.convert_time_zone(zone), {}


def _naive(rng: Random, name: str, times: list[datetime]) -> Frame:
    clock = rng.choice(CLOCKS)
    shown = [local(at, clock) for at in times]
    kind = pl.Datetime(rng.choice(["ms", "us", "ns"]))
    return pl.Series(name, shown, dtype=kind), {"clock": clock}


def _words(rng: Random, name: str, times: list[datetime]) -> Frame:
    form = rng.choice(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S+00:00"])
    kind = rng.choice([pl.String(), pl.Categorical()])
    return pl.Series(name, [at.strftime(form) for at in times]).cast(kind), {}


def _epochs(rng: Random, name: str, times: list[datetime]) -> Frame:
    factor = rng.choice([1, 1_000, 1_000_000, 1_000_000_000])
    return pl.Series(name, [int(at.timestamp()) * factor for at in times], dtype=pl.Int64()), {}


def _prices(
    rng: Random, drawn: Drawn, how: Callable[[str, list[int], int], pl.Series]
) -> tuple[list[pl.Series], dict[str, Any]]:
    names, columns = rng.choice(_NAMES), []
    for i, name in enumerate(names[:4]):
        points = [bar.points[i] + (bar.spread or 0) // 2 for bar in drawn.bars]
        columns.append(how(name, points, drawn.digits))
    if drawn.bars[0].spread is not None:
        for side, above in (("bid", 0), ("ask", 1)):
            for i, price in enumerate(_NAMES[0][:4]):
                points = [bar.points[i] + above * (bar.spread or 0) for bar in drawn.bars]
                columns.append(how(f"{side}_{price}", points, drawn.digits))
    if any(bar.volume is not None for bar in drawn.bars):
        columns.append(_volume(rng, names[4], drawn.bars))
    return columns, {"scale": float(f"1e-{drawn.digits}")} if how is _integers else {}


def _volume(rng: Random, name: str, bars: list[Bar]) -> pl.Series:
    volumes = [bar.volume for bar in bars]
    whole = all(volume is None or volume.is_integer() for volume in volumes)
    kinds = [pl.Float64(), pl.Int64(), pl.UInt32(), pl.String()] if whole else [pl.Float64()]
    return pl.Series(name, volumes, dtype=pl.Float64()).cast(rng.choice(kinds))


def _floats(name: str, points: list[int], digits: int) -> pl.Series:
    return pl.Series(name, [float(PLAIN.written(n, digits)) for n in points])


def _decimals(name: str, points: list[int], digits: int) -> pl.Series:
    exact = [Decimal(PLAIN.written(n, digits)) for n in points]
    return pl.Series(name, exact, dtype=pl.Decimal(18, digits))


def _strings(name: str, points: list[int], digits: int) -> pl.Series:
    return pl.Series(name, [PLAIN.written(n, digits) for n in points])


def _categories(name: str, points: list[int], digits: int) -> pl.Series:
    return _strings(name, points, digits).cast(pl.Categorical())


def _integers(name: str, points: list[int], digits: int) -> pl.Series:
    return pl.Series(name, points, dtype=pl.Int64())
