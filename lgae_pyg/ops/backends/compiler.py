"""Builds the C++ kernels of this package on first use and keeps the libraries.

A kernel is plain C++17 without any header of PyTorch: it takes pointers, is compiled in about a second for
exactly the number of channels and the precision that a model has, with the instructions of this very processor,
and is called through :mod:`ctypes` (which releases Python's lock). The libraries are kept in ``$LGAE_CACHE``, by
default ``$XDG_CACHE_HOME/lgae_pyg`` or ``~/.cache/lgae_pyg``, under a name made of sources, options, compiler and
processor, so that a cluster's machines may share the folder; where there is no such folder, only as long as the
process lives.
"""

import atexit
import contextlib
import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.files import first_line, write_text

SOURCES = Path(__file__).parent / "cpp"
OPTIONS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fPIC", "-shared", "-pthread")
#: Ways to ask for the instructions of this processor; the first that the compiler takes.
NATIVE = ("-march=native", "-mcpu=native")
SECONDS = 300
#: The precisions that the kernels are built for, in C.
NAMES = {torch.float32: "float", torch.float64: "double"}


#: What has been said once.
SAID: set[str] = set()

log = logging.getLogger("lgae_pyg.backend")


class CompilationError(RuntimeError):
    """The kernels cannot be built here."""


@lru_cache(maxsize=1)
def find_compiler() -> tuple[str, ...]:
    """The C++ compiler: ``$CXX``, or the first of c++, g++ and clang++ on the path.

    Raises:
        CompilationError: if there is none.
    """
    if os.environ.get("CXX"):
        try:
            return tuple(shlex.split(os.environ["CXX"]))
        except ValueError as error:
            raise CompilationError(f"CXX={os.environ['CXX']} names no compiler: {error}") from error
    for name in ("c++", "g++", "clang++"):
        if path := shutil.which(name):
            return (path,)
    raise CompilationError("there is no C++ compiler: install g++ or clang++, or name one in $CXX")


def cache_folder() -> Path:
    """The folder in which libraries are kept, private to the user.

    Raises:
        CompilationError: if there is none, it belongs to somebody else, or others may write to it.
    """
    try:
        if os.environ.get("LGAE_CACHE"):
            folder = Path(os.environ["LGAE_CACHE"])
        else:
            base = os.environ.get("XDG_CACHE_HOME")
            folder = (Path(base) if base else Path.home() / ".cache") / "lgae_pyg"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError) as error:
        raise CompilationError(f"there is no folder for compiled kernels ({error})") from error
    if hasattr(os, "getuid") and status.st_uid != os.getuid():
        raise CompilationError(f"{folder} belongs to somebody else, so no code is loaded from it")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CompilationError(f"others may write to {folder}, so no code is loaded from it")
    return folder


@lru_cache(maxsize=1)
def temporary_folder() -> Path:
    """A folder for libraries that cannot be kept, private to this process, which removes it at its end.

    Raises:
        CompilationError: if there is no place for temporary files either.
    """
    try:
        folder, owner = Path(tempfile.mkdtemp(prefix="lgae_pyg_")), os.getpid()
    except OSError as error:
        raise CompilationError(f"there is no folder for temporary files ({error})") from error
    atexit.register(_remove_of, owner, folder)
    return folder


def _remove_of(owner: int, folder: Path) -> None:
    """Removes a folder at the end of the process that made it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


@cache
def load_library(sources: Sequence[str], defines: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    """The library of some sources of the folder ``cpp``, built if it is not yet there.

    It is kept in :func:`cache_folder`; where that cannot be done, in :func:`temporary_folder`, which is said once.

    Args:
        sources: names of the files.
        defines: macros and their values.

    Raises:
        CompilationError: if there is no compiler, or it refuses; the message holds what it said.
    """
    compiler = find_compiler()
    name = f"{Path(sources[0]).stem}-{_fingerprint(compiler, sources, dict(defines))}.so"
    build = partial(_build, compiler, sources, dict(defines))
    try:
        return _load(cache_folder() / name, build)
    except (CompilationError, OSError) as error:
        try:
            library = _load(temporary_folder() / name, build)  # says by itself what is wrong with the compiler
        except OSError as second:
            raise CompilationError(f"there is no place for compiled kernels ({second})") from error
        say_once(
            logging.WARNING,
            f"compiled kernels cannot be kept, and are built again in every process: {first_line(error)}; name a "
            "folder of yours in LGAE_CACHE",
            about="keeping",
        )
        return library


def _load(path: Path, build: Callable[[Path], None]) -> ctypes.CDLL:
    """Loads a library, building it if it is not there, is not the one that was built here, or does not load."""
    if _is_ours(path):
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            pass
    build(path)
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompilationError(f"the compiled kernel {path} does not load ({error})") from error


def _is_ours(path: Path) -> bool:
    """Whether a library is the one that this user built under this name, every byte of it.

    The hash beside it (``NAME.so.sha256``) is of name and content; both files must belong to the user, and nobody
    else may write to them: a folder that is private now may not have been so always.
    """
    try:
        for file in (path, _hash_file(path)):
            status = file.lstat()
            foreign = hasattr(os, "getuid") and status.st_uid != os.getuid()
            if foreign or not stat.S_ISREG(status.st_mode) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                return False
        return _hash_file(path).read_text() == _hash(path, path.read_bytes())
    except (OSError, UnicodeDecodeError):
        return False


def _hash_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _hash(path: Path, content: bytes) -> str:
    return hashlib.sha256(path.name.encode() + b"\0" + content).hexdigest()


def say_once(level: int, message: str, about: str = "") -> None:
    """Logs a message, once per process: of those about the same thing, the first."""
    if (about or message) not in SAID:
        SAID.add(about or message)
        log.log(level, message)


@cache
def _announce(message: str) -> None:
    """Says once why one has to wait, on stderr where no logging has been set up that would show it."""
    if log.hasHandlers() and log.isEnabledFor(logging.INFO):
        log.info(message)
    else:
        print(f"lgae_pyg: {message}", file=sys.stderr, flush=True)


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
    return _run([*compiler, "--version"]).stdout


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
    """Compiles into a temporary file and moves it to its place, so that other processes see a whole library.

    Raises:
        CompilationError: if the compiler does not run, or refuses.
        OSError: if the folder cannot be written to.
    """
    handle, temporary = tempfile.mkstemp(suffix=".so", dir=path.parent)
    os.close(handle)
    _announce(
        f"building C++ kernels for this model and this processor with {' '.join(compiler)}, a few seconds each, "
        f"into {path.parent}"
    )
    macros = [f"-D{name}={value}" for name, value in defines.items()]
    files = [str(SOURCES / name) for name in sources]
    place = {**os.environ, "TMPDIR": str(path.parent)}  # of the compiler's own temporary files
    try:
        done = _run([*compiler, *OPTIONS, *_native(compiler), *macros, *files, "-o", temporary], env=place)
        if done.returncode:
            reason = done.stderr[-2000:].strip()
            raise CompilationError(f"{' '.join(compiler)} could not build the kernels: {reason}")
        # the hash first: a library without its own is not loaded; both private, whatever the umask
        write_text(_hash_file(path), _hash(path, Path(temporary).read_bytes())).chmod(0o600)
        os.chmod(temporary, 0o700)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):  # of a file system that is read-only by now
            Path(temporary).unlink(missing_ok=True)


@lru_cache(maxsize=4)
def _native(compiler: Sequence[str]) -> tuple[str, ...]:
    """The option by which this compiler uses the instructions of this processor, if it knows one.

    It is asked with an empty source and writes nothing: what else may hinder a build does not count.
    """
    for option in NATIVE:
        if _run([*compiler, option, "-x", "c++", "-fsyntax-only", os.devnull]).returncode == 0:
            return (option,)
    return ()


def _run(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS, **options
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CompilationError(f"the C++ compiler {command[0]} does not run: {error}") from error
