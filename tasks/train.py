"""The steps of `train` on bars of a hash, on whichever machine: they come, and the model goes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.stores import offers, pinned
from infra.stores.bulk import BarStore
from infra.stores.pinned import Pinned
from tasks.folder import bar_store
from tasks.research import carried
from tasks.steps import step


def lacking(bars: Mapping[str, str]) -> dict[str, str]:
    """Return the bars that are not on this machine; those that are will stay.

    Parameters
    ----------
    bars : mapping of str to str
        Content hashes by series, `EUR_USD H1`.
    """
    store = bar_store()
    return {
        series: digest
        for series, digest in bars.items()
        if not pinned.is_here(store, *key_of(series), digest)
    }


@step("fetch", version=1)
def fetch_bars(bars: dict[str, str]) -> list[str]:
    """Bring bars that this machine lacks; return the series.

    Parameters
    ----------
    bars : dict of str to str
        Content hashes by series.

    Raises
    ------
    infra.stores.offers.NotOffered
        If they do not come, or others came.
    """
    for series, digest in bars.items():
        offers.fetch((digest, *key_of(series)))
    return sorted(bars)


def pinned_store(store: BarStore, bars: Mapping[str, str]) -> Pinned:
    """Return a store that reads these bars, whatever is ingested meanwhile.

    Parameters
    ----------
    store : BarStore
        Of all others.
    bars : mapping of str to str
        Content hashes by series, all on this machine.

    Raises
    ------
    infra.stores.offers.NotOffered
        If one was here, and is gone.
    """
    if gone := lacking(bars):
        raise offers.NotOffered(
            f"the bars of {', '.join(gone)} that this run fetched are gone: start another train_all"
        )
    return Pinned(store, {key_of(series): digest for series, digest in bars.items()})


@step("send", version=1)
def send_model(folder: str, model_id: str) -> dict[str, Any]:
    """Let other machines have a model: its files go through the database.

    Parameters
    ----------
    folder : str
        The run's folder.
    model_id : str
        Of the first exit rule.

    Returns
    -------
    dict
        `files` and `bytes`.

    Raises
    ------
    tasks.research.carried.NotCarried
        If it is too large.
    """
    return carried.send(model_id, Path(folder))


def key_of(series: str) -> tuple[str, str]:
    """Return pair and timeframe of `EUR_USD H1`."""
    pair, timeframe = series.split()
    return pair, timeframe
