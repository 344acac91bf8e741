"""The machine that is measured: what it is, and the most that it can do."""

import os
import platform
import re
from pathlib import Path
from typing import Any

import torch
from bench_measure import Where, memory_fields, time_calls
from torch.utils import collect_env

from lgae_pyg.version import __version__

#: Rows of the matrices and elements of the tensor that is copied, on a CPU and on a GPU.
MATRIX = {"cpu": 2048, "cuda": 8192}
COPIED = {"cpu": 1 << 24, "cuda": 1 << 27}


def describe(where: Where, peaks: bool) -> tuple[dict[str, Any], dict[str, float]]:
    """Plain values that tell machines apart (no names of hosts or users, no paths), and the peaks if wanted."""
    device, cpuinfo = where.enter(), Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    machine = {
        "processor": named.group(1).strip() if named else platform.processor() or platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores_available": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads_used": torch.get_num_threads(),
        "memory_gib": round(memory_fields("/proc/meminfo").get("MemTotal", 0) / 2**30, 1) or None,
        "system": collect_env.get_os(collect_env.run),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "lgae_pyg": __version__,
        "compiler": collect_env.get_gcc_version(collect_env.run),
        "device": device.type,
    }
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(device)
        machine |= {"gpu": gpu.name, "gpu_memory_gib": round(gpu.total_memory / 2**30, 1)}
        machine["cuda"] = torch.version.cuda
    return machine, measure_peaks(device) if peaks else {}


def measure_peaks(device: torch.device) -> dict[str, float]:
    """What nothing can be faster than, the best of a second: ``float64`` and ``float32``, operations per second of
    a large matrix product; ``bandwidth``, bytes per second read and written by a large copy."""
    peaks, size = {}, MATRIX[device.type]
    for dtype in (torch.float64, torch.float32):
        one, other, out = (torch.rand(size, size, dtype=dtype, device=device) for _ in range(3))
        seconds = min(time_calls(lambda a=one, b=other, out=out: torch.mm(a, b, out=out), 1.0))
        peaks[str(dtype).removeprefix("torch.")] = 2 * size**3 / seconds
    source = torch.ones(COPIED[device.type], dtype=torch.float64, device=device)
    target = torch.empty_like(source)
    return {**peaks, "bandwidth": 16 * len(source) / min(time_calls(lambda: target.copy_(source), 1.0))}


def machine_sentence(machine: dict[str, Any], peaks: dict[str, float]) -> str:
    """The sentence that names the machine under tables and figures."""
    where, threads = machine["processor"], machine["threads_used"]
    if "gpu" in machine:
        where = f"{machine['gpu']} ({where})"
    text = f"{where} ({machine['instructions']}), {threads} thread{'s' if threads > 1 else ''}, "
    text += f"{machine['system']}, Python {machine['python']}, torch {machine['torch']}"
    if peaks:
        products = " and ".join(f"{peaks[name] / 1e9:.0f} ({name})" for name in ("float64", "float32"))
        text += f"; matrix product {products} GFLOP/s, copy {peaks['bandwidth'] / 1e9:.0f} GB/s"
    return text + "."
