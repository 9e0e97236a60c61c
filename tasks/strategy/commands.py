"""The commands that messages name: what brings bars, what trains a strategy."""

from __future__ import annotations

from shlex import quote


def ingest(pair: str, timeframe: str) -> str:
    """Return the command that brings bars.

    Parameters
    ----------
    pair, timeframe : str
    """
    return f"`prefect deployment run ingest/local -p pair={pair} -p timeframe={timeframe}`"


def train(strategy: str, pair: str, timeframe: str) -> str:
    """Return the command that trains a model of each exit rule of a strategy.

    Parameters
    ----------
    strategy : str
        Its name or file.
    pair, timeframe : str
    """
    named = f"-p strategy={quote(strategy)} -p pair={pair} -p timeframe={timeframe}"
    return f"`prefect deployment run train/local {named}`"
