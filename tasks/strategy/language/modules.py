"""A program's files: what each defines and imports, and what its patterns inherit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias

from infra.market.instruments import UnknownInstrument, canonical
from infra.market.timeframes import TIMEFRAMES
from tasks.strategy.language.builtins import BUILTINS
from tasks.strategy.language.errors import DslError, Place, nearest
from tasks.strategy.language.parsing import MOST_CHARACTERS, parse
from tasks.strategy.language.syntax import (
    Binding,
    FunctionItem,
    ImportItem,
    ParamItem,
    PatternItem,
    Script,
    SignalItem,
    StreamItem,
)

MOST_FILES: Final = 32
MOST_STREAMS: Final = 32
MOST_ITEMS: Final = 500
"""Of a program: streams, functions, patterns and signals."""
MOST_PARENTS: Final = 16


@dataclass(frozen=True)
class Stream:
    """Bars that a program looks at: a pair's, of a timeframe."""

    name: str
    pair: str
    timeframe: str


@dataclass(eq=False)
class Module:
    """A file: its script, and what can be named in it."""

    script: Script
    path: Path | None
    functions: dict[str, tuple[FunctionItem, Module]] = field(default_factory=dict)
    patterns: dict[str, Pattern] = field(default_factory=dict)


Member: TypeAlias = tuple[ParamItem | Binding, Module]
"""What a pattern has under a name, and the file in which it is written."""


@dataclass(eq=False)
class Pattern:
    """A pattern with what it inherits.

    Attributes
    ----------
    name : str
    stream : str or None
        None for the program's first one.
    members : dict of str to Member
        Inherited ones first; one of the same name takes the parent's place.
    place : Place
    """

    name: str
    stream: str | None
    members: dict[str, Member]
    place: Place


@dataclass(eq=False)
class Project:
    """All files of a program.

    Attributes
    ----------
    main : Module
    modules : dict of Path to Module
        Of what is imported.
    streams : dict of str to Stream
        The main file's first.
    patterns : dict of str to Pattern
        Of all files.
    signals : tuple of SignalItem
        Of the main file.
    """

    main: Module
    modules: dict[Path, Module] = field(default_factory=dict)
    streams: dict[str, Stream] = field(default_factory=dict)
    patterns: dict[str, Pattern] = field(default_factory=dict)
    signals: tuple[SignalItem, ...] = ()

    @property
    def base(self) -> Stream:
        """The stream whose bars signals are of."""
        return next(iter(self.streams.values()))


def load(
    text: str,
    name: str,
    path: Path | None,
    *,
    pair: str | None = None,
    timeframe: str | None = None,
) -> Project:
    """Read a text and all that it imports.

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
        If one of the files is no script, or what it names is not there or twice.
    """
    main = Module(parse(text, name), path)
    project = Project(main)
    folder = None if path is None else path.resolve().parent
    _define(project, main, folder, () if path is None else (path.resolve(),))
    if not project.streams:
        raise DslError(f'{name}: no stream: begin with stream m5 from "EUR_USD" {{ ... }}')
    project.streams = _bound(project, pair, timeframe)
    project.signals = tuple(each for each in main.script.items if isinstance(each, SignalItem))
    if not project.signals:
        raise DslError(f"{name}: no signal: say when to trade with signal NAME {{ ... }}")
    return project


def _bound(project: Project, pair: str | None, timeframe: str | None) -> dict[str, Stream]:
    """Return the streams with another pair or timeframe in place of the base's."""
    base, found = project.base, dict(project.streams)
    if timeframe is not None and timeframe not in TIMEFRAMES:
        raise DslError(f"{timeframe!r} is no timeframe: choose one of {', '.join(TIMEFRAMES)}")
    for name, stream in found.items():
        now = pair if pair is not None and stream.pair == base.pair else stream.pair
        found[name] = replace(stream, pair=now)
    found[base.name] = replace(found[base.name], timeframe=timeframe or base.timeframe)
    return found


def _define(project: Project, module: Module, folder: Path | None, chain: tuple[Path, ...]) -> None:
    """Fill a module with what it imports and defines, in its order."""
    items = module.script.items
    if len(items) + len(project.patterns) > MOST_ITEMS:
        raise DslError(f"{module.script.source.name}: more than {MOST_ITEMS} items")
    _each_once(items)
    for item in items:
        if isinstance(item, StreamItem):
            _add_stream(project, item)
    for item in items:
        if isinstance(item, ImportItem):
            _import(project, module, item, folder, chain)
        elif isinstance(item, FunctionItem):
            _add_function(module, item)
    written = {item.name: item for item in items if isinstance(item, PatternItem)}
    for item in written.values():
        _pattern(project, module, item, written, ())


def _each_once(items: Iterable[object]) -> None:
    seen: set[tuple[bool, str]] = set()
    for item in items:
        if isinstance(item, ImportItem):
            continue
        assert isinstance(item, StreamItem | FunctionItem | PatternItem | SignalItem)
        key = (isinstance(item, FunctionItem), item.name)
        if key in seen:
            raise DslError(f"{item.name} is there twice: choose another name", item.place)
        seen.add(key)


def _add_function(module: Module, item: FunctionItem) -> None:
    if item.name in BUILTINS or item.name in module.functions:
        what = "built in" if item.name in BUILTINS else "imported"
        raise DslError(f"{item.name} is {what}: choose another name", item.place)
    if len(set(item.parameters)) < len(item.parameters):
        raise DslError(f"two parameters of {item.name} have the same name", item.place)
    module.functions[item.name] = (item, module)


def _add_stream(project: Project, item: StreamItem) -> None:
    options = dict(item.options)
    for name in options:
        if name != "timeframe":
            hint = nearest(name, ["timeframe"])
            raise DslError(f"a stream has no {name}, only a timeframe{hint}", item.place)
    if len(item.options) != 1:
        raise DslError('a stream has one timeframe, such as timeframe: "M5"', item.place)
    if (timeframe := options["timeframe"]) not in TIMEFRAMES:
        known = ", ".join(TIMEFRAMES)
        raise DslError(f"{timeframe!r} is no timeframe: choose one of {known}", item.place)
    if len(project.streams) >= MOST_STREAMS and item.name not in project.streams:
        raise DslError(f"a program has at most {MOST_STREAMS} streams", item.place)
    stream = Stream(item.name, _pair(item), timeframe)
    if project.streams.setdefault(item.name, stream) != stream:
        raise DslError(f"{item.name} is another stream elsewhere", item.place)


def _pair(item: StreamItem) -> str:
    try:
        return canonical(item.pair)
    except UnknownInstrument as error:
        raise DslError(str(error), item.place) from None


def _import(
    project: Project, module: Module, item: ImportItem, folder: Path | None, chain: tuple[Path, ...]
) -> None:
    if folder is None or module.path is None:
        raise DslError("a text that is no file cannot import", item.place)
    path = _inside(module.path, item, folder)
    if path in chain:
        circle = " imports ".join(each.name for each in (*chain[chain.index(path) :], path))
        raise DslError(f"a circle of imports: {circle}", item.place)
    if path not in project.modules:
        project.modules[path] = _read(project, item, path, folder)
        _define(project, project.modules[path], folder, (*chain, path))
    _take(module, project.modules[path], item)


def _inside(importer: Path, item: ImportItem, folder: Path) -> Path:
    """Return the file that an import means: below the program's folder, links followed."""
    try:
        path = (importer.resolve().parent / item.path).resolve()
        there = path.suffix == ".sep" and path.is_relative_to(folder) and path.is_file()
    except (OSError, RuntimeError, ValueError):
        there = False
    if Path(item.path).is_absolute() or not there:
        problem = f"{item.path!r} is no .sep file in the folder of the strategy or below it"
        raise DslError(problem, item.place)
    return path


def _read(project: Project, item: ImportItem, path: Path, folder: Path) -> Module:
    if len(project.modules) >= MOST_FILES:
        raise DslError(f"a program has at most {MOST_FILES} files", item.place)
    try:
        with path.open("rb") as file:
            text = file.read(4 * MOST_CHARACTERS + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DslError(f"{item.path} cannot be read: {error}", item.place) from None
    return Module(parse(text, str(path.relative_to(folder))), path)


def _take(module: Module, other: Module, item: ImportItem) -> None:
    for name in item.names:
        if name not in other.functions and name not in other.patterns:
            known = [*other.functions, *other.patterns]
            problem = f"{item.path} has no function or pattern {name}{nearest(name, known)}"
            raise DslError(problem, item.place)
        if name in other.functions:
            module.functions[name] = other.functions[name]
        if name in other.patterns:
            module.patterns[name] = other.patterns[name]


def _pattern(
    project: Project,
    module: Module,
    item: PatternItem,
    written: dict[str, PatternItem],
    children: tuple[str, ...],
) -> Pattern:
    if item.name in children or len(children) > MOST_PARENTS:
        circle = " inherits ".join((*children, item.name))
        raise DslError(f"a circle of patterns, or too many in a row: {circle}", item.place)
    made = module.patterns.get(item.name)
    if made is not None and made.place == item.place:
        return made
    if item.name in project.patterns:
        raise DslError(f"there is another pattern {item.name} in the program", item.place)
    parent = _parent(project, module, item, written, (*children, item.name))
    if item.input is not None and item.input not in project.streams:
        hint = nearest(item.input, project.streams)
        raise DslError(f"there is no stream {item.input}{hint}", item.place)
    stream = item.input or (parent.stream if parent else None)
    inherited = {} if parent is None else dict(parent.members)
    pattern = Pattern(item.name, stream, inherited | _members(module, item), item.place)
    module.patterns[item.name] = project.patterns[item.name] = pattern
    return pattern


def _parent(
    project: Project,
    module: Module,
    item: PatternItem,
    written: dict[str, PatternItem],
    children: tuple[str, ...],
) -> Pattern | None:
    if item.parent is None:
        return None
    if item.parent in written:
        return _pattern(project, module, written[item.parent], written, children)
    if item.parent in module.patterns:
        return module.patterns[item.parent]
    hint = nearest(item.parent, [*written, *module.patterns])
    raise DslError(f"there is no pattern {item.parent}{hint}", item.place)


def _members(module: Module, item: PatternItem) -> dict[str, Member]:
    members: dict[str, Member] = {}
    for member in item.members:
        if member.name in members:
            raise DslError(f"{item.name} has {member.name} twice", member.place)
        members[member.name] = (member, module)
    return members
