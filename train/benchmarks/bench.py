"""Speed, memory and arithmetic of the models on this machine; tables and a figure of them.

    python train/benchmarks/bench.py [--quick] [--memory | --speed | --epoch JETS] [--device cuda] [--out DIR]

prints tables and writes them as benchmark.md, .csv and .json, with the figure benchmark.png and .pdf (memory.*
with --memory, epoch.* with --epoch). Ctrl-C and SIGTERM end it early and keep what has been measured.
"""

import argparse
import json
import signal
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from bench_machine import describe, machine_sentence
from bench_measure import BACKENDS, MODELS, PRECISIONS, STOPPED, Case, Result, Where, in_process, measure
from bench_tables import full_table, memory_lines, memory_table, ratio_table, speed_table

from lgae_pyg.files import write_text
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table

WHOLE: dict[str, Any] = {
    "models": list(MODELS), "precisions": list(PRECISIONS), "particles": ["30", "60", "150", "300", "1-60"],
    "seconds_per_case": 10.0, "memory_particles": ["30", "60", "100", "150", "200", "300"], "memory_jets": 64,
}  # fmt: skip
QUICK = {
    "models": ["mix9"], "precisions": ["float64", "float32"], "particles": ["30", "60"], "jets": [64],
    "seconds_per_case": 2.0, "memory_particles": ["30", "60", "100"], "memory_jets": 16,
}  # fmt: skip
#: What is different where epochs are timed.
EPOCH = {"particles": ["30"], "jets": [256], "seconds_per_case": 300.0}


def main(words: Sequence[str] | None = None) -> int:
    """Measures, prints and writes; returns 0, or 1 if no case could run."""
    options = read_options(words)
    limit = options.max_memory and options.max_memory * 2**30
    where, folder = Where(options.device, options.threads, limit), Path(options.out)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    machine, peaks = in_process(describe, where, not (options.memory or options.epoch))
    caption = machine_sentence(machine, peaks)
    if options.epoch:
        from bench_epoch import measure_epochs  # heavy, and every process imports this file

        with steps(len(cases := epoch_cases(options)), True, "bench") as done:
            table = measure_epochs(cases, where, options.epoch, options.seconds_per_case, done)
        write(folder, "epoch", caption, [table], table, {"machine": machine, "epochs": table.records()})
        return int(not any(isinstance(value, float) for value in table.column("seconds")))
    speed = [] if options.memory else speed_cases(options)
    studied = [] if options.speed else memory_cases(options)
    with steps(len(speed) + len(studied), True, "bench") as done:
        results = measure(speed, where, options.seconds_per_case, done)
        stopped = any(result.note == STOPPED for result in results)
        memory = [] if stopped else measure(studied, where, 0.0, done)
    tables = [speed_table(results, peaks), ratio_table(results)] if results else []
    tables += [memory_table(memory)] if memory else []
    content = {"machine": machine, "peaks": peaks}
    content |= {"speed": [asdict(result) for result in results], "memory": [asdict(result) for result in memory]}
    content["memory_lines"] = [[*key, *line] for key, line in memory_lines(memory).items()]
    name = "memory" if options.memory else "benchmark"
    write(folder, name, caption, tables, full_table([*results, *memory], peaks), content)
    if drawable := any(any(r.durations.values()) for r in results) or any(r.memory is not None for r in memory):
        from bench_figure import save_benchmark_figure

        save_benchmark_figure(results, memory, f"{figure_words(results, memory)} {caption}", folder, name)
    return int(not drawable)


def read_options(words: Sequence[str] | None) -> argparse.Namespace:
    """The options; what they leave open is that of the whole or of the quick benchmark."""
    lines = __doc__.splitlines()
    parser = argparse.ArgumentParser(description=lines[0], epilog=" ".join(lines[4:]))
    add = parser.add_argument
    add("--quick", action="store_true", help="a part of it, in a minute or two")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--memory", action="store_true", help="only the study of the memory")
    only.add_argument("--speed", action="store_true", help="without the study of the memory")
    only.add_argument("--epoch", type=int, metavar="JETS", help="only an epoch of a training on so many jets")
    add("--models", nargs="+", choices=MODELS)
    add("--backends", nargs="+", choices=BACKENDS, help="default: all for n = 30, without edge_list for others")
    add("--precisions", nargs="+", choices=PRECISIONS)
    add("--particles", nargs="+", type=sizes, metavar="N", help="particles per jet: 30, 1-60 (uniform), mixed")
    add("--jets", nargs="+", type=int, metavar="N", help="jets per batch (default: 256 up to n = 60, 64 above)")
    add("--seconds-per-case", type=float, metavar="S", help="time of a case; with --epoch: longest epoch")
    add("--memory-particles", nargs="+", type=sizes, metavar="N", help="the same in the study of the memory")
    add("--memory-jets", type=int, metavar="N", help="jets per batch in it")
    add("--max-memory", type=float, metavar="GIB", help="memory of a process (default: 80 %% of what is free)")
    add("--device", default="cpu", choices=("cpu", "cuda"), help="default: cpu")
    add("--threads", type=int, metavar="N", help="threads of PyTorch (default: its own choice)")
    add("--out", metavar="DIR", default="runs/benchmark", help="folder for the results (default: %(default)s)")
    options = parser.parse_args(words)
    parser.set_defaults(**{**WHOLE, **(QUICK if options.quick else {}), **(EPOCH if options.epoch else {})})
    options = parser.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA GPU here")
    return options


def sizes(text: str) -> str:
    """Numbers of particles as a :class:`Case` takes them."""
    text = "1-60" if text == "mixed" else text
    smallest, largest = Case("", "", "", text, 1).bounds
    if not 0 < smallest <= largest:
        raise ValueError
    return text


def speed_cases(options: argparse.Namespace) -> list[Case]:
    """The cases whose speed is measured, those that are compared with each other one after another."""
    cases = []
    for model in options.models:
        for n in options.particles:
            usual = [name for name in BACKENDS if name != "edge_list" or n == "30"]
            for jets in options.jets or [256 if int(n.rpartition("-")[2]) <= 60 else 64]:
                pairs = [(b, p) for p in options.precisions for b in options.backends or usual]
                cases += [Case(model, backend, precision, n, jets) for backend, precision in pairs]
    return cases


def memory_cases(options: argparse.Namespace) -> list[Case]:
    """The cases whose memory is studied, in the first of the precisions."""
    backends, last = options.backends or BACKENDS[:2], (options.precisions[0],)
    pairs = [(model, backend) for model in options.models for backend in backends]
    return [Case(*pair, *last, n, options.memory_jets) for pair in pairs for n in options.memory_particles]


def epoch_cases(options: argparse.Namespace) -> list[Case]:
    """The cases whose epochs are timed: the first of the sizes, of which jets have at least half."""
    largest = int(options.particles[0].rpartition("-")[2])
    same = f"{largest // 2 or 1}-{largest}", options.jets[0]
    kinds = [(m, p) for m in options.models for p in options.precisions]
    return [Case(model, backend, p, *same) for model, p in kinds for backend in options.backends or BACKENDS]


def figure_words(results: Sequence[Result], memory: Sequence[Result]) -> str:
    """What stands under the figure."""
    found: dict[int, dict[str, None]] = {}
    for result in results:
        found.setdefault(result.case.jets, {})[result.case.sizes] = None
    batches = "; ".join(f"{jets} jets per batch for n = {', '.join(names)}" for jets, names in found.items())
    words = [f"Jets per second: medians, bars from the 16th to the 84th percentile; {batches}."] if results else []
    if memory:
        jets = memory[0].case.jets
        words.append(f"Memory: beyond model, optimiser and batch of {jets} jets; fused with straight line.")
    return " ".join(words)


def write(
    folder: Path, name: str, caption: str, tables: Sequence[Table | None], full: Table, content: dict[str, Any]
) -> None:
    """Prints tables and writes them as Markdown; all numbers as CSV, single durations and the machine as JSON."""
    printed = [table for table in tables if table is not None]
    print(textwrap.fill(caption, 110), *(table.to_text() for table in printed), f"Results: {folder}", sep="\n\n")
    write_text(folder / f"{name}.md", "\n".join([f"{caption}\n", *(table.to_markdown() for table in printed)]))
    write_text(folder / f"{name}.csv", full.to_csv())
    write_text(folder / f"{name}.json", json.dumps({"format": 2, **content}, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    sys.exit(main())
