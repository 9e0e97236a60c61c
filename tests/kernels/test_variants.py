"""Many variants over bars that are moved once: each the chain's, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kernels.bits import COLUMNS, encode_bits, transitions, volatility
from kernels.damping import Damping, DampingParams, damp
from kernels.device import array_module
from kernels.variants import Variant, damp_each, variants
from tests.kernels.series import assert_same_bits, edges, walk
from tests.kernels.shim import load_on_cpu, no_compiler

Native = Callable[[Any], Any]
SWEPT = variants(k1=(0.3, 5.0), k2=(0.2,), tau=(8.0, 64.0), encoder=list(COLUMNS))


def chain(bars: Any, segments: Any, variant: Variant, **how: Any) -> Damping:
    """What every step by itself gives."""
    engine = how["engine"]
    bits, valid = encode_bits(bars, segments, encoder=variant.encoder, engine=engine)
    events = transitions(bits, valid, segments, engine=engine)
    log_price = array_module(bars["close"]).log(bars["close"])
    sigma = volatility(log_price, segments, engine=engine)
    return damp(events, log_price, sigma, segments, params=variant.params, **how)


def assert_same_damping(computed: Damping, reference: Damping) -> None:
    for field in fields(Damping):
        assert_same_bits(getattr(computed, field.name), getattr(reference, field.name))


def holed(n: int) -> dict[str, Any]:
    bars = walk(n, seed=n, decimals=4)
    for i, column in enumerate(bars.values()):
        column[2 * i : 2 * i + 1] = np.nan
    return bars


@pytest.mark.parametrize("n", [0, 1, 257, 258, 900])
@pytest.mark.parametrize("output", ["all", "last"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_each_variant_is_that_of_the_chain(
    engine: str, native: Native, n: int, output: Any, dtype: Any
) -> None:
    bars = {name: native(column) for name, column in holed(n).items()}
    segments = native(edges(n, *range(500, n, 500)))
    how = {"output": output, "dtype": dtype, "engine": engine}
    computed = list(damp_each(bars, segments, SWEPT, **how))
    assert len(computed) == len(SWEPT) == 16
    for variant, damping in zip(SWEPT, computed, strict=True):
        reference = chain(bars, segments, variant, **how)
        assert_same_damping(damping, reference)
        assert array_module(damping.trajectory) is array_module(segments)
    if n == 900:
        assert len({np.nansum(d.trajectory.astype(float)).item() for d in computed}) == 16


def test_host_bars_give_host_trajectories(engine: str) -> None:
    bars, segments = holed(400), edges(400)
    for variant, damping in zip(
        SWEPT, damp_each(bars, segments, SWEPT, engine=engine), strict=True
    ):
        assert_same_damping(damping, chain(bars, segments, variant, engine=engine))
        assert isinstance(damping.trajectory, np.ndarray)
        assert np.isfinite(damping.trajectory[300:]).mean() > 0.5


class OnlyGpu(nullcontext[None]):
    """The GPU that all arrays are on."""

    id = 0


class Remote(np.ndarray):
    """An array that `kernels` takes for one on the GPU."""

    device = OnlyGpu()  # type: ignore[assignment]


Remote.__module__ = "cupy"  # by which kernels.device knows one


@pytest.fixture
def crossings(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Any]]:
    """A GPU that is this CPU: the CUDA sources run in the shim, and copies are noted."""
    to: list[Any] = []
    back: list[Any] = []

    def asarray(array: Any) -> Any:
        if not isinstance(array, Remote):
            to.append(array)
        return array.view(Remote)

    def asnumpy(array: Any) -> Any:
        back.append(array)
        return np.array(array)

    stream = SimpleNamespace(synchronize=lambda: None)
    cupy = SimpleNamespace(
        cuda=SimpleNamespace(Device=OnlyGpu, get_current_stream=lambda: stream),
        asarray=asarray,
        ascontiguousarray=lambda array: np.ascontiguousarray(array).view(Remote),
        asnumpy=asnumpy,
        empty=lambda *form: np.empty(*form).view(Remote),
    )
    monkeypatch.setattr("kernels.device._cupy", lambda: cupy)
    monkeypatch.setattr("kernels.device.gpu_unavailable", lambda: None)
    monkeypatch.setattr("kernels.device.kernel", load_on_cpu)
    monkeypatch.setattr("kernels.damping.kernel", load_on_cpu)
    return {"to": to, "back": back}


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
def test_no_array_crosses_twice(crossings: dict[str, list[Any]]) -> None:
    bars, segments, swept = holed(300), edges(300), SWEPT[::3]
    found = list(damp_each(bars, segments, swept, engine="gpu"))
    given = [*bars.values(), segments, np.log(bars["close"])]
    assert len(crossings["to"]) == len(given) == 7
    crossed = {array.tobytes() for array in crossings["to"]}
    assert crossed == {array.tobytes() for array in given}
    assert len(crossings["back"]) == len(swept) * len(fields(Damping))
    for variant, damping in zip(swept, found, strict=True):
        assert type(damping.trajectory) is np.ndarray
        assert (damping.steps > 0).any()
        assert_same_damping(damping, chain(bars, segments, variant, engine="gpu"))


@pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
def test_what_no_encoder_reads_stays(crossings: dict[str, list[Any]]) -> None:
    bars, segments = holed(300), edges(300)
    later = damp_each(bars, segments, variants(tau=(8.0, 16.0), encoder=["volume"]), engine="gpu")
    assert len(crossings["to"]) == 3  # volume, segments and log price
    assert len(crossings["back"]) == 0
    next(later)
    assert len(crossings["back"]) == len(fields(Damping))


def test_variants_are_a_cartesian_product() -> None:
    made = variants(k1=(0.1, 0.2), tau=(4.0, 8.0, 16.0), encoder=("body", "volume"))
    assert len(made) == len(set(made)) == 12
    assert made[0] == Variant("body", DampingParams(k1=0.1, tau=4.0))
    assert made[1] == Variant("body", DampingParams(k1=0.1, tau=8.0))
    assert made[-1] == Variant("volume", DampingParams(k1=0.2, tau=16.0))
    assert variants() == [Variant()]
    assert list(damp_each({"close": np.ones(3)}, edges(3), [], engine="cpu")) == []


def test_bad_input_is_named() -> None:
    bars, segments = holed(300), edges(300)
    with pytest.raises(ValueError, match="encoder must be one of"):
        variants(encoder=["price"])
    with pytest.raises(ValueError, match="tau must be between"):
        variants(tau=[0.0])
    with pytest.raises(ValueError, match="bars lacks high, low"):
        damp_each({"close": bars["close"]}, segments, SWEPT, engine="cpu")
    with pytest.raises(ValueError, match="bars lacks close"):
        damp_each({"volume": bars["volume"]}, segments, SWEPT, engine="cpu")
    with pytest.raises(ValueError, match=r"bars\['close'\] must be positive"):
        damp_each({**bars, "close": bars["close"] * 0}, segments, SWEPT, engine="cpu")
    with pytest.raises(ValueError, match=r"bars\['close'\] must have shape \(299\)"):
        damp_each(bars, segments[1:], SWEPT, engine="cpu")
    with pytest.raises(ValueError, match="output must be"):
        next(damp_each(bars, segments, SWEPT, output="first", engine="cpu"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="dtype must be"):
        next(damp_each(bars, segments, SWEPT, dtype=np.float64, engine="cpu"))
