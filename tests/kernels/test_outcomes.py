"""Outcomes against the slow twin, their nulls, and their wall to the features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from kernels.damping import damp
from kernels.device import launch_blocks, to_host
from kernels.nearest import nearest
from kernels.outcomes import Future, Outcomes, Quotes, outcomes
from kernels.paths import fit_standard, unit_paths
from kernels.synthetic import PlantedWalk, random_walk
from tests import naive
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]
NAMES = [field.name for field in fields(Quotes)]
EXITS = ("time", "stop", "target", "stop and target")


def quotes_of(walk: PlantedWalk, native: Native) -> Quotes:
    return Quotes(**{name: native(getattr(walk, name)) for name in NAMES})


def walk_with_gaps(n: int, seed: int) -> PlantedWalk:
    """Opens jump away from the close before them and some quotes are missing."""
    rng = np.random.default_rng(seed)
    bars = random_walk(n, seed=seed, sigma=0.01)
    arrays = {}
    for side in ("bid", "ask"):
        opens = getattr(bars, f"{side}_open") * np.exp(0.005 * rng.standard_normal(n))
        arrays[f"{side}_open"] = opens
        arrays[f"{side}_high"] = np.maximum(opens, getattr(bars, f"{side}_high"))
        arrays[f"{side}_low"] = np.minimum(opens, getattr(bars, f"{side}_low"))
    for values in arrays.values():
        values[rng.random(n) < 0.01] = np.nan
    return replace(bars, **arrays)


def holes_and_closures(n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Segments of a few bars and of many, and bars before a closure."""
    often = np.where(np.arange(n) < n // 2, 0.02, 0.2)
    return np.cumsum(rng.random(n) < often).astype(np.int32), rng.random(n) < 0.1


def rule(name: str, n: int, rng: np.random.Generator) -> dict[str, np.ndarray | None]:
    distance = 0.01 * np.exp(0.5 * rng.standard_normal((2, n)))
    distance[:, rng.random(n) < 0.05] = np.inf
    distance[:, rng.random(n) < 0.05] = np.nan
    return {
        "stop": distance[0] if "stop" in name else None,
        "target": distance[1] if "target" in name else None,
    }


@pytest.mark.parametrize("exits", EXITS)
@pytest.mark.parametrize(("n", "horizon"), [(1, 1), (2, 1), (3, 1), (9, 8), (127, 8), (600, 20)])
def test_outcomes_are_those_of_the_slow_twin(
    engine: str, native: Native, exits: str, n: int, horizon: int
) -> None:
    rng = np.random.default_rng(n)
    bars = walk_with_gaps(n, n)
    segments, closing = holes_and_closures(n, rng)
    market: dict[str, Any] = {**rule(exits, n, rng), "closing": closing}
    expected = naive.outcomes(vars(bars), segments, horizon, slippage=0.001, **market)
    there: dict[str, Any] = {k: None if d is None else native(d) for k, d in market.items()}
    out = outcomes(
        quotes_of(bars, native),
        native(segments),
        horizon=horizon,
        slippage=0.001,
        engine=engine,
        **there,
    )
    compare(out, expected, horizon)


@pytest.mark.parametrize("exits", EXITS)
def test_without_closures_every_bar_may_be_entered(engine: str, native: Native, exits: str) -> None:
    rng = np.random.default_rng(3)
    bars, barriers = walk_with_gaps(300, 3), rule(exits, 300, rng)
    segments, _ = holes_and_closures(300, rng)
    expected = naive.outcomes(vars(bars), segments, 9, slippage=0.0, **barriers)
    there: dict[str, Any] = {k: None if d is None else native(d) for k, d in barriers.items()}
    out = outcomes(quotes_of(bars, native), native(segments), horizon=9, engine=engine, **there)
    compare(out, expected, 9)


def compare(out: Outcomes, expected: list[list[Any]], horizon: int) -> None:
    n = len(expected)
    win, gain, bar = to_host(out.win), to_host(out.gain), to_host(out.exit_bar)
    entry, leave = to_host(out.entry_price), to_host(out.exit_price)
    for t in range(n):
        for side, sign in enumerate((1, -1)):
            trade = expected[t][side]
            if trade is None:
                assert win[t, side] == bar[t, side] == -1
                assert np.isnan([gain[t, side], entry[t, side], leave[t, side]]).all()
            else:
                assert (entry[t, side], leave[t, side], bar[t, side]) == trade
                assert gain[t, side] == sign * (trade[1] - trade[0]) / trade[0]
                assert win[t, side] == (gain[t, side] > 0)
        known = n if expected[t] == [None, None] else t + horizon + 1
        assert to_host(out.known_at)[t] == known


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
@pytest.mark.parametrize("exits", EXITS)
@pytest.mark.parametrize("n", [1, 9, 129, 300])
def test_the_cuda_source_gives_the_outcomes_of_the_slow_twin(
    exits: str, n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def launch(_: Any, module: str, name: str, n: int, *arguments: Any) -> None:
        launch_blocks(load_on_cpu, module, name, n, *arguments)

    monkeypatch.setattr("kernels.outcomes.launch", launch)
    test_outcomes_are_those_of_the_slow_twin("cpu", np.ascontiguousarray, exits, n, 8)


def flat_quotes(n: int, native: Native, **changes: dict[int, float]) -> Quotes:
    """Bid 99, ask 101, except where `changes` says otherwise."""
    arrays = {name: np.full(n, 99.0 if name.startswith("bid") else 101.0) for name in NAMES}
    for name, values in changes.items():
        for bar, price in values.items():
            arrays[name][bar] = price
    return Quotes(**{name: native(values) for name, values in arrays.items()})


@pytest.mark.parametrize(
    ("changes", "price", "bar"),
    [
        ({}, 99.0, 4),  # nothing touched: the time exit
        ({"bid_low": {2: 96.0}}, 96.0, 2),
        ({"bid_low": {2: 96.0}, "bid_high": {2: 106.0}}, 96.0, 2),  # both: the stop
        ({"bid_open": {2: 90.0}, "bid_low": {2: 90.0}}, 90.0, 2),  # a gap through the stop
        ({"bid_high": {3: 120.0}}, 106.0, 3),
        ({"bid_high": {4: 120.0}, "bid_low": {4: 1.0}}, 99.0, 4),  # the exit bar is left at once
        ({"bid_low": {0: 1.0}, "bid_high": {0: 200.0}}, 99.0, 4),  # before the entry
        ({"bid_open": {4: 104.0}}, 104.0, 4),
    ],
)
def test_exits_of_a_long(
    engine: str, native: Native, changes: dict[str, dict[int, float]], price: float, bar: int
) -> None:
    five = native(np.full(6, 5.0))
    segments = native(np.zeros(6, np.int32))
    quotes = flat_quotes(6, native, **changes)
    out = outcomes(quotes, segments, horizon=3, stop=five, target=five, engine=engine)
    assert (float(out.exit_price[0, 0]), int(out.exit_bar[0, 0])) == (price, bar)
    assert float(out.gain[0, 0]) == (price - 101.0) / 101.0


def test_breaking_even_is_no_win(engine: str, native: Native) -> None:
    quotes = flat_quotes(3, native, bid_open={2: 101.0})
    out = outcomes(quotes, native(np.zeros(3, np.int32)), horizon=1, engine=engine)
    assert to_host(out.gain)[0].tolist() == [0.0, -2.0 / 99.0]
    assert to_host(out.win)[0].tolist() == [0, 0]


AFTER = {"bid_open": {3: 97.0}, "ask_open": {3: 104.0}}


@pytest.mark.parametrize(
    ("changes", "long", "short"),
    [
        ({}, (99.0, 3), (101.0, 3)),  # the first open after the hole
        (AFTER, (97.0, 3), (104.0, 3)),
        ({"bid_low": {2: 96.0}, "ask_high": {2: 104.0}}, (96.0, 2), (104.0, 2)),  # before it
        ({"bid_low": {3: 1.0}, "ask_high": {3: 200.0}}, (99.0, 3), (101.0, 3)),  # in its bar
        ({"bid_open": {3: 50.0}, "ask_open": {3: 50.0}}, (50.0, 3), (50.0, 3)),  # beyond barriers
        ({"bid_high": {3: 200.0}, "ask_low": {3: 1.0}}, (99.0, 3), (101.0, 3)),
    ],
)
def test_a_trade_that_meets_a_hole_is_left_at_the_first_open_after_it(
    engine: str,
    native: Native,
    changes: dict[str, dict[int, float]],
    long: tuple[float, int],
    short: tuple[float, int],
) -> None:
    segments = native(np.array([0, 0, 0, 1, 1, 2, 2], np.int32))
    quotes, five = flat_quotes(7, native, **changes), native(np.full(7, 5.0))
    out = outcomes(quotes, segments, horizon=5, stop=five, target=five, engine=engine)
    left = zip(to_host(out.exit_price)[0], to_host(out.exit_bar)[0], strict=True)
    assert list(left) == [long, short]
    assert to_host(out.known_at).tolist() == [6, *[7] * 6]


@pytest.mark.parametrize(("horizon", "bar"), [(1, 2), (2, 3), (3, 4), (4, 4), (5, 4)])
def test_a_hole_and_the_horizon_the_first_of_both_ends_a_trade(
    engine: str, native: Native, horizon: int, bar: int
) -> None:
    segments = native(np.array([0, 0, 0, 0, 1, 1, 1], np.int32))
    out = outcomes(flat_quotes(7, native), segments, horizon=horizon, engine=engine)
    assert to_host(out.exit_bar)[0].tolist() == [bar, bar]


def test_nothing_is_entered_beyond_a_hole_or_a_closure(engine: str, native: Native) -> None:
    segments = native(np.array([0, 0, 0, 1, 1, 1, 1, 1, 1], np.int32))
    closing = native(np.arange(9) == 5)
    out = outcomes(flat_quotes(9, native), segments, horizon=2, closing=closing, engine=engine)
    entered = to_host(out.exit_bar)[:, 0] >= 0
    assert entered.tolist() == [True, True, False, True, True, False, False, False, False]
    assert to_host(out.known_at).tolist() == [3, 4, 9, 6, 7, 9, 9, 9, 9]


def test_a_closure_ends_no_trade_which_pays_its_gap(engine: str, native: Native) -> None:
    closing, five = native(np.arange(6) == 1), native(np.full(6, 5.0))
    quotes = flat_quotes(6, native, bid_open={2: 90.0}, bid_low={2: 90.0})
    for stop, left in ((five, (90.0, 2)), (None, (99.0, 4))):
        out = outcomes(
            quotes, native(np.zeros(6, np.int32)), horizon=3, stop=stop, closing=closing,
            engine=engine,
        )  # fmt: skip
        assert (float(out.exit_price[0, 0]), int(out.exit_bar[0, 0])) == left


@pytest.mark.parametrize("exits", EXITS)
def test_an_outcome_needs_no_bar_after_the_one_that_knows_it(
    engine: str, native: Native, exits: str
) -> None:
    n, horizon, rng = 90, 7, np.random.default_rng(11)
    bars = walk_with_gaps(n, 11)
    segments, closing = holes_and_closures(n, rng)
    market: dict[str, Any] = {**rule(exits, n, rng), "segments": segments, "closing": closing}

    def run(stop: int) -> list[np.ndarray]:
        quotes = Quotes(**{name: native(getattr(bars, name)[:stop]) for name in NAMES})
        there: dict[str, Any] = {
            k: None if a is None else native(a[:stop]) for k, a in market.items()
        }
        out = outcomes(quotes, horizon=horizon, engine=engine, **there)
        return [to_host(getattr(out, field.name)) for field in fields(out)]

    whole = run(n)
    for t in range(n - horizon - 1):
        for part, all_ in zip(run(t + horizon + 2)[:-1], whole[:-1], strict=True):
            np.testing.assert_array_equal(part[t], all_[t])
        assert (run(t + horizon + 1)[0][t] == -1).all()
    assert (whole[-1] == np.where((whole[0] >= 0).any(axis=1), np.arange(n) + 8, n)).all()


@pytest.mark.parametrize("t", [0, 50, 190])
def test_an_outcome_stands_once_it_is_known(engine: str, native: Native, t: int) -> None:
    bars = walk_with_gaps(220, 5)
    distance = np.full(220, 0.02)
    segments = np.zeros(220, np.int32)

    def run(upto: int, poison: bool) -> np.ndarray:
        arrays = {name: getattr(bars, name).copy() for name in NAMES}
        for values in arrays.values():
            values[upto:] = np.nan
        keep = slice(None) if poison else slice(upto)
        quotes = Quotes(**{name: native(values[keep]) for name, values in arrays.items()})
        stop = native(distance[keep])
        out = outcomes(
            quotes, native(segments[keep]), horizon=8, stop=stop, target=stop, engine=engine
        )
        return np.asarray(to_host(out.gain)[: t + 1])

    known = run(t + 10, poison=True)
    np.testing.assert_array_equal(run(220, poison=True)[: t + 1], known)
    np.testing.assert_array_equal(run(t + 10, poison=False), known)
    assert not np.isnan(known[:1]).all() or t == 0


def test_nan_makes_null_only_what_looks_at_it(engine: str, native: Native) -> None:
    segments = native(np.zeros(40, np.int32))
    five = native(np.full(40, 5.0))

    def null(stop: Any, **changes: dict[int, float]) -> set[tuple[int, int]]:
        quotes = flat_quotes(40, native, **changes)
        out = outcomes(quotes, segments, horizon=3, stop=stop, engine=engine)
        rows, sides = np.nonzero(to_host(out.win)[:36] < 0)
        return set(zip(rows.tolist(), sides.tolist(), strict=True))

    hole = {20: np.nan}
    assert null(None, ask_open=hole) == {(19, 0), (16, 1)}
    assert null(None, bid_low=hole, bid_high=hole, bid_close=hole, ask_high=hole) == set()
    assert null(five, bid_low=hole) == {(t, 0) for t in (17, 18, 19)}


def test_outcomes_are_no_features(engine: str, native: Native) -> None:
    quotes = flat_quotes(30, native)
    segments = native(np.zeros(30, np.int32))
    out = outcomes(quotes, segments, horizon=3, engine=engine)
    x = native(np.linspace(0, 1, 30))
    rows = native(np.arange(3))
    library = native(np.eye(3, 64, dtype=np.float32))
    standard = fit_standard(native(np.random.default_rng(0).random((9, 16, 4))), rows)
    among = {"position": rows, "group": native(np.zeros(3, np.int32)), "known_before": rows}
    assert isinstance(out, Future)
    with pytest.raises(TypeError, match="never a feature"):
        np.asarray(out)
    refusals: tuple[Callable[[Any], Any], ...] = (
        lambda future: fit_standard(future, rows),
        lambda future: unit_paths(future, standard),
        lambda future: nearest(future, library, exclusion=1, **among),
        lambda future: damp(future, x, x, segments),
    )
    for refuses in refusals:
        with pytest.raises(TypeError, match=r"never a feature|must be a NumPy or CuPy array"):
            refuses(out)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ({"horizon": 0}, ValueError, "horizon"),
        ({"slippage": -1.0}, ValueError, "slippage"),
        ({"stop": np.zeros(9)}, ValueError, "stop"),
        ({"stop": np.ones(8)}, ValueError, "stop"),
        ({"target": np.ones(9, np.float32)}, TypeError, "target"),
        ({"segments": np.zeros(9)}, TypeError, "segments"),
        ({"segments": np.zeros(8, np.int32)}, ValueError, "segments"),
        ({"segments": np.arange(9, 0, -1, dtype=np.int32)}, ValueError, "segments"),
        ({"closing": np.zeros(9, np.int8)}, TypeError, "closing"),
        ({"closing": np.zeros(8, np.bool_)}, ValueError, "closing"),
    ],
)
def test_bad_input_is_named(
    engine: str, native: Native, change: dict[str, Any], error: type[Exception], name: str
) -> None:
    arguments = {"segments": np.zeros(9, np.int32), "horizon": 2, **change}
    there = {k: native(v) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    with pytest.raises(error, match=name):
        outcomes(flat_quotes(9, native), engine=engine, **there)


def test_quotes_must_be_alike() -> None:
    arrays = {name: np.ones(5) for name in NAMES}
    with pytest.raises(ValueError, match="ask_low"):
        Quotes(**{**arrays, "ask_low": np.ones(4)})
    with pytest.raises(TypeError, match="ask_low"):
        Quotes(**{**arrays, "ask_low": [1.0] * 5})
