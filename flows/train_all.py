"""Training of many pairs and timeframes: a run of `train` each, on whichever machine has a place.

This run waits outside the pool of its children. It starts none twice, whatever becomes of it: each
has a key of this run and of what it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

import httpx
from prefect import get_run_logger
from prefect.artifacts import (
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State
from prefect.deployments import run_deployment
from prefect.runtime import flow_run
from prefect.states import Scheduled
from pydantic import Field, model_validator
from sqlalchemy.exc import DBAPIError

from flows.backtest import HOURLY, Caution, Cost, Year
from flows.parameters import flow_of
from flows.train import TrainRequest
from infra.errors import SepError
from infra.market.timeframes import Timeframe
from infra.postgres.outage import is_outage
from infra.settings import EngineChoice
from infra.site import TRAINING_QUEUE
from infra.stores import offers
from infra.stores.offers import Asked
from tasks.parameters import Pair, Parameters, StrategyName
from tasks.train import key_of
from tasks.train_all import files_of, find_series, left, needed, pin_bars

CHILD: Final = "train/local"
PAUSE: Final = 2.0
"""Seconds between two looks at the children."""


class ChildrenFailed(SepError, RuntimeError):
    """Some of the runs that `train_all` started did not complete; the message names them."""


def _alike(name: str) -> Any:
    """Return a field of `train` that is alike for all pairs."""
    return copy(TrainRequest.model_fields[name])


class TrainAllRequest(Parameters):
    """Which pairs and timeframes, and what is alike for all of them."""

    pairs: Annotated[list[Pair], Field(min_length=1, max_length=100)] | None = Field(
        None, description="Which pairs; left out: all that are enabled, in their timeframes."
    )
    timeframes: Annotated[list[Timeframe], Field(min_length=1)] | None = Field(
        None,
        description="Lengths of a bar: of each of the pairs, H1 if left out; of enabled pairs "
        "these alone, all if left out.",
    )
    strategy: StrategyName = _alike("strategy")
    param: dict[str, float] = _alike("param")
    start: datetime | None = _alike("start")
    end: datetime | None = _alike("end")
    spread: Cost | None = _alike("spread")
    slippage: Cost | None = _alike("slippage")
    commission: Cost | None = _alike("commission")
    swap: Literal["broker", "none"] | tuple[Year, Year] = _alike("swap")
    leads: list[Pair] = _alike("leads")
    pool: list[Pair] = _alike("pool")
    caution: Caution | None = _alike("caution")
    tries: Annotated[int, Field(ge=0, le=1000)] = _alike("tries")
    settings: Annotated[int, Field(ge=1, le=8)] = _alike("settings")
    holdout: Annotated[float, Field(ge=0, le=0.5)] = _alike("holdout")
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = _alike("seed")
    engine: EngineChoice | None = _alike("engine")

    @model_validator(mode="after")
    def _same_everywhere(self) -> Self:
        if self.spread == HOURLY:
            raise ValueError(
                "spread=hours goes by all bars that a machine has: give it in pips, or train here"
            )
        return self

    def of(self, series: str) -> dict[str, Any]:
        """Return what `train` is asked for of `EUR_USD H1`; a pair does not lead itself."""
        pair, timeframe = key_of(series)
        asked = self.model_dump(mode="json", exclude={"pairs", "timeframes"})
        for name in ("leads", "pool"):
            asked[name] = [each for each in asked[name] if each != pair]
        asked |= {"pair": pair, "timeframe": timeframe, "files": files_of(self.strategy, series)}
        TrainRequest.model_validate(asked)  # refused before the first child begins
        return asked


@dataclass(frozen=True)
class Child:
    """A run of `train`: its series, its id, and the bars that it may ask for."""

    series: str
    run: UUID
    name: str
    bars: frozenset[Asked]


@flow_of(TrainAllRequest, run_name="train all {strategy}")
def train_all(request: TrainAllRequest) -> dict[str, Any]:
    """Train many pairs and timeframes, each in a run of its own on any machine of the pool.

    A child that fails does not keep the others from being trained; this run fails then, at the
    end, and its retry retries those.

    Returns the rows of the table: pair, timeframe, state, verdict, gate, model, machine.
    """
    timeframes = None if request.timeframes is None else list[str](request.timeframes)
    asked = {series: request.of(series) for series in find_series(request.pairs, timeframes)}
    looked_at = {
        series: needed(request.strategy, series, [*each["leads"], *each["pool"]])
        for series, each in asked.items()
    }
    hashes = pin_bars(sorted({each for several in looked_at.values() for each in several}))
    mine = {(digest, *key_of(series)) for series, digest in hashes.items()}
    offers.withdraw(sorted(mine))  # what was refused before may be had now
    children = [
        _start(series, each, {name: hashes[name] for name in looked_at[series]})
        for series, each in asked.items()
    ]
    states = _wait(children)
    rows = _rows(children, states)
    failed = [child.name for child in children if not states[child.run].is_completed()]
    _show(rows, len(failed))
    if failed:
        raise ChildrenFailed(f"{len(failed)} of {len(children)} failed: {', '.join(failed)}")
    return {"trained": rows}


def _start(series: str, asked: dict[str, Any], bars: dict[str, str]) -> Child:
    """Start a child, or find the one that was started before; one that failed is retried."""
    parent = str(flow_run.get_id())
    told = json.dumps([parent, series, asked], sort_keys=True)
    run = run_deployment(
        CHILD,
        parameters={**asked, "bars": bars},
        idempotency_key=hashlib.sha256(told.encode()).hexdigest(),
        as_subflow=True,
        timeout=0,
        work_queue_name=TRAINING_QUEUE,
        tags=[TRAINING_QUEUE],
    )
    assert isinstance(run, FlowRun)
    found = run.parameters.get("bars", bars)
    state = run.state
    if flow_run.get_run_count() > 1 and state and (state.is_failed() or state.is_crashed()):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(run.id, Scheduled(message="Retried by train_all"), force=True)
    return Child(
        series,
        run.id,
        f"{series} ({run.name})",
        frozenset((digest, *key_of(name)) for name, digest in found.items()),
    )


def _wait(children: Sequence[Child]) -> Mapping[UUID, State]:
    """Wait for all, and let machines that lack bars have them meanwhile."""
    shown = create_progress_artifact(0.0, key="train-all", description="pairs that are trained")
    assert isinstance(shown, UUID)
    over: set[UUID] = set()
    with get_client(sync_client=True) as client:
        while True:
            states = _states(client, children)
            ended = {run for run, state in states.items() if state.is_final()}
            if ended != over:
                over = ended
                update_progress_artifact(shown, 100 * len(over) / len(children))
            try:
                _serve([child for child in children if child.run not in over], children)
            except DBAPIError as error:
                if not is_outage(error):
                    raise
                get_run_logger().warning("the database is away: %s", error)
            else:
                if len(over) == len(children):
                    return states
            time.sleep(PAUSE)


def _states(client: SyncPrefectClient, children: Sequence[Child]) -> Mapping[UUID, State]:
    wanted = FlowRunFilter(id=FlowRunFilterId(any_=[child.run for child in children]))
    found: dict[UUID, State] = {}
    try:
        for begin in range(0, len(children), 100):
            runs = client.read_flow_runs(flow_run_filter=wanted, limit=100, offset=begin)
            found |= {run.id: run.state for run in runs if run.state}
    except httpx.TransportError as error:
        get_run_logger().warning("the Prefect server is away: %s", error)
    return found


def _serve(waiting: Sequence[Child], children: Sequence[Child]) -> None:
    """Offer what is wanted, and take back what nobody needs any more."""
    open_ones = frozenset().union(*(child.bars for child in waiting))
    offers.answer(sorted(open_ones))
    offers.withdraw(sorted(frozenset().union(*(child.bars for child in children)) - open_ones))


def _rows(children: Sequence[Child], states: Mapping[UUID, State]) -> list[dict[str, Any]]:
    known = left([str(child.run) for child in children])
    rows = []
    for child in children:
        found, (pair, timeframe) = known.get(str(child.run), {}), key_of(child.series)
        gate = {True: "PASS", False: "FAIL"}.get(found.get("passed"), "")  # type: ignore[arg-type]
        rows.append(
            {
                "pair": pair,
                "timeframe": timeframe,
                "state": states[child.run].name,
                "verdict": found.get("verdict", ""),
                "gate": gate,
                "model": found.get("model_id", ""),
                "machine": found.get("machine", ""),
            }
        )
    return rows


def _show(rows: list[dict[str, Any]], failed: int) -> None:
    passed = sum(row["gate"] == "PASS" for row in rows)
    told = f"{len(rows)} trained, {passed} passed the gate, {failed} failed"
    create_table_artifact(key="train-all", table=rows, description=told)
    get_run_logger().info(told)
