"""The documentation: what it shows runs, links are there, what is public is described, the site is built."""

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lgae_pyg

CLONE = Path(__file__).parents[1]
PAGES = [CLONE / "README.md", CLONE / "CONTRIBUTING.md", *sorted((CLONE / "docs").glob("*.md"))]
#: Pages whose Python blocks stand by themselves, each in the order of the page.
RUN = ("README.md", "docs/library.md", "docs/physics.md")

pytestmark = pytest.mark.skipif(not (CLONE / "docs").is_dir(), reason="only in a clone")


@pytest.mark.parametrize("name", RUN)
def test_python_blocks_run(name: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (CLONE / name).read_text(encoding="utf-8"), re.S)
    assert blocks
    names = {"__name__": "a block of the page"}  # what is guarded by __main__ makes jets
    for block in blocks:
        exec(compile(block, name, "exec"), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(CLONE)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not re.match(r"https?:", target):
            assert (page.parent / target).exists(), f"{page.name} links {target}, which is not there"


def public_objects():
    for found in pkgutil.walk_packages(lgae_pyg.__path__, "lgae_pyg."):
        if found.name.endswith("__main__") or "triton" in found.name:
            continue
        try:
            module = importlib.import_module(found.name)
        except ImportError:  # of an extra that is not installed
            continue
        for name, value in vars(module).items():
            made_here = getattr(value, "__module__", None) == module.__name__
            if made_here and not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{module.__name__}.{name}", value


def test_everything_public_is_described() -> None:
    objects = dict(public_objects())
    assert len(objects) > 300
    assert [name for name, value in objects.items() if not inspect.getdoc(value)] == []
    mute = []  # an argument that the documentation of a function does not name
    for name, value in objects.items():
        text = inspect.getdoc(value)
        if not inspect.isfunction(value) or "Args:" not in text or "arguments and shapes are those of" in text:
            continue
        arguments = inspect.signature(value).parameters
        mute += [f"{name}({one})" for one in arguments if not re.search(rf"\b{one}\b", text)]
    assert mute == []


#: Where code is from: the package, and the constructors of data classes.
OURS = (str(Path(lgae_pyg.__file__).parent), "<string>")


def reference_names():
    """Functions, classes and public methods of the pages in ``docs/reference``, with what describes them: their
    own documentation, of constructors and ``forward`` also that of the class."""
    for page in (CLONE / "docs" / "reference").glob("*.md"):
        for name, members in re.findall(r"automodule:: (\S+)\n   :members:(.*)", page.read_text(encoding="utf-8")):
            module = importlib.import_module(name)
            made_here = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
            for key in members.split(", ") if members else getattr(module, "__all__", made_here):
                value = getattr(module, key.strip())
                if key.startswith("_") or not (inspect.isclass(value) or inspect.isfunction(value)):
                    continue
                text = inspect.getdoc(value) or ""
                yield f"{name}.{key.strip()}", value, text
                for method, made in vars(value).items() if inspect.isclass(value) else ():
                    made = getattr(made, "fget", None) or getattr(made, "__func__", made)
                    if not inspect.isfunction(made) or not made.__code__.co_filename.startswith(OURS):
                        continue  # such as what PyG writes into a layer when the first one is made
                    if not method.startswith("_") or method == "__init__":
                        own = inspect.getdoc(getattr(value, method)) or ""
                        both = own + text * (method in ("__init__", "forward"))
                        yield f"{name}.{key.strip()}.{method}", made, both


#: How a text says which shapes tensors have, which errors there are, and what unit momenta have.
SHAPES = re.compile(r"Shapes:|shape|:math:`\(|(arguments|those) .*of :\w+:`")
ERRORS = re.compile(r"Raises:|[Ee]rrors? .*(of|as)\b|[Rr]efuse")
UNITS = re.compile(r"\bunits?\b|GeV|TeV|invariant|dimension|relative")
#: What PyG calls, and describes.
OF_PYG = ("message",)


def test_the_reference_says_purpose_shapes_errors_and_units() -> None:
    found = {name: (value, text) for name, value, text in reference_names()}
    assert len(found) > 400
    lacking = [f"{name}: purpose" for name, (_, text) in found.items() if len(text.split()) < 3]
    for name, (value, text) in found.items():
        if not inspect.isfunction(value) or name.endswith(OF_PYG):
            continue
        types = " ".join(map(str, value.__annotations__.values()))
        written = not value.__code__.co_filename.startswith("<")  # other than the constructors of data classes
        source = inspect.getsource(value) if written else ""
        lacking += [f"{name}: shapes"] * ("Tensor" in types and not SHAPES.search(text))
        lacking += [f"{name}: errors"] * bool(re.search(r"^\s+raise \w", source, re.M) and not ERRORS.search(text))
        momenta = {"p4", "pos", "momenta"} & set(value.__annotations__)
        lacking += [f"{name}: units"] * bool(momenta and not UNITS.search(text))
    assert lacking == []


def test_the_site_is_built_without_warnings(tmp_path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    options = ["-q", "-W", "--keep-going", "-b", "html"]
    command = [sys.executable, "-m", "sphinx", *options, CLONE / "docs", tmp_path / "site"]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert (tmp_path / "site" / "index.html").exists()
