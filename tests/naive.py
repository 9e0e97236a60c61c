"""The mathematics, written out slowly: float64, bar by bar, event by event.

Every fast kernel is compared with its twin in this file. Nothing here imports `kernels`.

Long, because it is the specification, to be read from beginning to end.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from math import exp, isfinite, lgamma, log, sqrt
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]

# --- 1. Bars and segments -----------------------------------------------------------------


def is_scheduled_closure(moment: datetime) -> bool:
    """Friday 20:00 to Monday 01:00 UTC, and 24 December to 2 January."""
    hour_of_week = moment.weekday() * 24 + moment.hour
    weekend = hour_of_week >= 4 * 24 + 20 or hour_of_week < 1
    holidays = (moment.month == 12 and moment.day >= 24) or (moment.month == 1 and moment.day <= 2)
    return weekend or holidays


def is_forex_closure(moment: datetime) -> bool:
    """What is not surely open: the weekend from Friday to Sunday 17:00 New York; from 13:00 of the
    last working day before 25 December and 1 January to 19:00 of the day after.
    """
    local = moment.astimezone(ZoneInfo("America/New_York")).replace(tzinfo=None)
    hour_of_week = local.weekday() * 24 + local.hour
    if 4 * 24 + 17 <= hour_of_week < 6 * 24 + 17:
        return True
    for year in (local.year, local.year + 1):
        for holiday in (date(year, 1, 1), date(year, 12, 25)):
            eve = holiday - timedelta(days=1)
            while eve.weekday() > 4:
                eve -= timedelta(days=1)
            early_close = datetime.combine(eve, time(13))
            late_open = datetime.combine(holiday + timedelta(days=1), time(19))
            if early_close <= local < late_open:
                return True
    return False


def is_never_closed(moment: datetime) -> bool:
    return False


def segments(
    timestamp: NDArray[np.int64],
    bar_seconds: int,
    is_closed: Callable[[datetime], bool] = is_scheduled_closure,
) -> NDArray[np.int32]:
    """Count the open minutes without bars, one by one (whole minutes only)."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    limit = max(12 * bar_seconds, 4 * 3600) / 60
    segment = np.zeros(len(timestamp), np.int32)
    for i in range(1, len(timestamp)):
        moment = epoch + timedelta(microseconds=int(timestamp[i - 1]), seconds=bar_seconds)
        end = epoch + timedelta(microseconds=int(timestamp[i]))
        missing = 0
        while moment < end:
            missing += not is_closed(moment)
            moment += timedelta(minutes=1)
        segment[i] = segment[i - 1] + (missing > limit)
    return segment


def volatility(log_price: Floats, segment: NDArray[np.int32], window: int = 64) -> Floats:
    sigma = np.full(len(log_price), np.nan)
    for t in range(window, len(log_price)):
        if segment[t - window] == segment[t]:
            returns = [log_price[i] - log_price[i - 1] for i in range(t - window + 1, t + 1)]
            sigma[t] = sqrt(sum(r * r for r in returns) / window)
    return sigma


# --- 2. Bitstream and events --------------------------------------------------------------


def encode_bits(
    bars: dict[str, Floats], segment: NDArray[np.int32], encoder: str
) -> tuple[Codes, NDArray[np.bool_]]:
    n = len(segment)
    bits, valid = np.zeros(n, np.uint8), np.zeros(n, np.bool_)
    for t in range(n):
        bit = ENCODERS[encoder](bars, segment, t)
        if bit is not None:
            bits[t], valid[t] = bit, True
    return bits, valid


def direction_bit(bars: dict[str, Floats], segment: NDArray[np.int32], t: int) -> int | None:
    if t == 0 or segment[t - 1] != segment[t]:
        return None
    x, before = np.log(bars["close"][t]), np.log(bars["close"][t - 1])
    return 1 if x > before else 0 if x < before else None


def body_bit(bars: dict[str, Floats], segment: NDArray[np.int32], t: int) -> int | None:
    body = bars["close"][t] - bars["open"][t]
    return 1 if body > 0 else 0 if body < 0 else None


def volatility_bit(bars: dict[str, Floats], segment: NDArray[np.int32], t: int) -> int | None:
    if t < 65 or segment[t - 65] != segment[t]:
        return None
    ranges = [true_range(bars, i) for i in range(t - 64, t + 1)]
    return exceeds_mean(ranges)


def true_range(bars: dict[str, Floats], t: int) -> float:
    before = float(bars["close"][t - 1])
    high, low = float(bars["high"][t]), float(bars["low"][t])
    if not (isfinite(before) and isfinite(high) and isfinite(low)):
        return np.nan
    return max(high, before) - min(low, before)


def volume_bit(bars: dict[str, Floats], segment: NDArray[np.int32], t: int) -> int | None:
    if t < 64 or segment[t - 64] != segment[t]:
        return None
    return exceeds_mean([float(v) for v in bars["volume"][t - 64 : t + 1]])


def exceeds_mean(values: list[float]) -> int | None:
    *before, newest = values
    if not all(isfinite(value) for value in values):
        return None
    return int(newest > sum(before) / len(before))


ENCODERS = {
    "direction": direction_bit,
    "volatility": volatility_bit,
    "volume": volume_bit,
    "body": body_bit,
}


def transitions(bits: Codes, valid: NDArray[np.bool_], segment: NDArray[np.int32]) -> Codes:
    events = np.full(len(bits), 4, np.uint8)
    last: int | None = None
    for t in range(len(bits)):
        if t > 0 and segment[t] != segment[t - 1]:
            last = None
        if valid[t]:
            if last is not None:
                events[t] = 2 * last + bits[t]
            last = int(bits[t])
    return events


# --- 3. Momentum and runs of bits ---------------------------------------------------------


def momentum(
    log_price: Floats, sigma: Floats, segment: NDArray[np.int32], memories: tuple[float, ...]
) -> Floats:
    out = np.full((len(log_price), len(memories)), np.nan)
    for t in range(256, len(log_price)):
        if segment[t - 256] != segment[t] or not sigma[t] > 0:
            continue
        returns = [log_price[t - j] - log_price[t - j - 1] for j in range(256)]
        for m, memory in enumerate(memories):
            weights = [exp(-j / memory) for j in range(256)]
            total = sum(w * r for w, r in zip(weights, returns, strict=True))
            out[t, m] = total / (sigma[t] * sqrt(sum(w * w for w in weights)))
    return out


def patterns(
    bits: Codes, valid: NDArray[np.bool_], segment: NDArray[np.int32]
) -> NDArray[np.int64]:
    numbers = np.full(len(bits), -1, np.int64)
    for t in range(len(bits)):
        known = [int(bits[u]) for u in range(t + 1) if segment[u] == segment[t] and valid[u]]
        if len(known) >= 5:
            numbers[t] = sum(bit * 2**j for j, bit in enumerate(reversed(known[-5:])))
    return numbers


# --- 4. Damping ---------------------------------------------------------------------------

WINDOWS = [round(8 * 2 ** (k / 3)) for k in range(16)]
STATES = [[0, 1], [1, 2]]  # NULL, FLIP, RUPTURE of (x, y)


class Params(NamedTuple):
    k1: float = 0.30
    k2: float = 0.20
    tau: float = 8.0
    decay0: float = 0.25
    tolerance: float = 1e-2


class Damped(NamedTuple):
    trajectory: Floats
    decay: Floats
    steps: NDArray[np.int8]
    converged: NDArray[np.bool_]
    state_ratios: Floats


def damp(
    events: Codes,
    log_price: Floats,
    sigma: Floats,
    segment: NDArray[np.int32],
    params: Params | None = None,
) -> Damped:
    n = len(events)
    damped = Damped(
        np.full((n, 16, 4), np.nan),
        np.full((n, 16), np.nan),
        np.full(n, -1, np.int8),
        np.zeros(n, np.bool_),
        np.full((n, 3), np.nan),
    )
    for t in range(n):
        if has_metrics(events, log_price, segment, t):
            damp_bar(events, log_price, sigma, params or Params(), t, damped)
    return damped


def has_metrics(events: Codes, log_price: Floats, segment: NDArray[np.int32], t: int) -> bool:
    if t < 257 or segment[t - 257] != segment[t]:
        return False
    return bool(np.isfinite(log_price[t - 257 : t + 1]).all() and (events[t - 7 : t + 1] < 4).any())


def damp_bar(
    events: Codes, log_price: Floats, sigma: Floats, params: Params, t: int, damped: Damped
) -> None:
    decay = params.decay0
    for k, n in enumerate(WINDOWS):
        damped.decay[t, k] = decay
        h, c, s, p = metrics(events, t, n, decay / params.tau)
        v = damped_value(log_price, sigma[t], t, n, decay / params.tau)
        damped.trajectory[t, k] = h, c, s, v
        decay = min(max(params.k1 * h + params.k2 * (1 - c), 0.01), 1.0)
    damped.state_ratios[t] = p
    moves = np.abs(np.diff(damped.trajectory[t, :, :3], axis=0)).max(axis=1)
    small = [k for k in range(1, 16) if (moves[k - 1 :] <= params.tolerance).all()]
    damped.converged[t] = moves[-1] <= params.tolerance
    damped.steps[t] = small[0] if small else 16


def metrics(events: Codes, t: int, n: int, rate: float) -> tuple[float, float, float, list[float]]:
    counts = [[0.0, 0.0], [0.0, 0.0]]
    slow, fast, wrong = [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], 0.0
    for j in range(n - 1, -1, -1):
        if events[t - j] == 4:
            continue
        x, y = divmod(int(events[t - j]), 2)
        w = exp(-rate * j)
        repeat, change = counts[x][x], counts[x][1 - x]
        wrong += w * ((x if repeat >= change else 1 - x) != y)
        counts[x][y] += w
        slow[STATES[x][y]] += w
        fast[STATES[x][y]] += w * w
    p = [value / sum(slow) for value in slow]
    q = [value / sum(fast) for value in fast]
    entropy = -sum(p_s * log(p_s) for p_s in p if p_s > 0) / log(3)
    coherence = sum(sqrt(p_s * q_s) for p_s, q_s in zip(p, q, strict=True)) ** 2
    return entropy, coherence, 1 - wrong / sum(slow), p


def damped_value(log_price: Floats, sigma: float, t: int, n: int, rate: float) -> float:
    if not sigma > 0:
        return np.nan
    weights = [exp(-rate * j) for j in range(1, n + 1)]
    moves = [log_price[t] - log_price[t - j] for j in range(1, n + 1)]
    total = sum(w * move for w, move in zip(weights, moves, strict=True))
    return float(total / (sigma * sum(weights)))


# --- 5. Paths and neighbours ---


def unit_paths(
    trajectory: Any, mean: Any, deviation: Any, weight: Any = 1.0, lift: float = 0.0
) -> Any:
    """Standardised, weighed trajectories scaled to unit length, with a lift in place of the first
    dimension if there is one; NaN rows where there is none.
    """
    flat = np.asarray(trajectory, np.float64).reshape(len(trajectory), 64)
    paths = np.full_like(flat, np.nan)
    for t, row in enumerate(flat):
        z = weight * (row - mean) / deviation
        if lift and not np.isnan(z[0]):
            z[0] = lift
        length = np.sqrt((z * z).sum())
        if length > 0:
            paths[t] = z / length
    return paths


def nearest(
    queries: Any, library: Any, position: Any, group: Any, known_before: Any, exclusion: int, k: int
) -> list[tuple[Any, list[int]]]:
    """Per query: (scores, indices) of the kept neighbours, best first."""
    found = []
    for query, seen in zip(np.asarray(queries, np.float64), known_before, strict=True):
        scores = np.asarray(library[:seen], np.float64) @ query
        rows = [i for i in range(seen) if not np.isnan(scores[i])]
        rows.sort(key=lambda i: (-scores[i], i))
        kept = thin(rows[:k], position, group, exclusion)
        found.append((scores[kept], kept))
    return found


def thin(rows: list[int], position: Any, group: Any, exclusion: int) -> list[int]:
    """Drop, best first, what overlaps one already kept."""
    kept: list[int] = []
    for i in rows:
        if not any(
            group[i] == group[j] and abs(position[i] - position[j]) < exclusion for j in kept
        ):
            kept.append(i)
    return kept


# --- 6. Outcomes ---


def outcomes(
    quotes: Any,
    segments: Any,
    horizon: int,
    stop: Any,
    target: Any,
    slippage: float,
    closing: Any = None,
) -> list[list[Any]]:
    """Per bar and side (long, short): (entry, exit, exit bar), or None where null."""
    return [
        [
            trade(quotes, segments, t, side, horizon, stop, target, slippage)
            if is_entered(segments, closing, t, horizon)
            else None
            for side in ("long", "short")
        ]
        for t in range(len(segments))
    ]


def is_entered(segments: Any, closing: Any, t: int, horizon: int) -> bool:
    """Not before a closure or a hole, and not before all of the future that may count is there."""
    if t + horizon + 1 >= len(segments) or (closing is not None and closing[t]):
        return False
    return bool(segments[t + 1] == segments[t])


def trade(
    quotes: Any,
    segments: Any,
    t: int,
    side: str,
    horizon: int,
    stop: Any,
    target: Any,
    slippage: float,
) -> tuple[float, float, int] | None:
    """Buy at the ask and leave at the bid; a short is a long in prices of opposite sign."""
    holes = [u for u in range(t + 2, t + horizon + 2) if segments[u] != segments[u - 1]]
    last = min([t + horizon + 1, *holes])
    sign = 1 if side == "long" else -1
    enter, leave = ("ask", "bid") if side == "long" else ("bid", "ask")
    worst, best = ("low", "high") if side == "long" else ("high", "low")
    opens = sign * quotes[f"{leave}_open"]
    worst_price, best_price = sign * quotes[f"{leave}_{worst}"], sign * quotes[f"{leave}_{best}"]
    entry = sign * quotes[f"{enter}_open"][t + 1] + slippage
    exit_price, exit_bar = opens[last], last
    for u in reversed(range(t + 1, last)):
        if target is not None:
            reached = best_price[u] >= entry + target[t]
            exit_price, exit_bar = (entry + target[t], u) if reached else (exit_price, exit_bar)
            if np.isnan(best_price[u] + target[t]):
                exit_price = np.nan
        if stop is not None:
            level = entry - stop[t]
            if worst_price[u] <= level or opens[u] <= level:
                exit_price, exit_bar = min(opens[u], level), u
            if np.isnan(opens[u] + worst_price[u] + level):
                exit_price = np.nan
    return None if np.isnan(entry + exit_price) else (sign * entry, sign * exit_price, exit_bar)


# --- 7. Confidence ---


def tally(
    index: Any, win: Any, base_rate: Any, strength: Any
) -> list[list[tuple[int, int, float]]]:
    """Per query and side: (wins, k_eff, posterior)."""
    return [
        [
            shrunk([int(win[i][side]) for i in row if i >= 0], base_rate[side], strength[side])
            for side in (0, 1)
        ]
        for row in index
    ]


def shrunk(outcomes: list[int], base_rate: float, strength: float) -> tuple[int, int, float]:
    known = [outcome for outcome in outcomes if outcome >= 0]
    wins, k_eff = sum(known), len(known)
    if k_eff == 0:
        return wins, k_eff, np.nan
    if strength == np.inf:
        return wins, k_eff, base_rate
    return wins, k_eff, (wins + strength * base_rate) / (k_eff + strength)


def local_logistic(
    score: Any, index: Any, query: Any, features: Any, win: Any, *,
    base_rate: float, strength: float, ridge: float,
) -> float:  # fmt: skip
    """Log-odds of one query and side; `win` is that side's. Newton's method until it stands still,
    halving steps that climb, with features in units of their largest.
    """
    rows = [
        (2 - 2 * float(s), int(i))
        for s, i in zip(score, index, strict=True)
        if i >= 0 and win[i] >= 0 and np.isfinite(s + features[i] - query).all()
    ]
    if not rows:
        return np.nan
    squares, chosen = np.array([max(row[0], 0.0) for row in rows]), [row[1] for row in rows]
    farthest = squares.max()
    kernel = 1 - squares / (farthest * (1 + 1 / len(rows))) if farthest > 0 else squares + 1
    kernel *= kernel.sum() / (kernel**2).sum()
    x, y = features[chosen].astype(float) - query.astype(float), win[chosen].astype(float)
    largest = np.where((x == 0).all(axis=0), 1.0, abs(x).max(axis=0))
    x = np.column_stack([np.ones(len(x)), x / largest])
    penalty = np.append(strength * base_rate * (1 - base_rate), ridge / largest**2)
    centre = np.append(log(base_rate / (1 - base_rate)), np.zeros(x.shape[1] - 1))

    def loss(b: Any) -> float:
        fit = kernel * (np.logaddexp(0, x @ b) - y * (x @ b))
        return float(fit.sum() + (penalty * (b - centre) ** 2).sum() / 2)

    b = centre
    for _ in range(1000):
        p = (1 + np.tanh(x @ b / 2)) / 2
        slope = x.T @ (kernel * (p - y)) + penalty * (b - centre)
        bend = (x.T * (kernel * p * (1 - p))) @ x + np.diag(penalty)
        step = np.linalg.pinv(bend, 1e-14, hermitian=True) @ slope
        if abs(step).max() < 1e-13:
            break
        while loss(b - step) > loss(b) + 1e-9:
            step /= 2
        b = b - step
    return float(b[0])


def beta_binomial_log_likelihood(wins: Any, k_eff: Any, base_rate: float, strength: float) -> float:
    """Without the binomial coefficients, which no strength changes."""
    total = 0.0
    for w, k in zip(wins, k_eff, strict=True):
        if strength == np.inf:
            total += w * log(base_rate) + (k - w) * log(1 - base_rate)
        else:
            a, b = strength * base_rate, strength * (1 - base_rate)
            total += lgamma(w + a) + lgamma(k - w + b) - lgamma(k + a + b)
            total -= lgamma(a) + lgamma(b) - lgamma(a + b)
    return total


# --- 6, many times: one set of a sweep ---


class Swept(NamedTuple):
    trades: int
    wins: int
    profit: float
    drawdown: float
    daily: list[float]


def sweep(
    quotes: Any,
    segments: Any,
    score: Any,
    unit: Any,
    days: Any,
    *,
    rule: tuple[float, float, float, int],
    point: float,
    slippage: float,
) -> Swept:
    """Live through the bars with one unit: decide at a close, act at the next open."""
    threshold, stop, target, horizon = rule
    points = {name: np.rint(values / point) for name, values in quotes.items()}
    slip, gains, marks = round(slippage / point), [0.0], []
    position: dict[str, Any] | None = None
    wish: tuple[str, int] | None = None
    for t in range(len(segments)):
        closing = False
        if position is None and wish is not None:
            position = enter(points, t, wish[0], slip, stop, target, unit[wish[1]] / point, horizon)
        elif position is not None:
            opposite = wish is not None and wish[0] != position["side"]
            closing = opposite or segments[t] != segments[t - 1]
        if position is not None:
            price = exit_of(points, t, position, closing)
            if price is not None:
                gains.append(position["sign"] * price - position["entry"])
                position = None
        open_gain = 0.0
        if position is not None:
            leave = "bid" if position["side"] == "long" else "ask"
            open_gain = position["sign"] * points[f"{leave}_close"][t] - position["entry"]
        marks.append(sum(gains) + open_gain)
        wish = wanted(score[t], threshold, t)
        fits = is_entered(segments, np.isnan(unit), t, horizon)
        if position is None and not fits:
            wish = None
    return Swept(
        trades=len(gains) - 1,
        wins=sum(gain > 0 for gain in gains),
        profit=sum(gains) * point,
        drawdown=point
        * max([0.0, *(max([0.0, *marks[:t]]) - marks[t] for t in range(len(marks)))]),
        daily=[change * point for change in daily_changes(marks, days)],
    )


def wanted(score: Any, threshold: float, t: int) -> tuple[str, int] | None:
    long, short = (-np.inf if np.isnan(side) else side for side in score)
    if max(long, short) < threshold:
        return None
    return ("long" if long >= short else "short"), t


def enter(
    points: Any,
    t: int,
    side: str,
    slip: int,
    stop: float,
    target: float,
    unit: float,
    horizon: int,
) -> dict[str, Any]:
    """Prices of a short are of opposite sign, so that higher is better."""
    sign = 1 if side == "long" else -1
    entry = sign * points["ask_open" if side == "long" else "bid_open"][t] + slip
    rounded = [
        max(1.0, float(np.rint(np.float32(many) * np.float32(unit)))) for many in (stop, target)
    ]
    levels = {"stop": entry - rounded[0], "target": entry + rounded[1]}
    return {"side": side, "sign": sign, "entry": entry, "last": t + horizon, **levels}


def exit_of(points: Any, t: int, position: Any, closing: bool) -> float | None:
    side, sign = position["side"], position["sign"]
    leave, worst, best = ("bid", "low", "high") if side == "long" else ("ask", "high", "low")
    opens = sign * points[f"{leave}_open"][t]
    if closing or t == position["last"]:
        return float(sign * opens)
    if opens <= position["stop"]:
        return float(sign * opens)
    if sign * points[f"{leave}_{worst}"][t] <= position["stop"]:
        return float(sign * position["stop"])
    if sign * points[f"{leave}_{best}"][t] >= position["target"]:
        return float(sign * position["target"])
    return None


def daily_changes(marks: list[float], days: Any) -> list[float]:
    last = dict(zip(days, marks, strict=True))
    return [float(change) for change in np.diff([0.0, *last.values()])]
