"""`sep bars`: what is in the store, looked at, exported, taken out and put back."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import text
from typer.main import get_command
from typer.testing import CliRunner

from deployments.sep.cli import app
from infra.errors import SepError
from infra.postgres import database as db
from infra.stores import ledger
from infra.stores.bulk import BarStore
from tasks.folder import bar_store
from tasks.intake.request import IngestRequest
from tasks.intake.rows import planted_rows
from tests.tasks.crash import ingest

Sep = Callable[..., str]
PAIR = ("EUR_USD", "H1")
HOURS = [f"2018-01-02T{hour:02}:00:00Z,1.2,1.3,1.1,1.25,{hour}" for hour in range(6)]


def fresh(home: Path) -> None:
    for name in ("bars", ledger.FOLDER, "plots"):
        shutil.rmtree(home / name, ignore_errors=True)


@pytest.fixture
def sep() -> Sep:
    """The command; what a user can mend is raised as `sep` would print it."""

    def run(*arguments: object, code: int = 0, typed: str = "") -> str:
        done = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["bars", *map(str, arguments)], typed)
        if isinstance(done.exception, SepError):
            raise done.exception
        assert done.exit_code == code, (done.output, done.exception)
        return done.output

    return run


@pytest.fixture
def filled(database: str, home: Path, tmp_path: Path) -> Iterator[datetime]:
    """Six hours, one of them revised; the moment before it was."""
    fresh(home)
    ingest_csv(tmp_path, "first.csv", HOURS[:4])
    before = datetime.now(UTC)
    ingest_csv(tmp_path, "second.csv", [HOURS[3].replace("1.25", "1.26"), *HOURS[4:]])
    yield before
    fresh(home)


def ingest_csv(folder: Path, name: str, rows: list[str]) -> None:
    path = folder / name
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]))
    ingest(IngestRequest(source="csv", path=path), str(folder))


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with bars and without servers."""
    home = tmp_path / "offline"
    for name in ("SEP_DATABASE_URL", "SEP_VALKEY_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEP_HOME", str(home))
    bars = planted_rows(50, timeframe="H1", seed=1).drop("source_row")
    BarStore(home / "bars").write("PLANTED", "H1", bars)
    return home


def test_every_command_has_help(sep: Sep) -> None:
    group: Any = get_command(app)
    commands = group.commands["bars"].commands
    assert set(commands) == {"list", "show", "plot", "export", "remove", "undo"}
    for name in commands:
        assert "Usage: " in sep(name, "--help")


def test_list(sep: Sep, filled: datetime) -> None:
    heading, line = sep("list").splitlines()
    assert heading.split()[:6] == ["pair", "timeframe", "bars", "first", "last", "size"]
    assert re.match(
        r"EUR_USD +H1 +6 +2018-01-02 00:00 +2018-01-02 05:00 +0\.0 MiB +6 +20\d\d-.* +"
        r"csv:first\.csv, csv:second\.csv",
        line,
    )


def test_show_marks_what_was_revised(sep: Sep, filled: datetime) -> None:
    shown = sep("show", *PAIR).splitlines()
    assert len(shown) == 8
    assert [line for line in shown if line.startswith("*")] == [shown[4], shown[-1]]
    assert shown[4].split()[:7] == ["*", "2018-01-02", "03:00", "1.2", "1.3", "1.1", "1.26"]
    assert len(sep("show", *PAIR, "--last", 2).splitlines()) == 3
    span = sep("show", *PAIR, "--from", "2018-01-02", "--to", "2018-01-02T02:00").splitlines()
    assert len(span) == 3
    assert "no bars" in sep("show", *PAIR, "--from", "2019-01-02")


def test_show_as_it_was(sep: Sep, filled: datetime) -> None:
    shown = sep("show", *PAIR, "--as-of", filled.isoformat()).splitlines()
    assert len(shown) == 5
    assert shown[4].split()[:6] == ["2018-01-02", "03:00", "1.2", "1.3", "1.1", "1.25"]
    assert "no bars" in sep("show", *PAIR, "--as-of", "2001-01-01")


def test_show_one_bar_and_what_it_was(sep: Sep, filled: datetime) -> None:
    shown = sep("show", *PAIR, "--at", "2018-01-02T03:59:59").splitlines()
    assert "1.26" in shown[1]
    assert "1.25" in shown[-1]
    assert "before:" in shown
    with pytest.raises(SepError, match="no EUR_USD H1 bar at 2018-01-02 06:00, the one before"):
        sep("show", *PAIR, "--at", "2018-01-02T06:00")


def test_long_spans_are_cut(sep: Sep, offline: Path) -> None:
    bars = planted_rows(200, timeframe="M1", seed=1).drop("source_row")
    BarStore(offline / "bars").write("PLANTED", "M1", bars)
    assert "and 150 more" in sep("show", "PLANTED", "M1", "--from", "2015-01-01")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("quotes", [False, True])
def test_what_is_exported_is_ingested_as_the_same_bars(
    sep: Sep, database: str, home: Path, tmp_path: Path, kind: str, quotes: bool
) -> None:
    fresh(home)
    rows = planted_rows(3_000, timeframe="M1", seed=2).drop("source_row")
    rows = rows.with_columns(volume=pl.when(pl.int_range(pl.len()) % 7 > 0).then("volume"))
    if not quotes:
        rows = rows.select("timestamp", "open", "high", "low", "close", "volume")
    bar_store().write("EUR_USD", "M1", rows)
    content = bar_store().content_hash("EUR_USD", "M1")
    file = tmp_path / f"out.{kind}"
    assert "3,000 bars of EUR_USD M1" in sep("export", "EUR_USD", "M1", file)
    fresh(home)
    ingest(IngestRequest(source=kind, path=file, timeframe="M1"), str(tmp_path))
    assert bar_store().content_hash("EUR_USD", "M1") == content
    assert bar_store().read("EUR_USD", "M1").equals(rows)
    fresh(home)


def test_export_of_a_span_and_of_the_past(sep: Sep, filled: datetime, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    sep("export", *PAIR, file, "--from", "2018-01-02T03:00")
    assert pl.read_parquet(file)["close"].to_list() == [1.26, 1.25, 1.25]
    sep("export", *PAIR, file, "--from", "2018-01-02T03:00", "--as-of", filled.isoformat())
    assert pl.read_parquet(file)["close"].to_list() == [1.25]


def test_export_is_whole_or_not_at_all(
    sep: Sep, filled: datetime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "out.csv"
    file.write_text("mine")
    assert "neither .csv nor .parquet" in sep("export", *PAIR, tmp_path / "out.xls", code=2)
    assert "there is no folder" in sep("export", *PAIR, tmp_path / "no" / "out.csv", code=2)
    with pytest.raises(SepError, match="no bars of EUR_USD H1 in that span"):
        sep("export", *PAIR, file, "--from", "2030-01-01")

    def full(*_: Any, **__: Any) -> None:
        (tmp_path / ".out.csv.1.new").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(SepError, match="no space left"):
        sep("export", *PAIR, file)
    assert file.read_text() == "mine"


def test_plot(sep: Sep, filled: datetime, home: Path, tmp_path: Path) -> None:
    assert sep("plot", *PAIR).strip() == str(home / "plots" / "EUR_USD_H1.png")
    own = tmp_path / "own.png"
    assert sep("plot", *PAIR, "--from", "2018-01-02T01:00", "--to-file", own).strip() == str(own)
    assert own.read_bytes()[:4] == b"\x89PNG"


def test_remove_and_undo(sep: Sep, filled: datetime) -> None:
    whole = bar_store().content_hash(*PAIR)
    second = ("--run", "csv:second.csv")
    assert "Aborted" in sep("remove", *PAIR, *second, typed="n\n", code=1)
    assert bar_store().content_hash(*PAIR) == whole
    said = sep("remove", *PAIR, *second, typed="y\n")
    assert "3 bars, 2018-01-02 03:00 to 2018-01-02 05:00, 1 of them with the rows they had" in said
    assert bar_store().read(*PAIR)["close"].to_list() == [1.25] * 4
    sep("remove", *PAIR, "--to", "2018-01-02T02:00", "--yes")
    assert bar_store().read(*PAIR).height == 2
    listed = sep("undo", "--list").splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["1", "2"]
    assert listed[1].rstrip().endswith("can be undone")
    assert "removal 2 is undone: 2 bars of EUR_USD H1 are back" in sep("undo")
    assert "3 bars of EUR_USD H1 are back" in sep("undo", 1)
    assert bar_store().content_hash(*PAIR) == whole
    with pytest.raises(SepError, match="nothing was removed"):
        sep("undo")


def test_bars_that_came_since_stay(sep: Sep, filled: datetime, tmp_path: Path) -> None:
    sep("remove", *PAIR, "--yes")
    assert "no bars here yet" in sep("list")
    ingest_csv(tmp_path, "third.csv", [HOURS[0].replace("1.25", "1.27")])
    assert "5 bars of EUR_USD H1 are back; 1 that came since stay" in sep("undo")
    assert bar_store().read(*PAIR)["close"].to_list()[0] == 1.27


@pytest.mark.parametrize("spelling", ["EURUSD", "eur/usd", "OANDA:EUR_USD"])
def test_a_pair_may_be_spelled_as_any_venue_does(spelling: str, sep: Sep, filled: datetime) -> None:
    assert sep("show", spelling, "h1") == sep("show", *PAIR)


def test_the_nearest_name_is_told(sep: Sep, filled: datetime) -> None:
    for key, hint in (
        (("EUR_UDS", "H1"), "did you mean EUR_USD?"),
        (("XXXXXX", "H1"), "it has EUR_USD"),
        (("EUR_USD", "H2"), "has EUR_USD in H1, not in H2"),
    ):
        for command in (("show",), ("plot",), ("remove", "--yes")):
            with pytest.raises(SepError, match=re.escape(hint)):
                sep(command[0], *key, *command[1:])
    with pytest.raises(SepError, match="no bars left of EUR_USD H1 of the run nobody"):
        sep("remove", *PAIR, "--run", "nobody", "--yes")


def test_options_that_do_not_go_together(sep: Sep, filled: datetime) -> None:
    assert "give one of" in sep("show", *PAIR, "--last", 3, "--at", "2018-01-02", code=2)
    both = sep("remove", *PAIR, "--run", "r", "--from", "2018-01-02", code=2)
    assert "give --run, or --from and --to" in both
    assert "is no time" in sep("show", *PAIR, "--at", "yesterday", code=2)


def test_without_servers_files_alone_answer(sep: Sep, offline: Path, tmp_path: Path) -> None:
    key, file = ("PLANTED", "H1"), tmp_path / "out.csv"
    listed = sep("list")
    assert "`sep up`" in listed
    assert re.search(r"PLANTED +H1 +50 ", listed)
    shown = sep("show", *key, "--last", 3)
    assert "`sep up`" in shown
    assert len(shown.splitlines()) == 5
    assert "1 that" not in sep("show", *key, "--at", "2015-01-05T03:00")
    assert sep("plot", *key).strip().endswith("PLANTED_H1.png")
    assert "50 bars" in sep("export", *key, file)
    for command in (
        ("remove", *key, "--yes"),
        ("undo",),
        ("undo", "--list"),
        ("show", *key, "--as-of", "2020-01-01"),
        ("export", *key, file, "--as-of", "2020-01-01"),
    ):
        with pytest.raises(SepError, match="`sep up`"):
            sep(*command)


def test_a_database_that_does_not_answer_or_is_of_before(
    sep: Sep, offline: Path, filled: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEP_DATABASE_URL", "postgresql://x:y@127.0.0.1:1/x")
    with pytest.raises(SepError, match=r"removing bars needs the database, which .* `sep up`"):
        sep("remove", *PAIR, "--yes")
    assert "does not answer" in sep("list")


def test_tables_of_before(sep: Sep, filled: datetime) -> None:
    with db.engine().begin() as connection:
        connection.execute(text("ALTER TABLE bar_removal RENAME TO hidden"))
    try:
        with pytest.raises(SepError, match="`sep up` makes them"):
            sep("remove", *PAIR, "--yes")
    finally:
        with db.engine().begin() as connection:
            connection.execute(text("ALTER TABLE hidden RENAME TO bar_removal"))
