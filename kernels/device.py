"""Where a kernel runs: the choice of engine, arrays on host and GPU, and the loader of CUDA source.

NumPy arrays live on the host, CuPy arrays on the GPU. An engine works on arrays of its own kind,
and a public kernel returns arrays of the kind it was given.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Literal, TypeAlias, cast

import numpy as np

from kernels.compiler import architecture, compiled, nvrtc
from kernels.transfer import LEAST, download, upload

Array: TypeAlias = Any
"""A NumPy or a CuPy array."""

EngineName: TypeAlias = Literal["cpu", "gpu"]

Loader: TypeAlias = Callable[..., Callable[..., None]]
"""Finds a kernel by its module and name; `kernel` is the one for the GPU."""

BLOCK = 128

_one_at_a_time = threading.Lock()  # numba's plain threading layer aborts when two threads enter it


class EngineUnavailable(RuntimeError):
    """The engine that was asked for cannot run on this machine."""


@dataclass(frozen=True)
class Engine:
    """The engine that runs, and why it was chosen.

    Attributes
    ----------
    name : {"cpu", "gpu"}
    reason : str
        One clause for people, such as "no NVIDIA driver (libcuda.so.1) on this machine".
    """

    name: EngineName
    reason: str

    @property
    def xp(self) -> Any:
        """The array module the engine works with: numpy or cupy."""
        return _cupy() if self.name == "gpu" else np


def _cupy() -> Any:
    return import_module("cupy")


@cache
def gpu_unavailable() -> str | None:
    """Say why the GPU engine cannot run here.

    Asks the cheapest question first: the driver (0.1 ms), then CuPy, then a device, then the
    run-time compiler.

    Returns
    -------
    str or None
        The reason and what to do about it; None where the GPU engine runs.
    """
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver (libcuda.so.1) on this machine"
    try:
        cupy = _cupy()
    except ImportError as error:
        return f"CuPy does not import ({error}); install the extra gpu12 or gpu13"
    if not cupy.cuda.is_available():
        return "CuPy sees no GPU; check nvidia-smi and CUDA_VISIBLE_DEVICES"
    try:
        nvrtc().getVersion()
    except (ImportError, OSError, RuntimeError) as error:
        return f"NVRTC does not load ({error}); install the extra gpu12 or gpu13"
    return None


def choose_engine(engine: str = "auto") -> Engine:
    """Choose the engine and say why.

    Parameters
    ----------
    engine : {"auto", "cpu", "gpu"}
        "auto" takes the GPU where it runs and the CPU otherwise.

    Raises
    ------
    EngineUnavailable
        If the GPU is asked for and cannot run; the message says why.
    ValueError
        If `engine` is none of the three names.
    """
    if engine not in ("auto", "cpu", "gpu"):
        raise ValueError(f"engine must be 'auto', 'cpu' or 'gpu', not {engine!r}")
    if engine == "cpu":
        return Engine("cpu", "asked for")
    missing = gpu_unavailable()
    if missing is None:
        return Engine("gpu", "asked for" if engine == "gpu" else "a GPU is available")
    if engine == "gpu":
        raise EngineUnavailable(f"engine='gpu' cannot run: {missing}; or take engine='cpu'")
    return Engine("cpu", missing)


def _is_cupy(array: Array) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"


def array_module(*arrays: Array) -> Any:
    """Return cupy if any of the arrays is a CuPy array, numpy otherwise."""
    return _cupy() if any(_is_cupy(array) for array in arrays) else np


def to_host(array: Array) -> Array:
    """Return a NumPy array, C-contiguous; copies only what is not one already."""
    if not _is_cupy(array):
        return np.ascontiguousarray(array)
    with array.device:
        if array.nbytes >= LEAST:
            here = np.empty(array.shape, array.dtype)
            download((_cupy().ascontiguousarray(array), [here]))
            return here
        await_kernels()  # a copy that waits for them keeps other threads from copying
        return np.ascontiguousarray(_cupy().asnumpy(array))


def await_kernels() -> None:
    """Wait until what the current stream does has ended."""
    _cupy().cuda.get_current_stream().synchronize()


def to_device(array: Array) -> Array:
    """Return a C-contiguous CuPy array of the current GPU; copies only what is not one already.

    What computes an array of another GPU must have ended.
    """
    xp = _cupy()
    if _is_cupy(array):
        here = array.device.id == xp.cuda.Device().id
        return xp.ascontiguousarray(array if here else array.copy())
    if np.asarray(array).nbytes < LEAST:
        return xp.ascontiguousarray(xp.asarray(array))
    there = xp.empty(array.shape, array.dtype)
    upload(([np.ascontiguousarray(array)], there))
    return there


@dataclass(frozen=True)
class Gpu:
    """What host code needs to know of the GPU it drives.

    Attributes
    ----------
    load : callable
        Finds a kernel: `kernel`, or a loader of the same signature.
    xp : module
        Arrays that the kernels take: cupy.
    processors : int
        Multiprocessors, for the number of blocks.
    free : callable
        Tells the bytes of memory that can still be had.
    capability : int
        Compute capability times ten: tensor cores are used from 80 on, Hopper's own at 90.
    """

    load: Loader
    xp: Any
    processors: int
    free: Callable[[], int]
    capability: int

    @classmethod
    def current(cls) -> Gpu:
        """Describe CuPy's current device."""
        cupy = _cupy()
        device = cupy.cuda.Device()
        processors = device.attributes["MultiProcessorCount"]
        return cls(kernel, cupy, processors, _free_memory, int(device.compute_capability))


def _free_memory() -> int:
    cupy = _cupy()
    kept = cupy.get_default_memory_pool().free_bytes()
    return int(cupy.cuda.runtime.memGetInfo()[0]) + int(kept)


def move(array: Array, xp: Any) -> Array:
    """Return the array as one of module `xp` (numpy or cupy), C-contiguous.

    Parameters
    ----------
    array : array
        NumPy or CuPy.
    xp : module
        numpy or cupy.

    Returns
    -------
    array
        The same one where nothing has to be copied.
    """
    return to_host(array) if xp is np else to_device(array)


def kernel(source_name: str, name: str, /, **defines: int) -> Callable[..., None]:
    """Load an ``extern "C"`` CUDA kernel.

    A source is compiled once for each user, architecture and set of constants.

    Parameters
    ----------
    source_name : str
        Stem of a file in kernels/cuda.
    name : str
        Name of the kernel in that file.
    **defines : int
        Preprocessor constants, such as ``BLOCK=128``.

    Returns
    -------
    callable
        Called as ``kernel(grid, block, arguments, shared_mem=bytes)`` (a `cupy.RawKernel`).

    Raises
    ------
    EngineUnavailable
        If there is no usable GPU.
    """
    missing = gpu_unavailable()
    if missing is not None:
        raise EngineUnavailable(f"kernel {name!r} needs a GPU: {missing}")
    device = _cupy().cuda.Device().id
    loaded = _module(device, source_name, tuple(sorted(defines.items())))
    return cast(Callable[..., None], loaded.get_function(name))


@cache
def _module(device: int, source_name: str, defines: tuple[tuple[str, int], ...]) -> Any:
    capability = _cupy().cuda.Device(device).compute_capability
    path = compiled(source_name, architecture(capability), dict(defines))
    return _cupy().RawModule(path=str(path))


def launch(engine: Engine, module: str, name: str, n: int, *arguments: Any) -> None:
    """Run a kernel that takes ``(n, inputs, parameters, outputs)`` with one lane a bar.

    The CPU twin in kernels/cpu/<module>.py has the same name and arguments as the CUDA kernel.

    Parameters
    ----------
    engine : Engine
    module, name : str
        Stem of the files and name of the kernel.
    n : int
        Number of bars, passed as int64.
    *arguments
        Arrays of the engine's kind and NumPy scalars of the exact width.
    """
    if engine.name == "gpu":
        launch_blocks(kernel, module, name, n, *arguments)
    elif n > 0:
        with _one_at_a_time:
            getattr(import_module(f"kernels.cpu.{module}"), name)(np.int64(n), *arguments)


def launch_blocks(load: Loader, module: str, name: str, n: int, *arguments: Any) -> None:
    """Run a CUDA kernel with one thread a bar, in blocks of `BLOCK` threads.

    Parameters
    ----------
    load : callable
        Finds the kernel: `kernel`, or a loader of the same signature.
    module, name : str
        Stem of the file and name of the kernel.
    n : int
        Number of bars, passed as int64; nothing runs for 0.
    *arguments
        CuPy arrays and NumPy scalars of the exact width.
    """
    if n > 0:
        load(module, name)((-(-n // BLOCK),), (BLOCK,), (np.int64(n), *arguments))


def require_array(name: str, array: Array, dtype: str, shape: tuple[int | None, ...]) -> None:
    """Refuse an array of another dtype or shape; None in `shape` leaves a dimension open.

    Parameters
    ----------
    name : str
        Of the array, for the message.
    array : array
    dtype : str
        Such as "float64".
    shape : tuple of int or None

    Raises
    ------
    TypeError
        If `array` is no NumPy or CuPy array of that dtype.
    ValueError
        If its shape differs.
    """
    if not (isinstance(array, np.ndarray) or _is_cupy(array)):
        kind = type(array).__name__
        raise TypeError(f"{name} must be a NumPy or CuPy array, not {kind}; use np.asarray")
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {dtype}, not {array.dtype}; use {name}.astype('{dtype}')")
    if len(array.shape) != len(shape) or any(
        want not in (None, have) for want, have in zip(shape, array.shape, strict=True)
    ):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"{name} must have shape ({wanted}), not {array.shape}")


def require_segments(segments: Array, n: int) -> None:
    """Refuse segment numbers that are not int32[n] or that decrease.

    Parameters
    ----------
    segments : int32[n]
        NumPy or CuPy.
    n : int
        Number of bars.

    Raises
    ------
    TypeError, ValueError
        As `require_array`, and ValueError if a number is smaller than the one before.
    """
    require_array("segments", segments, "int32", (n,))
    if bool((segments[1:] < segments[:-1]).any()):
        raise ValueError("segments must not decrease; use kernels.segments on sorted timestamps")
