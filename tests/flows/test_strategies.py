"""One strategy, the same rows everywhere: `sep strategy run`, backtest, replay and live."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from deployments.sep.cli import app
from deployments.sep.strategy_watch import Watched
from flows.backtest import backtest
from flows.signals import signals
from flows.train import train
from infra.market.timeframes import bar_length
from infra.postgres import database as db
from infra.sources.sample import read_sample
from infra.stores.bulk import BarStore
from tasks import document
from tasks.folder import RunFolder, bar_store
from tasks.intake.rows import planted_rows
from tasks.live.cycle import newest_signals
from tasks.live.trained import Trained
from tasks.research import registry
from tasks.research.library import Library
from tasks.research.model import Model
from tasks.research.recipe import Recipe
from tasks.research.registry import ModelRefused, NoModel
from tasks.research.resolve import with_distances
from tasks.rules.setup import Setup
from tasks.strategy.strategies import damped
from tests.flows.test_ingest_oanda import logs
from tests.tasks.strategy.language.examples import DATA, real

BARS = 3_600
FAST, SLOW = ("M1", "M5") if DATA.is_dir() else ("H1", "H4")
STREAMS = f"""
stream fast from "EUR_USD" {{ timeframe: "{FAST}" }}
stream slow from "EUR_USD" {{ timeframe: "{SLOW}" }}
"""
ASKING = f"""{STREAMS}
pattern p {{
    param n = 20 in [5, 60];
    up = close() > sma(close(), n) && slow.close() > slow.sma(close(), 12);
    down = close() < sma(close(), n) && slow.close() < slow.sma(close(), 12);
    tired = rising(fill(confidence("short", "sell"), 0), 3);
}}
signal buy {{
    trigger: p.up && lag(confidence("long"), 2) > 0.2;
    confidence: confidence("long");
    action: BUY; stop: 3 * slow.atr(14); horizon: 12;
}}
signal sell {{
    trigger: p.down && margin("short") > -1;
    action: SELL; stop: 4 * atr(14); target: 6 * atr(14); horizon: 20; size: risk_fraction(0.005);
}}
signal out {{ trigger: p.tired && crosses_above(rsi(14), 60); action: CLOSE; }}
"""
FREE = f"""{STREAMS}
pattern p {{
    param n = 12 in [5, 60];
    up = crosses_above(close(), sma(close(), n)) && entropy() >= 0;
    strong = close() > lag(close(), n) && slow.coherence("body") > 0;
}}
signal first  {{ trigger: p.up; action: BUY; stop: 3 * slow.atr(14); horizon: 12; }}
signal second {{ trigger: p.strong && p.up; action: SELL; stop: 3 * slow.atr(14); horizon: 12; }}
signal third  {{ trigger: p.strong && !p.up; action: BUY; stop: 3 * slow.atr(14); horizon: 12; }}
"""
ROWS = ["timestamp", "signal", "side", "action", "stop", "target", "horizon", "size"]


@pytest.fixture
def stored(database: str, prefect_server: str, cache: str) -> Iterator[BarStore]:
    """Real bars: minutes where they are on this machine, else the hours of the sample."""
    store = bar_store()
    for timeframe in (FAST, SLOW):
        store.write("EUR_USD", timeframe, _bars(timeframe))
    with db.engine().begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO pairs VALUES ('EUR_USD', '{FAST}')")
    yield store
    for timeframe in (FAST, SLOW):
        shutil.rmtree(store.files("EUR_USD", timeframe)[0].parent)


def _bars(timeframe: str) -> pl.DataFrame:
    if DATA.is_dir():
        whole = real(type("Stream", (), {"pair": "EUR_USD", "timeframe": timeframe}))
        end = real(type("Stream", (), {"pair": "EUR_USD", "timeframe": FAST}))["timestamp"][BARS]
        return whole.filter(pl.col("timestamp") + bar_length(timeframe) <= end)
    stamp = pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC")
    numbers = pl.col("open", "high", "low", "close", "volume").cast(pl.Float64)
    hours = read_sample().select(stamp, numbers).sort("timestamp").head(BARS)
    if timeframe == "H1":
        return hours
    return hours.group_by_dynamic("timestamp", every="4h").agg(
        pl.first("open"), pl.max("high"), pl.min("low"), pl.last("close"), pl.sum("volume")
    )


def ran(text: str, path: Path, **asked: Any) -> RunFolder:
    path.write_text(text)
    return RunFolder(Path(backtest(strategy=str(path), **asked)["folder"]))


def trained(run: RunFolder) -> tuple[Setup, dict[str, Trained]]:
    setup = Setup.read(run)
    return setup, {
        rule: Trained(document.read(each.model, Model), Library.read(each.library))
        for rule, each in setup.folders(run)
    }


def live(run: RunFolder, store: BarStore, count: int, as_of: Any) -> pl.DataFrame:
    setup, models = trained(run)
    return newest_signals(setup, models, store, as_of=as_of, count=count, engine="cpu")[1]


def test_a_text_of_two_exit_rules(stored: BarStore, tmp_path: Path) -> None:
    run = ran(ASKING, tmp_path / "asking.sep", param={"p.n": 15})
    setup, models = trained(run)
    recipes = {rule: each.model.frozen.recipe for rule, each in models.items()}
    assert {rule: each.horizon for rule, each in recipes.items()} == {"buy": 12, "sell": 20}
    assert {each.digest for each in recipes.values()} == {setup.strategy.digest}
    assert {each.parameters for each in recipes.values()} == {(("p.n", 15.0),)}
    ids = {rule: each.model.model_id for rule, each in models.items()}
    assert len(set(ids.values())) == 2
    assert list(models["buy"].model.frozen.stream_hashes) == [f"EUR_USD {SLOW}"]

    assert list(json.loads(run.summary.read_text())["shown"]) == ["buy", "sell"]
    assert {"reliability-sell.png", "coverage-sell.png"} <= {
        each.name for each in run.path.iterdir()
    }

    found = pl.read_parquet(run.signals)
    assert set(found["signal"]) == {"buy", "sell", "out"}
    assert found.filter(signal="buy")["rule"].unique().to_list() == ["buy"]
    assert found.filter(signal="sell")["rule"].unique().to_list() == ["sell"]
    assert found.filter(signal="out")["side"].null_count() == found.filter(signal="out").height
    trades = pl.read_parquet(run.trades)
    assert trades.height > 10
    assert set(trades["side"]) == {"long", "short"}

    # the replayed live cycle in two parts, the first of which knows nothing later
    last = stored.read("EUR_USD", FAST)["timestamp"]
    start = max(each.model.frozen.spans.test.start for each in models.values())
    cut, length = (start + len(last)) // 2, bar_length(FAST)
    now = last[-1] + length
    parts = [
        live(run, stored, cut - start, last[cut - 1] + length),
        live(run, stored, len(last) - cut, now),
    ]
    assert_frame_equal(pl.concat(parts), found)

    # published, each by the model of its rule
    shown = [each.model_id for each in registry.entries("EUR_USD", FAST)]
    assert shown == [ids["buy"]]
    assert registry.appoint(ids["sell"], who="a test").model_id == ids["buy"]
    told = found.rename({"stop_distance": "stop", "target_distance": "target"}).select(ROWS)
    assert_frame_equal(_shown(tmp_path / "asking.sep").select(ROWS), told, check_exact=True)
    watched = Watched(tmp_path / "asking.sep", tmp_path / "asking.html")
    assert f"{found.height:,} signals" in watched.draw()
    count = 200
    cycle = {"timeframe": FAST, "as_of": now, "bars": count, "engine": "cpu"}
    signals(strategy=str(tmp_path / "asking.sep"), **cycle)
    rows = db.read_frame("SELECT * FROM signal ORDER BY bar_ts")
    newest = found.filter(pl.col("timestamp") >= last[-count])
    assert rows["bar_ts"].to_list() == newest["timestamp"].to_list()
    assert rows["model_id"].to_list() == [ids[rule] for rule in newest["rule"]]
    assert rows["horizon"].to_list() == newest["horizon"].to_list()
    for name in ("stop_distance", "size"):
        assert rows[name].to_list() == newest[name].to_list()
    assert 0.005 in rows["size"]
    assert set(rows["strategy"]) == {"asking"}

    _audit(ids["buy"], run)
    _refusals(run, tmp_path, cycle)


def _audit(model: str, run: RunFolder) -> None:
    """A model that sees no future passes; a backtest that said something else does not."""
    shown = CliRunner().invoke(app, ["audit", model, "--count", "2"])
    assert shown.exit_code == 0, shown.output
    assert re.findall(r"^(\w+) +([a-z ]+\w)  ", shown.output, re.MULTILINE) == [
        ("PASS", each) for each in ("truncation", "poison", "future twin", "backtest", "fills")
    ]
    kept = pl.read_parquet(run.signals)
    kept.with_columns(pl.col("confidence") + 1e-12).write_parquet(run.signals)
    trades = pl.read_parquet(run.trades)
    trades.with_columns(entry_time="signal_time").write_parquet(run.trades)
    shown = CliRunner().invoke(app, ["audit", model, "--count", "2"])
    assert shown.exit_code == 1
    assert "confidence of the signal at" in shown.output
    assert "entered before its signal was known" in " ".join(shown.output.split())
    kept.write_parquet(run.signals)


def _refusals(run: RunFolder, tmp_path: Path, cycle: dict[str, Any]) -> None:
    """What has no model, or another text, is told with the command that trains it."""
    (tmp_path / "asking.sep").write_text(ASKING.replace("0.2", "0.3"))
    train = r"train/local -p strategy=.*asking.sep -p pair=\w+ -p timeframe="
    with pytest.raises(NoModel, match=train):
        signals(strategy=str(tmp_path / "asking.sep"), **cycle)
    with pytest.raises(NoModel, match=r"by trend_following .*-p strategy=trend_following"):
        signals(strategy="trend_following", pairs=["EUR_USD"], **cycle)
    run.of_rule("sell").model.unlink()
    told = signals(**cycle)["pairs"][0]
    assert told["state"] == "paused"
    assert "-p strategy=" in told["reason"]
    assert "asking.sep" in told["reason"]


def test_a_text_that_asks_no_belief(stored: BarStore, tmp_path: Path) -> None:
    (tmp_path / "free.sep").write_text(FREE)
    run = RunFolder(
        Path(train(strategy=str(tmp_path / "free.sep"), tries=4, holdout=0.0)["folder"])
    )
    setup = Setup.read(run)
    assert setup.tried == 4
    about = json.loads(run.summary.read_text())["about"]
    assert about["parameters"] == {"p.n": setup.parameters.get("p.n", 12.0)}
    assert "chosen on the past of 4 sets" in run.report.read_text()
    found = pl.read_parquet(run.signals)
    assert set(found["signal"]) == {"first", "third"}  # of two at a bar the one written first
    assert set(found["rule"]) == {"first"}
    start = trained(run)[1]["first"].model.frozen.spans.test.start
    times = stored.read("EUR_USD", FAST)["timestamp"]
    told = found.rename({"stop_distance": "stop", "target_distance": "target"}).select(ROWS)
    chosen = [f"--param={name}={value}" for name, value in setup.parameters.items()]
    shown = _shown(tmp_path / "free.sep", *chosen).filter(pl.col("timestamp") >= times[start])
    assert_frame_equal(shown.select(ROWS), told, check_exact=True)
    now = times[-1] + bar_length(FAST)
    assert_frame_equal(live(run, stored, len(times) - start, now), found)
    entry = registry.entries("EUR_USD", FAST)[0]
    assert registry.in_force(entry, stored).model_id == entry.model_id
    stored.write("EUR_USD", SLOW, _bars(SLOW).with_columns(pl.col("volume") + 1))
    with pytest.raises(ModelRefused, match=r"-p strategy=.*free\.sep"):
        registry.in_force(entry, stored)


def _shown(file: Path, *options: str) -> pl.DataFrame:
    """What `sep strategy run` writes."""
    out = file.with_suffix(".csv")
    done = CliRunner().invoke(app, ["strategy", "run", str(file), "--csv", str(out), *options])
    assert done.exit_code == 0, done.output
    rows = pl.read_csv(out, schema_overrides={"size": pl.Float64, "target": pl.Float64})
    return rows.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC", time_unit="us"))


@pytest.mark.usefixtures("database", "prefect_server", "cache")
def test_the_default_text_gives_the_rows_of_the_strategy_of_python() -> None:
    bar_store().write(
        "PLANTED", "H1", planted_rows(4_000, timeframe="H1", seed=5).drop("source_row")
    )
    run = RunFolder(Path(backtest(pair="PLANTED", timeframe="H1", horizon=6)["folder"]))
    recipe = document.read(run.model, Model).frozen.recipe
    assert (recipe.strategy, recipe.rule, recipe.horizon) == ("damped_consensus", "long_entry", 6)
    predicted, found = pl.read_parquet(run.predictions), pl.read_parquet(run.signals)
    usual = with_distances(predicted, Recipe.default("PLANTED", "H1", horizon=6))
    for name in ("stop_distance", "target_distance"):
        measured = predicted["steps"] > 0
        assert_frame_equal(
            predicted.filter(measured).select(name),
            usual.filter(measured).select(pl.col(name).fill_nan(None)),
            rel_tol=1e-9,
        )
    expected = damped(predicted.filter(split="test"))
    assert expected.height > 100
    assert_frame_equal(found.select(expected.columns), expected, check_exact=True)
    assert "models of long_entry" in logs()
