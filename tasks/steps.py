"""What every step of a flow has in common: its result is JSON, and a retry reuses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import INPUTS, RUN_ID, CacheKeyFnPolicy
from prefect.context import TaskRunContext

P = ParamSpec("P")
R = TypeVar("R")


def step(name: str, *, version: int) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a step whose finished result a rerun of the same flow run takes over.

    Parameters
    ----------
    name : str
        What the Prefect UI shows.
    version : int
        Bump it when the step's result changes its meaning.

    Returns
    -------
    callable
        A decorator that makes a Prefect task. Its result is kept as JSON under the key
        (flow run, inputs, name, version), so that a retry does no finished work again.
    """

    def key(context: TaskRunContext, parameters: dict[str, Any]) -> str:
        return f"{name}-v{version}"

    policy = INPUTS + RUN_ID + CacheKeyFnPolicy(cache_key_fn=key)

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=name,
            cache_policy=policy,
            persist_result=True,
            result_serializer="json",
        )(function)

    return decorate
