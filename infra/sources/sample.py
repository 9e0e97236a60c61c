"""The sample: 5,000 EURUSD hours, OANDA mid prices, that the PyPI package `backtesting` carries.

They run from 2017-04-19 09:00 to 2018-02-07 15:00. Their clock is UTC although the file does not
say so: weeks end and begin at 17:00 New York, which in the file is the hour of 21 in summer and
22 in winter. The file is read where pip put it; the package is never imported.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import polars as pl

from infra.market.timeframes import Timeframe
from infra.sources.columns import SourceError
from infra.sources.csv import read_csv

PAIR = "EUR_USD"
TIMEFRAME: Timeframe = "H1"
CLOCK = "UTC"
_PACKAGE = "backtesting"
_FILE = "EURUSD.csv"


def sample_path() -> Path:
    """Return where the installed package keeps the file.

    Raises
    ------
    SourceError
        If the package is not installed or no longer carries the file.
    """
    try:
        installed = [file for file in files(_PACKAGE) or () if file.name == _FILE]
    except PackageNotFoundError as error:
        raise SourceError(
            "the sample is not installed: run `pip install 'sep-trader[sample]'`"
        ) from error
    if not installed:
        raise SourceError(
            f"the installed {_PACKAGE} has no {_FILE}: run `pip install 'sep-trader[sample]'`"
        )
    return Path(str(installed[0].locate()))


def read_sample() -> pl.DataFrame:
    """Read the sample; what comes is what `infra.sources.csv.read_csv` gives."""
    return read_csv(sample_path())
