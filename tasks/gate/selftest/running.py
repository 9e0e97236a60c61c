"""Running a self-test: several processes, each of one thread, which end with who started them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process
from threading import Thread
from types import MappingProxyType
from typing import Final

from tasks.gate.checks import checks
from tasks.gate.rehearsal import Judge
from tasks.gate.selftest.jobs import Found, Job, answered

ONE_THREAD: Final[Mapping[str, str]] = MappingProxyType(
    dict.fromkeys(
        ("POLARS_MAX_THREADS", "NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
    )
)
"""Processes are many."""


def answers(
    jobs: Sequence[Job], processes: int, *, judge: Judge = checks
) -> Iterator[tuple[Job, Found]]:
    """Yield the answer of each job as soon as there is one.

    Parameters
    ----------
    jobs : sequence of Job
    processes : int
        At a time.
    judge : callable
        The gate, a function of a module.
    """
    if not jobs:
        return
    many = min(processes, len(jobs))
    with _variables(ONE_THREAD):
        pool = ProcessPoolExecutor(many, mp_context=get_context("spawn"), initializer=_begin)
        try:
            asked = {pool.submit(answered, job, judge): job for job in jobs}
            for done in as_completed(asked):
                yield asked[done], done.result()
        except BaseException:
            for child in active_children():
                child.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _variables(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _begin() -> None:
    """Leave interrupts to who started this process, and end when that one does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
