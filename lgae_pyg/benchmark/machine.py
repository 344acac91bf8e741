"""The machine that is measured: what it is, and the most that it can do."""

import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lgae_pyg.benchmark import memory
from lgae_pyg.ops.backends.compiler import CompilationError, find_compiler
from lgae_pyg.version import __version__

#: Rows and columns of the matrices, and bytes of the tensor that is copied, on a CPU and on a GPU.
MATRIX = {"cpu": 2048, "cuda": 8192}
COPIED = {"cpu": 1 << 27, "cuda": 1 << 30}
#: Each is tried so often, and on as long as this, in seconds.
ATTEMPTS, SECONDS = 3, 1.0


def synchronise(device: torch.device) -> None:
    """Waits until a GPU has done what was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def describe(device: torch.device, threads: int) -> dict[str, Any]:
    """Plain values that tell machines apart; no names of hosts or users, no paths.

    Args:
        device: where the models run.
        threads: threads of a process.
    """
    size = memory.total(torch.device("cpu"))
    machine = {
        "processor": processor(),
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores_available": cores(),
        "threads_used": threads,
        "memory_gib": None if size is None else round(size / 2**30, 1),
        "system": system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lgae_pyg": __version__,
        "compiler": compiler(),
        "device": device.type,
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        machine |= {
            "gpu": gpu.name,
            "gpu_memory_gib": round(gpu.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return machine


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The model of the processor, as the system names it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()


def system() -> str:
    """The operating system."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.mac_ver()[0]}".strip()


def compiler() -> str | None:
    """The first line in which the C++ compiler says what it is; ``None`` without one."""
    try:
        command = find_compiler()
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60)
    except (CompilationError, OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.partition("\n")[0].strip() or None


def measure_peaks(device: torch.device) -> dict[str, float]:
    """What nothing can be faster than: the best of some attempts at a large matrix product and at a large copy.

    Returns:
        ``float64`` and ``float32``, in floating-point operations per second; ``bandwidth``, bytes read and written
        per second.
    """
    peaks, size = {}, MATRIX[device.type]
    for dtype in (torch.float64, torch.float32):
        one, other = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(2))
        out = torch.empty_like(one)
        seconds = _best(lambda one=one, other=other, out=out: torch.mm(one, other, out=out), device)
        peaks[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds
    source = torch.ones(COPIED[device.type] // 8, dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    peaks["bandwidth"] = 2 * COPIED[device.type] / _best(lambda: target.copy_(source), device)
    return peaks


def _best(call: Callable[[], object], device: torch.device) -> float:
    durations: list[float] = []
    while len(durations) < ATTEMPTS or sum(durations) < SECONDS:
        synchronise(device)
        begin = time.perf_counter()
        call()
        synchronise(device)
        durations.append(time.perf_counter() - begin)
    return min(durations)
