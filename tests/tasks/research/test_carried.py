"""Files of a model on their way between homes: whole, as they were, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from infra.postgres.database import engine, read_frame
from tasks.research import carried, registry
from tasks.research.carried import NotCarried
from tasks.research.registry import ModelRefused

MODEL = "0123456789ab"
FILES = {"model.json": b"{}", "strategy.json": b"{}", "rules/sell/library.parquet": b"\x00\xff"}


@pytest.fixture
def sent(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model in the database, whose folder was on another machine; the home that lacks it."""
    folder = tmp_path / "other" / "runs" / "backtest" / "r"
    for name, content in {**FILES, "bars.parquet": b"x", "notes.txt": b"x"}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    _record(MODEL, folder, "{}")
    _record("fedcba987654", folder / "rules/sell", f'{{"of": "{MODEL}", "rule": "sell"}}')
    told = carried.send(MODEL, folder)
    assert told == {"files": 3, "bytes": 6}
    folder.rename(tmp_path / "gone")
    monkeypatch.setenv("SEP_DATABASE_URL", database)
    monkeypatch.setenv("SEP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def _record(model_id: str, folder: Path, metrics: str) -> None:
    change(
        "INSERT INTO model (model_id, pair, timeframe, strategy, parameters, data_hash, "
        "code_version, trained_from, trained_until, path, metrics) VALUES (:id, 'EUR_USD', 'H1', "
        "'s', '{}', 'd', 'c', now(), now(), :path, :metrics)",
        id=model_id,
        path=str(folder),
        metrics=metrics,
    )


def change(statement: str, **values: str) -> None:
    with engine().begin() as connection:
        connection.execute(text(statement), values)


def test_a_model_comes_whole(sent: Path) -> None:
    chosen = registry.entry(MODEL)
    assert Path(chosen.folder) == sent / "runs" / "fetched" / MODEL
    assert not Path(chosen.folder).exists()
    with pytest.raises(ModelRefused, match="is no Model"):  # these files are made up
        registry.open_model(chosen)
    found = {name: Path(chosen.folder, name).read_bytes() for name in FILES}
    assert found == FILES
    assert [path.name for path in sent.glob("runs/fetched/*")] == [MODEL]
    rule = registry.entry("fedc")
    assert Path(rule.folder) == Path(chosen.folder) / "rules" / "sell"
    carried.fetch(MODEL)


def test_sent_again_it_takes_the_place_of_before(sent: Path, tmp_path: Path) -> None:
    (tmp_path / "gone" / "model.json").write_bytes(b"[]")
    assert carried.send(MODEL, tmp_path / "gone")["files"] == 3
    carried.fetch(MODEL)
    assert (carried.place(MODEL) / "model.json").read_bytes() == b"[]"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE model_file SET content = 'x' WHERE name = 'model.json'", "came damaged"),
        ("UPDATE model_file SET name = '../../model.json' WHERE name = 'model.json'", "damaged"),
        ("DELETE FROM model_file WHERE name = 'strategy.json'", "has 2 of 3 files"),
    ],
)
def test_less_is_nothing(sent: Path, statement: str, said: str) -> None:
    chosen = registry.entry(MODEL)
    change(statement)
    with pytest.raises(ModelRefused, match=said):
        registry.open_model(chosen)
    assert not list(sent.glob("runs/fetched/*"))


def test_what_nobody_sent_is_said(sent: Path) -> None:
    change("DELETE FROM model_file")
    with pytest.raises(ModelRefused, match=r"runs/backtest/r/model\.json"):
        registry.open_model(registry.entry(MODEL))
    with pytest.raises(NotCarried, match="are not in the database"):
        carried.fetch(MODEL)


def test_too_large_a_model_stays(
    sent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carried, "MOST", 5)
    with pytest.raises(NotCarried, match="has 6 bytes, and 5 go through"):
        carried.send(MODEL, tmp_path / "gone")
    assert sent.exists() or carried.is_carried(MODEL)


def test_old_ones_go_but_for_the_newest(sent: Path) -> None:
    assert carried.clear(-1) == 0
    _record("aaaaaaaaaaaa", sent, "{}")
    change("UPDATE model SET created_at = now() + interval '1 day' WHERE model_id LIKE 'aaa%'")
    change("INSERT INTO champion VALUES ('EUR_USD', 'H1', 's', :id, 'me')", id=MODEL)
    assert carried.clear(-1) == 0
    change("DELETE FROM champion")
    assert carried.clear(-1) == 3
    assert read_frame("SELECT * FROM model_file").is_empty()
