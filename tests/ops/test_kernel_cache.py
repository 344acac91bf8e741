"""Kernels are built where they can be kept, else for one process, else PyTorch does their work: never a crash."""

import errno
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lgae_pyg.nn import GraphNetConv, LMPConv, MixReps
from lgae_pyg.ops.backends import choice, compiler
from lgae_pyg.ops.backends.choice import BackendError
from lgae_pyg.ops.backends.compiler import CompilationError, load_library

LIBRARY = (("mix.cpp",), (("FEATURE", "float"),))
CACHED = (load_library, compiler.find_compiler, compiler.temporary_folder, compiler._announce)
CACHED += (choice._choose, compiler._native)


@pytest.fixture(scope="module")
def kernel() -> Path:
    """A library that was built before, which stands for all."""
    return Path(load_library(*LIBRARY)._name)


@pytest.fixture
def copies(kernel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new process as far as the kernels can tell, with a compiler that only copies, and a new cache folder."""
    fresh()
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit\nfor last; do :; done\ncp {kernel} "$last"\n')
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setenv("LGAE_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    monkeypatch.undo()
    fresh()


def fresh() -> None:
    for function in CACHED:
        function.cache_clear()
    compiler.SAID.clear()


def built(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.so")) if folder.is_dir() else []


def test_they_are_kept_and_announced_once(copies: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "lgae_pyg.backend")
    for _ in range(2):
        load_library(*LIBRARY)
        load_library(LIBRARY[0], (("FEATURE", "double"),))
        load_library.cache_clear()
    assert len(built(copies)) == 2
    lines = [line for line in caplog.messages if "building C++ kernels" in line]
    assert len(lines) == 1 and str(copies) in lines[0]


def foreign(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)


def group_writable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_text("a file")


def no_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("LGAE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", home)


def not_writable(folder: Path, monkeypatch: pytest.MonkeyPatch, code: int = errno.EACCES) -> None:
    """As for a user who is not root."""
    make = compiler.tempfile.mkstemp

    def refuse(suffix: str, dir: Path) -> tuple[int, str]:
        if dir == folder:
            raise OSError(code, os.strerror(code))
        return make(suffix=suffix, dir=dir)

    monkeypatch.setattr(compiler.tempfile, "mkstemp", refuse)


def full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    not_writable(folder, monkeypatch, errno.ENOSPC)


def full_for_the_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(os.environ["CXX"])
    refusal = f'case "$last" in {folder}/*) echo $last: No space left >&2; exit 1;; esac'
    script.write_text(script.read_text().replace("cp ", f"{refusal}\ncp "))


def without_execution(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where file systems are mounted ``noexec``."""
    load = compiler.ctypes.CDLL

    def refuse(path: str):
        if path.startswith(str(folder)):
            raise OSError("failed to map segment from shared object")
        return load(path)

    monkeypatch.setattr(compiler.ctypes, "CDLL", refuse)


HINDRANCES = (foreign, group_writable, no_folder, no_home, not_writable, full)
HINDRANCES += (full_for_the_compiler, without_execution)


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_where_they_cannot_be_kept_they_are_built_for_the_process(
    hindrance, copies: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hindrance(copies, monkeypatch)
    for defines in (LIBRARY[1], (("FEATURE", "double"),)):
        path = Path(load_library(LIBRARY[0], defines)._name)
        assert path.parent == compiler.temporary_folder() != copies
        assert path.parent.stat().st_mode & 0o077 == 0
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "LGAE_CACHE" in warnings[0].message and "\n" not in warnings[0].message


def test_a_damaged_library_is_built_again(copies: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In another folder: a library that the process has loaded before is not read again."""
    load_library(*LIBRARY)
    [path] = built(copies)
    monkeypatch.setenv("LGAE_CACHE", str(tmp_path / "damaged"))
    (tmp_path / "damaged").mkdir(mode=0o700)
    (tmp_path / "damaged" / path.name).write_bytes(b"no library")
    load_library.cache_clear()
    load_library(*LIBRARY)
    assert (tmp_path / "damaged" / path.name).read_bytes() == path.read_bytes()


def another_user(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is somebody else's, in a folder that is the user's own by now."""
    see, ours = Path.lstat, os.getuid()

    def lstat(one: Path):
        status = see(one)
        return os.stat_result([*status[:4], ours + 1, *status[5:]]) if one.suffix == ".so" else status

    monkeypatch.setattr(Path, "lstat", lstat)


def writable_by_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0o777)


def without_hash(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As earlier versions kept libraries."""
    path.with_name(f"{path.name}.sha256").unlink()


def hash_of_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sound library in the place of another, with its hash."""
    content = path.read_bytes()
    (path.parent / "other.so").write_bytes(content)
    path.with_name(f"{path.name}.sha256").write_text(compiler._hash(path.parent / "other.so", content))


def linked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.rename(path.parent / "elsewhere")
    path.symlink_to(path.parent / "elsewhere")


def replaced(path: Path, content: bytes) -> None:
    """By another file: this process has the old one mapped, and would die of its loss."""
    path.unlink()
    path.write_bytes(content)


def half(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced(path, path.read_bytes()[: path.stat().st_size // 2])


def flipped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replaced(path, content)


FOREIGN = (another_user, writable_by_others, without_hash, hash_of_another, linked, half, flipped)


@pytest.mark.parametrize("change", FOREIGN)
def test_only_what_was_built_here_is_executed(change, copies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else is built again, and never loaded before."""
    load_library(*LIBRARY)
    [path] = built(copies)
    sound = path.read_bytes()
    change(path, monkeypatch)
    loaded = []
    monkeypatch.setattr(compiler.ctypes, "CDLL", lambda name: loaded.append(Path(name).read_bytes()))
    builds = []
    build = compiler._build
    monkeypatch.setattr(compiler, "_build", lambda *arguments: (builds.append(arguments), build(*arguments)))
    fresh()
    load_library(*LIBRARY)
    assert len(builds) == 1 and loaded == [sound] and not path.is_symlink()
    monkeypatch.undo()


def test_nothing_foreign_is_made_trusted(copies: Path, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    """No advice that would make the user execute what somebody else has put there."""
    group_writable(copies, monkeypatch)
    load_library(*LIBRARY)
    assert "chmod" not in caplog.text and "others may write" in caplog.text


def full_for_native(folder: Path) -> None:
    """A compiler that has no space for the larger library, and complains of it as of anything else."""
    script = Path(os.environ["CXX"])
    refusal = f'case "$*" in *native*{folder}/*) echo No space left >&2; exit 1;; esac'
    script.write_text(script.read_text().replace("cp ", f"{refusal}\ncp "))


def test_a_library_for_any_processor_is_not_kept_as_the_one_for_this(copies: Path) -> None:
    """Only a compiler that does not know the option builds without it."""
    full_for_native(copies)
    load_library(*LIBRARY)
    assert built(copies) == []


def full_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(compiler.tempfile, "mkstemp", refuse)


def read_only_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_, **__):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(compiler.os, "replace", refuse)
    monkeypatch.setattr(Path, "unlink", refuse)


def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", "")


def missing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")


def misspelt_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ 'unfinished")


def failing_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")


def nowhere_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    no_home(Path(), monkeypatch)
    monkeypatch.setattr(compiler.tempfile, "mkdtemp", refuse)


@pytest.mark.parametrize(
    "hindrance",
    [
        no_compiler,
        missing_compiler,
        misspelt_compiler,
        failing_compiler,
        nowhere_at_all,
        full_everywhere,
        read_only_at_the_end,
    ],
)
def test_without_kernels_pytorch_does_the_work(
    hindrance, copies: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said in one line for all layers; who asks for kernels by name is told why there are none."""
    hindrance(monkeypatch)
    irreps, ptr = "1x(0,0)+1x(1/2,1/2)", torch.tensor([0, 3])
    x, pos = torch.randn(3, 5, dtype=torch.complex128), torch.randn(3, 4).double()
    for layer, inputs in (
        (LMPConv(irreps, irreps, mlp_depth=1).double(), (x, pos)),
        (GraphNetConv(4, (3,), (2,)).double(), (pos,)),
    ):
        found = layer(*inputs, ptr=ptr)
        layer.backend = "dense"
        assert torch.equal(found, layer(*inputs, ptr=ptr))
        layer.backend = "fused"
        with pytest.raises(BackendError, match="backend 'fused' cannot run on cpu"):
            layer(*inputs, ptr=ptr)
    MixReps(irreps, irreps).double()(x)
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 1 and "\n" not in warnings[0].message
    with pytest.raises(CompilationError):
        load_library(*LIBRARY)


def test_one_is_told_why_one_has_to_wait(copies: Path) -> None:
    """On stderr, where nobody has set up logging; and the folder of the process goes with it."""
    program = (
        "import torch\nfrom lgae_pyg.ops.backends import compiler\n"
        f"compiler.load_library(*{LIBRARY!r})\ncompiler.load_library(('mix.cpp',), (('FEATURE', 'double'),))\n"
        "print(compiler.temporary_folder())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1 and str(copies) in done.stderr
    assert not Path(done.stdout.strip()).exists()


@pytest.mark.parametrize("single", [False, True])
def test_what_is_asked_for_is_what_runs(monkeypatch: pytest.MonkeyPatch, single: bool) -> None:
    """``auto`` falls back where a kernel cannot be built; so none may be built after that was found out."""
    fresh()
    choose, asked = choice._choose.__wrapped__, []

    def count(*arguments) -> str:
        before = load_library.cache_info().misses
        found = choose(*arguments)
        asked.append(load_library.cache_info().misses - before)
        return found

    monkeypatch.setattr(choice, "_choose", count)
    irreps, ptr = "1x(0,0)+1x(1/2,1/2)", torch.tensor([0, 3])
    x, pos = torch.randn(3, 5, dtype=torch.complex128, requires_grad=True), torch.randn(3, 4).double()
    lmp = LMPConv(irreps, irreps, mlp_depth=1, mixed_precision=single).double()
    for layer, inputs in ((lmp, (x, pos)), (GraphNetConv(4, (3,), (2,)).double(), (pos.requires_grad_(),))):
        found = layer(*inputs, ptr=ptr)
        (found.abs().sum()).backward()
    assert sum(asked) > 0 and load_library.cache_info().misses == sum(asked)
