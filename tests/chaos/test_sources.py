"""Files of bars with bytes that are others, gone, doubled, or come from nowhere."""

from __future__ import annotations

from pathlib import Path

import hypothesis
from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.conftest import Proof
from tests.infra.stores.test_any_frame import SAMPLES, assert_whole_or_refused, examples, mangled

FILES = 50


def test_mangled_files(seeds: Proof, tmp_path: Path) -> None:
    """Each gives all its rows, as bars or in quarantine, or one error that names it."""
    names = [name for name in SAMPLES if name != "parquet"]

    def prove(data: st.DataObject) -> None:
        sample = SAMPLES[data.draw(st.sampled_from(names))]
        content = data.draw(mangled(sample.content))
        assert_whole_or_refused(sample, content, tmp_path / sample.name)
        seeds.counts["files"] += 1

    for seed in seeds:
        rules = hypothesis.settings(examples(FILES), database=None)
        hypothesis.seed(seed)(rules(given(st.data())(prove)))()
