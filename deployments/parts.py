"""The parts that run in the background, in the order in which they start."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deployments import exits, workers
from infra.servers import postgres, prefect, valkey
from infra.settings import Settings
from infra.site import site, worker_name


@dataclass(frozen=True)
class Part:
    """One thing that runs.

    Attributes
    ----------
    name : str
        Name of its record and its log.
    title : str
        Name for people.
    find, stop : callable
        Address of what runs under a home; end of it.
    external : str or None
        Address of the server that a setting names instead.
    """

    name: str
    title: str
    find: Callable[[Path], str | None]
    stop: Callable[[Path], None]
    external: str | None = None


def parts(settings: Settings) -> list[Part]:
    """Return the parts of this site in the order in which they start.

    A server that the site does not run itself is a part where a setting names one.
    """
    database, cache, here = settings.database_url, settings.valkey_url, site(settings)
    every = [
        Part(
            postgres.NAME,
            "PostgreSQL",
            postgres.find,
            postgres.stop,
            database.get_secret_value() if database else None,
        ),
        Part(
            valkey.NAME,
            "Valkey",
            valkey.find,
            valkey.stop,
            cache.get_secret_value() if cache else None,
        ),
        Part(prefect.NAME, "Prefect server", prefect.find, prefect.stop, settings.prefect_api_url),
        *(
            Part(
                worker_name(pool),
                f"worker {pool}",
                partial(workers.find, pool=pool),
                partial(workers.stop, pool=pool),
            )
            for pool in here.pools
        ),
        Part(exits.NAME, "exits", exits.find, exits.stop),
    ]
    return [part for part in every if part.external or part.name in here.names]


def masked(address: str) -> str:
    """Return an address without its password."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", address)
