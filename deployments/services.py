"""Everything that runs in the background: brought up and taken down."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from rich.console import Console

from deployments import environment, exits, registration, workers
from deployments.api import Api, PrefectError
from deployments.automations import ensure_automations
from deployments.parts import Part, masked, parts
from deployments.pools import ensure_pools
from infra.files import locked, make_private
from infra.records import alive
from infra.servers import postgres, prefect, valkey
from infra.servers.process import ServerError
from infra.settings import Settings
from infra.site import DROPLET_POOL, POSTGRES, PREFECT, VALKEY, Site, SiteError, site


def up(settings: Settings, console: Console) -> str:
    """Start what does not run, register what is not registered; return the API's address.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    console : rich.console.Console
        Where it is shown.

    Raises
    ------
    SiteError
        If this machine holds the token of orders, and sends none.
    ServerError, DatabaseError, PrefectError
        The first step that failed. What did start keeps running.
    """
    # A script's "&" makes us ignore SIGINT, our workers inherit that, and would not stop.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _refuse_orders(settings)
    with exclusive(settings.home, console):
        _wanted(settings.home).touch()
        if settings.prefect_api_url is None:
            environment.forget_other_servers()
        steps: dict[str, Callable[[], str]] = {
            "PostgreSQL": partial(_database, settings),
            "Valkey": partial(_cache, settings),
            "Prefect server": partial(_prefect, settings),
            "flows": _flows,
        }
        api_url = together(console, steps)["Prefect server"]
        roles = _roles(site(settings), console)
        with Api.of(settings, api_url) as api:
            ensure_pools(api)
            ensure_automations(api)
            together(console, _second_steps(settings, api, roles))
        environment.write_toml(settings, api_url)
    return api_url


def down(settings: Settings, console: Console) -> None:
    """Stop what `up` started, in the opposite order; servers that settings name stay.

    Parameters
    ----------
    settings : Settings
        Of this machine.
    console : rich.console.Console
        Where it is shown.
    """
    with exclusive(settings.home, console):
        _wanted(settings.home).unlink(missing_ok=True)
        for name, run in running(settings):
            console.print(
                f"[yellow]![/] the flow run {name} is under way and ends here; "
                f"afterwards: prefect flow-run retry {run}"
            )
        last = {PREFECT: 1, POSTGRES: 2, VALKEY: 2}  # runs end before what they need
        for turn in range(3):
            group = [part for part in parts(settings) if last.get(part.name, 0) == turn]
            if group:
                stops = {part.title: partial(_stop, part, settings.home) for part in group}
                together(console, stops)
        environment.remove_toml(settings)


def is_wanted(home: Path) -> bool:
    """Say whether `up` was asked for last, and not `down`."""
    return _wanted(home).exists()


def running(settings: Settings) -> list[tuple[str, str]]:
    """Return name and id of the flow runs under way in our pools; none if nobody answers."""
    api_url = settings.prefect_api_url or prefect.find(settings.home)
    query = {
        "work_pools": {"name": {"any_": list(site(settings).pools)}},
        "flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}},
    }
    if api_url is None:
        return []
    try:
        with Api.of(settings, api_url, timeout=5) as api:
            return [(run["name"], run["id"]) for run in api.post("/flow_runs/filter", query)]
    except PrefectError:
        return []


def api_url(settings: Settings) -> str:
    """Return the address of the Prefect API.

    Raises
    ------
    PrefectError
        If no setting names one and none runs.
    """
    address = settings.prefect_api_url or prefect.find(settings.home)
    if address is None:
        raise PrefectError(f"no Prefect server runs under {settings.home}: start it with `sep up`")
    return address


@contextmanager
def exclusive(home: Path, console: Console) -> Iterator[None]:
    """Be the only `sep` that starts or stops things under a home, waiting for another one.

    Parameters
    ----------
    home : Path
        `SEP_HOME`.
    console : rich.console.Console
        Where it is shown.
    """
    make_private(home)
    busy = "another `sep` is at work here: waiting for it"
    with locked(home / "run" / "sep.lock", waiting=lambda: console.print(busy)):
        yield


def together(console: Console, steps: Mapping[str, Callable[[], str]]) -> dict[str, str]:
    """Run steps side by side, a line for each when it is done; return what each answered.

    Parameters
    ----------
    console : rich.console.Console
        Where it is shown.
    steps : mapping of str to callable
        What each does, by the title of its line.

    Raises
    ------
    Exception
        What the first failing step raised, after the others have ended.
    """
    answers: dict[str, str] = {}
    failures: list[BaseException] = []
    begin = time.monotonic()
    with console.status(", ".join(steps)), ThreadPoolExecutor(len(steps)) as pool:
        futures: dict[Future[str], str] = {pool.submit(run): title for title, run in steps.items()}
        for future in as_completed(futures):
            title, seconds = futures[future], time.monotonic() - begin
            if error := future.exception():
                failures.append(error)
                console.print(f"[red]✘[/] {title:<18} failed after {seconds:.1f} s")
                continue
            answers[title] = future.result()
            console.print(f"[green]✔[/] {title:<18} {seconds:5.1f} s  {masked(answers[title])}")
    if failures:
        raise failures[0]
    return answers


def _second_steps(
    settings: Settings, api: Api, roles: Mapping[str, str]
) -> dict[str, Callable[[], str]]:
    variables = environment.worker_environment(settings, api.url)
    steps: dict[str, Callable[[], str]] = {}
    for pool, role in roles.items():
        own = environment.worker_environment(settings, api.url, role=role, pool=pool)
        steps[f"worker {pool}"] = partial(_worker, settings, pool, api, own)
    if site(settings).trades:
        own = environment.plain_environment(settings, role=roles[DROPLET_POOL], pool=DROPLET_POOL)
        steps["exits"] = partial(exits.start, settings.home, own)
    return {**steps, "deployments": partial(_deployments, api, variables)}


def _database(settings: Settings) -> str:
    from sqlalchemy.exc import OperationalError

    from infra.postgres import database
    from infra.postgres.outage import reason

    configured = settings.database_url
    if configured is None:
        _require(settings, POSTGRES, "SEP_DATABASE_URL")
    address = configured.get_secret_value() if configured else postgres.start(settings.home)
    try:
        database.migrate()
    except OperationalError as error:
        raise database.DatabaseError(
            f"the database does not answer ({reason(error)}): correct SEP_DATABASE_URL, or start it"
        ) from error
    return address


def _refuse_orders(settings: Settings) -> None:
    """Refuse a token of orders where none are sent: it is on the executing machine alone."""
    here = site(settings)
    if settings.oanda_trading_token is not None and not here.trades:
        raise SiteError(
            f"the site {here.name} sends no orders: unset SEP_OANDA_TRADING_TOKEN here, and keep "
            "it on the droplet alone (prices come by SEP_OANDA_TOKEN)"
        )


def _require(settings: Settings, server: str, setting: str) -> None:
    """Refuse to go on where a site neither runs a server itself nor is told of another."""
    here = site(settings)
    if server not in here.servers:
        raise SiteError(f"the site {here.name} runs no {server}: name one in {setting}")


def _roles(here: Site, console: Console) -> Mapping[str, str]:
    """Return as whom each pool connects: its role, or the owner where roles cannot be had."""
    from infra.postgres.roles import ensure_roles

    reason = ensure_roles()
    if reason is None:
        return {pool: here.roles[pool] for pool in here.pools}
    console.print(f"[yellow]![/] workers connect as the owner of the database: {reason}")
    return dict.fromkeys(here.pools, "owner")


def _cache(settings: Settings) -> str:
    """Start the cache; everything runs without one, so its absence is no failure."""
    if settings.valkey_url:
        return settings.valkey_url.get_secret_value()
    if VALKEY not in site(settings).servers:
        return "not used: the site has none"
    try:
        return valkey.start(settings.home)
    except ServerError as error:
        return f"not used: {error}"


def _flows() -> str:
    """Read the flows while the server comes up: registering them waits for both."""
    return f"version {registration.version()}"


def _prefect(settings: Settings) -> str:
    if settings.prefect_api_url is None:
        _require(settings, PREFECT, "SEP_PREFECT_API_URL")
        keeps = settings.prefect_database_url
        return prefect.start(settings.home, port=settings.prefect_port, database=keeps)
    with Api(settings.prefect_api_url, timeout=10) as api:
        api.get("/health")
    return settings.prefect_api_url


def _worker(settings: Settings, pool: str, api: Api, variables: Mapping[str, str]) -> str:
    sole = settings.prefect_api_url is None
    started = workers.start(settings.home, pool, api, variables, sole=sole)
    if started == "busy":
        return "has other settings and runs a flow: `sep down`, then `sep up`, to change them"
    return started


def _deployments(api: Api, variables: Mapping[str, str]) -> str:
    changed = registration.register(api, variables)
    return "registered" if changed else "unchanged"


def _stop(part: Part, home: Path) -> str:
    before = alive(home, part.name)
    part.stop(home)
    return "stopped" if before else "did not run"


def _wanted(home: Path) -> Path:
    return home / "run" / "wanted"
