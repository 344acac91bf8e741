"""Cases in processes: turns, failures, and the whole command."""

import json
import os
import subprocess
import sys
from typing import ClassVar

import pytest
import torch

from lgae_pyg.benchmark import schedule, study
from lgae_pyg.benchmark.cases import Case, Sizes
from lgae_pyg.benchmark.process import ProcessError, Remote, one_line
from lgae_pyg.benchmark.schedule import STOPPED, Effort, measure, measure_memory
from lgae_pyg.benchmark.worker import CaseRunner, Probe, Surroundings
from lgae_pyg.cli import main
from lgae_pyg.tables import read_csv

HERE = Surroundings(threads=1)


def case(backend="dense", precision="float64", n=4, jets=3):
    return Case("mix9", backend, precision, Sizes(n, n), jets)


class Patient:
    """Something that lives in a process and dies when told to."""

    def double(self, x):
        return 2 * x

    def fail(self):
        raise ValueError("no /secret/place/file here\nmore")

    def die(self):
        os._exit(7)


def impatient():
    raise RuntimeError("cannot begin")


def test_remote_objects_answer_fail_and_die():
    remote = Remote(Patient)
    assert remote.call("double", 21) == 42
    with pytest.raises(ProcessError, match=r"^no file here$"):
        remote.call("fail")
    assert remote.call("double", 1) == 2
    with pytest.raises(ProcessError, match="the process ended with status 7"):
        remote.call("die")
    with pytest.raises(ProcessError, match="the process ended"):
        remote.call("double", 1)
    remote.close()
    with pytest.raises(ProcessError, match=r"^cannot begin$"):
        Remote(impatient)


def test_reasons_are_one_line_without_paths():
    assert one_line(OSError("[Errno 2] No such file: '/home/me/x.so'\nmore")) == "[Errno 2] No such file: 'x.so'"
    assert one_line(RuntimeError("20 jets/s of a/b")) == "20 jets/s of a/b"
    assert one_line(MemoryError()) == "MemoryError"
    assert len(one_line(RuntimeError(1000 * "x"))) <= 160


class Script:
    """In place of a process: steps last as long as the back-end's name says, and calls are written down."""

    SECONDS: ClassVar = {"fused": 1.0, "dense": 10.0, "edge_list": 100.0}
    calls: ClassVar[list]

    def __init__(self, make, which, surroundings):
        assert make is CaseRunner
        if which.precision == "mixed":
            raise ProcessError("no mixed precision")
        self.case = which

    def call(self, name, *arguments):
        if name == "prepare":
            if self.case.precision == "float32":
                raise ProcessError("skipped: too large")
            return {"memory": 5, "flops": 6, "parameters": 7}
        kind, count, seconds = arguments
        self.calls.append((self.case.backend, kind))
        if (self.case.sizes.largest, kind) == (666, "training"):
            raise KeyboardInterrupt
        step = self.SECONDS[self.case.backend]
        return [step] * max(1, min(count, int(seconds / step)))

    def close(self):
        pass


def test_cases_take_turns_and_failures_are_results(monkeypatch):
    monkeypatch.setattr(Script, "calls", [], raising=False)
    cases = [case("fused"), case("dense"), case("edge_list"), case("fused", "mixed"), case("fused", "float32")]
    done = []
    results = measure(cases, HERE, Effort(repeats=10, seconds=60), Script, done.append)
    counts = [len(result.durations["training"]) for result in results]
    assert counts == [10, 3, 2, 0, 0]  # as often as asked; until the time is up; at least twice
    assert [result.note for result in results] == ["", "", "", "no mixed precision", "skipped: too large"]
    assert [(r.memory, r.flops) for r in results] == 3 * [(5, 6)] + 2 * [(None, None)]
    turn = [(backend, kind) for backend in ("fused", "dense", "edge_list") for kind in ("forward", "training")]
    assert Script.calls[:12] == 2 * turn
    assert sorted(map(id, done)) == sorted(map(id, results))
    memory = measure_memory(cases, HERE, Script)
    assert [result.memory for result in memory] == [5, 5, 5, None, None]


def test_large_cases_do_not_take_turns(monkeypatch):
    monkeypatch.setattr(Script, "calls", [], raising=False)
    monkeypatch.setattr(schedule, "LARGE", 5)
    measure([case("dense"), case("edge_list")], HERE, Effort(repeats=10, seconds=1), Script)
    assert [backend for backend, _ in Script.calls] == 4 * ["dense"] + 4 * ["edge_list"]


def test_interruption_keeps_what_there_is(monkeypatch):
    monkeypatch.setattr(Script, "calls", [], raising=False)
    cases = [case("fused"), case("fused", n=666), case("fused", n=5)]
    results = measure(cases, HERE, Effort(2, 1.0), Script)
    assert [result.note for result in results] == ["", STOPPED, STOPPED]
    assert results[0].complete and not results[2].complete


def test_memory_guard_and_unknown_devices():
    runner = CaseRunner(case(n=30), Surroundings(threads=1, max_memory=1e6))
    with pytest.raises(MemoryError, match=r"skipped: about \d\.\d GiB expected, 0\.0 GiB allowed"):
        runner.prepare()
    (result,) = measure([case()], Surroundings("nonsense"), Effort(1, 1.0))
    assert result.note and not result.complete


class QuickProbe(Probe):
    """Leaves out the large matrix products."""

    def peaks(self):
        return {"float64": 4e10, "float32": 8e10, "bandwidth": 1e10}


def test_command_writes_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(study, "Probe", QuickProbe)
    words = "bench --quick --models minmax4 --backends dense --precisions float64 --particles 3,1-4"
    words += (
        " --jets 2 --repeats 2 --seconds-per-case 0.1 --memory-particles 3,5 --memory-jets 2 --threads 1 --quiet"
    )
    assert main([*words.split(), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "fused" not in printed.split("Medians")[0]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"benchmark.{kind}" for kind in ("md", "csv", "json", "png", "pdf")}
    _, rows = read_csv((tmp_path / "benchmark.csv").read_text())
    assert len(rows) == 2 + 2
    content = json.loads((tmp_path / "benchmark.json").read_text())
    assert content["machine"]["threads_used"] == 1 and content["peaks"]["float64"] == 4e10
    assert str(tmp_path) not in json.dumps(content)
    for result in content["speed"]:
        assert len(result["durations"]["training"]) >= 2 and result["flops"] > 0
    assert printed.count("LGAE-Min-Max") == 2 + 2  # a row for each case, and no ratio or line without fused


def test_command_times_an_epoch(tmp_path, capsys):
    words = "bench --epoch 40 --models mix9 --backends dense --precisions mixed --particles 4 --jets 5 --threads 1"
    assert main([*words.split(), "--quiet", "--out", str(tmp_path)]) == 0
    (epoch,) = json.loads((tmp_path / "epoch.json").read_text())["epochs"]
    assert (epoch["measured"], epoch["sizes"], epoch["note"]) == (40, "2-4", "")
    assert 0 < epoch["seconds"] < 60
    assert (tmp_path / "epoch.md").exists() and "mixed" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_no_benchmark_of_it(capsys):
    assert main(["bench", "--device", "cuda", "--quiet"]) == 1
    assert capsys.readouterr().err == "lgae bench: there is no CUDA GPU here\n"


def test_wrong_words_are_explained(capsys):
    assert main(["bench", "--models", "nonsense", "--quiet"]) == 1
    assert "unknown model nonsense" in capsys.readouterr().err
    assert main(["bench", "--epoch", "5", "--memory"]) == 1
    assert "exclude each other" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["bench", "--repeats", "0"])


def test_help_imports_nothing_heavy():
    program = (
        "import sys\nfrom lgae_pyg.cli import main\n"
        "try:\n    main(['bench', '--help'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('torch', 'numpy', 'lightning', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
