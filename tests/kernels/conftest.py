"""One test body for every engine: `engine` names it, `native` puts arrays into its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from kernels.device import choose_engine, gpu_unavailable, move


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--engine") or ["cpu", "gpu"]
        engines = [pytest.param(name, marks=_marks(name)) for name in dict.fromkeys(chosen)]
        metafunc.parametrize("engine", engines)


def _marks(name: str) -> list[pytest.MarkDecorator]:
    missing = gpu_unavailable() if name == "gpu" else None
    if name == "cpu":
        return []
    return [pytest.mark.gpu, pytest.mark.skipif(missing is not None, reason=f"gpu: {missing}")]


@pytest.fixture
def native(engine: str) -> Callable[[Any], Any]:
    """Puts an array into the memory of the engine under test."""
    xp = choose_engine(engine).xp
    return lambda array: move(array, xp)
