"""Similar paths of several pairs: `neighbours` of a pool, where a pair's own past is short."""

from __future__ import annotations

from tasks.research.learners.neighbours import Neighbours
from tasks.research.learners.rows import Ints, Rows


def counted(rows: Rows) -> tuple[Ints, Ints]:
    """Return wins, int64[n, 2], and number, int64[n], of neighbours in the pool."""
    return rows.pooled_wins, rows.pooled_k_eff


LEARNER = Neighbours(counted)
