"""What a cycle of the executor did: rows for people, plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from infra.brokers.broker import BrokerError
from infra.postgres.database import DatabaseError
from tasks.trading.lease import LeaseLost


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

    @contextmanager
    def each(self, what: str) -> Iterator[None]:
        """Let the trouble of one pair be a finding, and not that of others.

        Parameters
        ----------
        what : str
            Begins the finding.
        """
        try:
            yield
        except (LeaseLost, SQLAlchemyError, DatabaseError):
            raise
        except BrokerError as error:
            self.finding(f"{what}: {error}")
        except Exception as error:
            self.finding(f"{what}: {type(error).__name__}: {error}")

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
