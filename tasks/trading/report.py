"""What a cycle of the executor did: rows for people, plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Report:
    """What was done, and what could not be.

    Attributes
    ----------
    entered, left, refused : list of dict
        A row for each entry, exit and signal that is not traded, with its reason.
    findings : list of str
        What somebody should know: what waits, and why.
    """

    entered: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def is_empty(self) -> bool:
        """Say whether there is nothing to tell."""
        return not (self.entered or self.left or self.refused or self.findings)

    def finding(self, sentence: str) -> None:
        """Add a finding, once."""
        if sentence not in self.findings:
            self.findings.append(sentence)

    def add(self, other: Report) -> None:
        """Take over what another cycle did."""
        self.entered += other.entered
        self.left += other.left
        self.refused += other.refused
        for sentence in other.findings:
            self.finding(sentence)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)
