"""Training: a backtest whose parameters are chosen on the past before."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flows.backtest import BacktestRequest, run_backtest
from flows.parameters import flow_of


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
    holdout: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.15,
        description="Share of the bars, the last ones, that are locked first: nothing but the gate "
        "looks at them, once. 0: none is locked.",
    )


@flow_of(TrainRequest, run_name="train {pair} {timeframe}")
def train(request: TrainRequest) -> dict[str, Any]:
    """Choose a strategy's parameters on the past, and say honestly what it would have earned since.

    Returns verdict, gate, sentence, report (path), model_id and folder.
    """
    return run_backtest(request, request.tries, request.holdout, request.settings)
