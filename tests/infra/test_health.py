"""Health: said once, with the time since when it has been so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import health
from infra.health import Finding
from infra.servers import postgres
from tests.servers import FAST

DISK = Finding("disk", "ok", "room")


def broken() -> Iterator[Finding]:
    yield Finding("first", "ok", "fine")
    raise OSError("the disk\nis gone")


def check_nothing_said() -> Iterator[Finding]:
    raise KeyError


def test_a_check_that_breaks_is_a_finding_and_keeps_no_other_back() -> None:
    found = health.look([broken, lambda: [DISK], check_nothing_said])
    assert [(f.topic, f.state, f.text) for f in found] == [
        ("broken", "problem", "the disk is gone"),
        ("disk", "ok", "room"),
        ("nothing said", "problem", "KeyError"),
    ]
    assert health.worst(found) == "problem"
    assert health.worst([]) == "ok"


def test_since_stays_while_the_state_does(tmp_path: Path) -> None:
    (first,) = health.remember(tmp_path, [DISK])
    (same,) = health.remember(tmp_path, [Finding("disk", "ok", "less room")])
    assert same.since == first.since
    assert same.text == "less room"
    (worse,) = health.remember(tmp_path, [Finding("disk", "problem", "none", "free some")])
    assert worse.since is not None
    assert first.since is not None
    assert worse.since > first.since
    assert health.last(tmp_path) == [worse]
    assert str(worse) == "none: free some"


def test_what_is_not_found_again_is_forgotten_after_a_whole_look(tmp_path: Path) -> None:
    health.remember(tmp_path, [DISK, Finding("model", "problem", "paused")])
    health.remember(tmp_path, [DISK])
    assert {f.topic for f in health.last(tmp_path)} == {"disk", "model"}
    health.remember(tmp_path, [DISK], whole=True)
    assert {f.topic for f in health.last(tmp_path)} == {"disk"}


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"topic": 1}]', "[]"])
def test_a_damaged_file_is_no_trouble(tmp_path: Path, content: str) -> None:
    health.remember(tmp_path, [DISK])
    (tmp_path / "run" / "health.json").write_text(content)
    assert health.last(tmp_path) == []
    assert len(health.remember(tmp_path, [DISK])) == 1


def test_a_database_that_goes_and_comes_back(home: Path, database: str, cache: str) -> None:
    def state() -> Finding:
        found = health.remember(home, health.look(health.shared_checks(home)))
        return next(finding for finding in found if finding.topic == "database")

    before = state()
    assert before.state == "ok"
    postgres.stop(home)
    gone = state()
    assert gone.state == "problem"
    assert "sep up" in gone.text
    postgres.start(home, options=FAST)
    back = state()
    assert back.state == "ok"
    assert back.since is not None
    assert gone.since is not None
    assert back.since > gone.since
