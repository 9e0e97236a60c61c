"""Answers outlast the run that found them: killed, torn, of other code, of another gate."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tasks.gate.selftest import kept as keeping
from tasks.gate.selftest.jobs import Job
from tasks.gate.selftest.kept import Kept, NotOurs
from tasks.gate.selftest.running import answers
from tests.tasks.gate.selftest.gates import generous

LEAK, WALK = Job("leak", "a bar to come"), Job("walk", "none", 3, 0.0, 6_000)

RUN = """
import sys
from pathlib import Path
from tasks.gate.selftest.jobs import Job
from tasks.gate.selftest.kept import Kept
from tasks.gate.selftest.running import answers

if __name__ == "__main__":
    with Kept(Path(sys.argv[1])).adding() as add:
        for job, found in answers([Job("golden"), Job("walk", "none", 1, 0.0, 2_000_000)], 2):
            add(job, found)
"""


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "answers.jsonl")


def test_what_was_added_is_read(kept: Kept) -> None:
    assert kept.read() == {}
    with kept.adding() as add:
        add(LEAK, {"caught": ["poison"]})
        assert kept.read() == {LEAK: {"caught": ["poison"]}}
        add(WALK, {"passed": False})
    assert kept.read() == {LEAK: {"caught": ["poison"]}, WALK: {"passed": False}}


def test_a_torn_line_is_none_and_spoils_no_other(kept: Kept) -> None:
    with kept.adding() as add:
        add(LEAK, {"caught": []})
        add(WALK, {"passed": True})
    whole = kept.path.read_bytes()
    for length in range(len(whole) // 2 + 8, len(whole) - 1, 9):
        kept.path.write_bytes(whole[:length])
        assert WALK not in kept.read()
        with kept.adding() as add:
            add(WALK, {"passed": False})
        assert kept.read() == {LEAK: {"caught": []}, WALK: {"passed": False}}


def test_answers_of_other_code_and_of_another_gate_are_not_read(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kept.adding() as add:
        add(WALK, {"passed": True})
    assert Kept(kept.path, generous).read() == {}
    monkeypatch.setattr(keeping, "JUDGES", ("tasks/version.py",))
    assert Kept(kept.path).read() == {}
    assert kept.read() == {WALK: {"passed": True}}


def test_a_file_of_others_is_refused_and_not_removed(kept: Kept) -> None:
    kept.path.write_text("date,price\n2018-01-08,1.2\n")
    for way in (kept.read, kept.clear):
        with pytest.raises(NotOurs, match="name another file"):
            way()
    assert kept.path.exists()


def test_cleared_answers_are_gone(kept: Kept) -> None:
    with kept.adding() as add:
        add(WALK, {"passed": True})
    kept.clear()
    kept.clear()
    assert kept.read() == {}


@pytest.mark.slow
def test_a_killed_run_leaves_its_answers_and_no_process(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(RUN)
    command = [sys.executable, str(tmp_path / "run.py"), str(kept.path)]
    path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[4]), *sys.path])}
    process = subprocess.Popen(command, env={**os.environ, **path})
    until(lambda: bool(kept.read()))
    workers = children(process.pid)
    assert workers
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: not any(Path("/proc", str(each)).exists() for each in workers))
    assert list(kept.read()) == [Job("golden")]


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(true: object, seconds: float = 120.0) -> None:
    assert callable(true)
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_answers_are_plain_and_a_fault_ends_the_run() -> None:
    ((job, found),) = answers([LEAK], 4)
    assert job == LEAK
    assert json.loads(json.dumps(found)) == found
    with pytest.raises(ValueError, match="no walk is called"):
        list(answers([Job("golden"), Job("walk", "straight", 1, 0.0, 100)], 2))
    assert list(answers([], 2)) == []
