"""Builders of small frames: bars from prices, predictions from numbers, signals from a list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

START = datetime(2018, 1, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIDES = ("long", "short")
ACTIONS = {"long": "BUY", "short": "SELL"}
UNIT = 2e-3
"""Deviation of the horizon of quiet predictions."""


def times(n: int) -> pl.Series:
    stamps = [START + HOUR * i for i in range(n)]
    return pl.Series("timestamp", stamps, dtype=pl.Datetime("us", "UTC"))


def bars_of(rows: Sequence[tuple[float, float, float, float]]) -> pl.DataFrame:
    """Hourly bars from (open, high, low, close)."""
    prices = np.asarray(rows, dtype=np.float64).reshape(-1, 4)
    names = ("open", "high", "low", "close")
    columns = {name: prices[:, i] for i, name in enumerate(names)}
    volume = pl.Series([None] * len(prices), dtype=pl.Float64)
    return pl.DataFrame({"timestamp": times(len(prices)), **columns, "volume": volume})


def flat_bars(n: int, price: float = 100.0) -> pl.DataFrame:
    return bars_of([(price, price, price, price)] * n)


def with_quotes(bars: pl.DataFrame, spread: float) -> pl.DataFrame:
    """The same bars with bid and ask columns half a spread from mid."""
    names = ("open", "high", "low", "close")
    bid = {f"bid_{name}": pl.col(name) - spread / 2 for name in names}
    ask = {f"ask_{name}": pl.col(name) + spread / 2 for name in names}
    return bars.with_columns(**bid, **ask)


def random_bars(n: int, *, seed: int, sigma: float = 1e-3, price: float = 100.0) -> pl.DataFrame:
    """A random walk whose highs and lows reach beyond its opens and closes."""
    generator = np.random.default_rng(seed)
    log_close = np.cumsum(generator.normal(0.0, sigma, n))
    close = price * np.exp(log_close)
    gap = np.exp(generator.normal(0.0, sigma / 4, n))
    open_ = np.concatenate([[price], close[:-1]]) * gap
    reach = np.abs(generator.normal(0.0, sigma / 2, (2, n)))
    high = np.maximum(open_, close) * (1 + reach[0])
    low = np.minimum(open_, close) * (1 - reach[1])
    return bars_of(list(zip(open_, high, low, close, strict=True)))


def one_segment(n: int) -> NDArray[np.int32]:
    return np.zeros(n, dtype=np.int32)


def signals_of(marks: Mapping[int, str], bars: pl.DataFrame) -> pl.DataFrame:
    """Signals by bar number and side, as a strategy would write them."""
    rows = list(marks)
    sides = [marks[row] for row in rows]
    numbers = {"confidence": 0.6, "lower": 0.55, "upper": 0.65, "break_even": 0.5}
    numbers |= {"expected": 3e-4, "doubt": 1e-4, "margin": 0.1}
    metrics = {"entropy": 0.9, "coherence": 0.95, "stability": 0.5, "damped_value": 0.1}
    return pl.DataFrame(
        {
            "timestamp": bars["timestamp"].gather(rows),
            "position": pl.Series(rows, dtype=pl.Int64),
            "side": pl.Series(sides, dtype=pl.String),
            "action": pl.Series([ACTIONS[side] for side in sides], dtype=pl.String),
            **{name: [value] * len(rows) for name, value in (numbers | metrics).items()},
        },
        schema_overrides=dict.fromkeys(numbers | metrics, pl.Float64),
    )


def random_signals(bars: pl.DataFrame, *, seed: int, share: float = 0.2) -> pl.DataFrame:
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(generator.random(bars.height) < share)
    sides = generator.choice(SIDES, rows.size)
    return signals_of(dict(zip(rows.tolist(), sides.tolist(), strict=True)), bars)


def predictions_of(n: int, **columns: Any) -> pl.DataFrame:
    """A predictions frame of n rows whose given columns replace quiet defaults.

    By default nothing is left of each side's expected gain, so that nothing triggers.
    """
    quiet: dict[str, Any] = {
        **dict.fromkeys(("open", "high", "low", "close"), 100.0),
        "entropy": 0.9,
        "coherence": 0.95,
        "stability": 0.5,
        "damped_value": 0.1,
        "decay": 0.25,
        "steps": 8,
        "converged": True,
        "sigma": 1e-3,
        "unit": UNIT,
        "k_eff": 40,
        "null_ratio": 0.25,
        "flip_ratio": 0.5,
        "rupture_ratio": 0.25,
        "split": "test",
    }
    beliefs = {"posterior": 0.5, "confidence": 0.5, "lower": 0.45, "upper": 0.55}
    for side in SIDES:
        quiet |= {f"{name}_{side}": value for name, value in beliefs.items()}
        quiet |= {f"break_even_{side}": 0.5, f"win_{side}": 0, f"gain_{side}": -1e-4}
        quiet |= {f"expected_{side}": -0.01 * UNIT, f"doubt_{side}": 0.02 * UNIT}
        quiet |= {f"margin_{side}": -0.02}
    spread = {name: _column(value, n) for name, value in (quiet | columns).items()}
    frame = pl.DataFrame({"timestamp": times(n), "position": np.arange(n), **spread})
    return frame.with_columns(pl.col("^win_.*$").cast(pl.Int8))


def _column(value: Any, n: int) -> Any:
    return value if isinstance(value, list | np.ndarray | pl.Series) else [value] * n


def random_predictions(
    n: int, *, seed: int, skill: float = 0.0, splits: tuple[float, float] = (0.5, 0.7)
) -> pl.DataFrame:
    """Predictions over a random walk; with `skill`, confidence carries some of the truth."""
    generator = np.random.default_rng(seed)
    bars = random_bars(n, seed=seed)
    truth = np.clip(generator.normal(0.47, 0.08 * (skill > 0), n), 0.05, 0.95)
    columns: dict[str, Any] = {name: bars[name] for name in ("open", "high", "low", "close")}
    edges = np.searchsorted(splits, np.arange(n) / n, side="right")
    columns["split"] = np.array(["library", "calibration", "test"])[edges]
    columns |= {name: generator.uniform(0.2, 0.9, n) for name in ("entropy", "coherence")}
    columns |= {"stability": generator.uniform(0.3, 0.6, n), "decay": 0.25}
    columns["damped_value"] = generator.normal(0.0, 0.3, n)
    for side, chance in (("long", truth), ("short", 0.94 - truth)):
        win = (generator.random(n) < chance).astype(np.int8)
        belief = 0.47 + skill * (chance - 0.47) + generator.normal(0.0, 0.004, n)
        columns |= {f"confidence_{side}": belief, f"posterior_{side}": belief}
        columns |= {f"lower_{side}": belief - 0.03, f"upper_{side}": belief + 0.03}
        columns |= {f"expected_{side}": (belief - 0.5) * UNIT, f"margin_{side}": belief - 0.53}
        columns |= {f"win_{side}": win, f"gain_{side}": np.where(win == 1, 1e-3, -1e-3)}
    return predictions_of(n, **columns)
