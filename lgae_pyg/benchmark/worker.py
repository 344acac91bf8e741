"""What runs in the process of a case: the model, its steps, their durations and their memory."""

import inspect
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lgae_pyg.benchmark import memory
from lgae_pyg.benchmark.cases import SUBJECTS, Case, Sizes
from lgae_pyg.benchmark.flops import lgae_flops
from lgae_pyg.benchmark.jets import random_batch
from lgae_pyg.benchmark.machine import describe, measure_peaks, synchronise
from lgae_pyg.models import build_model
from lgae_pyg.models.registry import MODELS
from lgae_pyg.training.memory import keep_freed_memory
from lgae_pyg.training.optimization import build_optimizer

SEED = 0
#: Share of the free memory that a case may be expected to take.
SHARE = 0.8
#: Pairs of particles in the small batch from which the memory of the whole one is estimated.
PROBED_PAIRS = 1 << 14
#: A turn begins with a call that is not timed, unless calls take longer than this, in seconds.
LONG_CALL = 1.0


@dataclass(frozen=True)
class Surroundings:
    """Where the cases run.

    Args:
        device: ``cpu`` or ``cuda``.
        threads: threads of PyTorch; its own choice when omitted.
        max_memory: bytes that a case may be expected to take; a share of what is free when omitted.
    """

    device: str = "cpu"
    threads: int | None = None
    max_memory: float | None = None

    def enter(self) -> torch.device:
        """Sets the threads and the seed of this process and returns the device.

        Raises:
            RuntimeError: if there is no such device.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("there is no CUDA GPU here")
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        torch.manual_seed(SEED)
        return torch.device(self.device)


def knows_mixed(model: str) -> bool:
    """Whether a model can be built in mixed precision."""
    return "mixed_precision" in inspect.signature(MODELS[SUBJECTS[model].config["name"]]).parameters


def case_config(case: Case) -> dict[str, Any]:
    """The configuration of a case's model, for :func:`lgae_pyg.models.build_model`.

    Raises:
        ValueError: if the model has no mixed precision and that is asked for.
    """
    config = {**SUBJECTS[case.model].config, "num_particles": case.sizes.largest, "backend": case.backend}
    if case.precision == "mixed":
        if not knows_mixed(case.model):
            raise ValueError("the model has no mixed precision")
        config["mixed_precision"] = True
    return config


class Probe:
    """The machine itself: a description, and its peaks."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.device = surroundings.enter()

    def describe(self) -> dict[str, Any]:
        """See :func:`lgae_pyg.benchmark.machine.describe`."""
        return describe(self.device, torch.get_num_threads())

    def peaks(self) -> dict[str, float]:
        """See :func:`lgae_pyg.benchmark.machine.measure_peaks`."""
        return measure_peaks(self.device)


class CaseRunner:
    """A case, ready to be measured.

    A training step sets gradients to zero, runs forward, takes the mean squared error, runs backward and takes a
    step of Adam. Gradients and Adam's moments are there before anything is measured.

    Args:
        case: what is measured.
        surroundings: where.

    Raises:
        ValueError: if the model cannot be built.
        RuntimeError: if the back-end or the device is not there.
    """

    def __init__(self, case: Case, surroundings: Surroundings) -> None:
        self.case, self.surroundings = case, surroundings
        self.device = surroundings.enter()
        dtype = torch.float32 if case.precision == "float32" else torch.float64
        self.model: nn.Module = build_model(case_config(case)).to(self.device, dtype)
        self.optimizer = build_optimizer(self.model.parameters(), {"name": "adam"})
        self.last = {"forward": 0.0, "training": 0.0}
        small = Sizes(1, min(2, case.sizes.largest))
        self.batch = self._batch(4, small)
        self.training()  # builds the kernels
        self.forward()

    def _batch(self, jets: int, sizes: Sizes) -> Any:
        batch = random_batch(jets, sizes)
        batch.pos = batch.pos.to(next(self.model.parameters()).dtype)
        return batch.to(self.device)

    def forward(self) -> None:
        """The forward pass, without gradients."""
        with torch.no_grad():
            self.model(self.batch)

    def training(self) -> None:
        """A training step."""
        self.optimizer.zero_grad()
        (self.model(self.batch).p4 - self.batch.pos).square().mean().backward()
        self.optimizer.step()

    def prepare(self) -> dict[str, Any]:
        """Runs the first step of the whole batch.

        Returns:
            ``memory``: its peak in bytes, beyond model, optimiser and batch; ``parameters``: their number;
            ``flops``: operations of a training step, ``None`` for a model that is not counted.

        Raises:
            MemoryError: if the step is expected to take more memory than there is.
        """
        memory.return_freed_memory()
        self._check_memory()
        self.batch = self._batch(self.case.jets, self.case.sizes)
        found = {"memory": memory.peak_of(self.training, self.device), "flops": self._flops()}
        keep_freed_memory()  # as trainings do
        return {**found, "parameters": sum(p.numel() for p in self.model.parameters())}

    def turn(self, kind: str, count: int, seconds: float) -> list[float]:
        """Durations of some calls, one after another.

        Args:
            kind: ``forward`` or ``training``.
            count: largest number of calls.
            seconds: no further call begins after this time.
        """
        step, durations, begin = getattr(self, kind), [], time.perf_counter()
        if self.last[kind] < LONG_CALL:
            step()
        while not durations or (len(durations) < count and time.perf_counter() - begin < seconds):
            synchronise(self.device)
            start = time.perf_counter()
            step()
            synchronise(self.device)
            durations.append(time.perf_counter() - start)
        self.last[kind] = durations[-1]
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # the others share the GPU
        return durations

    def _check_memory(self) -> None:
        """Estimates the memory of the batch from that of a part of it."""
        largest = self.case.sizes.largest
        part = max(1, min(self.case.jets, PROBED_PAIRS // largest**2))
        self.batch = self._batch(part, Sizes(largest, largest))
        expected = memory.peak_of(self.training, self.device) * self.case.jets / part
        limit = self.surroundings.max_memory
        if limit is None:
            free = memory.available(self.device)
            limit = float("inf") if free is None else SHARE * free
        if expected > limit:
            raise MemoryError(
                f"skipped: about {expected / 2**30:.1f} GiB expected, {limit / 2**30:.1f} GiB allowed"
            )

    def _flops(self) -> int | None:
        config = getattr(self.model, "config", {})
        try:
            return (
                lgae_flops(config, self.batch.ptr.diff().tolist()).total if config.get("name") == "LGAE" else None
            )
        except ValueError:
            return None
