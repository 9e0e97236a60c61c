"""The verdict: every rule is asked, and what cannot be judged is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Context, localcontext
from typing import Any, Final, Literal, TypeAlias

from tasks.trading.risk.activity import pause
from tasks.trading.risk.drawdown import FLOORS, Floor, halted, nearly
from tasks.trading.risk.limits import Limits
from tasks.trading.risk.outcome import Check, Outcome
from tasks.trading.risk.rules import CHECKS
from tasks.trading.risk.situation import Proposal, Situation
from tasks.trading.risk.worth import equity, moment

State: TypeAlias = Literal["ACTIVE", "REDUCING", "HALTED"]
Reasons: TypeAlias = tuple[tuple[str, str], ...]

STATE: Final = "state"
"""Name of the rule that the account's state allows entries."""


@dataclass(frozen=True)
class Verdict:
    """Whether an order may be sent.

    Attributes
    ----------
    allowed : bool
    state : {"ACTIVE", "REDUCING", "HALTED"}
        Of the account.
    reasons : tuple of (str, str)
        Rules that deny, each with its reason; none if it is allowed.
    checked : tuple of (str, str)
        All rules, each with what it found.
    """

    allowed: bool
    state: State
    reasons: Reasons
    checked: Reasons

    def record(self) -> dict[str, Any]:
        """Return plain values for the journal, of which `of` makes a verdict again."""
        return {
            "allowed": self.allowed,
            "state": self.state,
            "reasons": [list(each) for each in self.reasons],
            "checked": [list(each) for each in self.checked],
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Verdict:
        """Return the verdict of a record."""
        reasons, checked = (
            tuple((str(name), str(text)) for name, text in record[part])
            for part in ("reasons", "checked")
        )
        return cls(bool(record["allowed"]), record["state"], reasons, checked)


def judge(proposal: Proposal, situation: Situation, limits: Limits) -> Verdict:
    """Return whether an entry may be sent; nothing is raised, what cannot be judged is denied.

    Parameters
    ----------
    proposal : Proposal
    situation : Situation
        Without the proposal; every rule adds it.
    limits : Limits
        Of the account; those of the pair, in `situation`, tighten them.
    """
    state, why = state_of(situation, limits)
    text = "; ".join(reason for _, reason in why)
    asked = [(STATE, Outcome(state != "ACTIVE", f"{state}: {text}" if text else state))]
    try:
        strict = _of_pair(proposal, situation, limits)
    except Exception as error:
        asked.append(("limits of the pair", Outcome(denied=True, text=_unjudged(error))))
    else:
        asked += [(name, _ask(check, proposal, situation, strict)) for name, check in CHECKS]
    reasons = tuple((name, outcome.text) for name, outcome in asked if outcome.denied)
    checked = tuple((name, outcome.text) for name, outcome in asked)
    return Verdict(not reasons and len(asked) > len(CHECKS), state, reasons, checked)


def state_of(situation: Situation, limits: Limits) -> tuple[State, Reasons]:
    """Return the account's state, and why it is not ``ACTIVE``.

    ``HALTED`` is one whose equity is or was at a floor, or is not known; ``REDUCING`` one that is
    near a floor, pauses after losses, or was told to.

    Parameters
    ----------
    situation : Situation
    limits : Limits
    """
    try:
        with localcontext(Context()):
            equity(situation)
            moment(situation.now, "now")
            floors = [floor for each in FLOORS if (floor := each(situation, limits)) is not None]
            if stopped := [(f.name, text) for f in floors if (text := halted(f, situation))]:
                return "HALTED", tuple(stopped)
            slowed = _slowed(floors, situation, limits)
            return ("REDUCING" if slowed else "ACTIVE"), slowed
    except Exception as error:
        return "HALTED", (("figures", _unjudged(error)),)


def _slowed(floors: list[Floor], situation: Situation, limits: Limits) -> Reasons:
    near = [(f.name, text) for f in floors if (text := nearly(f, situation, limits))]
    if paused := pause(situation, limits):
        near.append(("cool-down", paused))
    if situation.reducing is not False:
        near.append(("switch", "told to reduce: entries are off"))
    return tuple(near)


def _of_pair(proposal: Proposal, situation: Situation, limits: Limits) -> Limits:
    said = situation.overrides.get((proposal.pair, proposal.timeframe), {})
    return limits.tightened(said, f"pairs.limits of {proposal.pair} {proposal.timeframe}")


def _ask(check: Check, proposal: Proposal, situation: Situation, limits: Limits) -> Outcome:
    try:
        with localcontext(Context()):
            return check(proposal, situation, limits)
    except Exception as error:
        return Outcome(denied=True, text=_unjudged(error))


def _unjudged(error: Exception) -> str:
    return f"cannot be judged: {error or type(error).__name__}"
