"""Which machine this is, and where what it needs is found.

A machine is a site: it runs some servers itself, serves some pools, and finds the rest by settings.
Clients ask the site for addresses, and never the servers' own modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from infra import records
from infra.errors import SepError
from infra.settings import Settings, settings

POSTGRES: Final = "postgres"
VALKEY: Final = "valkey"
PREFECT: Final = "prefect-server"
RESEARCH_POOL: Final = "local-gpu"
DROPLET_POOL: Final = "droplet"
TRAINING_QUEUE: Final = "training"
"""Queue of the research pool whose flow runs any machine may take: they bring their bars."""
EXITS: Final = "exits"
"""The part that makes rounds of exits without Prefect, where orders are sent from."""
DATABASE: Final = "sep"

HELPER: Final = "helper"
"""The site that has neither bars nor a live cycle."""
_FILE: Final = "site"


class SiteError(SepError, ValueError):
    """There is no site of that name; the message lists those there are."""


@dataclass(frozen=True)
class Site:
    """A machine.

    Attributes
    ----------
    name : str
    pools : tuple of str
        Work pools that it serves.
    servers : tuple of str
        Servers that it runs itself, where no setting names another.
    roles : mapping of str to str
        By pool: as whom its flow runs connect to the database.
    home : Path
        Folder of all state.
    """

    name: str
    pools: tuple[str, ...]
    servers: tuple[str, ...]
    roles: Mapping[str, str]
    home: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts that run here: servers, a worker for each pool, exits."""
        exits = (EXITS,) if self.trades else ()
        return (*self.servers, *(worker_name(pool) for pool in self.pools), *exits)

    @property
    def queues(self) -> tuple[str, ...]:
        """Queues of its pools that it serves; none: all there are."""
        return (TRAINING_QUEUE,) if self.name == HELPER else ()

    @property
    def trades(self) -> bool:
        """Whether orders are sent from here."""
        return DROPLET_POOL in self.pools

    def database_url(self) -> str | None:
        """Return the address of the database, with its password; None where none runs."""
        configured = settings().database_url
        if configured is not None:
            return configured.get_secret_value()
        port = self._port(POSTGRES)
        return None if port is None else postgres_address(self.home, port)

    def cache_url(self) -> str | None:
        """Return the address of the cache, with its password; None where none runs."""
        configured = settings().valkey_url
        if configured is not None:
            return configured.get_secret_value()
        port = self._port(VALKEY)
        return None if port is None else valkey_address(self.home, port)

    def had_cache(self) -> bool:
        """Say whether there ever was a cache of its own here, whether or not it still runs."""
        return settings().valkey_url is None and records.read_record(self.home, VALKEY) is not None

    def prefect_url(self) -> str | None:
        """Return the address of Prefect's API; None where none runs."""
        port = self._port(PREFECT)
        return settings().prefect_api_url or (None if port is None else prefect_address(port))

    def _port(self, name: str) -> int | None:
        record = records.alive(self.home, name)
        return record.port if record else None


_ROLES = MappingProxyType({RESEARCH_POOL: "research", DROPLET_POOL: "executor"})
_ALL = (POSTGRES, VALKEY, PREFECT)
SITES: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        "single": ((RESEARCH_POOL, DROPLET_POOL), _ALL),
        "research": ((RESEARCH_POOL,), (POSTGRES, VALKEY)),
        "droplet": ((DROPLET_POOL,), _ALL),
        HELPER: ((RESEARCH_POOL,), ()),
    }
)
"""By name, the pools a site serves and the servers it runs: everything on one machine, or the
GPU's machine and the droplet, which has the one Prefect server; a helper takes over trainings of
one of these, with the servers that settings name."""


def site(chosen: Settings | None = None) -> Site:
    """Return the site of this machine: what `SEP_SITE` says, else a file in home, else "single".

    Parameters
    ----------
    chosen : Settings, optional
        Left out: those in force.

    Raises
    ------
    SiteError
        If there is no site of that name.
    """
    present = chosen or settings()
    name = present.site or _written(present.home) or "single"
    if name not in SITES:
        raise SiteError(f"no site {name!r}: SEP_SITE is one of {', '.join(SITES)}")
    pools, servers = SITES[name]
    return Site(name, pools, servers, _ROLES, present.home)


def worker_name(pool: str) -> str:
    """Return the name under which a pool's worker is recorded and logged."""
    return f"worker-{pool}"


def postgres_address(home: Path, port: int) -> str:
    """Return the address of a home's own PostgreSQL on a port, with its password.

    Parameters
    ----------
    home : Path
        Folder of all state.
    port : int
        On 127.0.0.1.
    """
    password = quote(records.secret(home, POSTGRES), safe="")
    return f"postgresql://postgres:{password}@127.0.0.1:{port}/{DATABASE}"


def valkey_address(home: Path, port: int) -> str:
    """Return the address of a home's own Valkey on a port, with its password.

    Parameters
    ----------
    home : Path
        Folder of all state.
    port : int
        On 127.0.0.1.
    """
    return f"redis://:{records.secret(home, VALKEY)}@127.0.0.1:{port}/0"


def prefect_address(port: int) -> str:
    """Return the address of the API of a Prefect server of ours."""
    return f"http://127.0.0.1:{port}/api"


def _written(home: Path) -> str:
    try:
        return (home / _FILE).read_text().strip()
    except OSError:
        return ""
