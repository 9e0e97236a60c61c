"""What `ingest` may be asked for, and what of it makes no sense."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.intake.request import IngestRequest

START = datetime(2024, 3, 4, tzinfo=UTC)
NOW = START + timedelta(days=8)


def ask(**values: Any) -> IngestRequest:
    return IngestRequest(**{"source": "oanda", "timeframe": "M1", **values})


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"start": NOW, "end": START}, "before end"),
        ({"start": "2999-01-01T00:00:00Z"}, "in the past"),
        ({"source": "sample", "timeframe": "H1", "start": START}, "source=oanda alone"),
        ({"path": "x"}, "path is the file"),
        ({"clock": "UTC"}, "clock is of a file"),
    ],
)
def test_request_that_makes_no_sense_says_why(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        ask(**values)


def test_moments_without_a_zone_are_utc() -> None:
    assert ask(start="2024-03-04T00:00:00").start == START
    assert ask(start="2024-03-03T19:00:00-05:00").start == START
