"""The CUDA sources without a GPU: compiled for every architecture, and run on the CPU."""

from __future__ import annotations

from importlib import import_module, resources
from typing import Any

import numpy as np
import pytest

from kernels.bits import COLUMNS, WINDOW
from kernels.damping import Damping, DampingParams, launch_cuda
from kernels.device import CUDA_STANDARD, launch_blocks, source
from tests import naive
from tests.kernels.series import assert_same_bits, edges, inputs, walk
from tests.kernels.shim import entry_points, load_on_cpu, no_compiler
from tests.kernels.test_damping import assert_agree

FILES = (resources.files("kernels") / "cuda").iterdir()
SOURCES = sorted(file.name.removesuffix(".cu") for file in FILES if file.name.endswith(".cu"))
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_120")
needs_compiler = pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))


def load_nvrtc() -> Any:
    try:
        nvrtc = import_module("cupy_backends.cuda.libs.nvrtc")
        nvrtc.getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        pytest.skip(f"NVRTC does not load: {error}")
    return nvrtc


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", SOURCES)
def test_source_compiles(name: str, architecture: str) -> None:
    nvrtc = load_nvrtc()
    program = nvrtc.createProgram(source(name), f"{name}.cu", (), ())
    try:
        options = (f"--gpu-architecture={architecture}", CUDA_STANDARD)
        nvrtc.compileProgram(program, options)
        binary = nvrtc.getCUBIN(program)
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    finally:
        nvrtc.destroyProgram(program)
    assert entry_points(name)
    for entry in entry_points(name):
        assert entry.encode() in binary


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
