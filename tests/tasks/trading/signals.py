"""Signals of seeds: good ones as a rule, and all kinds of others."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import text

from infra.market import fills
from infra.market.timeframes import bar_length
from infra.postgres.database import session
from tests.tasks.trading.venues import PAIRS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: Final = {
    "good": 76, "absurd": 6, "brief": 10, "stale": 3, "shadow": 2, "close": 3,
}  # fmt: skip
"""Kinds of signals, and how often each comes."""
ABSURD: Final[Sequence[dict[str, Any]]] = (
    {"confidence": None},
    {"lower": float("nan")},
    {"break_even": float("inf")},
    {"stop_distance": 0.0},
    {"stop_distance": -1.0},
    {"stop_distance": float("nan")},
    {"stop_distance": 50.0},
    {"target_distance": 1e9},
)


def drawn(rng: random.Random, now: datetime) -> tuple[str, dict[str, Any]]:
    """Return a signal's kind and values."""
    pair, timeframe = rng.choice(PAIRS), rng.choice(("M5", "M5", "M15"))
    values = good(rng, now, pair, timeframe, rng.choice(("long", "short")))
    values["bar_ts"] += bar_length(timeframe) * rng.choice((0, 0, 0, 0, -1, 1))
    values["valid_until"] = fills.valid_until(values["bar_ts"], pair, timeframe)
    kind = rng.choices([*KINDS], [*KINDS.values()])[0]
    change = {
        "absurd": rng.choice(ABSURD),
        "brief": {"valid_until": now + timedelta(seconds=rng.uniform(0.1, 1.5))},
        "stale": {"valid_until": now - bar_length(timeframe)},
        "shadow": {"mode": "shadow"},
        "close": {"action": "CLOSE"},
    }
    return kind, values | change.get(kind, {})


def good(rng: random.Random, now: datetime, pair: str, timeframe: str, side: str) -> dict[str, Any]:
    """Return the values of a good signal on the last bar."""
    length = bar_length(timeframe)
    began = now - (now - EPOCH) % length - length
    stop = round(rng.uniform(10, 60) * pip(pair), 5)
    return {
        "strategy": rng.choice(("damped", "other")),
        "pair": pair,
        "timeframe": timeframe,
        "bar_ts": began,
        "side": side,
        "action": "BUY" if side == "long" else "SELL",
        "confidence": 0.7,
        "lower": 0.6,
        "upper": 0.8,
        "break_even": 0.5,
        "expected": 1e-4,
        "doubt": 1e-5,
        "margin": 1e-4,
        "coherence": 0.9,
        "stop_distance": stop,
        "target_distance": stop * 1.5 if rng.random() < 0.3 else None,
        "horizon": rng.randint(1, 5),
        "valid_until": fills.valid_until(began, pair, timeframe),
        "mode": "live",
        "model_id": "m",
    }


def publish(values: dict[str, Any], times: int) -> None:
    """Deliver a signal so many times."""
    columns, places = ", ".join(values), ", ".join(f":{name}" for name in values)
    statement = f"INSERT INTO signal ({columns}) VALUES ({places}) ON CONFLICT DO NOTHING"
    with session() as opened:
        opened.execute(text(statement), [values] * times)


def pip(pair: str) -> float:
    """Return a pip of a pair."""
    return 0.01 if "JPY" in pair else 0.0001
