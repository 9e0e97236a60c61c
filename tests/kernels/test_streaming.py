"""Bars one by one against the batch on the CPU engine, bit for bit."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pytest
from numba import get_num_threads

from kernels.bits import COLUMNS, encode_bits, transitions, volatility
from kernels.damping import Damping, DampingParams, damp
from kernels.segments import segments
from kernels.streaming import Bar, Reading, State, update
from tests.kernels.series import assert_same_bits, walk

MINUTE = 60
FRIDAY = int(datetime(2024, 3, 8, 19, 30, tzinfo=UTC).timestamp())
ENCODERS = list(COLUMNS)


class History(NamedTuple):
    timestamp: Any
    bars: dict[str, Any]

    def upto(self, t: int) -> History:
        return History(self.timestamp[:t], {k: v[:t] for k, v in self.bars.items()})

    def since(self, t: int) -> History:
        return History(self.timestamp[t:], {k: v[t:] for k, v in self.bars.items()})

    def bar(self, t: int) -> Bar:
        return Bar(int(self.timestamp[t]), **{k: float(v[t]) for k, v in self.bars.items()})

    def state(self, encoder: str, params: DampingParams | None = None) -> State:
        given = {"params": params, "encoder": encoder, "bar_seconds": MINUTE}
        return State.from_bars(self.timestamp, self.bars, **given)  # type: ignore[arg-type]


def quiet(n: int, seed: int) -> History:
    """Minutes without a gap; every fifth or so closes where the one before did."""
    minutes = FRIDAY - 4 * 86400 + MINUTE * np.arange(n, dtype=np.int64)
    return History(minutes * 1_000_000, walk(n, seed=seed, decimals=4))


def eventful(seed: int) -> History:
    """Minutes with short gaps, two edges, a weekend inside a segment and unknown prices."""
    rng, n = np.random.default_rng(seed), 1700
    gaps = rng.choice([1, 2, 5], n, p=[0.96, 0.03, 0.01])
    gaps[[3, 270, 900, 1250]] = rng.permutation([240, 241, 242, 500])
    gaps[560] = 54 * 60
    minutes = np.cumsum(gaps)
    history = quiet(n, seed)
    for column in history.bars.values():
        column[rng.choice(n, 2)] = np.nan
    timestamp = FRIDAY + MINUTE * (minutes - minutes[559])
    return history._replace(timestamp=timestamp * 1_000_000)


class Batch(NamedTuple):
    events: Any
    sigma: Any
    damping: Damping


def batch(history: History, encoder: str, params: DampingParams | None = None) -> Batch:
    numbers = segments(history.timestamp, bar_seconds=MINUTE)
    bits, valid = encode_bits(history.bars, numbers, encoder=encoder, engine="cpu")
    events = transitions(bits, valid, numbers, engine="cpu")
    log_price = np.log(history.bars["close"])
    sigma = volatility(log_price, numbers, engine="cpu")
    return Batch(
        events, sigma, damp(events, log_price, sigma, numbers, params=params, engine="cpu")
    )


def assert_reads(reading: Reading, whole: Batch, t: int) -> None:
    damping = whole.damping
    assert reading.event == whole.events[t]
    assert_same_bits(np.float64(reading.sigma), whole.sigma[t])
    for name in ("trajectory", "decay", "state_ratios"):
        assert_same_bits(getattr(reading, name), getattr(damping, name)[t])
    assert (reading.steps, reading.converged) == (damping.steps[t], damping.converged[t])


def assert_same_reading(one: Reading, other: Reading) -> None:
    for name, value in vars(one).items():
        assert_same_bits(np.asarray(value), np.asarray(getattr(other, name)))


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_bar_reads_as_in_the_batch(encoder: str, seed: int) -> None:
    history = eventful(seed)
    whole, state = batch(history, encoder), State.start(encoder=encoder, bar_seconds=MINUTE)
    for t in range(len(history.timestamp)):
        state, reading = update(state, history.bar(t))
        assert_reads(reading, whole, t)
    assert 0.05 < (whole.damping.steps > 0).mean() < 0.6
    assert 0.1 < (whole.events[300:] == 4).mean() < 0.6
    assert segments(history.timestamp, bar_seconds=MINUTE)[-1] == 2


@pytest.mark.parametrize(
    "params", [{"tau": 1.0, "k1": 5.0, "k2": 5.0}, {"tau": 1024.0, "decay0": 0.01}]
)
def test_parameters_are_those_of_the_batch(params: dict[str, float]) -> None:
    history, chosen = quiet(400, 4), DampingParams(**params)
    whole, state = batch(history, "body", chosen), history.upto(240).state("body", chosen)
    for t in range(240, 400):
        state, reading = update(state, history.bar(t))
        assert_reads(reading, whole, t)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_state_from_json_goes_on(encoder: str) -> None:
    history = eventful(5)
    whole = batch(history, encoder)
    for t in (0, 1, 3, 269, 270, 400, 1249, 1250, 1600):
        text = json.dumps(history.upto(t).state(encoder).to_dict(), allow_nan=False)
        state = State.from_dict(json.loads(text))
        assert json.dumps(state.to_dict()) == text
        for u in range(t, t + 5):
            state, reading = update(state, history.bar(u))
            assert_reads(reading, whole, u)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_a_history_primes_as_its_bars_do(encoder: str) -> None:
    history = eventful(6)
    state = State.start(encoder=encoder, bar_seconds=MINUTE)
    for t in range(len(history.timestamp)):
        if t < 4 or t % 67 == 0 or t in (269, 270, 271, 900):
            assert history.upto(t).state(encoder).to_dict() == state.to_dict()
        state, _ = update(state, history.bar(t))


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_last_322_bars_prime_all(encoder: str) -> None:
    history = quiet(900, 7)
    whole = batch(history, encoder)
    _, valid = encode_bits(history.bars, np.zeros(900, np.int32), encoder=encoder, engine="cpu")
    for t in range(400, 900, 7):
        last = np.flatnonzero(valid[: t - 256])[-1]  # before the events that bar t looks at
        _, reading = update(history.upto(t).since(last - 65).state(encoder), history.bar(t))
        assert_reads(reading, whole, t)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("factor", [1.3, np.nan])
def test_an_old_bar_is_forgotten(encoder: str, factor: float) -> None:
    history, u = quiet(700, 8), 300
    other = History(history.timestamp, {k: v.copy() for k, v in history.bars.items()})
    for column in other.bars.values():
        column[u] *= factor
    one, two = (each.upto(u).state(encoder) for each in (history, other))
    same = []
    for t in range(u, 700):
        one, reading = update(one, history.bar(t))
        two, changed = update(two, other.bar(t))
        same.append(np.array_equal(reading.trajectory, changed.trajectory, equal_nan=True))
        if t > u + 257 + 65 + 8:
            assert_same_reading(changed, reading)
    assert not all(same[:258])
    assert one.to_dict() == two.to_dict()


@pytest.mark.parametrize("encoder", ENCODERS)
def test_the_state_does_not_grow_and_stays_as_it_is(encoder: str) -> None:
    history = quiet(600, 9)
    old, new = (history.upto(t).state(encoder) for t in (400, 600))
    assert len(new.log_price) == len(new.events) == 258
    assert {len(column) for column in new.columns.values()} == {66}
    before = json.dumps(old.to_dict())
    first = update(old, history.bar(400))[1]
    assert json.dumps(old.to_dict()) == before
    assert_same_reading(update(old, history.bar(400))[1], first)


def test_without_a_bit_the_last_one_waits() -> None:
    history, n = quiet(330, 0), 330
    history.bars["close"][:] = 1.1 + 0.1 * np.searchsorted([1, 2, n - 2], np.arange(n), "right")
    whole, state = batch(history, "direction"), State.start(bar_seconds=MINUTE)
    for t in range(n):
        state, reading = update(state, history.bar(t))
        assert_reads(reading, whole, t)
    assert whole.events[[1, 2, 3, n - 2, n - 1]].tolist() == [4, 3, 4, 3, 4]


def test_other_kernels_keep_their_threads() -> None:
    with ThreadPoolExecutor(1) as fresh:  # numba counts threads for each thread by itself
        before = fresh.submit(get_num_threads).result()
        fresh.submit(update, State.start(bar_seconds=MINUTE), quiet(1, 0).bar(0)).result()
        assert fresh.submit(get_num_threads).result() == before


BAR = {"timestamp": 0, "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0, "volume": 0.0}


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf, -np.inf])
def test_impossible_values_are_named(name: str, value: float) -> None:
    if (name, value) == ("volume", 0.0):
        return
    with pytest.raises(ValueError, match=f"{name} must be .*, not {value}"):
        Bar(**BAR | {name: value})  # type: ignore[arg-type]
    bars = {key: np.full(3, 1.0) for key in BAR}
    bars[name][1] = value
    encoder = {"volume": "volume", "open": "body"}.get(name, "volatility")
    with pytest.raises(ValueError, match=f"{name}'] must be .*, not {value}"):
        History(np.arange(3) * 60_000_000, bars).state(encoder)


@pytest.mark.parametrize("timestamp", [1.0, "2024-01-01", None])
def test_a_timestamp_is_an_integer(timestamp: Any) -> None:
    with pytest.raises(TypeError, match="timestamp must be an int"):
        Bar(**BAR | {"timestamp": timestamp})


@pytest.mark.parametrize("late", [0, -1, -60_000_000])
def test_a_bar_must_be_later_than_the_newest(late: int) -> None:
    history = quiet(5, 0)
    state = history.state("direction")
    again = Bar(**BAR | {"timestamp": int(history.timestamp[-1]) + late})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be after"):
        update(state, again)


def test_bad_choices_are_named() -> None:
    history = quiet(5, 0)
    with pytest.raises(ValueError, match="encoder must be one of"):
        State.start(encoder="price", bar_seconds=MINUTE)
    with pytest.raises(ValueError, match="bar_seconds must be positive"):
        State.start(bar_seconds=0)
    with pytest.raises(ValueError, match="bars lacks volume"):
        History(history.timestamp, {"close": history.bars["close"]}).state("volume")
    with pytest.raises(ValueError, match=r"close.* must have shape"):
        History(history.timestamp[:4], history.bars).state("direction")
    with pytest.raises(ValueError, match="timestamp must rise strictly"):
        History(history.timestamp[::-1].copy(), history.bars).state("direction")
