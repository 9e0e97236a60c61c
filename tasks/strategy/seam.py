"""The seam between strategies and what trains, tests and trades them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import polars as pl

from tasks.strategy.language.program import ExitRule, Param, Requires

Frames = Mapping[str, pl.DataFrame]
"""Bars by stream, ascending, with what `Requires` asks for."""
Parameters = Mapping[str, float]

OWN = ""
"""Name of the exit rule that is the recipe's: stop and target in deviations of the horizon."""


class Strategy(Protocol):
    """A text's program, or a function of Python: `tasks.strategy.strategies.Plain`."""

    @property
    def title(self) -> str:
        """What models and signals are filed under."""

    @property
    def digest(self) -> str:
        """What changes with its meaning: part of a model's identity."""

    @property
    def requires(self) -> Requires:
        """Streams, metrics, warm-up, and the rules whose confidence it asks; see there."""

    @property
    def parameters(self) -> Mapping[str, Param]:
        """What training may choose, by name."""

    def exit_rules_of(self, parameters: Parameters | None = None) -> tuple[ExitRule, ...]:
        """Return how its trades end; each that differs trains a confidence of its own."""

    def evaluate(self, frames: Frames, parameters: Parameters | None = None) -> pl.DataFrame:
        """Return the signals of frames, at most one a bar (`tasks.strategy.language.rows`).

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        parameters : mapping of str to float, optional
        """

    def distances(self, frames: Frames, parameters: Parameters | None = None) -> pl.DataFrame:
        """Return `stop_RULE` and `target_RULE` of every bar; none of `OWN`.

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        parameters : mapping of str to float, optional
        """

    def window(self, frames: Frames, last: int = 1) -> dict[str, pl.DataFrame]:
        """Return as much of frames as the signals of the last bars hang on.

        Parameters
        ----------
        frames : mapping of str to polars.DataFrame
        last : int
        """


def rule_of(strategy: Strategy, parameters: Parameters | None = None) -> dict[str, str]:
    """Return by signal the rule whose confidence is its own.

    Parameters
    ----------
    strategy : Strategy
    parameters : mapping of str to float, optional

    Returns
    -------
    dict of str to str
        Rules of equal terms are one: that of the first signal, which names it.
    """
    first: dict[object, str] = {}
    rules = strategy.exit_rules_of(parameters)
    return {rule.signal: first.setdefault(rule.terms, rule.signal) for rule in rules}
