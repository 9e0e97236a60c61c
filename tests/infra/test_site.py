"""Which machine this is: by setting, by a file in home, or everything on one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deployments.parts import parts
from infra import records
from infra.settings import Settings
from infra.site import SITES, SiteError, site

WORKERS = {"worker-local-gpu", "worker-droplet"}


def names(settings: Settings) -> set[str]:
    return {part.name for part in parts(settings)}


def test_one_machine_has_everything(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert site(settings).name == "single"
    assert names(settings) == {"postgres", "valkey", "prefect-server", *WORKERS, "exits"}


def test_the_setting_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("droplet\n")
    assert site(Settings(home=tmp_path)).name == "droplet"
    assert site(Settings(home=tmp_path, site="research")).name == "research"


def test_each_machine_runs_its_own(tmp_path: Path) -> None:
    droplet = Settings(home=tmp_path, site="droplet")
    assert names(droplet) == {"postgres", "valkey", "prefect-server", "worker-droplet", "exits"}
    assert site(droplet).trades
    assert site(droplet).roles["droplet"] == "executor"
    research = Settings(home=tmp_path, site="research")
    assert names(research) == {"postgres", "valkey", "worker-local-gpu"}
    assert not site(research).trades
    named = Settings(home=tmp_path, site="research", prefect_api_url="http://127.0.0.1:1/api")
    assert names(named) == {"postgres", "valkey", "prefect-server", "worker-local-gpu"}


def test_a_helper_trains_and_nothing_else(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, site="helper")
    assert names(settings) == {"worker-local-gpu"}
    assert site(settings).queues == ("training",)
    assert site(Settings(home=tmp_path)).queues == ()


@pytest.mark.parametrize("name", ["moon", "SINGLE", "../single"])
def test_an_unknown_site_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "site").write_text(name)
    with pytest.raises(SiteError, match=f"no site {name!r}: SEP_SITE is one of single, "):
        site(Settings(home=tmp_path))


def test_a_site_without_servers_has_no_addresses(tmp_path: Path) -> None:
    here = site(Settings(home=tmp_path))
    assert (here.database_url(), here.cache_url(), here.prefect_url()) == (None, None, None)
    assert not here.had_cache()
    assert set(SITES) == {"single", "research", "droplet", "helper"}


def test_a_record_counts_only_with_its_process(tmp_path: Path) -> None:
    """Another process under the same number, none, and a zombie are not the server."""
    (tmp_path / "run").mkdir()
    path = records.record_path(tmp_path, "valkey")

    def write(pid: int, command: str) -> None:
        path.write_text(f'{{"pid": {pid}, "created": 1.0, "port": 7, "command": {command}}}')

    own = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    write(os.getpid(), str([part.decode() for part in own]).replace("'", '"'))
    found = records.alive(tmp_path, "valkey")
    assert found is not None
    assert found.port == 7
    write(os.getpid(), '["another"]')
    assert records.alive(tmp_path, "valkey") is None
    write(4_194_304, '["another"]')
    assert records.alive(tmp_path, "valkey") is None
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    write(child, "[]")
    assert records.alive(tmp_path, "valkey") is None
    os.waitpid(child, 0)
