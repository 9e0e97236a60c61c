"""What every step of a flow has in common: its result is JSON, and a retry reuses it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar

from prefect import Task, get_run_logger, task
from prefect.cache_policies import INPUTS, RUN_ID, CacheKeyFnPolicy
from prefect.context import TaskRunContext
from prefect.exceptions import MissingContextError
from prefect.logging.loggers import LoggingAdapter

from infra.postgres.outage import await_database, is_outage, reason
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
        (flow run, inputs, name, version), so that a retry does no finished work again. The task
        is `patient`.
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
        )(patient(function))

    return decorate


def patient(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function begin again when the database that went away is back.

    It must be one that may be done twice. Of all errors only an outage makes it begin again, and
    no longer than `SEP_DATABASE_PATIENCE` seconds is waited for its end.

    Raises
    ------
    infra.postgres.database.DatabaseError
        Of the function: if the database stays away; the message says what to do.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        for _ in range(TRIES - 1):
            try:
                return function(*args, **kwargs)
            except Exception as error:
                if not is_outage(error):
                    raise
                _logger().warning("the database went away, waiting for it: %s", reason(error))
            await_database(settings().database_patience)
        return function(*args, **kwargs)

    return call


def _logger() -> logging.Logger | LoggingAdapter:
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger(__name__)
