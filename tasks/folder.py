"""The folder a run leaves behind: one name for each file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.settings import settings
from infra.stores.bulk import BarStore


@dataclass(frozen=True)
class RunFolder:
    """Where a backtest keeps its steps' results and its report."""

    path: Path

    @classmethod
    def of(cls, flow: str, run: str) -> RunFolder:
        """Return the folder of one run of a flow, made if it is not there."""
        path = settings().home / "runs" / flow / run
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @property
    def bars(self) -> Path:
        """The bars the run works on, fixed at its start."""
        return self.path / "bars.parquet"

    @property
    def metrics(self) -> Path:
        """Metrics of each bar."""
        return self.path / "metrics.parquet"

    @property
    def trajectory(self) -> Path:
        """Damping trajectories, 64 columns."""
        return self.path / "trajectory.parquet"

    @property
    def library(self) -> Path:
        """The path library."""
        return self.path / "library.parquet"

    @property
    def frozen(self) -> Path:
        """Spans, stride and standardisation, frozen on the library span."""
        return self.path / "frozen.json"

    @property
    def counts(self) -> Path:
        """Neighbours and wins of each query."""
        return self.path / "counts.parquet"

    @property
    def model(self) -> Path:
        """The model: recipe, spans, standardisation, confidence of both sides."""
        return self.path / "model.json"

    @property
    def predictions(self) -> Path:
        """One row a bar: metrics, confidence, break-even, outcome."""
        return self.path / "predictions.parquet"

    @property
    def trades(self) -> Path:
        """Simulated trades of the test span."""
        return self.path / "trades.parquet"

    @property
    def equity(self) -> Path:
        """Equity of the test span."""
        return self.path / "equity.parquet"

    @property
    def summary(self) -> Path:
        """The result table as JSON."""
        return self.path / "summary.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"


def bar_store() -> BarStore:
    """Return the bulk store of the present settings."""
    return BarStore(settings().home / "bars")
