"""What is risked by answering only where confidence is high."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from kernels.evaluation import Floats
from kernels.statistics.samples import series


@dataclass(frozen=True)
class RiskCoverage:
    """A risk-coverage curve, from the most confident answers to all.

    Attributes
    ----------
    threshold : float64[m]
        Confidences that were said, each once, descending; who asks for as much is answered by
    coverage : float64[m]
        this share of rows, of which
    risk : float64[m]
        is the mean loss; the last is that of all rows.
    area : float
        Mean risk over coverage (AURC); less than the last risk where confidence tells anything.
    """

    threshold: Floats
    coverage: Floats
    risk: Floats
    area: float


def risk_coverage(confidence: ArrayLike, loss: ArrayLike) -> RiskCoverage:
    """Return the risk at each coverage.

    El-Yaniv and Wiener 2010, On the foundations of noise-free selective classification, J. Machine
    Learning Research 11. Equal confidences are answered together.

    Parameters
    ----------
    confidence : float[n]
        By which rows are answered, the highest first.
    loss : float[n]
        Of each row: 1 where the trade lost, a squared error, or minus the net gain.

    Raises
    ------
    ValueError
        If there is no row, lengths differ, or a value is NaN or infinite.
    """
    said, lost = series(confidence, "confidence", 1), series(loss, "loss", 1)
    if len(said) != len(lost):
        raise ValueError(f"{len(said)} confidences and {len(lost)} losses; give one a row of both")
    order = np.argsort(-said, kind="stable")
    ordered = said[order]
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    coverage = (last + 1) / len(said)
    risk = np.cumsum(lost[order])[last] / (last + 1)
    area = float((risk * np.diff(coverage, prepend=0.0)).sum())
    return RiskCoverage(ordered[last], coverage, risk, area)
