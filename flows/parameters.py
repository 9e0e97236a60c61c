"""Flows whose parameters are one Pydantic model, and stay apart on the outside.

`prefect deployment run backtest/local -p pair=EUR_USD` sets a field of the model; its limits are in
the deployment's schema, so that the UI and the server refuse what the flow would refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, cleandoc, getdoc
from typing import Any, TypeVar

from prefect import Flow, flow
from prefect.runtime import flow_run
from pydantic import BaseModel

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


def flow_of(kind: type[M], *, run_name: str) -> Callable[[Callable[[M], R]], Flow[..., R]]:
    """Make a function of a model a flow with a parameter for each of its fields.

    Parameters
    ----------
    kind : type of BaseModel
        Its fields' types, limits, defaults and descriptions are those of the flow's parameters.
    run_name : str
        Template of a run's name over the parameters, such as "{pair} {timeframe}"; what is None
        is left out.

    Returns
    -------
    callable
        A decorator. The flow's result is kept as JSON.
    """

    def decorate(function: Callable[[M], R]) -> Flow[..., R]:
        @wraps(function)
        def run(**values: Any) -> R:
            return function(kind.model_validate(values))

        run.__signature__ = _signature(kind)  # type: ignore[attr-defined]
        run.__doc__ = _describe(function, kind)
        make = flow(
            name=function.__name__,
            flow_run_name=lambda: _named(run_name, flow_run.parameters),
            persist_result=True,
            result_serializer="json",
        )
        return make(run)

    return decorate


def _named(template: str, values: dict[str, Any]) -> str:
    told = {name: "" if value is None else value for name, value in values.items()}
    return " ".join(template.format(**told).split())


def _signature(kind: type[BaseModel]) -> Signature:
    fields = kind.model_fields.items()
    return Signature(
        [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                default=Parameter.empty
                if field.is_required()
                else field.get_default(call_default_factory=True),
                annotation=field.rebuild_annotation(),
            )
            for name, field in fields
        ]
    )


def _describe(function: Callable[..., Any], kind: type[BaseModel]) -> str:
    """Return the docstring as Prefect reads it: parameters in Google's form."""
    docstring = cleandoc(getdoc(function) or "")
    lines = [f"    {name}: {field.description}" for name, field in kind.model_fields.items()]
    return "\n".join([docstring, "", "Args:", *lines])
