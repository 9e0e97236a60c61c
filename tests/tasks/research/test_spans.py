"""The split in time: spans in order, a purge between them, nothing too short."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.document import from_plain, to_plain
from tasks.research.spans import MINIMUM_OUTCOMES, Span, Spans, TooShort, least, split


@given(st.integers(0, 500), st.integers(1_000, 100_000), st.integers(1, 60))
def test_spans_follow_one_another_with_a_purge_between(first: int, bars: int, horizon: int) -> None:
    try:
        spans = split(first, first + bars, horizon)
    except TooShort:
        assert bars * 0.25 < (MINIMUM_OUTCOMES + 3) * horizon + 4
        return
    purge = horizon + 1
    assert spans.library.start == first
    assert spans.calibration.start == spans.library.stop + purge
    assert spans.test.start == spans.calibration.stop + purge
    assert spans.test.stop == first + bars
    assert len(spans.calibration) >= MINIMUM_OUTCOMES * horizon


def test_no_outcome_of_a_span_reaches_the_next() -> None:
    horizon = 8
    spans = split(257, 5000, horizon)
    last_known = spans.library.stop - 1 + horizon + 1
    assert last_known < spans.calibration.start
    assert spans.calibration.stop - 1 + horizon + 1 < spans.test.start


def test_a_short_history_is_refused_with_what_to_do() -> None:
    told = r"343 bars .* horizon 8: .* 689 such bars in all; ingest at least 346 more bars"
    with pytest.raises(TooShort, match=told):
        split(257, 600, 8)
    assert split(257, 946, 8)


@given(st.integers(1, 200))
def test_what_is_asked_for_is_the_least(horizon: int) -> None:
    needed = least(horizon)
    assert split(257, 257 + needed, horizon)
    with pytest.raises(TooShort, match=f"ingest at least {1:,} more bars"):
        split(257, 256 + needed, horizon)


def test_names_tell_the_span_of_each_bar() -> None:
    spans = Spans(Span(1, 3), Span(4, 5), Span(6, 8))
    named = ["library", "library", None, "calibration", None, "test", "test"]
    assert spans.names(8) == [None, *named]


def test_spans_survive_json() -> None:
    spans = split(257, 5000, 8)
    assert from_plain(Spans, json.loads(json.dumps(to_plain(spans)))) == spans


def test_positions_step_through_a_span() -> None:
    assert Span(3, 10).positions(3).tolist() == [3, 6, 9]
    assert 3 in Span(3, 10)
    assert 10 not in Span(3, 10)
