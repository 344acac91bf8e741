"""The benchmark of train/benchmarks: what is counted, timed and reported, and all of it on a tiny case."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import bench
import bench_epoch
import bench_machine
import bench_measure
import pytest
import torch
from bench_figure import benchmark_figure
from bench_measure import STOPPED, Case, Result, Steps, Where, in_process, measure, measure_here, step_flops
from bench_tables import MIB, full_table, memory_table, ratio_table, speed_table
from torch.utils.flop_counter import FlopCounterMode

from lgae_pyg.lorentz.kinematics import mass, transverse_momentum
from lgae_pyg.tables import read_csv

PEAKS = {"float64": 40e9, "float32": 80e9, "bandwidth": 1e10}
HERE = Where(threads=1)


def case(backend="dense", precision="float64", sizes="4", jets=3):
    return Case("mix9", backend, precision, sizes, jets)


def result(backend="fused", precision="float64", n=30, seconds=1.0, memory=MIB, note=""):
    times = {} if note else {"forward": [seconds / 4] * 3, "training": [seconds] * 3}
    made = Result(case(backend, precision, str(n), 64), note=note)
    made.durations |= times
    return made if note else Result(made.case, made.durations, memory, 10**9, 5)


def end_of_process(cases, where, seconds):
    """In place of measuring: one of the cases ends the process."""
    if any(one.backend == "dense" for one in cases):
        os.kill(os.getpid(), signal.SIGKILL)
    return [Result(one, memory=7, note=multiprocessing.get_start_method()) for one in cases]


def test_times_are_those_of_single_calls(monkeypatch):
    """A clock that only the calls move: as many seconds as calls, however many of them are timed together."""
    calls = []

    def clock():
        return 2.0 * len(calls)

    def timer(stmt, **options):
        return original(stmt, timer=clock, **options)

    original = bench_measure.Timer
    monkeypatch.setattr(bench_measure, "Timer", timer)
    found = bench_measure.time_calls(lambda: calls.append(1), 20.0)
    assert found == [2.0] * 10 and len(calls) == 11  # the first is not counted


def test_operations_are_those_of_known_products():
    """Those of a batch are those of its jets, and of a perceptron 6 times its weights a particle and step."""
    one, two = step_flops("mix9", 5, (5,)), step_flops("mix9", 5, (3,))
    assert step_flops("mix9", 5, (5, 3, 5)) == 2 * one + two and one > two
    steps = Steps(case("dense", "float64", "5", 2), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        steps.training()
    assert counter.get_total_flops() == 2 * one
    weights = {name: w.numel() for name, w in steps.model.named_parameters() if "mlp" in name and w.dim() == 2}
    assert weights and one > 6 * 5 * sum(weights.values())
    with FlopCounterMode(display=False) as counter:
        torch.rand(3, 5) @ torch.rand(5, 7)
    assert counter.get_total_flops() == 2 * 3 * 5 * 7


def test_peaks_count_products_and_both_ways_of_a_copy(monkeypatch):
    calls = []
    monkeypatch.setattr(bench_machine, "time_calls", lambda call, seconds: [calls.append(call()) or 0.5, 0.75])
    monkeypatch.setitem(bench_machine.MATRIX, "cpu", 50)
    monkeypatch.setitem(bench_machine.COPIED, "cpu", 1000)
    peaks = bench_machine.measure_peaks(torch.device("cpu"))
    assert peaks == {"float64": 500_000, "float32": 500_000, "bandwidth": 32_000}
    assert [out.dtype for out in calls] == [torch.float64, torch.float32, torch.float64]


def test_jets_are_massless_ordered_and_the_same_each_time():
    one, other = (bench_measure.random_batch(40, (2, 5)) for _ in range(2))
    assert torch.equal(one.pos, other.pos) and torch.equal(one.ptr, other.ptr)
    sizes = one.ptr.diff().tolist()
    assert min(sizes) == 2 and max(sizes) == 5 and float(mass(one.pos).abs().max()) < 1e-6
    for pt in transverse_momentum(one.pos).split(sizes):
        assert torch.equal(pt, pt.sort(descending=True).values)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_peak_memory_is_that_of_the_call():
    size, device = 1 << 26, torch.device("cpu")

    def step():
        first = torch.ones(size // 8, dtype=torch.float64)
        first = first + 1  # both exist for a moment
        del first
        torch.ones(size // 16, dtype=torch.float64)

    for _ in range(2):  # the second time, the first peak must be forgotten
        assert bench_measure.peak_of(step, device) == pytest.approx(2 * size, rel=0.05)
    assert bench_measure.peak_of(lambda: None, device) < size / 50


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_what_does_not_fit_is_reported_and_the_others_run():
    cases = [case("dense", sizes="30", jets=32), case("fused", sizes="30", jets=32)]
    large, small = in_process(measure_here, cases, Where(threads=1, limit=6e7), 0.0)
    assert large.note == "does not fit: needs more memory than it may take" and large.memory is None
    assert small.note == "" and 0 < small.memory < 6e7 and small.flops > 0


@pytest.mark.slow
def test_processes_are_fresh_and_their_ends_are_results(monkeypatch):
    monkeypatch.setattr(bench_measure, "measure_here", end_of_process)
    done = []
    found = measure([case("fused"), case("dense")], HERE, 1.0, lambda: done.append(1))
    assert [one.memory for one in found] == [7, None] and len(done) == 2
    assert found[0].note == "spawn"  # a GPU's driver does not survive a fork
    assert found[1].note == "its process was ended, perhaps for want of memory"


def test_interruption_keeps_what_there_is(monkeypatch):
    def group(cases, where, seconds):
        if cases[0].jets == 4:
            raise KeyboardInterrupt
        return [Result(one, memory=1) for one in cases]

    monkeypatch.setattr(bench_measure, "_measure_group", group)
    found = measure([case(), case("fused"), case(jets=4), case(jets=5)], HERE, 1.0, lambda: None)
    assert [one.note for one in found] == ["", "", STOPPED, STOPPED]


def test_numbers_of_a_case():
    (row,) = full_table([result("fused", "float32", seconds=0.5, memory=3 * MIB)], PEAKS).records()
    assert (row["forward"], row["training"], row["training_low"], row["training_repeats"]) == (512, 128, 128, 3)
    assert (row["memory_mib"], row["gflop"], row["gflop_per_second"], row["peak_percent"]) == (3, 1, 2, 2.5)
    assert full_table([result(precision="mixed")], PEAKS).column("peak_percent") == [100 * 1e9 / 40e9]
    table = speed_table([result(), result("dense", note="why")], PEAKS)
    assert table.to_markdown().splitlines()[3].endswith("| float64 | dense | – | – | – | – | – | – | – | why |")
    assert "note" not in speed_table([result()], PEAKS).columns


def test_ratios_are_taken_at_thirty_particles():
    slower = [result("dense", seconds=4), result("edge_list", seconds=10), result(n=60, seconds=3)]
    faster = [result(), result(precision="float32", seconds=0.5)]
    table = ratio_table([*faster, *slower, result("dense", n=60, seconds=33)])
    found = dict(zip(table.column("ratio"), table.column("training")))
    assert found == {"fused / dense, float64": 4, "fused / edge_list, float64": 10, "float32 / float64, fused": 2}
    assert ratio_table([result()]) is None and ratio_table([result(note="why")]) is None


def test_memory_has_the_line_of_the_fused_backend_and_the_figure_shows_each_case():
    memory = [result(n=n, memory=(2 * n + 10) * MIB) for n in (30, 60, 100)]
    table = memory_table([*memory, result("dense", n=60, memory=900 * MIB), result("dense", n=100, note="why")])
    assert table.column("line_mib") == [pytest.approx(70), pytest.approx(130), pytest.approx(210), "–", "–"]
    assert "(2 n + 10) MiB, largest deviation 0.0 %" in table.caption
    speed = [*memory[:2], result("dense"), result(n="1-60"), result("dense", n=60, note="why")]
    forward, training, peak = benchmark_figure(speed, memory, "caption").axes
    assert [len(axes.containers) for axes in (forward, training)] == [3, 3]  # fused, fused of mixed sizes, dense
    assert [label.get_text() for label in training.get_xticklabels()] == ["30", "60", "1-60"]
    assert "(2 n + 10) MiB" in peak.texts[0].get_text()


@pytest.mark.slow
def test_the_whole_of_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "in_process", lambda function, where, peaks: (function(HERE, False)[0], PEAKS))
    words = "--quick --models minmax4 --backends dense --precisions float64 --particles 3 1-4 --jets 2 --threads 1"
    words += " --seconds-per-case 0.1 --memory-particles 3 5 --memory-jets 2 --out"
    assert bench.main([*words.split(), str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("LGAE-Min-Max") == 2 + 2
    kinds = ("md", "csv", "json", "png", "pdf")
    assert {path.name for path in tmp_path.iterdir()} == {f"benchmark.{kind}" for kind in kinds}
    names, rows = read_csv((tmp_path / "benchmark.csv").read_text())
    assert len(rows) == 4 and all(row[names.index("gflop")] > 0 for row in rows)
    text = (tmp_path / "benchmark.json").read_text()
    assert all(len(one["durations"]["training"]) >= 2 for one in json.loads(text)["speed"])
    assert str(tmp_path) not in text


@pytest.mark.slow
def test_epochs_are_timed_and_say_what_was_scaled(monkeypatch):
    table = bench_epoch.measure_epochs([case(sizes="2-4", jets=5)], HERE, 40, 300.0, lambda: None)
    (found,) = table.records()
    assert (found["jets"], found["remark"]) == (40, "") and found["seconds"] > 0
    monkeypatch.setattr(bench_epoch, "_train", lambda case, where, jets, root: jets / 10)
    assert bench_epoch.epoch_here(case(), HERE, 1000, 50.0) == (100.0, "measured on 498 jets, scaled")
    assert bench_epoch.epoch_here(case(), HERE, 1000, 500.0) == (100.0, "")


def test_mistakes_are_explained(capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    mistakes = {"--models nonsense": "invalid choice", "--memory --epoch 5": "not allowed"}
    mistakes |= {"--particles 7-3": "invalid sizes value", "--device cuda": "no CUDA GPU"}
    for words, reason in mistakes.items():
        with pytest.raises(SystemExit):
            bench.main(words.split())
        assert reason in capsys.readouterr().err
