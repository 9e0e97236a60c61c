"""Runs kernels/cuda/*.cu on the CPU: the very source the GPU runs, compiled as C++20 by g++.

How to run a kernel through it, with the call that CuPy's kernels take::

    from tests.kernels.shim import load_on_cpu, no_compiler

    @pytest.mark.skipif(no_compiler() is not None, reason=str(no_compiler()))
    def test_nearest_source() -> None:
        search = load_on_cpu("nearest", "search", BLOCK=32)
        search((blocks,), (32,), (queries, library, np.int64(n), scores))

`load_on_cpu` has the signature of `kernels.device.kernel`, so host code that is given its loader
runs as a whole: ``launch_blocks(load_on_cpu, "bits", "transitions", n, ...)``.

Arguments are C-contiguous NumPy arrays (a pointer in the kernel), None (a null pointer) and NumPy
scalars of the exact width; their number and sizes are checked, their types are not. Shared memory
must be declared with a fixed size (no ``extern __shared__``), and inline PTX needs a plain C++
body under ``#ifndef __CUDA_ARCH__``. Fewer than a hundred threads a block and a few thousand in
all keep a test quick. What the language offers here is in shim.h; add what a kernel needs there.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels.compiler import source

HEADER = Path(__file__).with_name("shim.h")
FLAGS = ("-std=c++20", "-O2", "-shared", "-fPIC", "-w")
ENTRY = re.compile(r'extern "C" __global__ void\s+(?:__launch_bounds__\([^)]*\)\s+)?(\w+)\(')


def no_compiler() -> str | None:
    """Say why the shim cannot run here, or None."""
    return None if shutil.which("g++") else "g++ is not installed (it compiles CUDA for the CPU)"


def entry_points(source_name: str) -> list[str]:
    """Names of the kernels in kernels/cuda/<source_name>.cu."""
    return ENTRY.findall(source(source_name))


def load_on_cpu(source_name: str, name: str, /, **defines: int) -> Callable[..., None]:
    """Load a CUDA kernel as a function that runs on the CPU."""
    function = getattr(_library(source_name, tuple(sorted(defines.items()))), f"launch_{name}")

    def run(grid: Sequence[int], block: Sequence[int], arguments: Sequence[Any]) -> None:
        values = [_address(argument) for argument in arguments]
        refused = function(
            _three(grid),
            _three(block),
            (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values)),
            (ctypes.c_size_t * len(values))(*(ctypes.sizeof(value) for value in values)),
            ctypes.c_size_t(len(values)),
        )
        if refused:
            raise TypeError(f"{name}: wrong number or size of arguments (at {refused})")

    return run


@cache
def _library(source_name: str, defines: tuple[tuple[str, int], ...]) -> ctypes.CDLL:
    exports = "\n".join(f"SHIM_EXPORT({name})" for name in entry_points(source_name))
    with tempfile.TemporaryDirectory() as folder:
        unit, library = Path(folder, f"{source_name}.cpp"), Path(folder, f"{source_name}.so")
        unit.write_text(f'#include "{HEADER}"\n{source(source_name)}\n{exports}\n')
        options = [f"-D{key}={value}" for key, value in defines]
        command = ["g++", *FLAGS, *options, str(unit), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return ctypes.CDLL(str(library))


def _address(argument: Any) -> Any:
    if argument is None:
        return ctypes.c_void_p()
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    assert isinstance(argument, np.generic), f"pass a NumPy scalar, not {argument!r}"
    return (ctypes.c_char * argument.nbytes).from_buffer_copy(argument.tobytes())


def _three(size: Sequence[int]) -> Any:
    return (ctypes.c_uint * 3)(*size, *(1,) * (3 - len(size)))
