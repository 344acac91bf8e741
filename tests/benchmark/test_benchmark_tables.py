"""Tables and figures of results that are known."""

import pytest
from matplotlib import pyplot as plt

from lgae_pyg.benchmark.cases import Case, Sizes
from lgae_pyg.benchmark.epoch import EpochResult
from lgae_pyg.benchmark.figures import benchmark_figure
from lgae_pyg.benchmark.schedule import Result
from lgae_pyg.benchmark.tables import (
    MIB,
    epoch_table,
    full_table,
    memory_fits,
    memory_table,
    ratio_table,
    speed_table,
)
from lgae_pyg.tables import read_csv

PEAKS = {"float64": 40e9, "float32": 80e9, "bandwidth": 1e10}


def result(backend="fused", precision="float64", n=30, seconds=1.0, memory=MIB, jets=64, **more):
    case = Case("mix9", backend, precision, Sizes(n, n), jets)
    durations = {"forward": [seconds / 4] * 3, "training": [seconds] * 3}
    return Result(case, durations, memory, flops=10**9, parameters=5, **more)


def failed(note="there is no memory", **case):
    one = result(**case)
    return Result(one.case, note=note)


def test_numbers_of_a_case():
    table = full_table([result("fused", "float32", seconds=0.5, memory=3 * MIB)], PEAKS)
    (row,) = table.records()
    assert (row["forward"], row["training"], row["training_low"], row["training_repeats"]) == (512, 128, 128, 3)
    assert (row["memory_mib"], row["gflop"], row["gflop_per_second"], row["peak_percent"]) == (3, 1, 2, 2.5)
    names, (read,) = read_csv(table.to_csv())
    assert dict(zip(names, read)) == row | {"particles": 30}


def test_mixed_precision_is_held_against_float64():
    table = full_table([result(precision="mixed")], PEAKS)
    assert table.column("peak_percent") == [100 * 1e9 / 40e9]


def test_cases_that_cannot_run_are_rows_that_say_why():
    table = speed_table([result(), failed(backend="dense")], PEAKS)
    assert table.column("note") == ["", "there is no memory"]
    assert table.records()[1]["training"] == "–"
    line = table.to_markdown().splitlines()[3]
    assert (
        line == "| LGAE-Mix, τ = 9 | 30 | 64 | float64 | dense | – | – | – | – | – | – | – | there is no memory |"
    )
    assert table.to_markdown().splitlines()[1].count("---:") == 8  # numbers stay on the right
    assert "note" not in speed_table([result()], PEAKS).columns
    assert full_table([failed()], PEAKS).column("training") == [""]


def test_ratios_are_taken_at_thirty_particles():
    results = [
        result(seconds=1), result("dense", seconds=4), result("edge_list", seconds=10), result(n=60, seconds=3),
        result("dense", n=60, seconds=33), result(precision="float32", seconds=0.5),
    ]  # fmt: skip
    table = ratio_table(results)
    found = dict(zip(table.column("ratio"), table.column("training")))
    expected = {"fused / dense, float64": 4, "fused / edge_list, float64": 10, "float32 / float64, fused": 2}
    assert found == expected
    assert ratio_table(results[3:5]).column("training") == [pytest.approx(11)]
    assert ratio_table([result()]) is None
    assert ratio_table([failed()]) is None


def test_memory_has_the_line_of_the_fused_backend():
    results = [result(n=n, memory=(2 * n + 10) * MIB) for n in (30, 60, 100)]
    results += [result("dense", n=60, memory=900 * MIB), failed(backend="dense", n=100)]
    (fit,) = memory_fits(results).values()
    assert (fit.slope, fit.intercept) == (pytest.approx(2), pytest.approx(10))
    table = memory_table(results)
    assert table.column("line_mib") == [pytest.approx(70), pytest.approx(130), pytest.approx(210), "–", "–"]
    assert "(2 n + 10) MiB, largest deviation 0.0 %" in table.caption
    assert memory_fits(results[:1]) == {}


def test_epochs_say_what_was_scaled():
    case = Case("mix9", "dense", "float64", Sizes(15, 30), 64)
    whole, part = EpochResult(case, 1000, 1000, 5.0), EpochResult(case, 1000, 128, 50.0)
    table = epoch_table([whole, part, EpochResult(case, 1000, note="why")])
    assert table.column("rate") == [200, 20, "–"]
    assert table.column("remark") == ["", "measured on 128 jets, scaled", "why"]


def test_figure_shows_each_case():
    speed = [result(n=n, seconds=n) for n in (30, 60)] + [result("dense", n=30), failed(backend="dense", n=60)]
    speed.append(Result(Case("mix9", "fused", "float64", Sizes(1, 60), 64), speed[0].durations))
    memory = [result(n=n, memory=n * MIB) for n in (30, 60)]
    figure = benchmark_figure(speed, memory, "caption")
    forward, training, peak = figure.axes
    assert [len(axes.containers) for axes in (forward, training)] == [3, 3]  # fused, fused of mixed sizes, dense
    assert [label.get_text() for label in training.get_xticklabels()] == ["30", "60", "1–60"]
    assert "(1 n + " in peak.texts[0].get_text() or "(1 n −" in peak.texts[0].get_text()
    assert len(benchmark_figure([], memory, "caption").axes) == 1
    plt.close("all")
    with pytest.raises(ValueError, match="no case has run"):
        benchmark_figure([failed()], [], "caption")
