"""The live record of models, and who stays champion by it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from infra.postgres import database as db
from infra.postgres.roles import ensure_roles
from kernels.evaluation import brier_skill
from kernels.statistics.sequential import sequence
from tasks.folder import bar_store
from tasks.intake.rows import planted_rows
from tasks.research.registry import NoModel
from tasks.signals import find_champions
from tasks.upkeep.health import check_standing
from tasks.upkeep.outcomes import resolve_signals
from tasks.upkeep.record import apart, record, record_of
from tasks.upkeep.standing import judge_champions, retire, speaks_live, standings
from tests.infra.databases import drop_roles
from tests.tasks.upkeep.published import BASE, HOUR, publish, random_signals, record_model

START = datetime(2015, 3, 2, tzinfo=UTC)
TIMES = [START + HOUR * i for i in range(4_000)]
HOURS = pl.DataFrame({"timestamp": TIMES, "close": 1.1}).with_columns(
    pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
)


HOURS_OF_EUR = planted_rows(50, timeframe="H1", seed=1).drop("source_row")


@pytest.fixture(autouse=True)
def emptied(home: Path, database: str) -> None:
    shutil.rmtree(home / "bars", ignore_errors=True)


def live(
    n: int,
    *,
    above: float = 0.0,
    seed: int = 1,
    model: str = "m",
    late: float = 0.0,
    every: int = 3,
) -> pl.DataFrame:
    """Publish and resolve signals whose wins are as probable as was said, less `above`."""
    rng = np.random.default_rng(seed)
    bars = HOURS[seed % 7 :: every].head(n)
    signals = random_signals(bars, n, seed=seed, model=model)
    said = signals["confidence"].to_numpy()
    won = rng.random(n) < said - above
    moment = pl.when(pl.lit(rng.random(n) < late)).then(pl.lit(datetime.now(UTC)))
    publish(signals.with_columns(published_at=moment.otherwise("published_at")))
    query = text(
        "INSERT INTO signal_outcome (signal_id, state, won, gain, exit_at) SELECT id, 'resolved', "
        ":won, :gain, bar_ts + interval '3 hours' FROM signal WHERE model_id = :model "
        "AND bar_ts = :bar"
    )
    rows = [
        {"won": bool(w), "gain": 1e-3 if w else -1e-3, "model": model, "bar": bar}
        for w, bar in zip(won, signals["bar_ts"], strict=True)
    ]
    with db.engine().begin() as connection:
        connection.execute(query, rows)
    return signals.with_columns(won=pl.Series(won))


def rows(*told: tuple[int, str | None, int]) -> pl.DataFrame:
    """Signals by bar, state and bar of the exit."""
    return pl.DataFrame(
        {
            "bar_ts": [TIMES[bar] for bar, _, _ in told],
            "confidence": [0.6] * len(told),
            "in_time": [True] * len(told),
            "state": pl.Series([state for _, state, _ in told], dtype=pl.String),
            "won": [state == "resolved" or None for _, state, _ in told],
            "gain": [0.001 if state == "resolved" else None for _, state, _ in told],
            "exit_at": [TIMES[left] if state == "resolved" else None for _, state, left in told],
            "base": [0.5] * len(told),
        },
        schema_overrides={
            **dict.fromkeys(("in_time", "won"), pl.Boolean),
            **dict.fromkeys(("confidence", "gain", "base"), pl.Float64),
        },
    )


def test_what_overlaps_is_told_once() -> None:
    told = rows((0, "resolved", 4), (2, "resolved", 9), (4, "resolved", 6), (5, "resolved", 7))
    assert apart(told)["bar_ts"].to_list() == [TIMES[0], TIMES[4]]


def test_nothing_is_told_behind_one_that_is_waited_for() -> None:
    told = rows((0, "resolved", 4), (5, None, 0), (6, "resolved", 7), (9, "resolved", 11))
    assert apart(told)["bar_ts"].to_list() == [TIMES[0]]
    told = rows((0, "resolved", 4), (3, None, 0), (6, "missing", 0), (9, "resolved", 11))
    assert apart(told)["bar_ts"].to_list() == [TIMES[0], TIMES[9]]


def test_figures_are_those_of_what_was_told_in_time() -> None:
    record_model()
    signals = live(300, seed=2, late=0.3)
    told = record("m")
    assert (told.signals, told.resolved, told.missing) == (300, 300, 0)
    assert 60 < told.late < 120
    assert told.outcomes == 300 - told.late
    kept = db.read_frame("SELECT bar_ts FROM signal WHERE published_at <= valid_until")
    judged = signals.join(kept, on="bar_ts", how="semi")
    said, won = judged["confidence"].to_numpy(), judged["won"].cast(pl.Float64).to_numpy()
    base = np.where(judged["side"] == "long", *BASE)
    assert told.hit_rate == pytest.approx(won.mean())
    assert told.confidence == pytest.approx(said.mean())
    assert told.gain == pytest.approx((2 * won.mean() - 1) * 1e-3)
    assert told.skill == pytest.approx(brier_skill(said, won, base))
    assert told.e_value == pytest.approx(sequence(said, won).last)


def test_a_record_of_nothing_is_one() -> None:
    told = record_of(rows())
    assert (told.outcomes, told.e_value, told.alarm, told.skill) == (0, 1.0, None, None)
    assert told.sentence == "no outcome to be judged yet of 0 signals"


def test_who_says_the_truth_stays_champion() -> None:
    record_model()
    live(900, seed=3)
    done = judge_champions()
    assert (done["champions"], done["demoted"]) == (1, 0)
    assert done["table"][0]["outcomes"] == 900
    assert speaks_live("m")
    assert list(check_standing()) == []


def test_who_is_too_sure_is_demoted_once_and_says_why() -> None:
    record_model()
    record_model("later", champion=False, of="m", rule="B")
    live(200, above=0.15, seed=4)
    live(200, above=0.15, seed=5, model="later")
    assert judge_champions()["demoted"] == 1
    own = standings()["m"]
    assert (own.state, own.who) == ("demoted", "maintain")
    assert own.why.startswith("confidence was too high: ")
    assert "e-value" in own.why
    assert not speaks_live("m")
    kept = db.read_frame("SELECT * FROM demotion")
    assert judge_champions() == {**judge_champions(), "champions": 0, "demoted": 0}
    assert db.read_frame("SELECT * FROM demotion").equals(kept)
    assert db.read_frame("SELECT shadow, who FROM champion").rows() == [(False, "a test")]
    (finding,) = check_standing()
    assert (finding.topic, finding.state) == ("standing m", "note")
    assert record("m").signals == 400, "of both exit rules"


def test_who_is_not_sure_enough_is_demoted_as_well() -> None:
    record_model()
    live(900, above=-0.2, seed=6)
    assert judge_champions()["demoted"] == 1
    assert standings()["m"].why.startswith("confidence was too low: ")


def test_what_a_replay_said_demotes_nobody() -> None:
    record_model()
    live(300, above=0.3, late=1.0)
    assert judge_champions()["demoted"] == 0
    told = record("m")
    assert (told.resolved, told.late, told.outcomes) == (300, 300, 0)


def test_what_was_said_before_it_was_in_force_demotes_nobody() -> None:
    record_model()
    live(300, above=0.3)
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE champion SET since = '2016-01-01T00:00Z'"))
    assert judge_champions()["demoted"] == 0
    assert (record("m").signals, record("m", standings()["m"].since).signals) == (300, 0)


def test_put_in_force_again_it_begins_anew() -> None:
    record_model()
    live(300, above=0.2)
    assert judge_champions()["demoted"] == 1
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE champion SET since = now()"))
    assert standings()["m"].state == "champion"
    assert judge_champions()["demoted"] == 0


def test_its_role_may_resolve_and_demote_and_put_nothing_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    record_model()
    live(300, above=0.2)
    assert ensure_roles() is None
    bar_store().write("EUR_USD", "H1", HOURS_OF_EUR)
    with monkeypatch.context() as patch:
        patch.setenv("SEP_DATABASE_ROLE", "research")
        publish(random_signals(HOURS.tail(50), 5, seed=9))
        for _ in range(2):
            assert resolve_signals()["missing"] == 5
        assert judge_champions()["demoted"] == 1
        with pytest.raises(ProgrammingError, match="permission denied"):
            retire("m", who="me", why="enough")
        db.engine().dispose()
    drop_roles()
    assert standings()["m"].state == "demoted"


def test_a_shadow_model_is_told_and_not_demoted() -> None:
    record_model()
    live(300, above=0.3)
    with db.engine().begin() as connection:
        connection.execute(text("UPDATE champion SET shadow = true, why = 'DSR 0.4'"))
    done = judge_champions()
    assert (done["champions"], done["demoted"]) == (0, 0)
    assert standings()["m"].words.endswith("by a test: DSR 0.4")
    assert not speaks_live("m")


def test_who_is_retired_publishes_nothing_more() -> None:
    record_model()
    with db.engine().begin() as connection:
        connection.execute(text("INSERT INTO pairs VALUES ('PLANTED', 'H1')"))
    assert find_champions.fn("H1", None) == ["m"]
    retire("m", who="me", why="enough")
    own = standings()["m"]
    assert (own.state, own.who, own.why) == ("retired", "me", "enough")
    with pytest.raises(NoModel, match="in force for H1"):
        find_champions.fn("H1", None)
    with pytest.raises(NoModel, match="m is not in force"):
        retire("m", who="me", why="again")
    assert db.read_frame("SELECT who FROM demotion")["who"].to_list() == ["me"]
