"""``lgae bench``: speed, memory and arithmetic of the models on this machine."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lgae_pyg.benchmark.cases import BACKENDS, PRECISIONS, SUBJECTS, Sizes

FULL: dict[str, Any] = {
    "models": list(SUBJECTS),
    "backends": [],
    "precisions": [],
    "particles": ["30", "60", "150", "300", "mixed"],
    "jets": None,
    "repeats": 20,
    "seconds_per_case": 10.0,
    "memory_particles": [30, 60, 100, 150, 200, 300],
    "memory_jets": 64,
}
QUICK = {
    **FULL,
    "models": ["mix9"],
    "precisions": ["float64", "float32"],
    "particles": ["30", "60"],
    "jets": 64,
    "repeats": 6,
    "seconds_per_case": 2.0,
    "memory_particles": [30, 60, 100],
    "memory_jets": 16,
}
#: What is different where epochs are timed.
EPOCH = {"particles": ["30"], "jets": 256, "seconds_per_case": 300.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--quick", action="store_true", help="a part of it, in about a minute")
    add("--memory", action="store_true", help="only the study of the memory")
    add("--epoch", type=_positive, metavar="JETS", help="only the time of a training epoch of so many jets")
    add("--models", type=_words, metavar="A,B", help=f"some of {', '.join(SUBJECTS)}")
    add(
        "--backends",
        type=_words,
        metavar="A,B",
        help=f"some of {', '.join(BACKENDS)}; edge_list: n = 30 by default",
    )
    add("--precisions", type=_words, metavar="A,B", help=f"some of {', '.join(PRECISIONS)}")
    add(
        "--particles",
        type=_words,
        metavar="N,M",
        help="particles per jet: 30, 1-60 (uniform) or mixed (1-60); --epoch: up to N",
    )
    add("--jets", type=_positive, metavar="N", help="jets per batch (default: 256 up to n = 60, 64 above)")
    add("--repeats", type=_positive, metavar="N", help="timed calls of each kind")
    add("--seconds-per-case", type=_amount, metavar="S", help="then at least two; with --epoch: longest epoch")
    add("--memory-particles", type=_numbers, metavar="N,M", help="particles per jet in the study of the memory")
    add("--memory-jets", type=_positive, metavar="N", help="jets per batch in it")
    add(
        "--max-memory",
        type=_amount,
        metavar="GIB",
        help="skip cases that need more (default: 80 %% of what is free)",
    )
    add("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    add("--threads", type=_positive, metavar="N", help="threads of PyTorch (default: its own choice)")
    add("--out", metavar="DIR", default="runs/benchmark", help="folder for the results (default: %(default)s)")
    add("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Measures, prints and writes.

    Returns:
        0, or 1 if no case could run.
    """
    from lgae_pyg.benchmark.study import bench, bench_epochs

    plan = make_plan(options)
    if options.epoch:
        return int(not bench_epochs(plan, Path(options.out), options.epoch))
    return int(not bench(plan, Path(options.out), not options.memory))


def make_plan(options: argparse.Namespace) -> Any:
    """The plan that the options ask for; what they leave open is that of the whole or the quick benchmark.

    Raises:
        ValueError: if two studies are asked for, or particles are no numbers.
    """
    from lgae_pyg.benchmark.schedule import Effort
    from lgae_pyg.benchmark.study import Plan
    from lgae_pyg.benchmark.worker import Surroundings

    if options.epoch and options.memory:
        raise ValueError("--epoch and --memory exclude each other: call twice")
    settings = {**(QUICK if options.quick else FULL), **(EPOCH if options.epoch else {})}
    settings |= {name: value for name, value in vars(options).items() if name in settings and value is not None}
    limit = None if options.max_memory is None else options.max_memory * 2**30
    return Plan(
        models=settings["models"],
        backends=settings["backends"],
        precisions=settings["precisions"],
        sizes=[Sizes.parse(text) for text in settings["particles"]],
        jets=settings["jets"],
        effort=Effort(settings["repeats"], settings["seconds_per_case"]),
        memory_sizes=settings["memory_particles"],
        memory_jets=settings["memory_jets"],
        surroundings=Surroundings(options.device, options.threads, limit),
        progress=not options.quiet,
    )


def _words(text: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise argparse.ArgumentTypeError("must name something")
    return words


def _numbers(text: str) -> list[int]:
    return [_positive(word) for word in _words(text)]


def _number(kind: Callable[[str], Any], text: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = 0
    if not value > 0:
        raise argparse.ArgumentTypeError(f"must be a number above 0, not '{text}'")
    return value


def _positive(text: str) -> int:
    return _number(int, text)


def _amount(text: str) -> float:
    return _number(float, text)
