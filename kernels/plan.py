"""How a search of a library is cut so that it fits a GPU's memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from kernels import rounds

BATCH = 16_384
"""Queries searched at a time on a GPU, where there is room."""

LEAST_ROWS, LEAST_BATCH = 4096, 64
"""Where halving ends."""


@dataclass(frozen=True)
class Plan:
    """How a search is cut so that it fits the memory of a GPU.

    Attributes
    ----------
    rows, queries : int
        Of the whole search.
    part, batch : int
        Library rows, and queries, in the GPU's memory at a time.
    k : int
    """

    rows: int
    queries: int
    part: int
    batch: int
    k: int

    @classmethod
    def fit(cls, rows: int, queries: int, k: int, free: int) -> Plan:
        """Cut a search for `free` bytes of memory.

        Parameters
        ----------
        rows, queries : int
            Of the whole search.
        k : int
            Rows looked at per query.
        free : int
            Bytes of GPU memory that can be had; nine tenths of them are used at most.

        Returns
        -------
        Plan

        Raises
        ------
        MemoryError
            If even the least part does not fit.
        """
        plan = cls(rows, queries, max(rows, 1), max(min(queries, BATCH), 1), k)
        while plan.bytes > 0.9 * free:
            plan = plan.halved()
        return plan

    @property
    def bytes(self) -> int:
        """Device memory at the same time, answers included."""
        several = 0 if self.part >= self.rows else 12 * self.rows
        held = self.part * rounds.bytes_a_row() + self.batch * rounds.bytes_a_query(self.k)
        return held + 12 * self.k * self.queries + several

    def halved(self) -> Plan:
        """Return the plan with half of what takes most memory.

        Raises
        ------
        MemoryError
            If there is nothing left to halve.
        """
        part = self.part * rounds.bytes_a_row()
        batch = self.batch * rounds.bytes_a_query(self.k)
        if self.batch > LEAST_BATCH and (batch >= part or self.part <= LEAST_ROWS):
            return replace(self, batch=-(-self.batch // 2))
        if self.part > LEAST_ROWS:
            return replace(self, part=-(-self.part // 2))
        raise MemoryError(
            f"a search needs {self.bytes / 2**20:,.0f} MiB of GPU memory even in parts; pass fewer "
            f"than {self.queries:,} queries at a time, free memory, or take engine='cpu'"
        )

    def parts(self) -> Iterator[slice]:
        """Stretches of library rows."""
        return slices(self.rows, self.part)

    def __str__(self) -> str:
        parts = -(-self.rows // self.part)
        return (
            f"{self.rows:,} paths in {parts} part{'s' * (parts != 1)} of {self.part:,}, "
            f"{self.queries:,} queries {self.batch:,} at a time: {self.bytes / 2**20:,.0f} MiB"
        )


def slices(count: int, size: int) -> Iterator[slice]:
    """Cut `count` rows into stretches of `size`.

    Parameters
    ----------
    count, size : int
    """
    return (slice(first, min(first + size, count)) for first in range(0, count, size))
