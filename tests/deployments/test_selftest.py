"""`sep selftest`: its short form passes, goes on, and fails with a gate that is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.sep import selftest_tables
from deployments.sep.selftest_tables import Asked, selftest
from tasks.gate.rehearsal import Judge
from tasks.gate.selftest.jobs import Job, plan
from tasks.gate.selftest.kept import Kept
from tasks.rules.texts import DEFAULT
from tests.tasks.gate.selftest.gates import generous, stubborn

SEP = (sys.executable, "-m", "deployments.sep.cli", "selftest")


def without_prefect(folder: Path) -> str:
    """A folder for `PYTHONPATH` in which Prefect cannot be imported."""
    (folder / "blocked" / "prefect").mkdir(parents=True)
    words = "raise ImportError('a self-test needs no Prefect')\n"
    (folder / "blocked" / "prefect" / "__init__.py").write_text(words)
    return os.pathsep.join([str(folder / "blocked"), *filter(None, sys.path)])


@pytest.mark.slow
def test_the_short_form_passes_without_prefect_and_goes_on(tmp_path: Path) -> None:
    variables = {"SEP_HOME": str(tmp_path / "home"), "PYTHONPATH": without_prefect(tmp_path)}
    command = [*SEP, "--quick", "--processes", "2", "--png", str(tmp_path / "power.png")]
    environment = {**os.environ, **variables, "COLUMNS": "140"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("PASS") == 12
    assert "FAIL" not in done.stdout
    assert (tmp_path / "power.png").read_bytes().startswith(b"\x89PNG")
    answers = tmp_path / "home" / "selftest" / "answers.jsonl"
    lines = answers.read_text().splitlines()
    assert len(lines) == len(plan(quick=True))
    answers.write_text("\n".join(lines)[:-20])
    asked = Asked(quick=True, results=answers, processes=1)
    assert selftest(asked) == 0
    *before, torn, again = answers.read_text().splitlines()
    assert before == lines[:-1]
    assert again == lines[-1]
    assert lines[-1].startswith(torn)


def few(*, quick: bool = False) -> list[Job]:
    """The short form, its walks too short to be more than judged."""
    return [
        replace(job, bars=4_000) if job.kind == "walk" and job.strategy == DEFAULT else job
        for job in plan(quick=True)
        if job.kind == "golden" or job.name in ("none", "drift")
    ]


@pytest.mark.parametrize(
    ("gate", "wrong"),
    [
        (generous, ["walks without edge that pass the gate", "those that trend_following trades"]),
        (stubborn, ["walks of the printed edge that pass it"]),
    ],
)
def test_a_gate_that_is_none_fails(
    gate: Judge,
    wrong: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(selftest_tables, "plan", few)
    asked = Asked(quick=True, results=tmp_path / "answers.jsonl", processes=2, as_json=True)
    assert selftest(asked, gate) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["what"] for each in told["demands"] if not each["met"]] == wrong
    assert told["version"].endswith(f"gates.{gate.__name__}")
    assert len(Kept(asked.results or Path(), gate).read()) == 4


def test_fresh_forgets_and_an_interrupt_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answers.jsonl"
    with Kept(path).adding() as add:
        add(Job("golden"), {"off": 1.0})

    def interrupted(*, quick: bool) -> list[Job]:
        raise KeyboardInterrupt

    monkeypatch.setattr(selftest_tables, "plan", interrupted)
    assert selftest(Asked(results=path)) == selftest_tables.INTERRUPTED
    assert "the same command goes on" in " ".join(capsys.readouterr().err.split())
    assert Kept(path).read()
    assert selftest(Asked(results=path, fresh=True)) == selftest_tables.INTERRUPTED
    assert not path.exists()
