"""What answers come to: what was demanded and measured, each criterion, and the power curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from kernels.statistics.binomial import clopper_pearson
from tasks.audit.planted import LEAKS
from tasks.gate.selftest.jobs import EDGE, NULLS, PRINTED, TRADER, Found, Job
from tasks.rules.texts import DEFAULT

FALSE: Final = 0.05
"""Share of walks without edge that may pass."""
POWER: Final = 0.8
"""Share of walks with the printed edge that must."""
GOLDEN: Final = 0.002
"""Relative error of the golden values; the mistake that they look for makes 0.004."""


@dataclass(frozen=True)
class Share:
    """How many of how many, with the exact 95 % interval."""

    count: int
    of: int

    @property
    def share(self) -> float:
        """Measured."""
        return self.count / self.of

    @property
    def bounds(self) -> tuple[float, float]:
        """Exact interval."""
        return clopper_pearson(self.count, self.of)

    def __str__(self) -> str:
        low, high = self.bounds
        told = f"{self.count} of {self.of}, {100 * self.share:.3g} %"
        return f"{told} ({100 * low:.1f} to {100 * high:.1f} %)"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        low, high = self.bounds
        return {"count": self.count, "of": self.of, "low": low, "high": high}


@dataclass(frozen=True)
class Demand:
    """What was asked.

    Attributes
    ----------
    what, measured, demanded : str
        In words.
    met : bool
    """

    what: str
    measured: str
    demanded: str
    met: bool


@dataclass(frozen=True)
class Power:
    """How often an edge of a size is seen.

    Attributes
    ----------
    size : float
        1 is the printed edge, 0 none.
    passed : Share
    true_skill : float
        Brier skill of who knows the truth, mean over walks.
    taken : float or None
        Net gain over that of who knows the truth; None where nothing can be earned.
    """

    size: float
    passed: Share
    true_skill: float
    taken: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        told = {"size": self.size, "true_skill": self.true_skill, "taken": self.taken}
        return {**told, **self.passed.to_dict()}


@dataclass(frozen=True)
class Verdict:
    """What a self-test comes to.

    Attributes
    ----------
    demands : list of Demand
    criteria : dict of str to dict of str to Share
        By group of walks, how often each criterion of the gate alone is met.
    power : list of Power
        By size, none first.
    """

    demands: list[Demand]
    criteria: dict[str, dict[str, Share]]
    power: list[Power]

    @property
    def passed(self) -> bool:
        """Whether all that was demanded is met."""
        return all(each.met for each in self.demands)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "passed": self.passed,
            "demands": [asdict(each) for each in self.demands],
            "criteria": {
                group: {name: each.to_dict() for name, each in shares.items()}
                for group, shares in self.criteria.items()
            },
            "power": [each.to_dict() for each in self.power],
        }


def verdict(answers: Mapping[Job, Found]) -> Verdict:
    """Hold answers against what is demanded.

    Parameters
    ----------
    answers : mapping of Job to dict
        Of a whole plan.
    """
    walks = {job: found for job, found in answers.items() if job.kind == "walk"}
    nulls, traded = (
        [found for job, found in walks.items() if job.name in NULLS and job.strategy == strategy]
        for strategy in (DEFAULT, TRADER)
    )
    edges = {
        size: [found for job, found in walks.items() if job.name == EDGE and job.size == size]
        for size in sorted({job.size for job in walks if job.name == EDGE})
    }
    power = [_power(0.0, nulls), *(_power(size, found) for size, found in edges.items())]
    groups = {"no edge": nulls, f"no edge, {TRADER}": traded}
    groups |= {f"edge {size:g}": found for size, found in edges.items()}
    demands = [
        _silent("walks without edge that pass the gate", power[0].passed),
        _silent(f"those that {TRADER} trades", _passed(traded)),
        _seen(next(each.passed for each in power if each.size == PRINTED)),
        *(_caught(job, found) for job, found in answers.items() if job.kind == "leak"),
        _clean([found for job, found in answers.items() if job.kind == "clean"]),
        *(_golden(found) for job, found in answers.items() if job.kind == "golden"),
    ]
    return Verdict(demands, {name: _criteria(found) for name, found in groups.items()}, power)


def _power(size: float, found: Sequence[Found]) -> Power:
    best = sum(each["true_gain"] for each in found)
    return Power(
        size,
        _passed(found),
        sum(each["true_skill"] for each in found) / len(found),
        sum(each["net"] for each in found) / best if best > 0 else None,
    )


def _passed(found: Sequence[Found]) -> Share:
    return Share(sum(each["passed"] for each in found), len(found))


def _silent(what: str, false: Share) -> Demand:
    return Demand(what, str(false), f"at most {100 * FALSE:g} %", false.share <= FALSE)


def _seen(seen: Share) -> Demand:
    what = "walks of the printed edge that pass it"
    return Demand(what, str(seen), f"at least {100 * POWER:g} %", seen.share >= POWER)


def _caught(job: Job, found: Found) -> Demand:
    wanted, caught = LEAKS[job.name].detectors, set(found["caught"])
    told = ", ".join(sorted(caught)) or "nobody"
    return Demand(f"leak: {job.name}", told, ", ".join(sorted(wanted)), caught >= wanted)


def _clean(found: Sequence[Found]) -> Demand:
    alarms = [alarm for each in found for alarm in each["alarms"]]
    told = f"{len(alarms)} of {sum(each['strategies'] for each in found)}"
    more = f": {alarms[0]}" if alarms else ""
    return Demand("clean strategies that raise an alarm", told + more, "none", not alarms)


def _golden(found: Found) -> Demand:
    off = found["off"]
    what = "golden values: error of a normal's ratio, best of many"
    return Demand(what, f"{100 * off:.3f} %", f"at most {100 * GOLDEN:g} %", off <= GOLDEN)


def _criteria(found: Sequence[Found]) -> dict[str, Share]:
    names = list(found[0]["criteria"])
    return {
        name: Share(sum(each["criteria"][name][1] for each in found), len(found)) for name in names
    }
