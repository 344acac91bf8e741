"""Speed, memory and arithmetic of the models, case by case, in processes of their own.

Cases that are compared (same model, jets and sizes of jets) share a process and take turns, so that they meet the
same machine. A process may take a part of the free memory only; a case that needs more is reported as such.
"""

import contextlib
import ctypes
import gc
import multiprocessing
import re
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from torch.utils.benchmark import Timer
from torch.utils.flop_counter import FlopCounterMode
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.files import first_line
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.models import LGAE
from lgae_pyg.training.memory import keep_freed_memory

#: Label and arguments of the models that can be measured; a further one is a further entry.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "mix9": ("LGAE-Mix, τ = 9", {"aggregation": "mix", "latent_vectors": 9}),
    "minmax4": ("LGAE-Min-Max, τ = 4", {"aggregation": "min&max", "latent_vectors": 4}),
}
BACKENDS = ("fused", "dense", "edge_list")
PRECISIONS = ("float64", "mixed", "float32")
KINDS = ("forward", "training")
#: The calls of a case are spread over so many turns; a slow case has at least the second number.
TURNS, FEWEST = 5, 2
#: Share of the free memory that a process may take, and how errors say that there is no more.
SHARE = 0.8
FULL = ("can't allocate memory", "out of memory", "bad_alloc", "MemoryError")
STOPPED = "stopped before it was measured"
#: glibc's mallopt: the size from which freed blocks go back to the system at once.
MMAP_THRESHOLD = -3


@dataclass(frozen=True)
class Case:
    """One row: a model, a back-end, a precision, particles (``30`` or, uniform, ``1-60``) and jets per batch."""

    model: str
    backend: str
    precision: str
    sizes: str
    jets: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest number of particles."""
        first, _, last = self.sizes.partition("-")
        return int(first), int(last or first)

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of the model."""
        sizes = {"num_particles": self.bounds[1], "backend": self.backend}
        return {**MODELS[self.model][1], **sizes, "mixed_precision": self.precision == "mixed"}


@dataclass
class Result:
    """What was found out about a case: seconds of the calls by kind; peak memory of a training step in bytes,
    beyond model, optimiser and batch; :func:`step_flops`; parameters of the model; why something is missing."""

    case: Case
    durations: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    memory: int | None = None
    flops: int | None = None
    parameters: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Where:
    """The device, ``cpu`` or ``cuda``; PyTorch's threads (``None``: its own choice); the bytes that a process may
    take (``None``: all of a GPU, :data:`SHARE` of a computer's free memory)."""

    device: str = "cpu"
    threads: int | None = None
    limit: float | None = None

    def enter(self) -> torch.device:
        """Sets seed, threads and limit of this process (that of the computer's memory on Linux only)."""
        torch.manual_seed(0)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.device == "cuda" and self.limit is not None:
            whole = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, self.limit / whole))
        elif self.device == "cpu" and (free := memory_fields("/proc/meminfo").get("MemAvailable")):
            limit = memory_fields()["VmData"] + int(self.limit or SHARE * free)
            with contextlib.suppress(ValueError):  # there is a lower limit already
                resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        return torch.device(self.device)


class Steps:
    """A model with a batch. A training step sets gradients to zero, runs forward, takes the mean squared error,
    runs backward and takes a step of Adam. Kernels, gradients and moments are there before that is measured."""

    def __init__(self, case: Case, device: torch.device) -> None:
        dtype = torch.float32 if case.precision == "float32" else torch.float64
        self.model = LGAE(**case.arguments).to(device, dtype)
        self.optimizer = torch.optim.Adam(self.model.parameters(), fused=True)
        self.batch = random_batch(4, (1, min(2, case.bounds[1])), dtype).to(device)
        self.training()
        self.forward()
        self.batch = random_batch(case.jets, case.bounds, dtype).to(device)

    def forward(self) -> None:
        """The forward pass, without gradients."""
        with torch.no_grad():
            self.model(self.batch)

    def training(self) -> None:
        """A training step."""
        self.optimizer.zero_grad()
        (self.model(self.batch).p4 - self.batch.pos).square().mean().backward()
        self.optimizer.step()


def random_batch(jets: int, bounds: tuple[int, int], dtype: torch.dtype = torch.float64) -> Batch:
    """Random jets of massless particles ordered by transverse momentum, in TeV; the same ones each time."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for n in torch.randint(bounds[0], bounds[1] + 1, (jets,), generator=generator).tolist():
        pt = torch.rand(n, generator=generator, dtype=torch.float64).sort(descending=True).values / n
        axis, spread = (torch.randn(2, m, generator=generator, dtype=torch.float64) for m in (1, n))
        made.append(JetData(pos=from_pt_eta_phi_m(pt, *(axis + 0.15 * spread)).to(dtype)))
    return Batch.from_data_list(made)


def measure(cases: Sequence[Case], where: Where, seconds: float, done: Callable[[], object]) -> list[Result]:
    """Measures cases; those that are compared must stand together. Ctrl-C ends it early: the missing ones say so.

    Args:
        cases: the cases.
        where: device, threads and limit.
        seconds: for which a case is timed; 0 measures memory and arithmetic only.
        done: called for each case that is finished.
    """
    results: list[Result] = []
    with contextlib.suppress(KeyboardInterrupt):
        for _, group in groupby(cases, key=lambda case: (case.model, seconds and case.sizes, case.jets)):
            for result in _measure_group(list(group), where, seconds):
                results.append(result)
                done()
    return results + [Result(case, note=STOPPED) for case in cases[len(results) :]]


def _measure_group(cases: list[Case], where: Where, seconds: float) -> list[Result]:
    try:
        return in_process(measure_here, cases, where, seconds)
    except BrokenProcessPool:
        if len(cases) > 1:  # one of them ended the process of all
            return [result for case in cases for result in _measure_group([case], where, seconds)]
        return [Result(cases[0], note="its process was ended, perhaps for want of memory")]


def in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function in a fresh process, not a forked one: a GPU's driver does not survive a fork."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.kill()
            raise


def measure_here(cases: Sequence[Case], where: Where, seconds: float) -> list[Result]:
    """Measures the cases of a group in this process, whose memory is limited from now on."""
    device = where.enter()
    with contextlib.suppress(OSError, AttributeError):  # glibc only: resident memory is then that of tensors
        ctypes.CDLL("libc.so.6").mallopt(MMAP_THRESHOLD, 1 << 16)
    results, running = [Result(case) for case in cases], []
    for result in results:
        with _noted(result):
            steps = Steps(result.case, device)
            result.parameters = sum(p.numel() for p in steps.model.parameters())
            result.memory = peak_of(steps.training, device)
            counts = tuple(steps.batch.ptr.diff().tolist())
            result.flops = step_flops(result.case.model, result.case.bounds[1], counts)
            running.append((result, steps))
    keep_freed_memory()  # as trainings do
    for turn in range(1, TURNS + 1 if seconds else 0):
        for result, steps in list(running):
            with _noted(result):
                for kind, durations in result.durations.items():
                    durations += time_calls(getattr(steps, kind), seconds / (TURNS * len(KINDS)))
            spent = sum(map(sum, result.durations.values()))
            if result.note or (turn >= FEWEST and spent >= seconds):
                running.remove((result, steps))
    return results


@contextlib.contextmanager
def _noted(result: Result) -> Iterator[None]:
    """Turns an error into the remark of a result."""
    try:
        yield
    except Exception as error:
        full = any(word in f"{type(error).__name__}: {error}" for word in FULL)
        result.note = "does not fit: needs more memory than it may take" if full else first_line(error)


def time_calls(step: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of a call, again and again for some time, after a call that is not counted. Calls too short for the
    clock are timed some at a time; a GPU is waited for."""
    timer = Timer("step()", globals={"step": step}, num_threads=torch.get_num_threads())
    return timer.blocked_autorange(min_run_time=seconds).times


@cache
def step_flops(model: str, slots: int, sizes: tuple[int, ...]) -> int:
    """Operations of a training step of a model of so many slots on jets of these sizes: matrix products of the
    dense back-end, jet by jet, so that no padding is counted. PyTorch's counter does not see into ``fused``, which
    does each pair once and not twice, and counts complex products (one in seventy here) like real ones."""
    steps = Steps(Case(model, "dense", "float64", str(slots), 1), torch.device("cpu"))
    total = 0
    for n, jets in Counter(sizes).items():
        steps.batch = random_batch(1, (n, n))
        with FlopCounterMode(display=False) as counter:
            steps.training()
        total += jets * counter.get_total_flops()
    return total


def peak_of(step: Callable[[], object], device: torch.device) -> int | None:
    """The largest memory in use during a call beyond that in use before it, in bytes: on a GPU that of tensors,
    on a CPU resident memory, whose high-water mark is reset; ``None`` where the system (not Linux) cannot."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = memory_fields()["VmRSS"]
    except (AttributeError, OSError, KeyError):
        return step()
    step()
    return max(0, memory_fields()["VmHWM"] - before)


def memory_fields(path: str = "/proc/self/status") -> dict[str, int]:
    """Bytes in a file of the system, such as ``VmRSS:  1024 kB``; empty where there is none."""
    with contextlib.suppress(OSError):
        found = re.findall(r"^(\w+):\s+(\d+) kB$", Path(path).read_text(), re.MULTILINE)
        return {name: 1024 * int(amount) for name, amount in found}
    return {}
