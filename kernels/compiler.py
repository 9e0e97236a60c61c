"""CUDA sources compiled at run time by NVRTC, once for each user, architecture and constants."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from importlib import import_module, resources
from pathlib import Path
from typing import Any

OPTIONS = ("--std=c++17", "--ftz=true")
HOPPER = "90"


def source(name: str) -> str:
    """Return the text of kernels/cuda/<name>.cu."""
    return (resources.files("kernels") / "cuda" / f"{name}.cu").read_text("utf-8")


def architecture(capability: str) -> str:
    """Name what to compile for on a GPU of that compute capability.

    Parameters
    ----------
    capability : str
        Without its dot, such as "89".

    Returns
    -------
    str
        Its own machine code ("sm_89"; "sm_90a" with the instructions that only Hopper has), or,
        where NVRTC is older than the GPU, code that the driver translates ("compute_86").

    Raises
    ------
    RuntimeError
        If the GPU is older than anything NVRTC compiles for.
    """
    supported = nvrtc().getSupportedArchs()
    if int(capability) in supported:
        return f"sm_{capability}a" if capability == HOPPER else f"sm_{capability}"
    older = [each for each in supported if each < int(capability)]
    if not older:
        raise RuntimeError(f"NVRTC compiles for no GPU of compute capability {capability}")
    return f"compute_{max(older)}"


def compiled(name: str, target: str, constants: Mapping[str, int]) -> Path:
    """Return the compiled kernels/cuda/<name>.cu, from the cache folder where it is there.

    Parameters
    ----------
    name : str
        Stem of the file.
    target : str
        Of `architecture`.
    constants : mapping of str to int
        Preprocessor constants.

    Raises
    ------
    RuntimeError
        If the source does not compile; the message is the compiler's.
    """
    text, defines = source(name), (f"-D{key}={constants[key]}" for key in sorted(constants))
    options = (*OPTIONS, f"--gpu-architecture={target}", *defines)
    made_from = repr((text, options, nvrtc().getVersion()))
    digest = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    path = cache_folder() / f"{name}-{target}-{digest}"
    if not path.exists():
        _write(path, compile_source(text, options))
    return path


def compile_source(text: str, options: tuple[str, ...]) -> bytes:
    """Compile CUDA source to machine code, or to PTX for a compute_ architecture.

    Parameters
    ----------
    text : str
        CUDA C++.
    options : tuple of str
        Of NVRTC, the architecture among them.

    Returns
    -------
    bytes

    Raises
    ------
    RuntimeError
        With the compiler's messages.
    """
    library = nvrtc()
    program = library.createProgram(text, "kernel.cu", (), ())
    try:
        library.compileProgram(program, options)
        virtual = any("=compute_" in option for option in options)
        binary = library.getPTX(program) if virtual else library.getCUBIN(program)
    except library.NVRTCError as error:
        raise RuntimeError(f"NVRTC: {error}\n{library.getProgramLog(program)}") from error
    finally:
        library.destroyProgram(program)
    return bytes(binary)


def cache_folder() -> Path:
    """Return the folder of compiled kernels: sep-trader/kernels in the user's cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "sep-trader" / "kernels"


def nvrtc() -> Any:
    """Return CuPy's binding of NVRTC; ImportError or OSError where it cannot be had."""
    return import_module("cupy_backends.cuda.libs.nvrtc")


def _write(path: Path, content: bytes) -> None:
    """Write so that another process sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
