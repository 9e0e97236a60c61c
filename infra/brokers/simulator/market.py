"""The simulated market: minutes with bid and ask, coarser candles, and a clock that can be set."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from infra.market.days import DAY_BEGINS, NEW_YORK

SIDES: Final = ("bid", "ask")
MINUTES: Final = {
    "M1": 1, "M2": 2, "M4": 4, "M5": 5, "M10": 10, "M15": 15, "M30": 30, "H1": 60, "H2": 120,
    "H3": 180, "H4": 240, "H6": 360, "H8": 480, "H12": 720, "D": 1440,
}  # fmt: skip


def random_minutes(
    start: datetime,
    minutes: int,
    *,
    seed: int = 0,
    level: float = 1.1,
    missing: float = 0.1,
    pip: float = 1e-4,
) -> pl.DataFrame:
    """Return minutes of a random walk with a spread; some have no ticks and are absent.

    Parameters
    ----------
    start : datetime
        In UTC, on a whole minute.
    minutes : int
        Length on the clock; weekends are not left out.
    seed : int
    level : float
        First price.
    missing : float
        Share of minutes without a tick.
    pip : float
        Prices have one decimal more.

    Returns
    -------
    polars.DataFrame
        ``time`` (UTC), ``volume`` (updates), ``bid_o .. bid_c``, ``ask_o .. ask_c``.
    """
    rng = np.random.default_rng(seed)
    path = level * np.exp(np.cumsum(rng.normal(0, 5e-5, (minutes, 4)).ravel())).reshape(-1, 4)
    spread = rng.integers(6, 30, minutes) * (pip / 10)
    decimals = round(1 - np.log10(pip))
    columns = {"volume": rng.poisson(40, minutes) + 1}
    for side, sign in (("bid", -0.5), ("ask", 0.5)):
        quoted = path + sign * spread[:, None]
        shapes = (quoted[:, 0], quoted.max(axis=1), quoted.min(axis=1), quoted[:, 3])
        columns |= {
            f"{side}_{n}": np.round(p, decimals) for n, p in zip("ohlc", shapes, strict=True)
        }
    times = pl.datetime_range(
        start, start + timedelta(minutes=minutes - 1), "1m", time_unit="us", eager=True
    )
    frame = pl.DataFrame({"time": times, **columns})
    return frame.filter(rng.random(minutes) >= missing)


def coarser(minutes: pl.DataFrame, granularity: str) -> pl.DataFrame:
    """Return candles of a granularity; from two hours on they are aligned to 17:00 New York.

    Parameters
    ----------
    minutes : polars.DataFrame
        As `random_minutes` makes them.
    granularity : str
        Key of `MINUTES`.
    """
    length = MINUTES[granularity]
    if length == 1:
        return minutes
    hours = pl.duration(hours=DAY_BEGINS)
    local = pl.col("time").dt.convert_time_zone(NEW_YORK).dt.replace_time_zone(None)
    day = (local - hours).dt.truncate("1d") + hours
    begins = day.dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    anchor = begins if length >= 2 * 60 else pl.col("time").dt.truncate("1h")
    late = (pl.col("time") - anchor).dt.total_minutes() // length * length
    if granularity == "D":  # a day in autumn has 25 hours
        late = pl.lit(0)
    shapes = {"o": "first", "h": "max", "l": "min", "c": "last"}
    prices = [
        getattr(pl.col(f"{side}_{name}"), shape)()
        for side in SIDES
        for name, shape in shapes.items()
    ]
    grouped = minutes.group_by(time=anchor + pl.duration(minutes=late), maintain_order=True)
    return grouped.agg(pl.col("volume").sum(), *prices)


@dataclass
class Market:
    """What the venue knows.

    Attributes
    ----------
    minutes : dict of str to polars.DataFrame
        Minutes of each instrument, as `random_minutes` makes them.
    now : datetime
        The venue's clock: a minute that begins later is not told, one that contains it is not
        complete.
    settling : timedelta
        How long after its end a candle still counts as incomplete.
    stuck : set of datetime
        Beginnings of candles that stay incomplete.
    depth : tuple of (int, float)
        Units that are for sale at once, and how many pips worse than the best price.
    halted : set of str
        Instruments that do not trade for now, whatever the hour.
    """

    minutes: dict[str, pl.DataFrame]
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    settling: timedelta = timedelta(0)
    stuck: set[datetime] = field(default_factory=set)
    depth: tuple[tuple[int, float], ...] = ((10_000_000, 0.0),)
    halted: set[str] = field(default_factory=set)
    _columns: dict[str, tuple[pl.DataFrame, dict[str, list[Any]]]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def columns(self, instrument: str) -> dict[str, list[Any]]:
        """Return the minutes of an instrument as lists."""
        minutes = self.minutes[instrument]
        if (known := self._columns.get(instrument)) is None or known[0] is not minutes:
            known = self._columns[instrument] = minutes, minutes.to_dict(as_series=False)
        return known[1]

    def shift(self, instrument: str, by: float) -> None:
        """Move the newest price of an instrument, and all that follow, by so much.

        Parameters
        ----------
        instrument : str
            Key of `minutes`.
        by : float
            To whole points of its price.
        """
        minutes = self.minutes[instrument]
        began = minutes["time"].search_sorted(self.now, side="right") - 1
        late = pl.int_range(pl.len()) >= began
        prices = [f"{side}_{shape}" for side in SIDES for shape in "ohlc"]
        self.minutes[instrument] = minutes.with_columns(
            pl.when(late).then((pl.col(name) + by).round(6)).otherwise(pl.col(name)).alias(name)
            for name in prices
        )

    def candles(self, instrument: str, granularity: str) -> pl.DataFrame:
        """Return the candles that have begun, oldest first, with ``complete``.

        Parameters
        ----------
        instrument : str
            Key of `minutes`.
        granularity : str
            Key of `MINUTES`.
        """
        begun = self.minutes[instrument].filter(pl.col("time") <= self.now)
        candles = coarser(begun, granularity)
        ends = pl.col("time") + pl.duration(minutes=MINUTES[granularity]) + self.settling
        stuck = pl.Series(list(self.stuck), dtype=candles.schema["time"])
        return candles.with_columns(
            complete=(ends <= self.now) & ~pl.col("time").is_in(stuck.implode())
        )
