"""What README and guides show in blocks runs: Python as it stands, words of the shell as far as is quick."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

CLONE = Path(__file__).parents[1]
sys.path.insert(0, str(Path(__file__).parent / "datasets"))
pytestmark = pytest.mark.skipif(not (CLONE / "docs").is_dir(), reason="only in a clone")

#: What is not run, by what it begins with, and why.
LEFT_OUT = {
    "git clone <this repository>": "the address of the repository is not known here",
    "#include": "C++: needs the headers of ONNX Runtime",
}
#: Packages without which a page's Python blocks are left out.
NEEDED = {"docs/exporting.md": ("onnx", "onnxscript", "onnxruntime"), "docs/compression.md": ("constriction",)}
SHELL, OTHERS = ("console", "bash", "sh"), ("", "yaml", "cpp", "{toctree}", "{include}", "{eval-rst}", "text")
BLOCK = re.compile(r"^```(\S*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def text_of(page: Path) -> str:
    """The words of a page; of a notebook those between its cells, code as blocks."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    words = "\n\n".join(cells_of(page, "markdown"))
    return re.sub(r"((?:^    .*\n?)+)", r"```console\n\1\n```\n", words, flags=re.MULTILINE)


def cells_of(notebook: Path, kind: str) -> list[str]:
    """The texts of its cells of a kind."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == kind]


PAGES = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *sorted((CLONE / "docs").glob("*.md"))]
PAGES += [*sorted((CLONE / "docs" / "reference").glob("*.md")), CLONE / "data" / "README.md"]
PAGES += [CLONE / "train" / "benchmarks" / "README.md", *sorted((CLONE / "docs" / "tutorials").glob("*.ipynb"))]
BLOCKS = {page.relative_to(CLONE).as_posix(): BLOCK.findall(text_of(page)) for page in PAGES}


def blocks_of(name: str, *kinds: str) -> list[str]:
    return [text for kind, text in BLOCKS[name] if kind in kinds and not text.startswith(tuple(LEFT_OUT))]


def pages_with(*kinds: str) -> list[str]:
    return [name for name in BLOCKS if blocks_of(name, *kinds)]


#: Pages of the site that show nothing to do.
WITHOUT_EXAMPLE = {"docs/changelog.md"}
INCLUDED = re.compile(r"^```\{include\} (\S+)", re.MULTILINE)


def test_every_page_has_an_example() -> None:
    """At least one block that the tests below run, compose or parse, on the page or in what it includes."""
    shown = {name for name in BLOCKS if blocks_of(name, "python", "yaml", *SHELL)}
    shown |= {page.relative_to(CLONE).as_posix() for page in PAGES if page.suffix == ".ipynb"}  # cells are run
    for page in (CLONE / "docs").glob("*.md"):
        for target in INCLUDED.findall(text_of(page)):
            other = (page.parent / target).resolve().relative_to(CLONE).as_posix()
            shown |= {page.relative_to(CLONE).as_posix()} if other in shown else set()
    assert len(shown) > 40
    assert set(BLOCKS) - shown == WITHOUT_EXAMPLE


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    kinds = {(name, kind) for name, blocks in BLOCKS.items() for kind, _ in blocks}
    assert {one for one in kinds if one[1] not in (*SHELL, *OTHERS, "python")} == set()
    texts = [text for blocks in BLOCKS.values() for _, text in blocks]
    assert all(any(text.startswith(begin) for text in texts) for begin in LEFT_OUT)


# Python


@pytest.fixture(scope="module")
def workshop(tmp_path_factory) -> Path:
    """A folder with all that the pages take for granted: jets in several layouts, a run, its scores."""
    from jet_layouts import Jets, neutral, pandas_table, root_tree

    from lgae_pyg.applications.export import export_model
    from lgae_pyg.checkpoint import save_checkpoint
    from lgae_pyg.cli import main
    from lgae_pyg.models import PFN

    folder, jets = tmp_path_factory.mktemp("workshop"), Jets(100)
    (folder / "top").mkdir()
    neutral(folder / "jets.npz", jets)
    root_tree(folder / "jets.root", jets)
    pandas_table(folder / "top" / "test.h5", jets)
    model = PFN(2, particle_widths=[8, 8], jet_widths=[8])
    where = folder / "runs" / "mine" / "checkpoints" / "best.ckpt"
    where.parent.mkdir(parents=True)
    save_checkpoint(where, model, unit="TeV", class_names=["QCD", "top"])
    files = [str(folder / name) for name in ("runs/mine", "jets.npz", "scores.root")]
    assert main(["score", *files[:2], "--out", files[2], "--quiet"]) == 0
    if all(map(has, NEEDED["docs/exporting.md"])):
        export_model(folder / "runs" / "mine", folder / "tagger.onnx")
    for name in BLOCKS:
        for text in blocks_of(name, "python"):
            if module := re.match(r"# (\w+\.py)(, too)?\n", text):
                write_more(folder / module[1], text)
    own = cells_of(CLONE / "docs" / "tutorials" / "4_own_model.ipynb", "code")
    imports = [line for line in own[0].splitlines() if line.startswith(("import ", "from "))]
    write_more(folder / "my_nets.py", "\n".join([*imports, *(text for text in own if text.startswith("class "))]))
    return folder


def write_more(path: Path, text: str) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{text}\n")


def has(package: str) -> bool:
    try:
        __import__(package)
    except ImportError:
        return False
    return True


def arrays() -> dict[str, Any]:
    """Jets as somebody may have them in memory."""
    import awkward
    from jet_layouts import Jets

    jets = Jets(20)
    columns = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "m": jets.m}
    records = awkward.zip({name: jets.jagged(values) for name, values in columns.items()})
    mask = np.arange(12) < jets.sizes[:, None]
    flat = {"flat": jets.p4, "ptr": jets.ptr}
    return {"p4": jets.padded(jets.p4), "mask": mask, "y": jets.y, "records": records, **flat}


#: Names that the blocks of a page do not define themselves.
GIVEN: dict[str, Callable[[], dict[str, Any]]] = {"docs/jets_from_files.md": arrays}


@pytest.mark.parametrize("name", [name for name in pages_with("python") if not name.endswith(".ipynb")])
def test_python_blocks_run(name: str, workshop, monkeypatch, capsys) -> None:
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(workshop)
    monkeypatch.syspath_prepend(workshop)
    names = {"__name__": "a block of the page", **GIVEN.get(name, dict)()}  # guarded by __main__: makes jets
    for block in blocks_of(name, "python"):
        exec(compile(block, name, "exec"), names)


def test_cards_are_understood() -> None:
    from lgae_pyg.datasets.cards import Card

    cards = [yaml.safe_load(text) for name in BLOCKS for text in blocks_of(name, "yaml")]
    assert cards
    for card in cards:
        assert Card.from_dict({"name": "of a page", **card}).momenta


# The shell

#: Bash, in which every command only says its words, and one that is unknown fails.
ECHO = """
say() { printf '%s\\x1f' "$@"; printf '\\x1e'; }
for name in lgae git make pip python python3 cd pytest source srun scontrol torchrun wandb; do
    eval "$name() { say $name \\"\\$@\\"; }"
done
function . { say . "$@"; }
command_not_found_handle() { echo "unknown command $*" >&2; exit 127; }
PATH= SLURM_ARRAY_TASK_ID=1
set -e
"""


def commands(block: str, folder: Path) -> list[list[str]]:
    """The commands of a block, as bash understands it: continued lines, variables, quotes, comments."""
    done = subprocess.run(["/bin/bash", "-c", ECHO + block + ":"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", f"{done.stderr}\n{block}"
    return [one.split("\x1f")[:-1] for one in done.stdout.split("\x1e")[:-1]]


def composed(words: list[str]) -> dict[str, Any]:
    """The configuration that ``lgae train`` would train with."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from lgae_pyg.config import config_directory
    from lgae_pyg.training.command_line import complete, with_task
    from lgae_pyg.training.configuration import read_config

    words, own = complete(words)
    with initialize_config_dir(str(config_directory()), version_base="1.3"):
        config = compose("train", ["name=unnamed", *with_task(words)])
    config = OmegaConf.to_container(config, resolve=True)
    return config if own else read_config(config)


def one_of_many(words: list[str]) -> list[str]:
    """The overrides of one training of a multirun, without those of Hydra itself."""
    own = [word for word in words if not word.startswith(("--", "hydra"))]
    return [re.sub(r"^([^=]+=[^\[,]*),.*", r"\1", word) for word in own] if "--multirun" in words else own


def check_lgae(words: list[str]) -> None:
    """What ``lgae`` would say of these words before it begins."""
    from lgae_pyg.cli import build_parser
    from lgae_pyg.places import card_file, score_format
    from lgae_pyg.registry import check_choice
    from lgae_pyg.vocabulary import EXPORT_FORMATS, JET_FORMATS

    if words[-1] == "--help":
        return
    options = build_parser(words[1]).parse_args(words[1:])
    if options.command == "train":
        composed(one_of_many(options.words))
    if options.command == "score":
        score_format(options.out)
    if options.command == "export":
        check_choice("format", options.out.suffix, EXPORT_FORMATS)
    if options.command == "decompress" and options.out:
        check_choice("format", options.out.suffix, JET_FORMATS)
    card = getattr(options, "card", None) or "auto"
    if card != "auto" and not card.isupper() and not card.endswith(".yaml"):
        card_file(card)


def check_other(words: list[str]) -> None:
    """That scripts, their options, targets and extras are there."""
    command, *rest = words
    if "lgae" in rest:  # started by another command
        check_lgae(rest[rest.index("lgae") :])
    if "lgae_pyg.training" in rest:
        check_lgae(["lgae", "train", *rest[rest.index("lgae_pyg.training") + 1 :]])
    if command in ("python", "python3") and rest[0].endswith(".py"):
        text = (CLONE / rest[0]).read_text()
        assert [one for one in rest if one.startswith("--") and f'"{one}"' not in text] == [], words
    if command == "make":
        makefile = (CLONE / "Makefile").read_text()
        assert all(re.search(rf"^{one}:", makefile, re.M) for one in rest if "=" not in one), words
    if command == "pytest":
        assert all((CLONE / one).exists() for one in rest if one.startswith("tests")), words
    if command == "pip":
        config = (CLONE / "setup.cfg").read_text()
        extras = re.findall(r"\[([\w,]+)\]", " ".join(rest))
        assert all(re.search(rf"^{one} =$", config, re.M) for one in ",".join(extras).split(",") if one), words


@pytest.mark.parametrize("name", pages_with(*SHELL))
def test_words_of_the_shell_are_understood(name: str, workshop, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(workshop)
    monkeypatch.syspath_prepend(workshop)
    for block in blocks_of(name, *SHELL):
        for words in commands(block, tmp_path):
            try:
                (check_lgae if words[0] == "lgae" else check_other)(words)
            except (SystemExit, ValueError, OSError) as error:
                pytest.fail(f"{shlex.join(words)}\n{error}\n{capsys.readouterr().err}")


def test_runs_are_named_as_they_were_trained() -> None:
    """``runs/NAME`` is a name that some page gives, or that of a model or an experiment."""
    from lgae_pyg.places import config_names

    text = "\n".join(text for name in BLOCKS for text in blocks_of(name, *SHELL))
    trained = {*re.findall(r"\bname=(\w+)", text), *config_names("experiment"), *config_names("model")}
    trained |= {"efficiency", *re.findall(r"--out runs/(\w+)", text)}
    assert set(re.findall(r"runs/(\w+)", text)) <= trained


@pytest.mark.parametrize("name", BLOCKS)
def test_words_within_sentences_have_options_that_there_are(name: str) -> None:
    from lgae_pyg.cli import COMMANDS, build_parser, data

    for line in re.findall(r"`(lgae [^`]+)`", BLOCK.sub("", text_of(CLONE / name))):
        words = line.split()
        assert words[1] in COMMANDS or words[1].isupper(), line
        if words[1] == "train" and "..." not in line and "_target_" not in line:
            composed([word for word in words[2:] if "=" in word])
        if words[1] == "train" or words[1].isupper():
            continue
        parser = build_parser(words[1]).subcommands()[words[1]]
        if words[1] == "data":
            assert words[2] in data.COMMANDS, line
            parser = parser.subcommands()[words[2]]
        assert [one for one in re.findall(r"--[a-z-]+", line) if one not in parser.options()] == [], line
