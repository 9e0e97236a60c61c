"""`sep model retire`, and what screens say of where models stand."""

from __future__ import annotations

import io
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from deployments.sep.models import show_all
from deployments.sep.standing import app, show_if_any, show_standings
from infra.errors import SepError
from infra.postgres import database as db
from tasks.upkeep.standing import judge_champions
from tests.tasks.upkeep.published import record_model
from tests.tasks.upkeep.test_standing import live


@pytest.fixture(autouse=True)
def emptied(home: Path, database: str) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def shown(show: Any) -> str:
    stream = io.StringIO()
    show(Console(file=stream, width=80, highlight=False))
    return stream.getvalue()


def test_the_screen_says_who_stands_where() -> None:
    assert shown(show_standings) == "no model is in force\n"
    assert shown(show_if_any) == ""
    record_model()
    live(300, above=0.2)
    assert re.search(
        r"^m +champion +300 +300 +300 +3\d\.\d+ % ", shown(show_standings), re.MULTILINE
    )
    judge_champions()
    screen = shown(show_if_any)
    assert re.search(r"^m +demoted +300 ", screen, re.MULTILINE)
    assert "by maintain: confidence was too high" in screen.replace("\n", " ")


def test_a_screen_without_a_database_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    began = datetime.now(UTC)
    assert shown(show_if_any) == ""
    assert datetime.now(UTC) - began < timedelta(seconds=10)


def test_a_list_tells_states_and_the_live_record() -> None:
    record_model()
    record_model("other", champion=False)
    live(300, above=0.2)
    judge_champions()
    screen = shown(lambda console: show_all(console, None, None))
    assert re.search(r"^\* +m +demoted +PLANTED", screen, re.MULTILINE)
    assert re.search(r"^ +other +candidate +PLANTED", screen, re.MULTILINE)
    assert "by maintain: confidence was too high" in screen.replace("\n", " ")


def test_a_champion_is_retired_by_hand_for_a_reason() -> None:
    record_model()
    done = CliRunner().invoke(app, ["m", "--why", "the broker left"])
    assert done.output == "m is retired: no model of PLANTED H1 s is in force\n"
    told = db.read_frame("SELECT kind, why FROM demotion")
    assert told.rows() == [("retired", "the broker left")]
    assert db.read_frame("SELECT * FROM champion").is_empty()
    assert re.search(r"^ +m +retired", shown(lambda c: show_all(c, None, None)), re.MULTILINE)
    nothing = CliRunner().invoke(app, ["m", "--why", " "])
    assert isinstance(nothing.exception, SepError)
