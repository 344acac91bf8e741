"""Commands answer at once: help, completion and what is wrong with a call, without any long import."""

import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from lgae_pyg.cli import COMMANDS, build_parser, data, main
from lgae_pyg.cli.completion import proposals
from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.generator.presets import PRESETS

#: What takes long, or longer than all the rest together.
LONG = {"torch", "numpy", "scipy", "h5py", "pandas", "matplotlib", "lightning", "hydra", "wandb", "yaml"}
EXAMPLES = [example for _, example in (*COMMANDS.values(), *data.COMMANDS.values())]

#: Calls that are wrong, the exit status, and a part of what is said.
WRONG = [
    ("scroe a b", 2, "did you mean score?"),
    ("--verison", 2, "did you mean --version?"),
    ("generate --jetts 3", 2, "did you mean --jets?"),
    ("generate --preset jetnett", 2, "did you mean jetnet?"),
    ("generate --classes g,x", 1, "unknown jet class 'x'"),
    ("generate --set underlying_evnt=0", 1, "did you mean underlying_event?"),
    ("generate --jets 0", 2, "0 is below 1"),
    ("data inspcet a", 2, "did you mean inspect?"),
    ("data inspect a --particle", 2, "expected one argument"),
    ("data inspect a --parts 3", 2, "there is no option --parts"),
    ("data inspect nothing", 1, "no such file, and no pattern that fits"),
    ("data convert auto nothing --out b", 1, "no such file, and no pattern that fits"),
    ("data convert top_taging here.txt --out b", 1, "did you mean top_tagging?"),
    ("train experiment=quickstrat", 1, "did you mean quickstart?"),
    ("train --mulitrun seed=1,2", 2, "did you mean --multirun?"),
    ("train data=files data.path=nothing", 1, "no such file, and no pattern that fits"),
    ("evaluate nothing", 1, "no such checkpoint or run folder"),
    ("evaluate lorentz_net_tpos", 1, "did you mean lorentz_net_tops?"),
    ("evaluate lorentz_net_tops --studies anomlay", 2, "did you mean anomaly?"),
    ("evaluate lorentz_net_tops --split tets", 2, "did you mean test?"),
    ("evaluate lorentz_net_tops --data nothing", 1, "there is no data folder nothing"),
    ("evaluate lorentz_net_tops --supervised nothing", 1, "no such checkpoint or run folder"),
    ("evaluate nothing --redraw", 1, "no such file, and no pattern that fits"),
    ("score lorentz_net_tops nothing --out b.h5", 1, "no such file, and no pattern that fits"),
    ("score lorentz_net_tops here.txt --out b.txt", 1, "score files end in"),
    ("score lorentz_net_tops here.txt --outt b.h5", 2, "did you mean --out?"),
    ("score lorentz_net_tops here.txt --out b.h5 --card wever", 1, "did you mean weaver?"),
    ("score lorentz_net_tops here.txt --out b.h5 --shard 3/2", 2, "3/2: there are shares 1/2 to 2/2"),
    ("score lorentz_net_tops here.txt --out b.h5 --reference nothing", 1, "no such file"),
    ("judge nothing", 1, "no such file, and no pattern that fits"),
    ("judge here.txt --unit TEV", 2, "did you mean TeV?"),
    ("publish nothing models/mine", 1, "no such checkpoint or run folder"),
    ("publish lorentz_net_tops models/mine --about nothing", 1, "no such file, and no pattern that fits"),
    ("report nothing", 1, "no such file, and no pattern that fits"),
    ("efficiency --experiments lgae_mix_fats", 1, "did you mean lgae_mix_fast?"),
    ("efficiency --sizes 1,x", 1, "give whole numbers"),
    ("export lorentz_net_tops --out a.onx", 1, "did you mean .onnx?"),
    ("export nothing --out a.onnx", 1, "no such checkpoint or run folder"),
    ("compress nothing a.lgj", 1, "no such file, and no pattern that fits"),
    ("compress shell_lgae_jet here.txt a.lgj", 1, "did you mean shell_lgae_jets?"),
    ("compress here.txt a.lgj --coder plian", 2, "did you mean plain?"),
    ("decompress nothing", 1, "no such file, and no pattern that fits"),
    ("decompress here.txt a.paquet", 1, "did you mean .parquet?"),
    ("import --kind lgae --encoder here.txt --decoder nothing --config here.txt --out a", 1, "no such file"),
    ("completion fish", 2, "choose from bash, zsh"),
    ("score a b c --out d.h5 -z", 2, "there is no place for -z"),
]


#: Calls one after the other, in one process: what they say, and what is imported in the end.
CALLS = """
import contextlib, io, json, sys
from lgae_pyg.cli import main
answers = []
for words in json.load(sys.stdin):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        status = main(words)
    answers.append((status, out.getvalue(), sorted({name.split(".")[0] for name in sys.modules})))
json.dump(answers, sys.stdout)
"""


def answers(calls: list[list[str]], folder: Path) -> list[tuple[int, str, list[str]]]:
    """Exit status, what is said, and the packages that are there, after each call of a new process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CALLS]
    done = subprocess.run(
        command, input=json.dumps(calls), cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_wrong_call_is_told_at_once(tmp_path) -> None:
    (tmp_path / "here.txt").write_text("0")
    found = answers([words.split() for words, *_ in WRONG], tmp_path)
    for (words, status, part), (ended, said, packages) in zip(WRONG, found, strict=True):
        assert part in said and ended == status, (words, said)
        assert len(said.splitlines()) <= status and "Traceback" not in said, said
        assert not LONG & set(packages), words


def test_help_is_shown_at_once_and_ends_with_an_example(tmp_path) -> None:
    calls = [[], *([name] for name in COMMANDS), *(["data", name] for name in data.COMMANDS)]
    found = answers([[*words, "--help"] for words in calls], tmp_path)
    for words, (status, said, packages) in zip(calls, found, strict=True):
        *_, title, example = said.splitlines()
        assert status == 0 and title == "example:" and example.strip() in EXAMPLES, said
        assert not words or f"lgae {words[0]} " in example
        assert not LONG & set(packages), words


def every_parser() -> dict[str, CommandParser]:
    parsers = {name: build_parser(name).subcommands()[name] for name in COMMANDS}
    return parsers | {f"data {name}": one for name, one in parsers["data"].subcommands().items()}


@pytest.mark.parametrize("name", [name for name in every_parser() if name != "train"])
def test_each_option_is_suggested_for_itself_misspelt(name: str, capsys) -> None:
    parser = every_parser()[name]
    for option in parser.options():
        if option.startswith("--"):
            wrong = option[:-1] + "_" + option[-1]
            assert main([*name.split(), wrong]) == 2
            assert f"there is no option {wrong} (did you mean {option}?)" in capsys.readouterr().err


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_are_read_by_the_parser(example: str) -> None:
    words = shlex.split(example.removeprefix("source <(").removesuffix(")"))
    assert words[0] == "lgae"
    options = build_parser(words[1]).parse_args(words[1:])
    assert callable(options.run)


def test_every_command_says_what_it_is_given_before_long_imports() -> None:
    """Each has wrong calls among those above, and its module imports nothing long."""
    assert {words.split()[0] for words, *_ in WRONG} >= set(COMMANDS)
    statement = "import importlib, sys; [importlib.import_module(f'lgae_pyg.cli.{name}') for name in sys.argv[1:]]"
    names = [path.stem for path in Path(importlib.import_module("lgae_pyg.cli").__file__).parent.glob("*.py")]
    command = [sys.executable, "-c", f"{statement}; print(*sys.modules)", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not {name.split(".")[0] for name in done.stdout.split()} & LONG


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("lgae ", set(COMMANDS)),
        ("lgae sc", {"score"}),
        ("lgae data ", set(data.COMMANDS)),
        ("lgae score lorentz_net_t", {"lorentz_net_tops"}),
        ("lgae score runs/", {"runs/one/", "runs/two/"}),
        ("lgae score a b --ou", {"--out"}),
        ("lgae score a b --card to", {"top_tagging"}),
        ("lgae score a b --card=to", {"--card=top_tagging"}),
        ("lgae data convert auto a --order ", {"kept", "pt"}),
        ("lgae evaluate a --studies anomaly,la", {"anomaly,latent"}),
        ("lgae generate --preset to --cl", {"--classes"}),
        ("lgae generate --preset ", set(PRESETS)),
        ("lgae train exp", {"experiment="}),
        ("lgae train experiment=quick", {"experiment=quickstart"}),
        ("lgae train --mul", {"--multirun"}),
        ("lgae compress --quiet JETS.", set()),
        ("lgae nothing ", set()),
    ],
)
def test_completion(line: str, some: set[str], tmp_path, monkeypatch) -> None:
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert set(proposals(line)) == some


@pytest.fixture
def path_with_lgae(tmp_path):
    """A search path on which there is this very ``lgae``."""
    script = tmp_path / "bin" / "lgae"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nimport sys\nsys.path[:0] = {sys.path!r}\n"
                      "from lgae_pyg.cli import main\nsys.exit(main())\n")  # fmt: skip
    script.chmod(0o755)
    return f"{script.parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("lgae sco", "score"),
        ("lgae score lorentz_net_t", "lorentz_net_tops"),
        ("lgae train experiment=quick", "quickstart"),  # to bash, the word begins behind =
        ("lgae export x --unit Ge", "GeV"),
    ],
)
def test_bash_completes(line: str, reply: str, path_with_lgae) -> None:
    program = "source <(lgae completion bash); COMP_LINE=$1; COMP_POINT=${#1}; _lgae; echo ${COMPREPLY[@]}"
    environment = {**os.environ, "PATH": path_with_lgae}
    command = ["bash", "-c", program, "bash", line]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == ([reply], "")


def test_bash_knows_whom_to_ask(path_with_lgae) -> None:
    environment = {**os.environ, "PATH": path_with_lgae}
    command = ["bash", "-c", "source <(lgae completion bash); complete -p lgae"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "complete -o default -F _lgae lgae"
