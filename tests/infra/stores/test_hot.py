"""Frames in Valkey: exact, of one content, gone when they are of no use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from infra.bars import content_hash
from infra.stores import cache as valkey_cache
from infra.stores import hot
from tests.infra.stores.test_store import bars_at

PAIR = ("EUR_USD", "H1")
START = datetime(2018, 1, 1, tzinfo=UTC)


def test_a_frame_comes_back_as_it_went_in(cache: str) -> None:
    bars = bars_at([0, 1, 2], quotes=True).with_columns(
        volume=pl.Series([-0.0, None, 5e-324]), bid_low=pl.lit(None, pl.Float64)
    )
    assert hot.keep("bars", *PAIR, bars, version="v", start=START)
    back = hot.take("bars", *PAIR, version="v")
    assert back is not None
    assert back.schema == bars.schema
    assert content_hash(back) == content_hash(bars)
    assert hot.look("bars", *PAIR) == hot.Kept(*PAIR, "v", START, 3)


def test_a_frame_of_other_content_is_none(cache: str) -> None:
    assert hot.look("bars", *PAIR) is None
    assert hot.take("bars", *PAIR, version="v") is None
    hot.keep("bars", *PAIR, bars_at([0]), version="v")
    assert hot.take("bars", *PAIR, version="w") is None
    hot.keep("bars", *PAIR, bars_at([0, 1]), version="w")
    assert hot.take("bars", *PAIR, version="v") is None
    assert hot.take("metrics", *PAIR, version="w") is None
    found = hot.take("bars", *PAIR, version="w")
    assert found is not None
    assert found.height == 2


def test_it_tells_from_when_on_it_holds_everything(cache: str) -> None:
    for start, covered in ((START, False), (None, True)):
        hot.keep("bars", *PAIR, bars_at([0]), version="v", start=start)
        kept = hot.look("bars", *PAIR)
        assert kept is not None
        assert kept.covers(START)
        assert kept.covers(START - timedelta(microseconds=1)) is covered
        assert kept.covers(None) is covered


def test_use_prolongs_its_life(cache: str) -> None:
    client = valkey_cache.client()
    assert client is not None
    hot.keep("metrics", *PAIR, bars_at([0]), version="v")
    key = "sep:metrics:EUR_USD:H1"
    client.expire(key, 5)
    assert hot.look("metrics", *PAIR) is not None
    assert client.ttl(key) <= 5
    assert hot.take("metrics", *PAIR, version="v") is not None
    assert client.ttl(key) > 5


@pytest.mark.parametrize("damage", [b"", b"ARROW1", b"\xff" * 100])
def test_a_damaged_frame_is_none(cache: str, damage: bytes) -> None:
    client = valkey_cache.client()
    assert client is not None
    hot.keep("bars", *PAIR, bars_at([0]), version="v")
    client.hset("sep:bars:EUR_USD:H1", "frame", damage)
    assert hot.take("bars", *PAIR, version="v") is None


def test_what_is_kept_is_listed_and_dropped(cache: str) -> None:
    for pair in ("USD_JPY", "EUR_USD"):
        hot.keep("bars", pair, "M1", bars_at([0]), version="v")
    assert [(kept.pair, kept.timeframe) for kept in hot.kept("bars")] == [
        ("EUR_USD", "M1"),
        ("USD_JPY", "M1"),
    ]
    assert hot.drop("bars", "EUR_USD", "M1")
    assert not hot.drop("bars", "EUR_USD", "M1")
    assert [kept.pair for kept in hot.kept("bars")] == ["USD_JPY"]
