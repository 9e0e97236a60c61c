"""Waiting for what comes to be: the one polling loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_result, stop_after_delay, wait_fixed

T = TypeVar("T")


def until(
    ask: Callable[[], T],
    good: Callable[[T], bool] = bool,
    *,
    seconds: float,
    pause: float = 0.05,
) -> T:
    """Ask until the answer is good, or time is up.

    Parameters
    ----------
    ask : callable
        What is asked at least once; an exception of its own ends the waiting.
    good : callable
        Says whether an answer is.
    seconds : float
        How long is waited at most.
    pause : float
        Seconds between two questions.

    Returns
    -------
    object
        The last answer.
    """
    asking = Retrying(
        retry=retry_if_result(lambda answer: not good(answer)),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(pause),
        retry_error_callback=last_answer,
    )
    return asking(ask)


def last_answer(state: RetryCallState) -> Any:
    """Return what was answered last, though it was not good: a `retry_error_callback`."""
    assert state.outcome is not None
    return state.outcome.result()
