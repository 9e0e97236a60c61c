"""Options and fixtures every test may use; imports nothing that `kernels` does without."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

pytest_plugins = ["tests.servers", "tests.stack"] if find_spec("prefect") else []
"""Fixtures of real servers; a machine that only has the kernels does without."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        action="append",
        choices=["cpu", "gpu"],
        help="engines to test (default: both; gpu skips with the reason where there is none)",
    )
    parser.addoption(
        "--chaos",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="how long all of tests/chaos goes on (default: one seed each)",
    )
    parser.addoption(
        "--seeds", metavar="A:B", help="the seeds of tests/chaos (default: where it stopped)"
    )
