"""The built-in functions in slow Python: lists in, lists out, None for null.

Each takes the bars and its arguments: a list for a column, a plain value for a constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from infra.market import moments
from infra.market.hours import calendar_of

Value = float | bool | None
Column = list[Any]


@dataclass(frozen=True)
class Bars:
    """Columns of bars, hours long, by name."""

    columns: dict[str, Column]
    times: list[datetime]
    pair: str = "EUR_USD"

    def __getitem__(self, name: str) -> Column:
        return self.columns.get(name, [None] * len(self.times))


def finite(value: Any) -> Any:
    """None for what is no finite number."""
    if isinstance(value, complex) or value is None:
        return None
    return value if math.isfinite(value) else None


def each(function: Callable[..., Any], *columns: Sequence[Any]) -> Column:
    """Row by row; null where an argument is, or where there is no answer."""
    return [attempt(function, *row) for row in zip(*columns, strict=True)]


def attempt(function: Callable[..., Any], *row: Any) -> Any:
    if None in row:
        return None
    try:
        return finite(function(*row))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None


def rolling(function: Callable[..., Any], n: int, *columns: Column) -> Column:
    """Of the last n rows; null where one is missing or null."""
    found: Column = []
    for t in range(len(columns[0])):
        parts = [column[t - n + 1 : t + 1] for column in columns]
        whole = t >= n - 1 and all(None not in part for part in parts)
        found.append(attempt(function, *parts) if whole else None)
    return found


def lag(x: Column, n: int) -> Column:
    return [x[t - n] if t >= n else None for t in range(len(x))]


def mean(x: Sequence[float]) -> float:
    return math.fsum(x) / len(x)


def variance(x: Sequence[float]) -> float:
    return covariance(x, x)


def deviation(x: Sequence[float]) -> float:
    return math.sqrt(variance(x))


def covariance(x: Sequence[float], y: Sequence[float]) -> float:
    a, b = mean(x), mean(y)
    return math.fsum((p - a) * (q - b) for p, q in zip(x, y, strict=True)) / len(x)


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    return covariance(x, y) / (deviation(x) * deviation(y))


def moment(x: Sequence[float], power: int) -> float:
    a, s = mean(x), deviation(x)
    return mean([((one - a) / s) ** power for one in x])


def percentile(x: Sequence[float], p: float) -> float:
    ordered, place = sorted(x), p * (len(x) - 1)
    under = math.floor(place)
    above = min(under + 1, len(x) - 1)
    return ordered[under] + (place - under) * (ordered[above] - ordered[under])


def rank(x: Sequence[float]) -> float:
    return sum((one < x[-1]) + 0.5 * (one == x[-1]) for one in x) / len(x)


def exponential(x: Column, decay: float) -> Column:
    n = 1 if decay <= 0 else math.ceil(16 * math.log(0.5) / math.log(decay))
    weights = [decay**age for age in reversed(range(n))]
    total = math.fsum(weights)
    return rolling(lambda w: math.fsum(map(math.prod, zip(w, weights, strict=True))) / total, n, x)


def true_range(bars: Bars) -> Column:
    last = lag(bars["close"], 1)
    return each(lambda h, w, c: max(h, c) - min(w, c), bars["high"], bars["low"], last)


def rsi(bars: Bars, n: int) -> Column:
    moves = each(lambda a, b: a - b, bars["close"], lag(bars["close"], 1))
    up = exponential(each(lambda m: max(m, 0.0), moves), 1 - 1 / n)
    down = exponential(each(lambda m: max(-m, 0.0), moves), 1 - 1 / n)
    return each(lambda u, d: 100 * u / (u + d), up, down)


def macd(_: Bars, x: Column, fast: int, slow: int) -> Column:
    parts = (exponential(x, 1 - 2 / (n + 1)) for n in (fast, slow))
    return each(lambda a, b: a - b, *parts)


def slope(x: Sequence[float]) -> float:
    times = list(range(len(x)))
    return covariance(x, times) / variance(times)


def since(x: Sequence[float]) -> Any:
    return next((age for age, one in enumerate(reversed(x)) if one), None)


def crossed(x: Column, y: Column) -> Column:
    return each(lambda a, b, c, d: a > b and c <= d, x, y, lag(x, 1), lag(y, 1))


def scaled(x: Sequence[float]) -> float:
    return (x[-1] - min(x)) / (max(x) - min(x))


def standardized(x: Sequence[float]) -> float:
    return (x[-1] - mean(x[:-1])) / deviation(x[:-1])


def bits(bars: Bars, n: int, encoder: str) -> Column:
    close = bars["close"]
    first = bars["open"] if encoder == "body" else lag(close, 1)
    bit = each(lambda a, b: None if a == b else float(a > b), close, first)
    return rolling(lambda w: sum(one * 2**age for age, one in enumerate(reversed(w))), n, bit)


def in_session(bars: Bars, name: str) -> Column:
    zone, first, last = {
        "sydney": ("Australia/Sydney", 8, 17),
        "tokyo": ("Asia/Tokyo", 9, 18),
        "london": ("Europe/London", 8, 17),
        "new_york": ("America/New_York", 8, 17),
    }[name]
    local = [time.astimezone(ZoneInfo(zone)) for time in bars.times]
    return [first <= time.hour < last and time.weekday() < 5 for time in local]


def minutes_to_close(bars: Bars) -> Column:
    calendar = calendar_of(bars.pair)
    found: Column = []
    for time in bars.times:
        end = time + timedelta(hours=1)
        before = end - timedelta(microseconds=1)
        if not moments.is_open(calendar, before):
            end = moments.next_open(calendar, end)
        sessions = calendar.sessions(end, end + timedelta(days=14))["closes"]
        closes = next(one for one in sessions if one >= end)
        if moments.is_open(calendar, before) and not moments.is_open(calendar, end):
            closes = end
        found.append((closes - (time + timedelta(hours=1))).total_seconds() / 60)
    return found


def volatility_target(bars: Bars, rate: float, stop: Column) -> Column:
    close = bars["close"]
    returns = each(lambda a, b: math.log(a / b) ** 2, close, lag(close, 1))
    yearly = rolling(lambda w: math.sqrt(mean(w) * 260 * 24), 64, returns)
    return each(lambda y, s, c: rate / y * s / c, yearly, stop, close)


def kelly(p: float, b: float) -> float | None:
    return max(p - (1 - p) / b, 0.0) if b > 0 else None


def metric(name: str, change: Callable[[float], Any] = lambda x: x) -> Callable[..., Column]:
    return lambda bars, encoder: each(
        change, bars[name if encoder == "direction" else f"{name}_{encoder}"]
    )


def belief(name: str) -> Callable[..., Column]:
    return lambda bars, side, _: bars[f"{name}_{side}"]


def window(function: Callable[..., Any]) -> Callable[..., Column]:
    """A function of the last n values of columns; constants between columns and n come along."""

    def run(_: Bars, *given: Any) -> Column:
        columns = [one for one in given if isinstance(one, list)]
        rest = given[len(columns) : -1]
        return rolling(lambda *parts: function(*parts, *rest), given[-1], *columns)

    return run


def rows(function: Callable[..., Any]) -> Callable[..., Column]:
    return lambda _, *columns: each(function, *columns)


def halves(x: float) -> float:
    return math.copysign(math.floor(abs(x) + 0.5), x)


def ordered(sign: int) -> Callable[..., Any]:
    return lambda x: all(sign * (b - a) > 0 for a, b in pairwise(x))


def chosen(_: Bars, condition: Column, a: Column, b: Column) -> Column:
    return [None if c is None else p if c else q for c, p, q in zip(condition, a, b, strict=True)]


def filled(_: Bars, x: Column, value: Column) -> Column:
    return [b if a is None else a for a, b in zip(x, value, strict=True)]


def mid(bars: Bars) -> Column:
    half = each(lambda a, b: (a + b) / 2, bars["bid_close"], bars["ask_close"])
    return filled(bars, half, bars["close"])


def sign(x: float) -> int:
    return (x > 0) - (x < 0)


def constant(value: float) -> Callable[..., Column]:
    return lambda bars, *_: [value] * len(bars.times)


PRICES = {name: (lambda bars, name=name: bars[name]) for name in ("open", "high", "low", "close")}
QUOTES = {
    "bid": lambda bars: bars["bid_close"],
    "ask": lambda bars: bars["ask_close"],
    "spread": lambda bars: each(lambda a, b: a - b, bars["ask_close"], bars["bid_close"]),
    "mid": mid,
    "volume": lambda bars: bars["volume"],
}
PLAIN = ("entropy", "coherence", "stability", "damped_value", "decay", "steps")
SHARES = ("null_ratio", "flip_ratio", "rupture_ratio")
BELIEFS = {
    "confidence": "confidence",
    "confidence_lower": "lower",
    "confidence_upper": "upper",
    "break_even": "break_even",
    "expected": "expected",
    "margin": "margin",
}
MATH: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "sign": sign,
    "sqrt": math.sqrt,
    "cbrt": math.cbrt,
    "exp": math.exp,
    "log": math.log,
    "log2": math.log2,
    "log10": math.log10,
    "pow": lambda x, y: x**y,
    "min": min,
    "max": max,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": halves,
    "trunc": math.trunc,
    "clamp": lambda x, low, high: min(max(x, low), high),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "atan2": math.atan2,
    "tanh": math.tanh,
    "kelly": kelly,
}
WINDOWS: dict[str, Callable[..., Any]] = {
    "mean": mean,
    "sma": mean,
    "sum": math.fsum,
    "count": sum,
    "stddev": deviation,
    "variance": variance,
    "median": lambda x: percentile(x, 0.5),
    "percentile": percentile,
    "percentile_rank": rank,
    "zscore": lambda x: (x[-1] - mean(x)) / deviation(x),
    "skew": lambda x: moment(x, 3),
    "kurtosis": lambda x: moment(x, 4) - 3,
    "correlation": correlation,
    "covariance": covariance,
    "beta": lambda x, y: covariance(x, y) / variance(y),
    "wma": lambda x: sum(v * (i + 1) for i, v in enumerate(x)) / sum(range(1, len(x) + 1)),
    "highest": max,
    "lowest": min,
    "slope": slope,
    "trend": lambda x: correlation(x, list(range(len(x)))),
    "bars_since": since,
    "scale": scaled,
}
REFERENCE: dict[str, Callable[..., Column]] = {
    **PRICES,
    **QUOTES,
    **{name: metric(name) for name in PLAIN + SHARES},
    **{name: belief(column) for name, column in BELIEFS.items()},
    **{name: rows(function) for name, function in MATH.items()},
    **{name: window(function) for name, function in WINDOWS.items()},
    "converged": metric("converged", bool),
    "correction_ratio": metric("stability", lambda x: 1 - x),
    "collapse": metric("rupture_ratio", lambda x: x >= 0.5),
    "energy": metric("damped_value", lambda x: x * x),
    "bits": bits,
    "hour": lambda bars: [float(time.hour) for time in bars.times],
    "weekday": lambda bars: [float(time.isoweekday()) for time in bars.times],
    "session": in_session,
    "minutes_to_close": minutes_to_close,
    "pi": constant(math.pi),
    "e": constant(math.e),
    "risk_fraction": lambda bars, rate: [rate] * len(bars.times),
    "volatility_target": volatility_target,
    "lag": lambda _, x, n: lag(x, n),
    "change": lambda _, x, n: each(lambda a, b: a - b, x, lag(x, n)),
    "rate_of_change": lambda _, x, n: each(lambda a, b: a / b - 1, x, lag(x, n)),
    "ema": lambda _, x, n: exponential(x, 1 - 2 / (n + 1)),
    "atr": lambda bars, n: exponential(true_range(bars), 1 - 1 / n),
    "true_range": true_range,
    "rsi": rsi,
    "macd": macd,
    "bollinger_upper": lambda _, x, n, k: rolling(lambda w: mean(w) + k * deviation(w), n, x),
    "bollinger_lower": lambda _, x, n, k: rolling(lambda w: mean(w) - k * deviation(w), n, x),
    "crosses_above": lambda _, x, y: crossed(x, y),
    "crosses_below": lambda _, x, y: crossed(y, x),
    "rising": lambda _, x, n: rolling(ordered(1), n + 1, x),
    "falling": lambda _, x, n: rolling(ordered(-1), n + 1, x),
    "autocorrelation": lambda _, x, age, n: rolling(correlation, n, x, lag(x, age)),
    "standardize": lambda _, x, n: rolling(standardized, n + 1, x),
    "where": chosen,
    "fill": filled,
    "rank_across_pairs": lambda _, own, *others: each(
        lambda a, *rest: (sum((b < a) + 0.5 * (b == a) for b in rest) + 0.5) / (len(rest) + 1),
        own,
        *others,
    ),
}
