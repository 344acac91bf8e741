"""Builds the C++ kernels of this package on first use and keeps the libraries.

A kernel is plain C++17 without any header of PyTorch: it takes pointers, is compiled in about a second for
exactly the number of channels and the precision that a model has, with the instructions of this very processor,
and is called through :mod:`ctypes` (which releases Python's lock). The libraries are kept in ``$LGAE_CACHE``, by
default ``$XDG_CACHE_HOME/lgae_pyg`` or ``~/.cache/lgae_pyg``, under a name made of sources, options, compiler and
processor, so that a cluster's machines may share the folder.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path

import torch
from torch import Tensor

SOURCES = Path(__file__).parent / "cpp"
OPTIONS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
#: Ways to ask for the instructions of this processor; the first that the compiler takes.
NATIVE = ("-march=native", "-mcpu=native", "")
SECONDS = 300
#: The precisions that the kernels are built for, in C.
NAMES = {torch.float32: "float", torch.float64: "double"}


class CompilationError(RuntimeError):
    """The kernels cannot be built here."""


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """The address of a tensor's memory, as an argument of a kernel; null for none."""
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def pointers(tensors: Sequence[Tensor]) -> ctypes.Array:
    """The addresses of some tensors' memory, as one argument of a kernel."""
    return (ctypes.c_void_p * len(tensors))(*(tensor.data_ptr() for tensor in tensors))


def plain(tensor: Tensor) -> Tensor:
    """The numbers of a tensor as a kernel expects them: in order, conjugation and sign carried out."""
    if tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg():
        return tensor
    return tensor.detach().resolve_conj().resolve_neg().contiguous()


def check_offsets(ptr: Tensor, nodes: int) -> None:
    """Refuses offsets that do not describe the nodes that a kernel would visit.

    Raises:
        ValueError: if they are not integers from 0 to the number of nodes that never fall.
    """
    if ptr.dtype != torch.int64 or ptr.dim() != 1 or len(ptr) < 1:
        raise ValueError(f"ptr must be a list of offsets, int64, not {tuple(ptr.shape)} {ptr.dtype}")
    if int(ptr[0]) != 0 or int(ptr[-1]) != nodes or bool((ptr[1:] < ptr[:-1]).any()):
        raise ValueError(f"ptr must rise from 0 to the number of nodes, {nodes}, but is {ptr.tolist()[:10]}...")


def threads() -> tuple[ctypes.c_int, ctypes.c_void_p]:
    """How a kernel runs in parallel: the number of threads of PyTorch, and the entry point of its OpenMP."""
    return ctypes.c_int(torch.get_num_threads()), _openmp()


@lru_cache(maxsize=1)
def _openmp() -> ctypes.c_void_p:
    """``GOMP_parallel`` of the runtime that PyTorch has loaded; null where there is none, as outside Linux."""
    try:
        return ctypes.cast(ctypes.CDLL(None).GOMP_parallel, ctypes.c_void_p)
    except (AttributeError, OSError, TypeError):
        return ctypes.c_void_p(None)


@lru_cache(maxsize=1)
def find_compiler() -> tuple[str, ...]:
    """The C++ compiler: ``$CXX``, or the first of c++, g++ and clang++ on the path.

    Raises:
        CompilationError: if there is none.
    """
    if os.environ.get("CXX"):
        return tuple(shlex.split(os.environ["CXX"]))
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return (path,)
    raise CompilationError("there is no C++ compiler: install g++ or clang++, or name one in $CXX")


def cache_folder() -> Path:
    """The folder of built libraries, private to the user.

    Raises:
        CompilationError: if it belongs to somebody else, or others may write to it.
    """
    if os.environ.get("LGAE_CACHE"):
        folder = Path(os.environ["LGAE_CACHE"])
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        folder = (Path(base) if base else Path.home() / ".cache") / "lgae_pyg"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError) as error:
        raise CompilationError(f"no folder for compiled kernels ({error}): set LGAE_CACHE") from error
    if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise CompilationError(
            f"others may write to {folder}, so no code is loaded from it: chmod 700, or set LGAE_CACHE"
        )
    return folder


@cache
def load_library(sources: Sequence[str], defines: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    """The library of some sources of the folder ``cpp``, built if it is not yet there.

    Args:
        sources: names of the files.
        defines: macros and their values.

    Raises:
        CompilationError: if there is no compiler, or it refuses; the message holds what it said.
    """
    folder, compiler = cache_folder(), find_compiler()
    path = folder / f"{Path(sources[0]).stem}-{_fingerprint(compiler, sources, dict(defines))}.so"
    if not path.exists():
        _build(compiler, sources, dict(defines), path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilationError(f"the compiled kernel {path} does not load ({error}): delete it") from error


def _fingerprint(compiler: Sequence[str], sources: Sequence[str], defines: Mapping[str, str]) -> str:
    digest = hashlib.sha256()
    for file in sorted(SOURCES.iterdir()):
        if file.suffix in (".h", ".cpp"):
            digest.update(file.read_bytes())
    for part in (*compiler, _version(compiler), *OPTIONS, *sources, *sorted(defines.items()), _processor()):
        digest.update(repr(part).encode())
    return digest.hexdigest()[:20]


@lru_cache(maxsize=4)
def _version(compiler: Sequence[str]) -> str:
    try:
        done = subprocess.run([*compiler, "--version"], capture_output=True, text=True, timeout=SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilationError(f"the C++ compiler {' '.join(compiler)} does not run: {error}") from error
    return done.stdout


@lru_cache(maxsize=1)
def _processor() -> str:
    """What tells the instruction sets of two processors apart."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    names = ("flags", "Features", "model name")
    return "\n".join(sorted({line for line in lines if line.startswith(names)}))


def _build(compiler: Sequence[str], sources: Sequence[str], defines: Mapping[str, str], path: Path) -> None:
    """Compiles into a temporary file and moves it to its place, so that other processes see a whole library."""
    handle, temporary = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    macros = [f"-D{name}={value}" for name, value in defines.items()]
    files = [str(SOURCES / name) for name in sources]
    errors = ""
    try:
        for native in NATIVE:
            command = [*compiler, *OPTIONS, *([native] if native else []), *macros, *files, "-o", temporary]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            except (OSError, subprocess.TimeoutExpired) as error:
                raise CompilationError(f"the C++ compiler does not run: {error}") from error
            if done.returncode == 0:
                os.replace(temporary, path)
                return
            errors = errors or done.stderr[-2000:]
    finally:
        Path(temporary).unlink(missing_ok=True)
    raise CompilationError(f"{' '.join(compiler)} could not build {', '.join(sources)}:\n{errors}")
