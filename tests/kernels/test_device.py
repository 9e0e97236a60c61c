from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import kernels.cpu
from kernels.bits import volatility
from kernels.cpu import cache_of, nearest
from kernels.device import (
    EngineUnavailable,
    array_module,
    choose_engine,
    gpu_unavailable,
    kernel,
    move,
    require_array,
    require_segments,
    to_host,
)

without_gpu = pytest.mark.skipif(gpu_unavailable() is None, reason="this machine has a GPU")


def test_chosen_engine_says_why(engine: str) -> None:
    chosen = choose_engine(engine)
    assert chosen.name == engine
    assert chosen.reason == "asked for"


def test_auto_takes_what_runs_and_gives_the_reason() -> None:
    chosen = choose_engine()
    assert chosen.name == ("gpu" if gpu_unavailable() is None else "cpu")
    assert chosen.reason in ("a GPU is available", gpu_unavailable())


def test_unknown_engine_names_the_choices() -> None:
    with pytest.raises(ValueError, match="engine must be 'auto', 'cpu' or 'gpu', not 'tpu'"):
        choose_engine("tpu")


@without_gpu
def test_absent_gpu_is_an_error_with_its_reason() -> None:
    with pytest.raises(EngineUnavailable, match=r"engine='gpu' cannot run: .*engine='cpu'"):
        choose_engine("gpu")
    with pytest.raises(EngineUnavailable, match="kernel 'damp' needs a GPU"):
        kernel("damping", "damp")


def test_arrays_move_between_kinds_and_stay_when_they_may(engine: str) -> None:
    xp = choose_engine(engine).xp
    array = np.arange(6.0)
    moved = move(array, xp)
    assert array_module(array, moved) is xp
    assert move(moved, xp) is moved
    assert to_host(array) is array
    np.testing.assert_array_equal(to_host(moved), array)
    assert move(np.arange(6.0)[::2], xp).flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        ([1.0], TypeError, "x must be a NumPy or CuPy array, not list; use np.asarray"),
        (np.ones(2, np.float32), TypeError, r"x must be float64, not float32; use x.astype"),
        (np.ones(3), ValueError, r"x must have shape \(2\), not \(3,\)"),
        (np.ones((2, 1)), ValueError, r"x must have shape \(2\), not \(2, 1\)"),
    ],
)
def test_refused_arrays_are_named(array: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        require_array("x", array, "float64", (2,))


def test_segments_must_not_decrease() -> None:
    with pytest.raises(ValueError, match="segments must not decrease"):
        require_segments(np.array([0, 1, 0], np.int32), 3)


def test_threads_may_share_the_cpu_engine() -> None:
    log_price = np.random.default_rng(0).normal(size=20_000).cumsum()
    segments = np.zeros(20_000, np.int32)
    alone = volatility(log_price, segments, engine="cpu")
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(volatility, log_price, segments, engine="cpu") for _ in range(8)]
    for run in runs:
        np.testing.assert_array_equal(run.result(), alone)


def test_compiled_code_goes_with_the_sources_of_all_it_calls(tmp_path: Path) -> None:
    here = Path(kernels.cpu.__file__).parent
    there = tmp_path / "cpu"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
    assert cache_of(there) == cache_of(here)
    used = nearest.nearest._cache.cache_path  # type: ignore[attr-defined]
    assert cache_of(here) in Path(used).parents
    with (there / "lanes.py").open("a") as file:
        file.write("# changed")
    assert cache_of(there) != cache_of(here)
