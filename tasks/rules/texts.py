"""Strategies by name or file, and as a run keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from re import fullmatch
from tempfile import TemporaryDirectory
from typing import Final

from tasks.strategy.language.errors import DslError, nearest
from tasks.strategy.language.modules import Stream
from tasks.strategy.language.program import Program
from tasks.strategy.seam import Strategy
from tasks.strategy.strategies import STRATEGIES, Plain

EXAMPLES: Final = Path(__file__).parents[1] / "strategy" / "examples"
DEFAULT: Final = "damped_consensus"
NAME: Final = r"\w[\w-]{0,59}"
USUAL: Final = ("EUR_USD", "H1")
"""Pair and timeframe of a strategy of Python that names none."""


@dataclass(frozen=True)
class Source:
    """A strategy with all that its meaning hangs on: what was a file may change.

    Attributes
    ----------
    asked : str
        Its name, or the path that was given.
    pair, timeframe : str
        Of the bars that its signals are of.
    files : dict of str to str
        Texts by path, the program's own first; none of a strategy of Python.
    """

    asked: str
    pair: str
    timeframe: str
    files: dict[str, str] = field(default_factory=dict)

    def open(self, pair: str | None = None) -> Strategy:
        """Return the strategy.

        Parameters
        ----------
        pair : str, optional
            In place of its own.
        """
        pair = pair or self.pair
        if not self.files:
            return Plain(self.asked, STRATEGIES[self.asked], Stream("bars", pair, self.timeframe))
        with _laid_out(self.files) as path:
            return Program.read(path, pair=pair, timeframe=self.timeframe)


def find(asked: str, pair: str | None = None, timeframe: str | None = None) -> Source:
    """Find a strategy.

    Parameters
    ----------
    asked : str
        Name of an example or of a strategy of Python, or a .sep file.
    pair, timeframe : str, optional
        In place of its own.

    Raises
    ------
    DslError
        If there is none, or it is no program.
    """
    if asked in STRATEGIES:
        return Source(asked, pair or USUAL[0], timeframe or USUAL[1])
    path = path_of(asked)
    if not fullmatch(NAME, path.stem):
        problem = f"{path.name} names models and folders: letters, digits, _ and - are for that"
        raise DslError(problem)
    program = Program.read(path, pair=pair, timeframe=timeframe)
    return Source(asked, *base_of(program), _texts(program))


def of_texts(asked: str, pair: str, timeframe: str, files: Mapping[str, str]) -> Source:
    """Return a strategy whose file is on another machine.

    Parameters
    ----------
    asked : str
        Its file there.
    pair, timeframe : str
        In place of its own.
    files : mapping of str to str
        Its texts by path, relative to the folder of the program's own.

    Raises
    ------
    DslError
        If its own is not among them, or a path leads out of the folder.
    """
    own = Path(asked).name
    outside = [name for name in files if Path(name).is_absolute() or ".." in Path(name).parts]
    if own not in files or outside:
        raise DslError(f"the texts of {asked} are those of {', '.join(files)}")
    return Source(asked, pair, timeframe, {own: files[own], **files})


def names() -> list[str]:
    """Return the strategies that need no file to be named."""
    return [*STRATEGIES, *(each.stem for each in sorted(EXAMPLES.glob("*.sep")))]


def path_of(asked: str) -> Path:
    """Return the file of a text.

    Parameters
    ----------
    asked : str
        Name of an example, or a .sep file.

    Raises
    ------
    DslError
        If it is neither.
    """
    path = Path(asked).expanduser()
    if path.suffix == ".sep":
        return path
    example = EXAMPLES / f"{asked}.sep"
    known = names()
    if asked not in known or not example.is_file():
        hint = nearest(asked, known)
        raise DslError(f"there is no strategy {asked}{hint}: name a .sep file or {_or(known)}")
    return example


def base_of(program: Program) -> tuple[str, str]:
    """Return pair and timeframe of the bars that a program's signals are of."""
    base = program.streams[0]
    return base.pair, base.timeframe


def _or(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _texts(program: Program) -> dict[str, str]:
    """Return a program's texts by their paths, its own first."""
    path = program.project.main.path
    assert path is not None
    folder = path.resolve().parent
    imported = {
        file.relative_to(folder).as_posix(): module.script.source.text
        for file, module in program.project.modules.items()
    }
    return {path.name: program.text, **imported}


@contextmanager
def _laid_out(files: dict[str, str]) -> Iterator[Path]:
    """Lay texts out as files for as long as they are read, and return the first one's path."""
    with TemporaryDirectory(prefix="sep-") as folder:
        paths = [Path(folder, name) for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield paths[0]
