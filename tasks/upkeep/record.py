"""The live record of a model: what it said before, against what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from infra.postgres.database import read_frame
from kernels.evaluation import brier_skill
from kernels.statistics.sequential import LEVEL, sequence

_SIGNALS = """
SELECT s.bar_ts, s.confidence, s.published_at <= s.valid_until AS in_time, o.state, o.won, o.gain,
    o.exit_at,
    (m.metrics -> 'base_rate' ->> CASE s.side WHEN 'long' THEN 0 ELSE 1 END)::float8 AS base
FROM signal AS s
JOIN model AS m USING (model_id)
LEFT JOIN signal_outcome AS o ON o.signal_id = s.id
WHERE (s.model_id = %s OR m.metrics ->> 'of' = %s) AND s.action IN ('BUY', 'SELL')
    AND (s.published_at >= %s::timestamptz OR %s)
ORDER BY s.bar_ts, s.id
"""


@dataclass(frozen=True)
class Record:
    """How a model did, all of its exit rules together.

    Attributes
    ----------
    signals, resolved, missing : int
        That were published; whose outcome is known; whose bars or recipe are not there.
    late : int
        Published when they were no longer valid, such as by a replay: resolved, not judged.
    outcomes : int
        That are judged: in time, none before the one before had ended.
    hit_rate, confidence, gain : float or None
        Share of wins among these, the mean of what was said, and the mean net gain.
    skill : float or None
        Brier score against the base rate of training.
    e_value, most : float
        Evidence against what was said, now and at its greatest (`kernels.statistics.sequential`).
    side : {"high", "low"}
        Whether confidence is rather too high or too low.
    alarm : datetime or None
        Bar of the signal at whose outcome the evidence sufficed.
    """

    signals: int
    resolved: int
    missing: int
    late: int
    outcomes: int
    hit_rate: float | None
    confidence: float | None
    gain: float | None
    skill: float | None
    e_value: float
    most: float
    side: str
    alarm: datetime | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        alarm = self.alarm and self.alarm.isoformat()
        return asdict(self) | {"alarm": alarm}

    @property
    def sentence(self) -> str:
        """What it comes to, in words."""
        if self.hit_rate is None or self.confidence is None:
            return f"no outcome to be judged yet of {self.signals:,} signals"
        return (
            f"{self.outcomes:,} outcomes: {self.hit_rate:.1%} won, {self.confidence:.1%} was said, "
            f"e-value {self.e_value:.3g} (at most {self.most:.3g}, {1 / LEVEL:g} demotes)"
        )


def record(model_id: str, since: datetime | None = None) -> Record:
    """Return the record of a model and of those of its later exit rules.

    Parameters
    ----------
    model_id : str
        Of the first one.
    since : datetime, optional
        Of signals published from then on alone; left out: of all.
    """
    return record_of(read_frame(_SIGNALS, (model_id, model_id, since, since is None)))


def record_of(signals: pl.DataFrame) -> Record:
    """Return the record that signals and their outcomes make.

    Parameters
    ----------
    signals : polars.DataFrame
        `bar_ts`, `confidence`, `in_time`, `state`, `won`, `gain`, `exit_at`, `base`; ascending.
    """
    state, late = signals["state"], signals.filter(~pl.col("in_time"))
    judged = apart(signals.filter("in_time", pl.col("confidence").is_between(0, 1)))
    said, came = judged["confidence"].to_numpy(), judged["won"].cast(pl.Float64).to_numpy()
    bets = sequence(said, came)
    return Record(
        signals=len(signals),
        resolved=int((state == "resolved").sum()),
        missing=int(state.is_in(["missing", "refused"]).sum()),
        late=len(late),
        outcomes=len(judged),
        hit_rate=_mean(judged["won"]),
        confidence=_mean(judged["confidence"]),
        gain=_mean(judged["gain"]),
        skill=_skill(judged),
        e_value=bets.last,
        most=bets.most,
        side=bets.side,
        alarm=None if bets.alarm is None else judged["bar_ts"][bets.alarm - 1],
    )


def apart(signals: pl.DataFrame) -> pl.DataFrame:
    """Return resolved signals that do not overlap: none on a bar before the last one's exit.

    What is void or missing is passed over. Behind the first that is still waited for nothing is
    told: its outcome might overlap, and what was judged once is judged for good.

    Parameters
    ----------
    signals : polars.DataFrame
        `bar_ts`, `state` (null: waited for), `exit_at`; ascending.
    """
    chosen: list[int] = []
    free: datetime | None = None
    rows = zip(*(signals[name] for name in ("bar_ts", "state", "exit_at")), strict=True)
    for number, (bar, state, left) in enumerate(rows):
        if free is not None and bar < free:
            continue
        if state is None:
            break
        if state == "resolved":
            chosen.append(number)
            free = left
    return signals[chosen]


def _mean(values: pl.Series) -> float | None:
    mean = values.cast(pl.Float64).mean()
    return mean if isinstance(mean, float) else None


def _skill(judged: pl.DataFrame) -> float | None:
    columns: Sequence[pl.Series] = [
        judged[name].cast(pl.Float64) for name in ("confidence", "won", "base")
    ]
    known = len(judged) and not judged["base"].null_count()
    if not known or ((columns[2] - columns[1]) ** 2).sum() == 0:
        return None
    return float(brier_skill(*(column.to_numpy() for column in columns)))
