"""All learners by name, in the order of reports."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from tasks.research.learners import (
    boosted,
    context,
    hours,
    last_step,
    leads,
    local,
    metrics,
    momentum,
    neighbours,
    patterns,
    pooled,
    trajectory,
)
from tasks.research.learners.learner import Learner

LEARNERS: Mapping[str, Learner] = MappingProxyType(
    {
        "neighbours": neighbours.LEARNER,
        "pooled": pooled.LEARNER,
        "local": local.LEARNER,
        "last step": last_step.LEARNER,
        "metrics": metrics.LEARNER,
        "trajectory": trajectory.LEARNER,
        "momentum": momentum.LEARNER,
        "patterns": patterns.LEARNER,
        "context": context.LEARNER,
        "hours": hours.LEARNER,
        "leads": leads.LEARNER,
        "boosted": boosted.LEARNER,
    }
)
