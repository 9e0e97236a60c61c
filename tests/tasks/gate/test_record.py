"""The experiment log and the locked holdout, in a real database."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.gate import holdout, log
from tasks.gate.holdout import HoldoutUsed
from tasks.gate.log import Tally, Tried

DAY = timedelta(days=1)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ("EUR_USD", "H1")

pytestmark = pytest.mark.usefixtures("database")


def tried(first: int, last: int, **changes: Any) -> Tried:
    made = Tried(
        *KEY, BEGIN + first * DAY, BEGIN + last * DAY, f"{first}-{last}", "train", "s", 250, 80.0,
        0.1, {"best": 3},
    )  # fmt: skip
    return replace(made, **changes)


def test_a_run_is_logged_once() -> None:
    log.record(tried(0, 10))
    log.record(tried(0, 10, sets=1, effective=1.0))  # a rerun of the same step
    log.record(tried(0, 10, kind="backtest", sets=1, effective=1.0))
    assert log.tally(*KEY, BEGIN, BEGIN + DAY) == Tally(2, 251, 81.0, 0)
    (second, first) = log.overlapping(*KEY, BEGIN, BEGIN)
    assert first == tried(0, 10)
    assert second.kind == "backtest"


@pytest.mark.parametrize(
    ("first", "last", "runs"), [(10, 20, 1), (5, 6, 1), (-5, 0, 1), (11, 20, 0), (-5, -1, 0)]
)
def test_spans_overlap_or_do_not(first: int, last: int, runs: int) -> None:
    log.record(tried(0, 10))
    span = BEGIN + first * DAY, BEGIN + last * DAY
    assert log.tally(*KEY, *span).runs == runs
    assert log.tally("GBP_USD", "H1", *span).runs == 0
    assert log.tally("EUR_USD", "M1", *span).runs == 0


def test_a_holdout_stays_where_it_was_locked_first() -> None:
    assert holdout.locked(*KEY) is None
    assert holdout.lock(*KEY, BEGIN + 5 * DAY, BEGIN + 9 * DAY, "one") == BEGIN + 5 * DAY
    assert holdout.lock(*KEY, BEGIN + 7 * DAY, BEGIN + 12 * DAY, "two") == BEGIN + 5 * DAY
    assert holdout.locked(*KEY) == BEGIN + 5 * DAY
    assert holdout.locked("EUR_USD", "M1") is None


def opened_by(model: str, *, again: bool = False) -> None:
    first, last = BEGIN + 5 * DAY, BEGIN + 9 * DAY
    holdout.open_for(*KEY, first, last, model_id=model, who="me", again=again)


def test_a_holdout_is_opened_once() -> None:
    holdout.lock(*KEY, BEGIN + 5 * DAY, BEGIN + 9 * DAY, "one")
    opened_by("a")
    opened_by("a")  # killed in between, asked again
    assert holdout.locked(*KEY) is None
    with pytest.raises(HoldoutUsed, match=r"opened on .* by me for the model a.*--i-know"):
        opened_by("b")
    assert [each.model_id for each in holdout.openings(*KEY)] == ["a"]
    opened_by("b", again=True)
    assert log.tally(*KEY, BEGIN, BEGIN + 20 * DAY) == Tally(0, 2, 2, 2)
    assert log.tally(*KEY, BEGIN, BEGIN + 4 * DAY).openings == 0
    assert [each.model_id for each in holdout.openings(*KEY, BEGIN + 6 * DAY)] == ["b", "a"]


def test_bars_of_later_are_locked_anew() -> None:
    holdout.lock(*KEY, BEGIN + 5 * DAY, BEGIN + 9 * DAY, "one")
    opened_by("a")
    assert holdout.lock(*KEY, BEGIN + 10 * DAY, BEGIN + 15 * DAY, "two") == BEGIN + 10 * DAY
    assert holdout.locked(*KEY) == BEGIN + 10 * DAY


def test_of_many_at_once_one_opens_and_one_locks() -> None:
    firsts: list[datetime] = []
    refused: list[str] = []

    def race(number: int) -> None:
        firsts.append(holdout.lock(*KEY, BEGIN + number * DAY, BEGIN + 9 * DAY, str(number)))
        try:
            holdout.open_for(*KEY, firsts[0], BEGIN + 9 * DAY, model_id=str(number), who="me")
        except HoldoutUsed as error:
            refused.append(str(error))

    holdout.lock(*KEY, BEGIN, BEGIN + 9 * DAY, "first")
    threads = [threading.Thread(target=race, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    opened = holdout.openings(*KEY)
    assert len(refused) == 5
    assert len({(each.first, each.model_id) for each in opened}) == 1
