"""Searches and sweeps on one GPU and on all of them: what a further GPU is worth.

The questions lie in host memory, as those of the flows do; every time counts all copies. Each
answer of all GPUs is compared, bit for bit, with that of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib import import_module
from typing import Any
from unittest.mock import patch

import numpy as np

from kernels.device import gpu_unavailable
from kernels.nearest import nearest
from kernels.spread import devices
from tests.benchmarks.kernels import print_hardware, timed
from tests.benchmarks.nearest_gpu import HORIZON, YEAR, make_paths
from tests.benchmarks.sweep import YEAR as BARS
from tests.benchmarks.sweep import best_of, run, sets_of, walk_market

USERS = ("kernels.nearest.devices", "kernels.sweep.devices")
GRIDS = [(40, 25, 25, 40), (80, 40, 40, 40)]
YEARS = [(1, 5), (4, 12)]
"""The last so many years of minutes ask all before them, of so many."""


def main() -> list[dict[str, Any]]:
    if (missing := gpu_unavailable()) is not None:
        print(f"gpu: {missing}")
        return []
    print_hardware()
    if len(devices()) < 2:
        print("one GPU: nothing to compare")
        return []
    print(f"{'question':<44}{'GPUs':>6}{'s':>10}{'one GPU':>10}")
    return [*sweeps(), *walks()]


def sweeps() -> Iterator[dict[str, Any]]:
    """Parameter sets over a year of minutes."""
    market = walk_market(BARS)
    for grid in GRIDS:
        sets = sets_of(best_of(market), grid)
        call = partial(run, market, sets, "gpu")
        yield from compare(f"sweep, {len(sets):,} sets x {BARS:,} bars", call)


def walks() -> Iterator[dict[str, Any]]:
    """Walk-forward: every bar asks what has become known before it."""
    xp = import_module("cupy")
    paths = xp.asnumpy(make_paths(xp))
    xp.get_default_memory_pool().free_all_blocks()
    for asking, years in YEARS:
        count = min(years * YEAR, len(paths))
        asked = np.arange(count - asking * YEAR, count)
        call = partial(
            nearest,
            paths[asked],
            paths[:count],
            position=np.arange(count),
            group=np.zeros(count, np.int32),
            known_before=asked - HORIZON,
            exclusion=HORIZON,
            k=64,
            engine="gpu",
        )
        yield from compare(f"walk, {len(asked):,} queries x {count:,}, k = 64", call)


def compare(question: str, call: Callable[[], Any]) -> Iterator[dict[str, Any]]:
    """Time the call on one GPU and on all; their answers must be the same bits."""
    seconds, answers = {}, []
    for count in (1, len(devices())):
        with visible(count):
            answers.append(vars(call()))
            seconds[count] = timed(call, "gpu", runs=3)
    for name, value in answers[0].items():
        np.testing.assert_array_equal(answers[1][name], value, name)
    for count, taken in seconds.items():
        print(f"{question:<44}{count:>6}{taken:>10.3f}{seconds[1] / taken:>9.2f}x", flush=True)
        yield {"question": question, "gpus": count, "seconds": taken, "ratio": seconds[1] / taken}


@contextmanager
def visible(count: int) -> Iterator[None]:
    """Let searches and sweeps see the first so many GPUs."""
    chosen = devices()[:count]
    with ExitStack() as stack:
        for name in USERS:
            stack.enter_context(patch(name, lambda: chosen))
        yield
