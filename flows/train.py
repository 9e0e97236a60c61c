"""Training: a backtest whose parameters are chosen on the past before."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import get_run_logger
from pydantic import Field

from flows.backtest import BacktestRequest, run_backtest
from flows.parameters import flow_of
from infra.settings import settings
from tasks.folder import bar_store, bars_of
from tasks.judge import promote_model
from tasks.train import fetch_bars, lacking, pinned_store, send_model

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class TrainRequest(BacktestRequest):
    """Which bars, under which rules, and how long is looked for parameters."""

    tries: Annotated[int, Field(ge=0, le=1000)] = Field(
        16,
        description="Sets of a text's parameters that are compared on the past, those given "
        "staying as they are; the project's own strategies have a grid of some hundred sets. 0: "
        "none is looked for.",
    )
    settings: Annotated[int, Field(ge=1, le=8)] = Field(
        1,
        description="Encoders and dampings that the project's own strategies compare on the past: "
        "all on its newest part, the best two on all of it. Every set of each counts as a trial.",
    )
    promote: bool = Field(
        False,
        description="Open the holdout at once and ask the gate; else `sep model promote` does. It "
        "is opened once.",
    )
    holdout: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.15,
        description="Share of the bars, the last ones, that are locked first: nothing but the gate "
        "looks at them, once. 0: none is locked.",
    )
    bars: dict[str, Hash] = Field(
        default_factory=dict,
        description="By `EUR_USD H1` the content hash of bars that are trained on, as `train_all` "
        "says: they come from its machine if this one has others. Left out: those that are here.",
    )
    files: dict[str, str] = Field(
        default_factory=dict,
        description="Texts of a strategy by path, where its file is on the machine of `train_all`.",
    )


@flow_of(TrainRequest, run_name="train {pair} {timeframe}")
def train(request: TrainRequest) -> dict[str, Any]:
    """Choose a strategy's parameters on the past, and say honestly what it would have earned since.

    Returns verdict, gate, sentence, report (path), model_id and folder; with `promote` whether it
    is champion.
    """
    if not request.bars:
        return _train(request)
    if missing := lacking(request.bars):
        get_run_logger().info("bars of %s come from another machine", ", ".join(missing))
        fetch_bars(missing)
    with bars_of(pinned_store(bar_store(), request.bars)):
        done = _train(request)
    send_model(done["folder"], done["model_id"])
    return done


def _train(request: TrainRequest) -> dict[str, Any]:
    found = run_backtest(request, request.tries, request.holdout, request.settings, request.files)
    if not request.promote:
        return found
    asked = promote_model(found["model_id"], request.engine or settings().engine)
    told = "champion" if asked["passed"] else "in shadow: " + "; ".join(asked["reasons"])
    get_run_logger().info("the gate: %s", told)
    return found | {"champion": asked["passed"]}
