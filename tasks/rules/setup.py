"""What a run trades: a strategy, its parameters, and a recipe for each of its exit rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from tasks import document
from tasks.folder import RunFolder
from tasks.research.recipe import Recipe
from tasks.rules.texts import Source
from tasks.strategy.language.errors import DslError
from tasks.strategy.seam import OWN, Strategy, rule_of


@dataclass(frozen=True)
class Setup:
    """A strategy and how it is trained.

    Attributes
    ----------
    source : Source
    recipe : Recipe
        Of what is alike in all exit rules; with the rule itself where it is the recipe's own.
    parameters : dict of str to float
        Those of the strategy that do not have their defaults.
    tried : int
        How many sets of parameters were compared to find them.
    effective : float
        About independent ones among them.
    """

    source: Source
    recipe: Recipe
    parameters: dict[str, float] = field(default_factory=dict)
    tried: int = 0
    effective: float = 0.0

    @classmethod
    def of(cls, source: Source, recipe: Recipe, parameters: Mapping[str, float]) -> Setup:
        """Return a setup; parameters that have their defaults are as good as none.

        Parameters
        ----------
        source : Source
        recipe : Recipe
        parameters : mapping of str to float
        """
        params = source.open().parameters
        chosen = {
            name: float(value)
            for name, value in parameters.items()
            if name not in params or value != params[name].default
        }
        return cls(source, recipe, chosen)

    @classmethod
    def read(cls, run: RunFolder) -> Setup:
        """Read what a run's first step wrote."""
        return document.read(run.strategy, cls)

    @cached_property
    def strategy(self) -> Strategy:
        """What is asked for signals."""
        return self.source.open()

    @cached_property
    def rules(self) -> dict[str, str]:
        """By signal the rule whose confidence is its own."""
        return rule_of(self.strategy, self.parameters)

    @cached_property
    def recipes(self) -> dict[str, Recipe]:
        """The recipe of each rule, the first one's first.

        Raises
        ------
        DslError
            If the strategy enters no trade.
        """
        strategy, found = self.strategy, {}
        common = replace(
            self.recipe,
            strategy=strategy.title,
            digest=strategy.digest,
            parameters=tuple(sorted(self.parameters.items())),
        )
        for rule in strategy.exit_rules_of(self.parameters):
            if rule.signal == OWN:
                found[OWN] = common
            elif self.rules[rule.signal] == rule.signal:
                found[rule.signal] = replace(
                    common,
                    rule=rule.signal,
                    horizon=rule.horizon,
                    weekend=rule.weekend,
                    stop_deviations=None,
                    target_deviations=None,
                )
        if not found:
            raise DslError(f"{strategy.title} has neither BUY nor SELL: there is nothing to train")
        return found

    @property
    def first(self) -> str:
        """The rule whose model stands for all of them."""
        return next(iter(self.recipes))

    def folder(self, run: RunFolder, rule: str) -> RunFolder:
        """Return where a rule's model lies: the first one's in the run's own folder.

        Parameters
        ----------
        run : RunFolder
        rule : str
        """
        return run if rule == self.first else run.of_rule(rule)

    def folders(self, run: RunFolder) -> Iterator[tuple[str, RunFolder]]:
        """Yield each rule with its folder."""
        for rule in self.recipes:
            yield rule, self.folder(run, rule)

    def exits(self, frames: Mapping[str, pl.DataFrame]) -> list[pl.Series]:
        """Return stop and target distances of each rule at every bar of the first stream."""
        return self.strategy.distances(frames, self.parameters).drop("timestamp").get_columns()
