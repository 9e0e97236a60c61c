"""Writers that are killed while others read, write or ingest."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from infra.stores.bulk import BarStore
from tasks.intake.request import IngestRequest
from tests.chaos.conftest import Proof
from tests.infra.stores.test_store import watch_a_killed_writer
from tests.tasks.prepared import Prepared, run
from tests.tasks.test_ingest_killed import (
    Crash,
    assert_no_half_file,
    crash,
    differences,
    earlier,
    everything,
    kill_points,
    request_,
)

__all__ = ["crash", "earlier", "request_"]


def test_killed_writes(seeds: Proof, tmp_path: Path) -> None:
    """A reader that looks all the time sees both years of one and the same write."""
    for seed in seeds:
        store = BarStore(tmp_path / str(seed))
        seeds.counts["looks"] += watch_a_killed_writer(store, random.Random(seed), kills=5)
        seeds.counts["kills"] += 5


@pytest.mark.usefixtures("database")
def test_killed_ingests(
    seeds: Proof, crash: Crash, earlier: IngestRequest, request_: IngestRequest, tmp_path: Path
) -> None:
    """An ingest that is killed anywhere and run again comes to the same rows."""
    noted = tmp_path / "calls"
    prepared = Prepared(earlier, folder=tmp_path)
    assert crash(request_, folder=tmp_path, calls=str(noted)) == [0]
    expected, calls = everything(), noted.read_text().splitlines()
    for seed in seeds:
        for point in kill_points(calls, random.Random(seed), 4):
            prepared.put_back()
            seeds.counts["kills"] += crash(request_, folder=tmp_path, **point) != [0]
            assert_no_half_file()
            run(request_, folder=tmp_path)
            assert differences(everything(), expected) == [], point
