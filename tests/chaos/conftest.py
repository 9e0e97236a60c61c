"""The seeds of a proof: how many, from which on, and what was counted."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from infra.files import replaced
from infra.settings import PROJECT

PROGRESS = PROJECT / ".sep" / "chaos.json"
"""The next seed of each proof, for a checkout."""

PROOFS = pytest.StashKey[list["Proof"]]()


@dataclass
class Proof:
    """A proof under way; iterate over it for its seeds.

    Attributes
    ----------
    name : str
    first : int
        Seed.
    last : int or None
        Seed behind the last one; None where time alone ends it.
    seconds : float
        After which no further seed is begun.
    remembered : bool
        Whether the next run goes on from here.
    counts : Counter
        What the proof counts, such as kills.
    """

    name: str
    first: int
    last: int | None
    seconds: float
    remembered: bool
    done: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[int]:
        begin, seed = time.monotonic(), self.first
        while seed != self.last and (not self.done or time.monotonic() - begin < self.seconds):
            print(f"{self.name}: seed {seed}")  # shown by pytest if it fails
            yield seed
            seed += 1
            self.done += 1
            if self.remembered:
                _remember(self.name, seed)

    def __str__(self) -> str:
        last = self.first + max(self.done - 1, 0)
        counts = ", ".join(f"{number:,} {what}" for what, number in sorted(self.counts.items()))
        return f"{self.name:<28} {self.done:>6,} seeds, {self.first} to {last}  {counts}"


@pytest.fixture
def seeds(request: pytest.FixtureRequest) -> Proof:
    """The seeds of this proof; one of them where no time is given."""
    config, name = request.config, request.node.name.removeprefix("test_")
    seconds, chosen = config.getoption("--chaos"), config.getoption("--seeds")
    first, _, last = (chosen or "0:").partition(":")
    going_on = bool(seconds) and chosen is None
    proof = Proof(
        name,
        first=_progress().get(name, 0) if going_on else int(first),
        last=int(last) if last else None,
        seconds=seconds / len(_proofs(request.session)),
        remembered=going_on,
    )
    config.stash.setdefault(PROOFS, []).append(proof)
    return proof


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if seconds := config.getoption("--chaos"):
        for item in items:
            item.add_marker(pytest.mark.timeout(seconds + 600))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    config = terminalreporter.config
    proofs = config.stash.get(PROOFS, [])
    if proofs and config.getoption("--chaos"):
        terminalreporter.section("what was proved")
        for proof in proofs:
            terminalreporter.write_line(str(proof))


def _proofs(session: pytest.Session) -> list[pytest.Item]:
    return [item for item in session.items if "seeds" in getattr(item, "fixturenames", ())]


def _progress() -> dict[str, int]:
    try:
        return dict(json.loads(PROGRESS.read_text()))
    except (OSError, ValueError):
        return {}


def _remember(name: str, seed: int) -> None:
    PROGRESS.parent.mkdir(mode=0o700, exist_ok=True)
    progress = _progress() | {name: seed}
    with replaced(PROGRESS) as draft:
        draft.write_text(json.dumps(progress, indent=1))
