"""States of an account, floors, and the day of losses on days of 23 and 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.trading.risk.day import day_start
from tasks.trading.risk.engine import state_of
from tasks.trading.risk.situation import Situation
from tests.tasks.trading.risk.cases import NOW, D, account, denied, limits, situation, verdict


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "zone", "reset", "start"),
    [
        ("2026-01-07T12:00", "America/New_York", time(17), "2026-01-06T22:00"),
        ("2026-01-07T22:00", "America/New_York", time(17), "2026-01-07T22:00"),
        ("2026-01-07T21:59:59", "America/New_York", time(17), "2026-01-06T22:00"),
        # New York springs forward on 8 March, falls back on 1 November
        ("2026-03-08T20:59", "America/New_York", time(17), "2026-03-07T22:00"),
        ("2026-03-08T21:00", "America/New_York", time(17), "2026-03-08T21:00"),
        ("2026-11-01T21:59", "America/New_York", time(17), "2026-10-31T21:00"),
        ("2026-11-01T22:00", "America/New_York", time(17), "2026-11-01T22:00"),
        # 02:30 is leapt over: the clock shows 03:30 then
        ("2026-03-08T07:29", "America/New_York", time(2, 30), "2026-03-07T07:30"),
        ("2026-03-08T07:30", "America/New_York", time(2, 30), "2026-03-08T07:30"),
        # 01:30 comes twice: the first counts, the second begins no day
        ("2026-11-01T05:30", "America/New_York", time(1, 30), "2026-11-01T05:30"),
        ("2026-11-01T06:30", "America/New_York", time(1, 30), "2026-11-01T05:30"),
        # Prague: 29 March and 25 October
        ("2026-03-29T21:59", "Europe/Prague", time(0), "2026-03-28T23:00"),
        ("2026-03-29T22:00", "Europe/Prague", time(0), "2026-03-29T22:00"),
        ("2026-10-25T22:59", "Europe/Prague", time(0), "2026-10-24T22:00"),
        ("2026-10-25T23:00", "Europe/Prague", time(0), "2026-10-25T23:00"),
        # far from Greenwich, where the local date is another
        ("2026-01-07T12:00", "Pacific/Kiritimati", time(1), "2026-01-07T11:00"),
        ("2026-01-07T12:00", "Pacific/Pago_Pago", time(1), "2026-01-07T12:00"),
    ],
)
def test_the_day_begins(now: str, zone: str, reset: time, start: str) -> None:
    said = limits(daily_zone=zone, daily_reset=reset)
    assert day_start(at(now), said) == at(start)


@settings(deadline=None)
@given(
    st.integers(1_577_836_800, 1_893_456_000).map(lambda s: datetime.fromtimestamp(s, UTC)),
    st.times(),
    st.sampled_from(["America/New_York", "Europe/Prague", "Australia/Lord_Howe", "UTC"]),
)
def test_a_day_has_23_to_25_hours_and_holds_now(now: datetime, reset: time, zone: str) -> None:
    said = limits(daily_zone=zone, daily_reset=reset.replace(microsecond=0))
    start = day_start(now, said)
    following = day_start(start + timedelta(hours=36), said)
    assert start <= now < following
    assert timedelta(hours=23) <= following - start <= timedelta(hours=25)
    assert day_start(start, said) == start
    assert day_start(following - timedelta.resolution, said) == start
    shown = start.astimezone(ZoneInfo(zone)).time()
    assert abs(_minutes(shown) - _minutes(said.daily_reset)) <= 60


def _minutes(clock: time) -> float:
    return clock.hour * 60 + clock.minute


def test_a_day_of_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no zone"):
        day_start(datetime(2026, 1, 1), limits())  # noqa: DTZ001 (on purpose)


def state(equity: Any, said: dict[str, Any], **known: Any) -> tuple[str, str]:
    around: Situation = situation(account=account(equity=D(equity)), **known)
    name, reasons = state_of(around, limits(**said))
    return name, "; ".join(text for _, text in reasons)


DAILY = {"daily_loss": "0.05"}
TRAILING = {"trailing_drawdown": "0.1"}
STATIC = {"static_drawdown": "0.1"}


@pytest.mark.parametrize(
    ("equity", "said", "known", "expected"),
    [
        (100_000, DAILY, {}, "ACTIVE"),
        ("95500.01", DAILY, {}, "ACTIVE"),
        (95_500, DAILY, {}, "REDUCING"),
        ("95000.01", DAILY, {}, "REDUCING"),
        (95_000, DAILY, {}, "HALTED"),
        (95_000, {**DAILY, "near": "0.5"}, {}, "HALTED"),
        (97_500, {**DAILY, "near": "0.5"}, {}, "REDUCING"),
        (104_500, DAILY, {"day_start_equity": D(110_000)}, "HALTED"),
        # 5 % of the start, not of the day
        (105_200, {**DAILY, "share_of": "start"}, {"day_start_equity": D(110_000)}, "REDUCING"),
        (105_000, {**DAILY, "share_of": "start"}, {"day_start_equity": D(110_000)}, "HALTED"),
        (180_000, TRAILING, {"peak_equity": D(200_000)}, "HALTED"),
        ("180000.01", TRAILING, {"peak_equity": D(200_000)}, "REDUCING"),
        (190_000, {**TRAILING, "share_of": "start"}, {"peak_equity": D(200_000)}, "HALTED"),
        (105_000, {**TRAILING, "share_of": "start", "trailing_locks": True},
         {"peak_equity": D(200_000)}, "ACTIVE"),
        (100_000, {**TRAILING, "share_of": "start", "trailing_locks": True},
         {"peak_equity": D(200_000)}, "HALTED"),
        # a new high is the highest, though nothing is on record of it
        (300_000, TRAILING, {}, "ACTIVE"),
        (90_000, STATIC, {}, "HALTED"),
        (90_500, STATIC, {}, "REDUCING"),
        (91_001, STATIC, {}, "ACTIVE"),
        (90_000, {**STATIC, "start_equity": 80_000}, {}, "ACTIVE"),
        # a floor that was hit stays hit
        (100_000, DAILY, {"hits": {"daily": NOW}}, "HALTED"),
        (100_000, STATIC, {"hits": {"static": NOW}}, "HALTED"),
        (100_000, TRAILING, {"hits": {"trailing": NOW}}, "HALTED"),
        (100_000, {}, {"reducing": True}, "REDUCING"),
        (100_000, {}, {}, "ACTIVE"),
        (0, {}, {}, "HALTED"),
    ],
)  # fmt: skip
def test_states(equity: Any, said: dict[str, Any], known: dict[str, Any], expected: str) -> None:
    name, text = state(equity, said, **known)
    assert name == expected, text
    assert (name == "ACTIVE") is (not text)


def test_reasons_say_figures_and_how_long() -> None:
    _, text = state(95_000, DAILY)
    assert text == (
        "5.00% a day from 100,000.00 USD: the floor is 95,000.00 USD, equity is 95,000.00 USD; "
        "halted until 2026-01-07 22:00 UTC"
    )
    _, text = state(90_000, STATIC)
    assert "for good" in text


@pytest.mark.parametrize(("since", "name"), [(3.99, "REDUCING"), (4, "ACTIVE"), (-1, "REDUCING")])
def test_a_pause_ends(since: float, name: str) -> None:
    rows = [(NOW - timedelta(hours=since + n), D(-1)) for n in range(3)]
    said = {"cool_down_after": 3, "cool_down_hours": 4}
    found, text = state(100_000, said, losses=rows)
    assert found == name
    assert "3 losses in a row" in text or name == "ACTIVE"


def test_a_win_or_nothing_ends_a_row_of_losses() -> None:
    rows = [(NOW - timedelta(hours=n), D(-1)) for n in range(5)]
    for profit in (D(0), D(1)):
        rows[2] = (rows[2][0], profit)
        assert state(100_000, {"cool_down_after": 3}, losses=rows)[0] == "ACTIVE"


@pytest.mark.parametrize("known", [{"hits": {"static": NOW}}, {"reducing": True}])
def test_no_state_but_active_allows_an_entry(known: dict[str, Any]) -> None:
    found = verdict(s=situation(**known), static_drawdown="0.1")
    assert not found.allowed
    assert "state" in denied(found)
