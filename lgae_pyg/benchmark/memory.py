"""Memory of this process, and memory that is left, in bytes."""

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path

import torch

#: The parameter of glibc's mallopt for the size of blocks that are taken from the system one by one.
MMAP_THRESHOLD = -3
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_of(step: Callable[[], object], device: torch.device) -> int:
    """The largest memory in use during a call, beyond what was in use before it.

    On a CPU it is resident memory: free memory is given back to the system first, and the system's high-water mark
    is reset (where it cannot be, outside Linux, memory below an earlier peak is not seen). On a GPU it is the
    memory of tensors.

    Args:
        step: the call.
        device: where it computes.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    _give_back()
    before = _reset_peak()
    step()
    return max(0, _peak() - before)


def return_freed_memory() -> bool:
    """Lets the C library give blocks of 64 KiB and more back to the system as soon as they are freed.

    The resident memory of this process is then that of its tensors, and not what the library keeps for later.

    Returns:
        Whether it could be done: only with glibc, that is, on Linux.
    """
    try:
        return bool(ctypes.CDLL("libc.so.6").mallopt(MMAP_THRESHOLD, 1 << 16))
    except (OSError, AttributeError):
        return False


def available(device: torch.device) -> int | None:
    """Memory that a new allocation can have; ``None`` where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    numbers = _fields(Path("/proc/meminfo"))
    left = [numbers["MemAvailable"]] if "MemAvailable" in numbers else []
    group = Path("/sys/fs/cgroup")
    try:  # a container's limit, where there is one
        left.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(left, default=None)


def total(device: torch.device) -> int | None:
    """Memory of the machine, or of the GPU; ``None`` where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return _fields(Path("/proc/meminfo")).get("MemTotal")


def _give_back() -> None:
    """Returns freed memory to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass


def _reset_peak() -> int:
    """Sets the high-water mark to the resident memory, and returns that."""
    try:
        CLEAR.write_text("5")
        return _fields(STATUS)["VmRSS"]
    except (OSError, KeyError):
        return _peak()


def _peak() -> int:
    try:
        return _fields(STATUS)["VmHWM"]
    except (OSError, KeyError):
        import resource  # not everywhere

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _fields(path: Path) -> dict[str, int]:
    """The sizes in a file of the system, such as ``VmRSS:  1024 kB``; empty where there is none."""
    try:
        lines = (line.split() for line in path.read_text().splitlines())
    except OSError:
        return {}
    return {words[0].rstrip(":"): 1024 * int(words[1]) for words in lines if len(words) == 3 and words[2] == "kB"}
