"""How long one jet takes: quantiles over single calls, as a trigger sees them."""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from lgae_pyg.applications.export.check import Program
from lgae_pyg.applications.export.files import Scorer
from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m
from lgae_pyg.tables import Table

#: Numbers of particles that are measured.
SIZES = (30, 60, 120)
QUANTILES = {"median": 0.5, "q90": 0.9, "q99": 0.99}
HEADINGS = {"median": "median [ms]", "q90": "90 % [ms]", "q99": "99 % [ms]"}


def latencies(call: Callable[[], object], repeats: int) -> np.ndarray:
    """Milliseconds of single calls, one after another, after some that do not count."""
    for _ in range(max(3, repeats // 20)):
        call()
    found = np.empty(repeats)
    for number in range(repeats):
        begin = time.perf_counter_ns()
        call()
        found[number] = 1e-6 * (time.perf_counter_ns() - begin)
    return found


@torch.inference_mode()
def latency_table(
    program: Program, files: Mapping[str, Scorer], repeats: int = 300, sizes: Sequence[int] = SIZES
) -> Table:
    """Times one jet through files of an export and through the model on graphs.

    Args:
        program: what the files were made of.
        files: the files by printed name, from :func:`~lgae_pyg.applications.export.files.open_export`.
        repeats: calls that are timed.
        sizes: numbers of particles, without padding; the model's largest in the place of larger ones.
    """
    rows: list[tuple[str | int | float, ...]] = []
    slots = program.num_particles
    for size in dict.fromkeys(size if slots is None else min(size, slots) for size in sizes):
        source = torch.Generator().manual_seed(size)
        pt, eta, phi = torch.rand(3, size, generator=source, dtype=torch.float64)
        p4 = from_pt_eta_phi_m(20 * pt + 0.1, eta - 0.5, phi - 0.5).to(program.dtype)
        ptr, padded, count = torch.tensor([0, size]), p4.unsqueeze(0).numpy(), np.array([size])
        calls: dict[str, Callable[[], Any]] = {"PyTorch on graphs": partial(program.on_graphs, p4, ptr)}
        calls = {name: partial(score, padded, count) for name, score in files.items()} | calls
        for name, call in calls.items():
            found = latencies(call, repeats)
            rows.append((name, size, *(float(np.quantile(found, place)) for place in QUANTILES.values())))
    columns = {"program": "program", "particles": "particles", **HEADINGS}
    caption = f"One jet at a time, {repeats} calls each, {torch.get_num_threads()} thread(s), momenta to scores"
    if slots is not None and any(size > slots for size in sizes):
        caption += f"; no larger jets, since the file keeps the {slots} leading particles"
    return Table("latency", caption, columns, tuple(rows))
