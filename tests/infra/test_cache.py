"""The cache: keeps for a while, and is never missed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from infra import cache as valkey_cache
from infra.servers import valkey


def test_value_is_kept_for_a_while(cache: str) -> None:
    assert valkey_cache.remember("window:EUR_USD:M1", b"\0bytes", seconds=0.05)
    assert valkey_cache.recall("window:EUR_USD:M1") == b"\0bytes"
    time.sleep(0.1)
    assert valkey_cache.recall("window:EUR_USD:M1") is None


def test_everything_runs_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_HOME", str(tmp_path))
    assert valkey_cache.remember("key", b"value", seconds=1) is False
    assert valkey_cache.recall("key") is None


def test_loss_is_noticed_and_borne(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    address = valkey.start(home)
    monkeypatch.setenv("SEP_VALKEY_URL", address)
    assert valkey_cache.remember("key", b"value", seconds=10)
    valkey.stop(home)
    assert valkey_cache.recall("key") is None
    assert "going on without" in caplog.text
    valkey.start(home)
    assert valkey_cache.remember("key", b"value", seconds=10)
