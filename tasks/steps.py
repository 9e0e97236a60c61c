"""What every step of a flow has in common: its result is JSON, and a retry reuses it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import INPUTS, RUN_ID, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from infra.postgres.outage import StaysAway, await_database, is_outage
from infra.settings import settings

P = ParamSpec("P")
R = TypeVar("R")

TRIES: Final = 5
"""How often a step is begun whose database goes away again and again."""


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
        (flow run, inputs, name, version), so that a retry does no finished work again. It must
        be one that may be done twice: Prefect begins it again, up to `TRIES` times in all, when
        the database that went away is back. Of all errors only an outage does that, and no
        longer than `SEP_DATABASE_PATIENCE` seconds is waited for its end.
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
            retries=TRIES - 1,
            retry_condition_fn=_lost_the_database,
        )(_after_the_outage(function))

    return decorate


def _lost_the_database(task: Task[Any, Any], run: TaskRun, state: State) -> bool:
    error = state.data
    lost = isinstance(error, BaseException) and is_outage(error)
    return lost and not isinstance(error, StaysAway)


def _after_the_outage(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function wait for the database before it is begun again."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        context = TaskRunContext.get()
        if context is not None and context.task_run.run_count > 1:
            get_run_logger().warning("the database went away, waiting for it")
            await_database(settings().database_patience)
        return function(*args, **kwargs)

    return call
