"""A backtest: measure, train and replay walk-forward, simulate with costs, judge, report."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field

from infra.market.instruments import pip
from infra.settings import settings
from tasks.backtest import (
    measure_bars,
    register_model,
    search_paths,
    simulate_trades,
    take_bars,
    train_model,
    write_run_report,
)
from tasks.folder import RunFolder
from tasks.reports.report import CAPTIONS
from tasks.reports.summary import as_markdown, as_table
from tasks.research.recipe import Recipe
from tasks.version import code_version

Count = Annotated[int, Field(ge=1, le=100_000)]
Pips = Annotated[float, Field(ge=0, le=1000)]


@flow(name="backtest", persist_result=True, result_serializer="json")
def backtest(
    pair: str = "EUR_USD",
    timeframe: str = "H1",
    start: datetime | None = None,
    end: datetime | None = None,
    horizon: Count | None = None,
    spread_pips: Pips | None = None,
    slippage_pips: Pips | None = None,
    stop_deviations: Annotated[float, Field(gt=0)] | None = None,
    target_deviations: Annotated[float, Field(gt=0)] | None = None,
    encoder: str = "direction",
    stride: Count | None = None,
    strategy: str = "damped",
    seed: int = 0,
    engine: Literal["auto", "cpu", "gpu"] | None = None,
) -> dict[str, Any]:
    """Say honestly what a strategy would have earned on bars it had not seen.

    Parameters
    ----------
    pair, timeframe
        Which bars; `ingest` brings them.
    start, end
        First and one past the last bar; left out: all there are.
    horizon
        Bars a trade is held; left out: the timeframe's usual one.
    spread_pips, slippage_pips
        Costs; left out: the pair's usual ones. Bars with bid and ask carry their own spread.
    stop_deviations, target_deviations
        Distance of stop (left out: 4) and target (left out: none) in deviations of the horizon.
    encoder
        How a bar becomes a bit: direction, volatility, volume or body.
    stride
        Every how many bars the library takes a path.
    strategy
        Name of a strategy.
    seed
        Of the bootstraps.
    engine
        auto, cpu or gpu; left out: what SEP_ENGINE says, auto as a rule.

    Returns
    -------
    dict
        verdict, sentence, report (path), model_id, folder.
    """
    logger, engine = get_run_logger(), engine or settings().engine
    recipe = Recipe.default(
        pair,
        timeframe,
        horizon=horizon,
        spread=None if spread_pips is None else spread_pips * pip(pair),
        slippage=None if slippage_pips is None else slippage_pips * pip(pair),
        stop_deviations=stop_deviations,
        target_deviations=target_deviations,
        encoder=encoder,
        stride=stride,
        strategy=strategy,
        seed=seed,
    ).to_dict()
    folder = str(RunFolder.of("backtest", str(flow_run.get_id())).path)
    span = (edge.isoformat() if edge else None for edge in (start, end))
    bars = take_bars(folder, pair, timeframe, *span)
    logger.info("%s bars, %s to %s", f"{bars['rows']:,}", bars["first"], bars["last"])
    measured = measure_bars(folder, recipe, engine)
    logger.info("engine %s: %s", measured["engine"], measured["reason"])
    searched = search_paths(folder, recipe, bars["hash"], engine)
    logger.info("searched for %s bars: %s", f"{searched['queries']:,}", searched["memory"])
    model = train_model(folder)
    simulate_trades(folder)
    about = {"pair": pair, "timeframe": timeframe, "code": code_version(), **measured}
    summary = write_run_report(folder, about)
    register_model(folder, summary)
    _show(summary, folder)
    logger.info("%s Report: %s", summary["sentence"], summary["report"])
    return {
        "verdict": summary["verdict"],
        "sentence": summary["sentence"],
        "report": summary["report"],
        "model_id": model["model_id"],
        "folder": folder,
    }


def _show(summary: dict[str, Any], folder: str) -> None:
    """Leave the result in the Prefect UI: a table, and a report with its pictures."""
    sentence = summary["sentence"]
    create_table_artifact(key="backtest-table", table=as_table(summary), description=sentence)
    shown = [
        f"{text}\n\n![]({_inline(Path(folder, f'{name}.png'))})" for name, text in CAPTIONS.items()
    ]
    pictures = "\n\n".join(shown)
    create_markdown_artifact(
        key="backtest-report",
        markdown=f"{as_markdown(summary)}\nThe whole report: `{summary['report']}`\n\n{pictures}",
        description=sentence,
    )


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
