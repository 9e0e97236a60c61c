"""The folder of a run: which step writes a file, who reads it, and how long it stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, overload

import polars as pl

from infra.files import replaced
from infra.settings import settings
from infra.stores.bulk import BarStore

Stays = Literal["run", "report", "model"]
"""With the run alone; as long as its report; as long as the model is used, and so in backups."""


@dataclass(frozen=True)
class File:
    """A file of a run's folder.

    Attributes
    ----------
    name : str
    written : str
        The step that writes it.
    read : tuple of str
        The steps that read it; "people" do at the end.
    stays : {"run", "report", "model"}
    """

    name: str
    written: str
    read: tuple[str, ...]
    stays: Stays

    @overload
    def __get__(self, folder: None, kind: type) -> File: ...

    @overload
    def __get__(self, folder: RunFolder, kind: type) -> Path: ...

    def __get__(self, folder: RunFolder | None, kind: type) -> File | Path:
        """Return where the file lies in a folder."""
        return self if folder is None else folder.path / self.name


_ASK = ("measure", "simulate", "report")
"""Steps that ask the strategy."""


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what its steps make; each attribute but `path` is a `File`."""

    path: Path

    strategy = File("strategy.json", "strategy", (*_ASK, "search", "register", "predict"), "model")
    bars = File("bars.parquet", "bars", ("measure", "search", "train", "simulate", "report"), "run")
    leads = File("leads.parquet", "bars", ("measure",), "run")
    streams = File("streams.parquet", "bars", _ASK, "run")
    pool_bars = File("pool_bars.parquet", "bars", ("search",), "run")
    metrics = File("metrics.parquet", "measure", ("search", "train", "simulate", "report"), "run")
    exits = File("exits.parquet", "measure", ("search", "train"), "run")
    trajectory = File("trajectory.parquet", "measure", ("search", "train"), "run")
    counts = File("counts.parquet", "search", ("train",), "run")
    frozen = File("frozen.json", "search", ("train",), "run")
    trials = File("trials.parquet", "sweep", ("judge", "promote"), "model")
    library = File("library.parquet", "search", ("predict",), "model")
    pool = File("pool.parquet", "search", ("predict",), "model")
    model = File("model.json", "train", ("simulate", "report", "register", "predict"), "model")
    opinions = File("opinions.parquet", "train", ("report",), "report")
    predictions = File("predictions.parquet", "train", ("simulate", "judge", "report"), "report")
    signals = File("signals.parquet", "simulate", ("report", "publish"), "report")
    trades = File("trades.parquet", "simulate", ("report",), "report")
    equity = File("equity.parquet", "simulate", ("report",), "report")
    gate = File("gate.json", "judge", ("report", "promote"), "model")
    summary = File("summary.json", "report", ("people",), "report")
    report = File("report.html", "report", ("people",), "report")

    @classmethod
    def of(cls, flow: str, run: str, *more: str) -> RunFolder:
        """Return the folder of one run of a flow, made if it is not there.

        Parameters
        ----------
        flow, run : str
        *more : str
            A folder in it, such as that of a pair.
        """
        path = settings().home.joinpath("runs", flow, run, *more)
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def files(cls, *stays: Stays) -> list[File]:
        """Return the files that stay so long."""
        every = (file for file in vars(cls).values() if isinstance(file, File))
        return [file for file in every if file.stays in stays]

    def of_rule(self, rule: str) -> RunFolder:
        """Return the folder of one of a strategy's later exit rules, made if it is not there."""
        folder = self.path / "rules" / rule
        folder.mkdir(parents=True, exist_ok=True)
        return RunFolder(folder)

    def end(self) -> None:
        """Delete what was of use to the run alone: call it once nothing is left to be retried."""
        for file in self.files("run"):
            for path in self.path.rglob(file.name):
                path.unlink()


def keep(
    frame: pl.DataFrame,
    path: Path,
    compression: Literal["zstd", "lz4", "uncompressed"] = "zstd",
) -> None:
    """Write a frame as Parquet: whole or not at all.

    Parameters
    ----------
    frame : polars.DataFrame
    path : Path
    compression : {"zstd", "lz4", "uncompressed"}
        lz4 is the fastest that shrinks; noise, such as a trajectory, does not shrink, and what the
        next step alone reads need not.

    Raises
    ------
    infra.files.NoSpace
        If the disk is full.
    """
    with replaced(path) as draft:
        # what is not worth its compression is read whole, once
        frame.write_parquet(
            draft, compression=compression, statistics=compression != "uncompressed"
        )


def bar_store() -> BarStore:
    """Return the bulk store of the present settings, or the one that a run is to read."""
    return _READ.get() or BarStore(settings().home / "bars")


@contextmanager
def bars_of(store: BarStore) -> Iterator[None]:
    """Let `bar_store` mean another store, such as one whose bars are pinned.

    Parameters
    ----------
    store : BarStore
    """
    token = _READ.set(store)
    try:
        yield
    finally:
        _READ.reset(token)


_READ: ContextVar[BarStore | None] = ContextVar("bars that a run reads", default=None)
