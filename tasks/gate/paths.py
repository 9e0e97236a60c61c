"""How the way of choosing does along several paths through the past."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels.statistics.combinatorial import GROUPS, LEAST_ROWS, combinatorial_paths
from kernels.statistics.sharpe import LEAST
from tasks.research.returns import varied


def paths_of(returns: NDArray[np.float64]) -> dict[str, Any] | None:
    """Return daily Sharpe ratios of combinatorial purged paths; None where there are too few days.

    Parameters
    ----------
    returns : float64[days, k]
        Of all sets that were compared.
    """
    trials = varied(returns)
    if trials.shape[1] < 1 or len(trials) < max(LEAST, GROUPS * LEAST_ROWS):
        return None
    found = combinatorial_paths(trials, purge=1, embargo=1)
    return {"sharpe": found.sharpe.tolist(), "splits": len(found.chosen)}
