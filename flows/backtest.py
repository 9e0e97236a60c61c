"""A backtest: measure, train and replay walk-forward, simulate with costs, judge, report."""

from __future__ import annotations

import base64
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from prefect import get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.runtime import flow_run
from pydantic import Field, model_validator

from flows.parameters import flow_of
from infra.market.distances import Distance, distance
from infra.market.instruments import find
from infra.market.spreads import BUILT_IN, SHAPE
from infra.market.timeframes import Timeframe
from infra.settings import EngineChoice, settings
from tasks.backtest import (
    measure_bars,
    search_paths,
    simulate_trades,
    take_bars,
    take_strategy,
    train_model,
)
from tasks.choose import choose_parameters
from tasks.costs import measure_spread
from tasks.document import to_plain
from tasks.folder import RunFolder
from tasks.judge import judge, reserve_bars
from tasks.parameters import Pair, Parameters, StrategyName
from tasks.reports import sections
from tasks.reports.report import pictures_of
from tasks.reports.summary import as_markdown, as_table
from tasks.research.recipe import Recipe, default_horizon
from tasks.rules import texts
from tasks.verdict import register_model, write_run_report
from tasks.version import code_version

Encoder = Literal["direction", "volatility", "volume", "body"]
Count = Annotated[int, Field(ge=1, le=100_000)]
Pips = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Cost = Annotated[str, Field(max_length=40)] | Annotated[float, Field(ge=0, allow_inf_nan=False)]
Year = Annotated[float, Field(ge=-1, le=1)]
Caution = Annotated[float, Field(ge=0, le=100)] | Literal["lower"]
Deviations = Annotated[float, Field(gt=0, le=1000)]
HOURLY = "hours"
"""Asks for a spread by hour of the week."""

HORIZON, STOP = (f"{texts.DEFAULT}.{name}" for name in ("horizon", "deviations"))
"""Parameters of the default strategy that have options of their own."""


_EXITS = ("horizon", "stop_deviations", "target_deviations", "weekend")
"""Options that say how trades end."""


class BacktestRequest(Parameters):
    """Which bars, under which rules."""

    strategy: StrategyName = Field(
        texts.DEFAULT,
        description="A .sep file, or the name of an example (tasks/strategy/examples), or damped, "
        "the default one in Python.",
    )
    param: dict[str, float] = Field(
        default_factory=dict,
        description="The strategy's parameters by pattern.name; left out: as the text says.",
    )
    pair: Pair | None = Field(
        None,
        description="Which bars; `ingest` brings them. Left out: those of the strategy's first "
        "stream, EUR_USD by default.",
    )
    timeframe: Timeframe | None = Field(
        None,
        description="Length of a bar; left out: that of the same stream, H1 by default.",
    )
    start: datetime | None = Field(None, description="First bar; left out: the first there is.")
    end: datetime | None = Field(
        None, description="One past the last bar; left out: all there are."
    )
    horizon: Count | None = Field(
        None,
        description="Bars a trade of damped_consensus or damped is held; left out: the "
        "timeframe's usual number.",
    )
    spread: Cost | None = Field(
        None,
        description="1.4 pips, 14 points, 0.00014 (a price) or 0.01% (of the price at the time); "
        "left out: the pair's usual spread; hours: by hour of New York's week, as quoted bars of "
        "the pair before the test span have it, or as built in. Bars with bid and ask carry their "
        "own.",
    )
    slippage: Cost | None = Field(
        None, description="In pips, points or price; left out: the pair's usual slippage."
    )
    spread_pips: Pips | None = Field(None, description="The spread as a number of pips.")
    slippage_pips: Pips | None = Field(None, description="The slippage as a number of pips.")
    commission: Cost | None = Field(
        None,
        description="In pips, points or price, paid at the entry and again at the exit; left "
        "out: none.",
    )
    swap: Literal["broker", "none"] | tuple[Year, Year] = Field(
        "broker",
        description="What holding over 17:00 New York earns: broker (the rates that OANDA or your "
        "own entry states; none where neither does), none, or two shares a year, long and short, "
        "such as [-0.028, 0.006]; below zero it costs.",
    )
    stop_deviations: Deviations | None = Field(
        None,
        description="Distance of their stop in deviations of the horizon; left out: 4.",
    )
    target_deviations: Deviations | None = Field(
        None,
        description="Distance of damped's target in deviations of the horizon; left out: none.",
    )
    weekend: bool = Field(
        False,
        description="Whether the last bar before a scheduled closure, such as a weekend, may "
        "signal an entry of damped at the first open after it.",
    )
    encoder: Encoder = Field("direction", description="How a bar becomes a bit.")
    leads: list[Pair] = Field(
        default_factory=list, description="Other pairs whose moves are looked at, too."
    )
    pool: list[Pair] = Field(
        default_factory=list,
        description="Other pairs whose past paths may be neighbours, too, all of them up to the "
        "last bar: for a pair whose own history is short.",
    )
    caution: Caution | None = Field(
        None,
        description="Deviations of its own doubt that an expected net gain must exceed, or "
        "'lower': the lower bound of confidence must exceed break-even; left out: what grew most "
        "on the past.",
    )
    stride: Count | None = Field(
        None, description="Every how many bars the library takes a path; left out: as usual."
    )
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = Field(0, description="Of the bootstraps.")
    engine: EngineChoice | None = Field(
        None, description="auto, cpu or gpu; left out: what SEP_ENGINE says, auto as a rule."
    )
    i_know: bool = Field(
        False,
        description="Look at a locked holdout, too: the look is written down, and counts as a "
        "trial of every later model.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start and self.end and self.start >= self.end:
            raise ValueError("start must lie before end")
        return self

    @model_validator(mode="after")
    def _own_exits(self) -> Self:
        said = {name for name in _EXITS if getattr(self, name) not in (None, False)}
        if self.strategy == texts.DEFAULT:
            said -= {"horizon", "stop_deviations"}
        if said and self.strategy != "damped":
            raise ValueError(
                f"{min(said)} is for strategy=damped: a text says itself how its trades end"
            )
        return self

    @model_validator(mode="after")
    def _others(self) -> Self:
        if not self.leads:
            return self
        if self.series[0] in self.leads or len({*self.leads}) < len(self.leads):
            raise ValueError(f"leads are other pairs than {self.series[0]}, each given once")
        return self

    @model_validator(mode="after")
    def _costs(self) -> Self:
        for name in ("spread", "slippage"):
            if getattr(self, name) is not None and getattr(self, f"{name}_pips") is not None:
                raise ValueError(f"{name} and {name}_pips say the same: give one of them")
        for name in ("slippage", "commission"):
            if (cost := self._distance(name)) and cost.share:
                raise ValueError(
                    f"{name} is the same at all times: give it in pips, points or price"
                )
        self._distance("spread")
        return self

    @property
    def by_hours(self) -> bool:
        """Whether the spread of bars without bid and ask goes by the hour of the week."""
        return self.spread == HOURLY

    def _distance(self, name: str) -> Distance | None:
        """Return the cost that is asked for; None for the usual one."""
        written, pips = getattr(self, name), getattr(self, f"{name}_pips", None)
        if (written is None and pips is None) or (name == "spread" and self.by_hours):
            return None
        instrument = find(self.series[0])
        if pips is not None:
            return Distance(pips * instrument.pip)
        return distance(written, instrument)

    @property
    def series(self) -> tuple[str, str]:
        """Pair and timeframe of the bars."""
        if self.pair is not None and self.timeframe is not None:
            return self.pair, self.timeframe
        source = texts.find(self.strategy, self.pair, self.timeframe)
        return source.pair, source.timeframe

    def parameters(self) -> dict[str, float]:
        """Return the strategy's parameters that are asked for."""
        if self.strategy != texts.DEFAULT:
            return self.param
        usual = {HORIZON: float(self.horizon or default_horizon(self.series[1]))}
        stop = {} if self.stop_deviations is None else {STOP: self.stop_deviations}
        return {**usual, **stop, **self.param}

    def given(self) -> list[str]:
        """Return the names of the strategy's parameters that somebody has set."""
        names = (HORIZON, STOP) if self.strategy == texts.DEFAULT else ("horizon", "stop")
        own = zip(names, (self.horizon, self.stop_deviations), strict=True)
        return sorted({*self.param, *(name for name, value in own if value is not None)})

    def recipe(self) -> Recipe:
        """Return the recipe that is asked for."""
        spread, slippage = self._distance("spread"), self._distance("slippage")
        commission = self._distance("commission")
        return Recipe.default(
            *self.series,
            horizon=self.horizon,
            spread=spread and spread.price,
            spread_share=spread and spread.share,
            slippage=slippage and slippage.price,
            commission=commission and commission.price,
            spread_hours=SHAPE if self.by_hours else None,
            spread_source=BUILT_IN if self.by_hours else None,
            swap_long=self._swap(0),
            swap_short=self._swap(1),
            stop_deviations=self.stop_deviations,
            target_deviations=self.target_deviations,
            weekend=self.weekend,
            encoder=self.encoder,
            stride=self.stride,
            leads=tuple(self.leads) or None,
            pool=tuple(self.pool) or None,
            caution=self.caution,
            seed=self.seed,
        )

    def _swap(self, side: int) -> float | None:
        """Return the rate that is asked for; None for the broker's."""
        if self.swap == "broker":
            return None
        return 0.0 if self.swap == "none" else self.swap[side]


@flow_of(BacktestRequest, run_name="backtest {pair} {timeframe}")
def backtest(request: BacktestRequest) -> dict[str, Any]:
    """Say honestly what a strategy would have earned on bars it had not seen.

    Returns verdict, gate, sentence, report (path), model_id and folder.
    """
    return run_backtest(request)


def run_backtest(
    request: BacktestRequest,
    tries: int = 0,
    holdout: float = 0.0,
    settings_tried: int = 1,
    files: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Run the steps of a backtest in the present flow run.

    Parameters
    ----------
    request : BacktestRequest
    tries : int
        Sets of the strategy's parameters that are compared before; 0: it has those asked for.
    holdout : float
        Share of the bars, the last ones, that are locked before anything is tried on them.
    settings_tried : int
        Encoders and dampings that are compared before; 1: those of the recipe alone.
    files : dict of str to str, optional
        Texts of the strategy, where its file is on another machine.
    """
    logger, engine = get_run_logger(), request.engine or settings().engine
    recipe = request.recipe()
    run_id = str(flow_run.get_id())
    run = RunFolder.of("backtest", run_id)
    folder, pair, timeframe = str(run.path), recipe.pair, recipe.timeframe
    asked = request.strategy, to_plain(recipe), request.parameters()
    chosen = take_strategy(folder, *asked, files) if files else take_strategy(folder, *asked)
    logger.info("strategy %s: models of %s", chosen["strategy"], ", ".join(chosen["rules"]))
    start, end = (edge.isoformat() if edge else None for edge in (request.start, request.end))
    kept = reserve_bars(run_id, pair, timeframe, start, end, holdout, request.i_know)
    end = kept["end"]
    if kept["locked"]:
        logger.info("locked: nobody looks at the bars from %s on before the gate", kept["locked"])
    bars = take_bars(folder, pair, timeframe, start, end, list(request.leads), list(request.pool))
    logger.info("%s bars, %s to %s", f"{bars['rows']:,}", bars["first"], bars["last"])
    if request.by_hours:
        logger.info("spread: %s", measure_spread(folder)["source"])
    measured = measure_bars(folder, engine)
    logger.info("engine %s: %s", measured["engine"], measured["reason"])
    if tries:
        chosen = choose_parameters(
            folder, tries, request.given(), measured["engine"], settings_tried
        )
        told = "of %s sets %s: log growth on the past %s, of what was asked for %s"
        grown = [f"{growth:+.4f}" for growth in chosen["growths"]]
        logger.info(told, chosen["tried"], chosen["told"]["parameters"] or "the defaults", *grown)
    hashes = {name: bars[name] for name in bars if name.endswith("_hashes")}
    for rule in chosen["rules"]:
        searched = search_paths(folder, rule, bars["hash"], hashes, measured["engine"])
        logger.info("searched for %s bars: %s", f"{searched['queries']:,}", searched["memory"])
        train_model(folder, rule)
    simulate_trades(folder)
    judged = judge(folder, run_id, "train" if tries else "backtest", request.seed)
    for line in judged["gate"]:
        logger.info("%s %s: %s", "PASS" if line["passed"] else "FAIL", line["name"], line["value"])
    about = {"pair": pair, "timeframe": timeframe, "code": code_version(), **measured}
    more = {**judged, "plateau": chosen.get("told")}
    summary = write_run_report(folder, about, more)
    model = register_model(folder, summary)
    _show(summary, folder)
    run.end()
    logger.info("%s Report: %s", summary["sentence"], summary["report"])
    logger.info("SHA-256 of the report: %s", summary["report_hash"])
    return {
        "verdict": summary["verdict"],
        "gate": judged["passed"],
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
        f"{text}\n\n![]({_inline(Path(folder, f'{name}.png'))})"
        for name, text in pictures_of(Path(folder)).items()
    ]
    pictures = "\n\n".join(shown)
    tables = sections.as_markdown(chain.from_iterable(sections.tables_of(summary).values()))
    where = f"The whole report: `{summary['report']}`\n"
    create_markdown_artifact(
        key="backtest-report",
        markdown="\n".join([as_markdown(summary), where, tables, pictures]),
        description=sentence,
    )


def _inline(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
