"""A program: a checked text, what it needs, and the signals that it makes of frames."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import polars as pl

from infra.bars import TIME
from infra.market.timeframes import bar_seconds
from tasks.strategy import commands
from tasks.strategy.language import rows
from tasks.strategy.language.builtins.engine import belief_columns, metric_column
from tasks.strategy.language.compilation import Compiled, Signal, compiled, reachable
from tasks.strategy.language.errors import DslError, nearest
from tasks.strategy.language.graph import Node
from tasks.strategy.language.modules import Project, Stream, load
from tasks.strategy.language.parsing import MOST_CHARACTERS
from tasks.strategy.language.plan import Plan, Run, plan
from tasks.strategy.language.printing import expressed, printed
from tasks.strategy.language.requirements import ExitRule, Param, Requires
from tasks.strategy.language.syntax import ParamItem

__all__ = ["ExitRule", "Param", "Program", "Requires", "Stream"]

MOST_COLUMNS: Final = 500
"""What is held of bars at a time."""

LANGUAGE: Final = "1"
"""What changes the meaning of a text changes this, and so every program's digest."""


@dataclass(eq=False)
class Program:
    """A checked and compiled text: `Program.of`, or `Program.read` for a file.

    Attributes
    ----------
    name, text : str
    project : Project
    """

    name: str
    text: str
    project: Project = field(repr=False)
    _made: dict[tuple[tuple[str, float], ...], Compiled] = field(default_factory=dict, repr=False)
    _plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        text: str,
        name: str = "strategy.sep",
        *,
        path: Path | None = None,
        pair: str | None = None,
        timeframe: str | None = None,
    ) -> Program:
        """Check a text.

        Parameters
        ----------
        text : str
        name : str
            What messages call it.
        path : pathlib.Path, optional
            The file it is from; a text without one imports nothing.
        pair : str, optional
            In place of the base stream's pair, wherever that stands.
        timeframe : str, optional
            In place of the base stream's timeframe.

        Raises
        ------
        DslError
            If it is no program.
        """
        program = cls(name, text, load(text, name, path, pair=pair, timeframe=timeframe))
        for edge in ("default", "low", "high"):
            made = program.compiled({n: getattr(p, edge) for n, p in program.parameters.items()})
            columns = sum(map(len, program._plan(made, _roots(made)).levels))
            if columns > MOST_COLUMNS:
                raise DslError(f"{name}: {columns:,} columns; {MOST_COLUMNS:,} are the most")
        return program

    @classmethod
    def read(cls, path: Path, *, pair: str | None = None, timeframe: str | None = None) -> Program:
        """Check a file.

        Parameters
        ----------
        path : pathlib.Path
        pair, timeframe : str, optional
            As for `of`.

        Raises
        ------
        DslError
            If it is no program, or cannot be read.
        """
        try:
            with path.open("rb") as file:
                text = file.read(4 * MOST_CHARACTERS + 1).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError, ValueError) as error:
            raise DslError(f"{path} cannot be read: {error}") from None
        return cls.of(text, path.name, path=path, pair=pair, timeframe=timeframe)

    @property
    def title(self) -> str:
        """What its models and signals are filed under: the file's name without its ending."""
        return Path(self.name).stem

    @property
    def asked(self) -> str:
        """What a flow is asked for to run it: its file, or its name without one."""
        path = self.project.main.path
        return self.title if path is None else str(path)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """What it looks at; signals are of the first one's bars."""
        return tuple(self.project.streams.values())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of streams, text and all that it imports, without comments and spaces."""
        modules = sorted(printed(each.script) for each in self.project.modules.values())
        parts = [LANGUAGE, repr(self.streams), printed(self.project.main.script), *modules]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @cached_property
    def parameters(self) -> Mapping[str, Param]:
        """What training may choose, by `pattern.param`."""
        found = {}
        for pattern in self.project.patterns.values():
            for name, (member, _) in pattern.members.items():
                if isinstance(member, ParamItem):
                    found[f"{pattern.name}.{name}"] = _param(member)
        return MappingProxyType(found)

    @cached_property
    def requires(self) -> Requires:
        """What it must be given, for any parameters between their bounds' corners."""
        corners = [
            self.compiled({name: getattr(p, edge) for name, p in self.parameters.items()})
            for edge in ("default", "low", "high")
        ]
        nodes = [node for each in corners for node in reachable(_roots(each))]
        bars = {
            s.name: max((n.earlier.get(s.name, 0) for n in nodes), default=0) for s in self.streams
        }
        length = bar_seconds(self.project.base.timeframe)
        spans = [bars[s.name] * bar_seconds(s.timeframe) for s in self.streams]
        return Requires(
            self.streams,
            tuple(sorted({one for node in nodes for one in _metrics(node)})),
            max(-(-span // length) for span in spans),
            MappingProxyType(bars),
            tuple(sorted({one for node in nodes for one in _rules(node)})),
        )

    @cached_property
    def exit_rules(self) -> tuple[ExitRule, ...]:
        """How the trades of its signals end, at the defaults of its parameters."""
        return self.exit_rules_of()

    def exit_rules_of(self, parameters: Mapping[str, float] | None = None) -> tuple[ExitRule, ...]:
        """Return how the trades of its signals end, for given parameters."""
        return tuple(
            _rule(signal) for signal in self.compiled(parameters).signals if signal.side is not None
        )

    def compiled(self, parameters: Mapping[str, float] | None = None) -> Compiled:
        """Return what is computed for given parameters.

        Raises
        ------
        DslError
            If there is no such parameter, or it is beyond its bounds.
        """
        given = {name: param.default for name, param in self.parameters.items()}
        for name, value in (parameters or {}).items():
            given[name] = self._checked(name, value)
        key = tuple(sorted(given.items()))
        if key not in self._made:
            if len(self._made) > 64:
                self._made.clear()
                self._plans.clear()
            self._made[key] = compiled(self.project, given)
        return self._made[key]

    def evaluate(
        self, frames: Mapping[str, pl.DataFrame], parameters: Mapping[str, float] | None = None
    ) -> pl.DataFrame:
        """Return the signals that frames give.

        Parameters
        ----------
        frames : Mapping of str to polars.DataFrame
            By stream, ascending by `timestamp` (starts of bars, UTC): open, high, low, close and,
            as far as there are such, quotes, volume, the engine's metrics, and what is believed of
            each exit rule, `confidence_long_RULE` and so on, or `confidence_long` for the only one.
        parameters : Mapping of str to float, optional
            By `pattern.param`; those left out have their defaults.

        Returns
        -------
        polars.DataFrame
            One row a signal, ascending, at most one a bar: see `rows.SCHEMA`.

        Raises
        ------
        DslError
            If a frame is missing or a parameter is not what it may be.
        """
        made = self.compiled(parameters)
        run = self._run(frames)
        return rows.signals(run, made.signals, self._columns(run, made, _roots(made)))

    def values(
        self, frames: Mapping[str, pl.DataFrame], parameters: Mapping[str, float] | None = None
    ) -> dict[str, pl.DataFrame]:
        """Return all that its patterns name, by stream: `timestamp` and `pattern.name` each.

        Parameters
        ----------
        frames : Mapping of str to polars.DataFrame
            As for `evaluate`.
        parameters : Mapping of str to float, optional
        """
        made, run = self.compiled(parameters), self._run(frames)
        columns = self._columns(run, made, list(made.members.values()))
        found = {name: frame.select("timestamp") for name, frame in run.frames.items()}
        for name, node in made.members.items():
            stream = node.stream or self.project.base.name
            found[stream] = found[stream].with_columns(columns[node.number].alias(name))
        return found

    def distances(
        self, frames: Mapping[str, pl.DataFrame], parameters: Mapping[str, float] | None = None
    ) -> pl.DataFrame:
        """Return stop and target distance of each exit rule at every bar, signal or not.

        Parameters
        ----------
        frames : Mapping of str to polars.DataFrame
            As for `evaluate`.
        parameters : Mapping of str to float, optional

        Returns
        -------
        polars.DataFrame
            timestamp, and for each rule `stop_RULE` and, where it has one, `target_RULE`, in
            price; null where there is none or none above zero.

        Raises
        ------
        DslError
            As for `evaluate`, or if one of them asks what is believed of the trade it ends.
        """
        made, run = self.compiled(parameters), self._run(frames, believed=False)
        sides = [signal for signal in made.signals if signal.side is not None]
        named = [
            (f"{w}_{s.name}", n) for s in sides for w, n in (("stop", s.stop), ("target", s.target))
        ]
        wanted = [(name, node) for name, node in named if node is not None]
        if any(_rules(node) for node in reachable([node for _, node in wanted])):
            problem = "stop and target must not ask what is believed of the trade they end"
            raise DslError(f"{self.name}: {problem}")
        columns = self._columns(run, made, [node for _, node in wanted])
        base = run.frames[run.base].select("timestamp")
        fresh = [columns[node.number].alias(name) for name, node in wanted]
        table = base.with_columns(fresh)
        return table.with_columns(
            pl.when(pl.col(name) > 0).then(pl.col(name)).alias(name) for name, _ in wanted
        )

    def window(self, frames: Mapping[str, pl.DataFrame], last: int = 1) -> dict[str, pl.DataFrame]:
        """Return as much of frames as the signals of the last bars hang on.

        Parameters
        ----------
        frames : Mapping of str to polars.DataFrame
        last : int
            Bars of the base stream.
        """
        needs, base = self.requires.bars, self.project.base.name
        first = frames[base].tail(last + needs[base])
        start = first["timestamp"].min()
        cut = {base: first}
        for stream in self.streams[1:]:
            frame = frames[stream.name]
            before = frame.filter(pl.col("timestamp") < start).height if start is not None else 0
            cut[stream.name] = frame.slice(max(0, before - needs[stream.name] - 2))
        return cut

    def _run(self, frames: Mapping[str, pl.DataFrame], *, believed: bool = True) -> Run:
        missing = [each for each in self.streams if each.name not in frames]
        if missing:
            one = missing[0]
            bring = commands.ingest(one.pair, one.timeframe)
            problem = f"there are no bars of stream {one.name}: bring them by {bring}"
            raise DslError(f"{self.name}: {problem}")
        self._require_columns(frames)
        if believed:
            self._require_beliefs(frames)
        clean = {s.name: _timed(self.name, s, frames[s.name]) for s in self.streams}
        return Run(self.project.streams, clean, self.project.base.name)

    def _require_columns(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Refuse frames without what the engine should have said."""
        for stream, metric, encoder in self.requires.metrics:
            name = metric_column(metric, encoder)
            if name not in frames[stream].columns:
                problem = f"the frame of stream {stream} has no {name}: measure its bars first"
                raise DslError(f"{self.name}: {problem}")

    def _require_beliefs(self, frames: Mapping[str, pl.DataFrame]) -> None:
        """Refuse frames without what a model should have said."""
        for rule in self.requires.rules:
            known = {name for frame in frames.values() for name in frame.columns}
            if not known & {name for names in belief_columns(rule) for name in names}:
                base = self.project.base
                train = commands.train(self.asked, base.pair, base.timeframe)
                raise DslError(f"{self.name}: no model tells of {rule}: train it by {train}")

    def _columns(self, run: Run, made: Compiled, roots: Sequence[Node]) -> dict[int, pl.Series]:
        return run.columns(self._plan(made, roots))

    def _plan(self, made: Compiled, roots: Sequence[Node]) -> Plan:
        key = (id(made), *(node.number for node in roots))
        if key not in self._plans:
            self._plans[key] = plan(roots)
        return self._plans[key]

    def _checked(self, name: str, value: float) -> float:
        if name not in self.parameters:
            hint = nearest(name, self.parameters)
            raise DslError(f"{self.name}: there is no parameter {name}{hint}")
        param = self.parameters[name]
        if not param.low <= value <= param.high or (param.whole and value != int(value)):
            kind = "a whole number" if param.whole else "a number"
            bounds = f"from {param.low:g} to {param.high:g}"
            raise DslError(f"{self.name}: {name} is {kind} {bounds}, not {value:g}")
        return float(value)


def _param(item: ParamItem) -> Param:
    default, low, high = item.default, item.low, item.high
    if not low.value <= default.value <= high.value or low.value == high.value:
        raise DslError(f"{item.name} must lie between two different bounds", item.place)
    whole = default.whole and low.whole and high.whole
    return Param(default.value, low.value, high.value, whole)


def _rule(signal: Signal) -> ExitRule:
    assert signal.side is not None
    assert signal.horizon is not None
    target = signal.texts.get("target")
    return ExitRule(
        signal.name,
        signal.side,
        expressed(signal.texts["stop"]),
        None if target is None else expressed(target),
        signal.horizon,
        signal.weekend,
    )


def _roots(made: Compiled) -> list[Node]:
    return list({node.number: node for signal in made.signals for node in signal.roots}.values())


def _metrics(node: Node) -> list[tuple[str, str, str]]:
    kind, _, metric = node.function.special.partition(" ")
    return [(str(node.stream), metric, node.arguments[0])] if kind == "metric" else []


def _rules(node: Node) -> list[str]:
    return [node.arguments[1]] if node.function.special.startswith("rule") else []


def _timed(program: str, stream: Stream, frame: pl.DataFrame) -> pl.DataFrame:
    if "timestamp" not in frame.columns:
        raise DslError(f"{program}: the frame of stream {stream.name} has no timestamp")
    typed = frame.with_columns(pl.col("timestamp").cast(TIME))
    if not typed["timestamp"].is_sorted():
        raise DslError(f"{program}: the bars of stream {stream.name} do not ascend")
    return typed
