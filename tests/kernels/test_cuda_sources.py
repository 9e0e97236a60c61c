"""The CUDA sources without a GPU: compiled for every architecture, and run on the CPU."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kernels.bits import COLUMNS, WINDOW
from kernels.compiler import OPTIONS, architecture, compile_source, compiled, nvrtc, source
from kernels.damping import Damping, DampingParams, launch_cuda
from kernels.device import launch_blocks
from tests import naive
from tests.kernels.series import assert_same_bits, edges, inputs, walk
from tests.kernels.shim import entry_points, load_on_cpu, no_compiler
from tests.kernels.test_damping import assert_agree

FILES = (resources.files("kernels") / "cuda").iterdir()
SOURCES = sorted(file.name.removesuffix(".cu") for file in FILES if file.name.endswith(".cu"))
TARGETS = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_120")
needs_compiler = pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))


def require_nvrtc() -> None:
    try:
        nvrtc().getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"NVRTC does not load: {error}")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", SOURCES)
def test_source_compiles(name: str, target: str) -> None:
    require_nvrtc()
    special = ("-DHOPPER=1",) if target == "sm_90a" else ()
    binary = compile_source(source(name), (*OPTIONS, f"--gpu-architecture={target}", *special))
    assert entry_points(name)
    for entry in entry_points(name):
        assert entry.encode() in binary


def test_a_source_is_compiled_once_for_a_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_nvrtc()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = [
        compiled("bits", "sm_80", {"A": 1, "B": 2}),
        compiled("bits", "sm_80", {"B": 2, "A": 1}),
    ]
    assert paths[0] == paths[1]
    written = paths[0].stat().st_mtime_ns
    assert (
        compiled("bits", "sm_80", {"A": 1})
        != paths[0]
        != compiled("bits", "sm_86", {"A": 1, "B": 2})
    )
    assert compiled("bits", "sm_80", {"A": 1, "B": 2}).stat().st_mtime_ns == written
    assert len(list(paths[0].parent.iterdir())) == 3


def test_an_error_of_the_compiler_is_told() -> None:
    require_nvrtc()
    with pytest.raises(RuntimeError, match='identifier "nothing" is undefined'):
        compile_source("int x = nothing;", ("--gpu-architecture=sm_80",))


@pytest.mark.parametrize(
    ("capability", "expected"), [("80", "sm_80"), ("90", "sm_90a"), ("999", "compute_")]
)
def test_every_gpu_has_an_architecture(capability: str, expected: str) -> None:
    require_nvrtc()
    assert architecture(capability).startswith(expected)


def test_a_gpu_that_is_too_old_is_an_error() -> None:
    require_nvrtc()
    with pytest.raises(RuntimeError, match="compute capability 20"):
        architecture("20")


@pytest.mark.parametrize("name", SOURCES)
def test_source_needs_no_header(name: str) -> None:
    assert "#include" not in source(name)


@needs_compiler
@pytest.mark.parametrize("n", [1, 63, 64, 65, 127, 128, 129, 500])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_damping_source(n: int, dtype: type[np.floating[Any]]) -> None:
    made = inputs(walk(n, seed=5), edges(n))
    outputs = (
        np.empty((n, 16, 4), dtype),
        np.empty((n, 16), np.float32),
        np.empty(n, np.int8),
        np.empty(n, np.bool_),
        np.empty((n, 3), np.float32),
    )
    launch_cuda(load_on_cpu, n, made, DampingParams(), 0, outputs)
    reference = naive.damp(*made)
    if dtype is np.float16:
        nearest = reference.trajectory.astype(dtype)
        np.testing.assert_allclose(outputs[0], nearest, rtol=1e-3, atol=2e-4)
    else:
        assert_agree(Damping(*outputs), reference)


@needs_compiler
@pytest.mark.parametrize("n", [1, 64, 65, 129, 400])
@pytest.mark.parametrize("encoder", list(COLUMNS))
def test_bits_source(encoder: str, n: int) -> None:
    bars, segments = walk(n, seed=6, decimals=4), edges(n, *range(200, n, 170))
    bits, valid = np.empty(n, np.uint8), np.empty(n, np.bool_)
    columns = [bars[name] for name in COLUMNS[encoder]]
    if encoder == "volatility":
        ranges = np.empty(n)
        launch_blocks(load_on_cpu, "bits", "true_range", n, *columns, segments, ranges)
        columns = [ranges]
    if encoder in ("direction", "body"):
        tail = (segments,) if encoder == "direction" else ()
        launch_blocks(load_on_cpu, "bits", encoder, n, *columns, *tail, bits, valid)
    else:
        mean = (*columns, segments, np.int64(WINDOW), bits, valid)
        launch_blocks(load_on_cpu, "bits", "exceeds_mean", n, *mean)
    reference = naive.encode_bits(bars, segments, encoder)
    assert_same_bits(bits, reference[0])
    assert_same_bits(valid, reference[1])


@needs_compiler
@pytest.mark.parametrize("n", [1, 64, 65, 129, 400])
def test_event_and_volatility_sources(n: int) -> None:
    rng, segments = np.random.default_rng(n), edges(n, *range(150, n, 120))
    valid = rng.random(n) < 0.4
    bits = (valid & (rng.random(n) < 0.5)).astype(np.uint8)
    events, sigma, log_price = np.empty(n, np.uint8), np.empty(n), rng.normal(size=n).cumsum()
    launch_blocks(load_on_cpu, "bits", "transitions", n, bits, valid, segments, events)
    assert_same_bits(events, naive.transitions(bits, valid, segments))
    volatility = (log_price, segments, np.int64(WINDOW), sigma)
    launch_blocks(load_on_cpu, "bits", "volatility", n, *volatility)
    np.testing.assert_allclose(sigma, naive.volatility(log_price, segments), rtol=1e-13)
