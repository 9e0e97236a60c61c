"""Signs of life, and the switch of a dead man."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from infra.clock import VirtualClock
from tasks.trading.heartbeat import SIGNALS, age, beat, silence

pytestmark = pytest.mark.usefixtures("database")

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LIMIT = 90.0


def test_the_newest_sign_counts() -> None:
    assert age(SIGNALS, NOW) is None
    clock = VirtualClock(NOW)
    beat(SIGNALS, clock, {"new": 1})
    clock.advance(timedelta(minutes=5))
    beat(SIGNALS, clock)
    assert age(SIGNALS, NOW + timedelta(minutes=7)) == timedelta(minutes=2)
    assert age("another", NOW) is None


def test_nobody_that_ever_spoke_is_silent() -> None:
    assert "never" in str(silence(LIMIT, NOW))
    assert silence(0, NOW) is None


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(0, None), (90, None), (91, "silent for 91"), (-90, None), (-91, "91 minutes ahead")],
)
def test_who_was_silent_for_too_long_is_told(minutes: int, said: str | None) -> None:
    beat(SIGNALS, VirtualClock(NOW))
    found = silence(LIMIT, NOW + timedelta(minutes=minutes))
    assert (found is None) if said is None else (said in str(found))
