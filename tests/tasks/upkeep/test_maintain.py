"""The steps of `maintain`: what goes, what stays, and what is told of the system's health."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import text

from infra.postgres import database as db
from infra.stores import cache as valkey_cache
from infra.stores import hot, tiers, warm
from infra.stores.paths import PathStore, libraries
from infra.stores.tiers import TieredBars, Usage
from tasks.folder import RunFolder, bar_store
from tasks.intake.rows import planted_rows
from tasks.maintain import clean_runs
from tasks.research.registry import ModelRefused, appoint
from tasks.upkeep.health import look_after
from tasks.upkeep.tiers import move_tiers
from tests.infra.stores.test_paths import rows

DAY = 86_400
PAIR = ("PLANTED", "H1")
NOTHING = {"libraries": 0, "removals": 0, "carried": 0}


@pytest.fixture(autouse=True)
def emptied(
    home: Path, database: str, cache: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    monkeypatch.setattr(tiers, "usage", Usage())
    for name in ("bars", "runs"):
        shutil.rmtree(home / name, ignore_errors=True)
    yield
    shutil.rmtree(home / "runs", ignore_errors=True)


def run_folder(run: str, *, days: float) -> Path:
    """The folder of a run in which nothing changed for so many days."""
    folder = RunFolder.of("backtest", run).path
    (folder / "report.html").write_bytes(bytes(1000))
    age(folder, days)
    return folder


def age(folder: Path, days: float) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - days * DAY,) * 2)


def register(model: str, path: Path, *, champion: bool = False, days: int = 0) -> None:
    query = text(
        "INSERT INTO model (model_id, pair, timeframe, strategy, parameters, data_hash, "
        "code_version, trained_from, trained_until, path, metrics, created_at) VALUES (:model, "
        "'EUR_USD', 'H1', 's', '{}', 'd', 'c', now(), now(), :path, '{}', "
        "now() - :days * interval '1 day')"
    )
    pointer = text("INSERT INTO champion VALUES ('EUR_USD', 'H1', 's', :model, 'a test')")
    with db.engine().begin() as connection:
        connection.execute(query, {"model": model, "path": str(path), "days": days})
        if champion:
            connection.execute(pointer, {"model": model})


def test_folders_of_old_runs_go() -> None:
    old, young = run_folder("old", days=31), run_folder("young", days=29)
    assert clean_runs() == {"deleted": 1, "bytes": 1000, "kept": 1, **NOTHING}
    assert (old.exists(), young.exists()) == (False, True)
    assert clean_runs() == {"deleted": 0, "bytes": 0, "kept": 1, **NOTHING}


def test_a_file_that_changed_keeps_its_folder() -> None:
    folder = run_folder("resumed", days=31)
    (folder / "report.html").write_text("again")
    os.utime(folder, (0, 0))
    assert clean_runs()["deleted"] == 0


def test_what_models_need_stays() -> None:
    names = ("champion", "replaced", "newest")
    folders = {name: run_folder(name, days=99) for name in names}
    for days, name in zip((3, 2, 1), names, strict=True):
        register(name, folders[name], champion=name == "champion", days=days)
    assert clean_runs()["deleted"] == 1
    assert [name for name in names if folders[name].exists()] == ["champion", "newest"]
    with pytest.raises(ModelRefused, match=r"replaced.*train again by `prefect deployment"):
        appoint("replaced", who="a test")


def test_libraries_of_models_that_are_gone_are_dropped(home: Path, tmp_path: Path) -> None:
    here, elsewhere = run_folder("here", days=1), tmp_path / "on another machine"
    folders = {"here": here, "gone": home / "runs" / "gone", "elsewhere": elsewhere}
    for model, folder in folders.items():
        register(model, folder)
    for name in (*folders, "nobody's"):
        PathStore(name).load(rows(3))
    assert clean_runs()["libraries"] == 2
    assert libraries() == ["elsewhere", "here"]
    for name in libraries():
        PathStore(name).drop()


def test_nothing_outside_is_deleted(home: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    RunFolder.of("backtest", "run")
    link = home / "runs" / "backtest" / "link"
    link.symlink_to(tmp_path, target_is_directory=True)
    age(tmp_path, 99)
    assert clean_runs()["deleted"] == 0
    assert (tmp_path / "kept").exists()


def store_bars(n: int) -> pl.DataFrame:
    bars = planted_rows(n, timeframe="H1", seed=1).drop("source_row")
    bar_store().write(*PAIR, bars)
    return bars


def test_tiers_get_what_is_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEP_SHARED_BARS", "40")
    monkeypatch.setenv("SEP_HOT_BARS", "10")
    bars = store_bars(100)
    first = move_tiers()
    assert [first[name] for name in ("up", "down", "cooled", "chunks")] == [40, 0, 0, 0]
    for start in (95, 95, 70, 0):
        TieredBars(bar_store()).read(*PAIR, bars["timestamp"][start])
    monkeypatch.setenv("SEP_SHARED_BARS", "30")
    second = move_tiers()
    assert [second[name] for name in ("up", "down", "cooled", "chunks")] == [0, 10, 0, 0]
    assert second["table"] == [
        {
            "pair": "PLANTED",
            "timeframe": "H1",
            "hot bars": 10,
            "warm bars": 30,
            "cold bars": 100,
            "newest bar": bars["timestamp"][-1].isoformat(),
            "reads": 4,
            "hot %": 25.0,
            "warm %": 50.0,
            "cold %": 25.0,
            "moved up": 0,
            "moved down": 10,
        }
    ]
    assert "4 reads in 7 days (25 % hot, 50 % warm, 25 % cold)" in second["sentence"]
    assert "of 256 MiB in Valkey" in second["sentence"]
    assert bar_store().read(*PAIR).equals(bars)


def test_windows_of_no_use_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    store_bars(50)
    bars = TieredBars(bar_store())
    assert bars.pull_up(*PAIR)
    hot.keep("bars", "GONE", "H1", store_bars(50), version="v")
    assert move_tiers()["cooled"] == 1
    store_bars(51)
    assert move_tiers()["cooled"] == 1
    assert bars.pull_up(*PAIR)
    assert move_tiers()["cooled"] == 0
    monkeypatch.setenv("SEP_HOT_BARS", "20")
    assert move_tiers()["cooled"] == 1
    assert list(hot.kept("bars")) == []


def test_a_machine_without_the_store_leaves_the_shared_bars(home: Path) -> None:
    store_bars(30)
    move_tiers()
    shutil.rmtree(home / "bars")
    moved = move_tiers()
    assert (moved["down"], moved["table"][0]["cold bars"]) == (0, 0)
    assert warm.rows() == {PAIR: 30}


def states() -> dict[str, str]:
    return {row["what"]: row["state"] for row in look_after()}


def test_all_is_well() -> None:
    store_bars(30)
    assert states() == dict.fromkeys(("database", "cache", "disk", "bulk store"), "ok")


def test_what_is_wrong_is_named() -> None:
    store_bars(30)
    (path,) = bar_store().files(*PAIR)
    path.write_bytes(path.read_bytes()[:-9])
    client = valkey_cache.client()
    assert client is not None
    client.config_set("maxmemory", 0)
    try:
        wrong = {row["state"]: row["text"] for row in look_after() if row["state"] != "ok"}
    finally:
        client.config_set("maxmemory", 256 << 20)
    assert f"{path.name} is damaged" in wrong["problem"]
    assert "set maxmemory" in wrong["note"]


def test_the_live_cycles_last_bar_is_told() -> None:
    bars = store_bars(30)
    hot.keep("metrics", *PAIR, bars, version="v")
    told = {row["what"]: row["text"] for row in look_after()}
    assert told["signals PLANTED H1"] == f"measured the bar of {bars['timestamp'][-1]}"
