"""Block lengths against those of `arch`, draws against their law, intervals against coverage."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.statistics.bootstrap import (
    block_length,
    bootstrap_interval,
    longest_block,
    stationary_draws,
)
from tests.kernels.statistics.series import autoregressive


@pytest.mark.parametrize(
    ("seed", "rows", "phi", "length"),
    [
        (0, 500, 0.0, 1.0),  # 0.98396 there: less than a row is a row here
        (1, 500, 0.3, 4.01613733378905),
        (2, 500, 0.8, 14.425739961317174),
        (3, 2000, 0.95, 65.50187703169927),
        (4, 100, -0.5, 16.28746219876007),
        (5, 60, 0.9, 9.713627232085425),
        (6, 20, 0.5, 7.0),
    ],
)
def test_block_length_is_that_of_arch(seed: int, rows: int, phi: float, length: float) -> None:
    """`optimal_block_length` of arch 8.0.0, column `stationary`."""
    assert block_length(autoregressive(seed, rows, phi)) == pytest.approx(length, rel=1e-9)


def test_blocks_are_as_long_as_asked_and_go_round() -> None:
    ends = rows = 0
    for drawn in stationary_draws(50, 5.0, 2000, 0):
        assert drawn.min() >= 0
        assert drawn.max() < 50
        ends += int((np.diff(drawn) % 50 != 1).sum())
        rows += 49
    # a new block begins on the next row by chance, too: one in fifty
    assert rows / ends == pytest.approx(5 / (1 - 1 / 50), rel=0.03)


def test_each_row_is_drawn_as_often() -> None:
    often = sum(np.bincount(drawn, minlength=30) for drawn in stationary_draws(30, 6, 5000, 1))
    assert (np.abs(often / 5000 - 1) < 0.12).all()


def test_the_same_seed_draws_the_same() -> None:
    first, again = (np.stack(list(stationary_draws(40, 3, 5, seed))) for seed in (7, 7))
    np.testing.assert_array_equal(first, again)
    assert (first != np.stack(list(stationary_draws(40, 3, 5, 8)))).any()
    whole = np.stack(list(stationary_draws(40, 40, 5, 8)))
    assert whole.shape == (5, 40)


def test_rows_stay_together() -> None:
    pairs = np.stack([np.arange(50.0), np.arange(50.0)], axis=1)
    found = bootstrap_interval(pairs, lambda rows: float(np.ptp(rows[:, 0] - rows[:, 1])), length=3)
    assert (found.estimate, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize("phi", [0.0, 0.6])
def test_intervals_cover_about_what_they_claim(phi: float) -> None:
    hits = []
    for seed in range(80):
        found = bootstrap_interval(
            autoregressive(seed, 300, phi), lambda rows: float(rows.mean()), draws=100, seed=seed
        )
        hits.append(found.low <= 0 <= found.high)
    assert 0.85 <= np.mean(hits) <= 0.99


def test_rows_drawn_one_by_one_miss_dependence() -> None:
    x = autoregressive(0, 400, 0.8)
    alone, blocks = (
        bootstrap_interval(x, lambda rows: float(rows.mean()), length=length, draws=300)
        for length in (1, None)
    )
    assert blocks.length > 5
    assert blocks.high - blocks.low > 1.8 * (alone.high - alone.low)


def test_the_longest_block_is_that_of_a_column_that_varies() -> None:
    slow, fast = autoregressive(0, 300, 0.9), autoregressive(1, 300, 0.0)
    both = np.stack([fast, slow, np.ones(300)], axis=1)
    assert longest_block(both) == block_length(slow)


def test_bad_input_is_refused() -> None:
    noise = np.random.default_rng(0).standard_normal(100)
    with pytest.raises(ValueError, match="15 rows of at least 20: 5 are missing"):
        block_length(noise[:15])
    with pytest.raises(ValueError, match="is 1 in all 30 rows"):
        block_length(np.ones(30))
    with pytest.raises(ValueError, match="all 30 rows are alike"):
        bootstrap_interval(np.ones((30, 2)), lambda rows: 0.0)
    with pytest.raises(ValueError, match="1 of 100 values of values are NaN"):
        bootstrap_interval(np.append(noise[1:], np.nan), lambda rows: 0.0)
    with pytest.raises(ValueError, match="not finite for 10 of 10 draws"):
        bootstrap_interval(noise, lambda rows: float("nan"), draws=10)
    with pytest.raises(ValueError, match=r"within 1 .. 100 rows"):
        bootstrap_interval(noise, lambda rows: 0.0, length=101)
    with pytest.raises(ValueError, match="level must lie"):
        bootstrap_interval(noise, lambda rows: float(rows.mean()), level=95, draws=2)
