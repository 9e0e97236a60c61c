"""Options and fixtures every test may use; imports nothing that `kernels` does without."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine",
        action="append",
        choices=["cpu", "gpu"],
        help="engines to test (default: both; gpu skips with the reason where there is none)",
    )
