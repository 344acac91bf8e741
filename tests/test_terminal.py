"""Terminals of any encoding, and pipes that are closed."""

import os
import subprocess
import sys

import pytest

COMMAND = "import sys, warnings; from lgae_pyg.terminal import run_command\n"
PRINTS = COMMAND + "raise SystemExit(run_command(lambda: print('η φ τ Λ ± 10² × 5 – é ≥ 漢') or 3))"


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "η φ τ Λ ± 10² × 5 – é ≥ 漢"),
        ("latin-1", "eta phi tau Lamda ± 10² × 5 - é >= ?"),
        ("ascii", "eta phi tau Lamda +- 102 x 5 - e >= ?"),
        ("cp437", "eta φ τ Lamda ± 10² x 5 - é ≥ ?"),
    ],
)
def test_what_a_terminal_lacks_is_spelled_out(encoding, shown):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", PRINTS], env=environment, capture_output=True)
    assert (done.returncode, done.stdout.decode(encoding).strip(), done.stderr) == (3, shown, b"")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("for i in range(100_000): print('a line')", 141),  # closed while it prints
        ("print('a line')", 0),  # noticed only at the end, when all is done
    ],
)
def test_a_closed_pipe_ends_without_a_traceback(words, status):
    program = f"{COMMAND}\ndef work():\n    {words}\n    return 0\n"
    program += "sys.stdin.read()\nraise SystemExit(run_command(work))"
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
    with subprocess.Popen([sys.executable, "-c", program], **pipes, env=environment) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == b"" and process.wait() == status


def test_a_broken_pipe_of_something_else_is_an_error():
    from lgae_pyg.terminal import run_command

    def work():
        raise BrokenPipeError("a worker")

    with pytest.raises(BrokenPipeError, match="a worker"):
        run_command(work)


def test_warnings_of_the_package_are_one_line():
    program = COMMAND
    program += "place = sys.modules['lgae_pyg.terminal'].__file__\n"
    program += "def work():\n    warnings.warn_explicit('short', UserWarning, place, 1)\n"
    program += "    warnings.warn('long')\n    return 0\nrun_command(work)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stderr.startswith("Warning: short\n") and "UserWarning: long" in done.stderr


def test_what_torch_says_to_pyg_is_left_out():
    program = COMMAND
    program += "def work():\n    warnings.warn('`torch.jit.script` is deprecated. Please', FutureWarning)\n"
    program += "    warnings.warn('another', FutureWarning)\n    return 0\nrun_command(work)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "another" in done.stderr and "torch.jit" not in done.stderr
