"""A strategy that is drawn again whenever its file is saved."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from deployments.sep import strategy_bars, strategy_page
from deployments.sep.strategy_tables import told
from infra.files import replaced
from infra.market.instruments import canonical
from tasks.strategy.language.errors import DslError
from tasks.strategy.language.expectations import beside, held
from tasks.strategy.language.program import Program

LOOK: Final = 0.2
"""Seconds between two looks at the files."""


@dataclass
class Watched:
    """A file, the page it is drawn on, and the bars, which are read once.

    Attributes
    ----------
    file, page : pathlib.Path
    pair, timeframe : str or None
        In place of the first stream's.
    start, end : datetime or None
    """

    file: Path
    page: Path
    pair: str | None = None
    timeframe: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    _needs: object = None
    _frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    _imported: tuple[Path, ...] = ()

    def draw(self) -> str:
        """Draw the page anew, also of a fault, and return what there is to say."""
        begin = time.perf_counter()
        try:
            said, page = self._drawn()
        except DslError as error:
            said, page = str(error), strategy_page.fault(self.file.name, str(error))
        with replaced(self.page) as draft:
            draft.write_text(page, encoding="utf-8")
        return f"{said} ({time.perf_counter() - begin:.2f} s, {self.page})"

    def stamps(self) -> tuple[int, ...]:
        """Return when the file, its imports and its expectations were last changed."""
        files = (self.file, beside(self.file), *self._imported)
        return tuple(file.stat().st_mtime_ns if file.exists() else 0 for file in files)

    def _drawn(self) -> tuple[str, str]:
        pair = None if self.pair is None else canonical(self.pair)
        program = Program.read(self.file, pair=pair, timeframe=self.timeframe)
        self._imported = tuple(program.project.modules)
        needs = program.requires
        if needs != self._needs:
            self._frames = strategy_bars.frames(program, self.start, self.end)
            self._needs = needs
        shown = strategy_bars.signals(program, self.start, self.end, known=self._frames)
        bars = strategy_bars.within(self._frames[program.streams[0].name], self.start, self.end)
        table = beside(self.file)
        outcome = held(program, table) if table.exists() else None
        return f"{program.name}: {told(shown)}", strategy_page.page(program, bars, shown, outcome)


def watch(watched: Watched, say: Callable[[str], None]) -> None:
    """Draw a strategy now and at each change of its files, until Ctrl-C.

    Parameters
    ----------
    watched : Watched
    say : callable
        Told what was drawn.
    """
    seen: tuple[int, ...] = ()
    try:
        while True:
            if watched.stamps() != seen:
                drawn = watched.draw()
                seen = watched.stamps()
                say(drawn)
            time.sleep(LOOK)
    except KeyboardInterrupt:
        return
