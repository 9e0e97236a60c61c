"""Functions of Prefect that we replace: only as long as they are what we know."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any


def require_parameters(function: Callable[..., Any], known: tuple[str, ...], *, here: str) -> None:
    """Refuse to replace a function that takes other parameters than we know.

    Parameters
    ----------
    function : callable
        Of Prefect.
    known : tuple of str
        Names of its parameters, in order.
    here : str
        The file that replaces it.

    Raises
    ------
    RuntimeError
        If this is another Prefect; the message says what to do.
    """
    parameters = tuple(signature(function).parameters)
    if parameters != known:
        raise RuntimeError(
            f"this Prefect's {function.__name__} takes {', '.join(parameters)}: install the "
            f"version of requirements.lock, or teach {here}"
        )
