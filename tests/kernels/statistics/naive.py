"""The statistics, written out slowly: loops over rows, splits and shifts, one formula a line."""

from __future__ import annotations

from itertools import combinations
from math import erf, exp, log, sqrt

import numpy as np

from kernels.evaluation import Floats


def normal(z: float) -> float:
    return (1 + erf(z / sqrt(2))) / 2


def probabilistic_sharpe(returns: Floats, benchmark: float) -> float:
    n, mean = len(returns), sum(returns) / len(returns)
    m2, m3, m4 = (sum((r - mean) ** power for r in returns) / n for power in (2, 3, 4))
    sharpe = mean / sqrt(m2 * n / (n - 1))
    skewness, kurtosis = m3 / m2**1.5, m4 / m2**2
    error = sqrt((1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2) / (n - 1))
    return normal((sharpe - benchmark) / error)


def mean_correlation(returns: Floats) -> float:
    pairs = combinations(range(returns.shape[1]), 2)
    return float(np.mean([np.corrcoef(returns[:, i], returns[:, j])[0, 1] for i, j in pairs]))


def overfitting(returns: Floats, blocks: int, purge: int) -> tuple[list[float], list[float]]:
    """Logits and out-of-sample ratios of the best in sample: halves put together row by row."""
    length = len(returns) // blocks
    start = len(returns) - length * blocks
    pieces = [returns[start + b * length + purge : start + (b + 1) * length] for b in range(blocks)]
    logits, outside = [], []
    for chosen in combinations(range(blocks), blocks // 2):
        rest = [b for b in range(blocks) if b not in chosen]
        inside = [ratio(column) for column in np.concatenate([pieces[b] for b in chosen]).T]
        unseen = [ratio(column) for column in np.concatenate([pieces[b] for b in rest]).T]
        best = inside.index(max(inside))
        below = sum(value < unseen[best] for value in unseen)
        equal = sum(value == unseen[best] for value in unseen)
        rank = (below + (equal + 1) / 2) / (len(unseen) + 1)
        logits.append(log(rank / (1 - rank)))
        outside.append(unseen[best])
    return logits, outside


def ratio(column: Floats) -> float:
    deviation = float(column.std(ddof=1))
    return float(column.mean()) / deviation if deviation else 0.0


def long_run_variance(x: Floats, length: float) -> float:
    """Variance of sqrt(n) times the mean: rows i apart are of one block with (1 - p)^i."""
    n, stay = len(x), 1 - 1 / length
    centred = x - x.mean()
    total = 0.0
    for apart in range(-(n - 1), n):
        circular = float(centred @ np.roll(centred, apart)) / n
        total += (n - abs(apart)) / n * stay ** abs(apart) * circular
    return total


def superior_ability(gains: Floats, length: float, draws: list[Floats]) -> tuple[float, ...]:
    """Statistic and p-values (lower, consistent, upper) from given draws of rows."""
    n, k = gains.shape
    deviation = [sqrt(long_run_variance(gains[:, j], length)) for j in range(k)]
    means = [float(gains[:, j].mean()) for j in range(k)]
    statistic = max(0.0, max(sqrt(n) * means[j] / deviation[j] for j in range(k)))
    p_values = []
    for rule in ("lower", "consistent", "upper"):
        exceeded = 0
        for rows in draws:
            greatest = 0.0
            for j in range(k):
                least = -deviation[j] * sqrt(2 * log(log(n)) / n)
                keep = {"lower": means[j] >= 0, "consistent": means[j] >= least, "upper": True}
                centre = means[j] if keep[rule] else 0.0
                drawn = float(gains[rows.astype(int), j].mean())
                greatest = max(greatest, sqrt(n) * (drawn - centre) / deviation[j])
            exceeded += greatest >= statistic
        p_values.append((1 + exceeded) / (1 + len(draws)))
    return (statistic, *p_values)


def shift_sums(position: Floats, returns: Floats) -> list[float]:
    n = len(position)
    return [sum(position[(t - s) % n] * returns[t] for t in range(n)) for s in range(n)]


def isotonic(y: Floats, weight: Floats) -> Floats:
    """Greatest of the least means: the max-min formula, in place of pooling."""
    n = len(y)
    mean = [
        [float(np.average(y[i : j + 1], weights=weight[i : j + 1])) for j in range(i, n)]
        for i in range(n)
    ]
    return np.array(
        [max(min(mean[i][j - i] for j in range(t, n)) for i in range(t + 1)) for t in range(n)]
    )


def risk_coverage(confidence: Floats, loss: Floats) -> list[tuple[float, float, float]]:
    points = []
    for threshold in sorted(set(confidence), reverse=True):
        answered = [lost for said, lost in zip(confidence, loss, strict=True) if said >= threshold]
        points.append((threshold, len(answered) / len(loss), sum(answered) / len(answered)))
    return points


def stake(p: list[float], y: list[float], sign: int) -> float:
    """What bets on one side made of 1: each shift, each beginning, outcome by outcome."""
    total, shifts = 0.0, (0.1, 0.2, 0.4, 0.8, 1.6)
    for shift in shifts:
        for begin in range(len(p)):
            made = 1 / len(shifts) / ((begin + 1) * (begin + 2))
            for said, came in zip(p[begin:], y[begin:], strict=True):
                odds = said / (1 - said) * exp(sign * shift)
                bet = odds / (1 + odds)
                made *= bet / said if came else (1 - bet) / (1 - said)
            total += made
    return total + 1 / (len(p) + 1)


def combinatorial_paths(
    returns: Floats, groups: int, tested: int, purge: int, embargo: int
) -> tuple[list[float], list[int]]:
    """Sharpe ratio of each path, and the trial chosen in each split."""
    n, k = returns.shape
    edges = [int(n * group / groups) for group in range(groups + 1)]
    chosen: list[int] = []
    paths: list[list[Floats]] = [[] for _ in range(groups)]
    for test in combinations(range(groups), tested):
        forbidden = {
            row for group in test for row in range(edges[group] - purge, edges[group + 1] + embargo)
        }
        kept = [row for row in range(n) if row not in forbidden]
        ratios = [np.mean(returns[kept, j]) / np.std(returns[kept, j], ddof=1) for j in range(k)]
        best = int(np.argmax(ratios))
        chosen.append(best)
        for group in test:
            paths[group].append(returns[edges[group] : edges[group + 1], best])
    found = []
    for path in zip(*paths, strict=True):
        rows = np.concatenate(path)
        found.append(float(rows.mean() / rows.std(ddof=1)))
    return found, chosen
