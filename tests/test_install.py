"""What is installed: the wheel, the source archive, and the clone itself (editable), each used from elsewhere."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email import message_from_bytes
from pathlib import Path

import pytest

pytest.importorskip("setuptools", "64")
CLONE = Path(__file__).parents[1]
if not (CLONE / "setup.cfg").exists():
    pytest.skip("there is no clone around these tests", allow_module_level=True)


def files_of(folder: Path) -> list[str]:
    """All files below a folder but compiled ones, by their paths from the clone."""
    files = (path.relative_to(CLONE) for path in folder.rglob("*") if path.is_file())
    return [path.as_posix() for path in files if "__pycache__" not in path.parts]


def call(words: list, **options) -> str:
    """Runs a program, which must succeed, without this clone on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= options.pop("environment", {})
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment, **options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make here")
def test_an_interrupted_set_up_is_taken_up_again(tmp_path):
    """An environment in which the interpreter is there and pip is not, or only in part, is completed."""
    place = tmp_path / "environment"
    call([sys.executable, "-m", "venv", "--without-pip", place])
    (packages,) = place.glob("lib/python3*/site-packages")
    (packages / "pip").mkdir()
    (packages / "pip" / "__init__.py").write_text("")
    command = ["make", "--silent", "environment", f"VENV={place}", f"PYTHON={sys.executable}"]
    call(command, cwd=CLONE)
    assert call([place / "bin" / "python", "-m", "pip", "--version"]).startswith("pip ")
    began = (place / "pyvenv.cfg").stat().st_mtime_ns
    call(command, cwd=CLONE)
    assert (place / "pyvenv.cfg").stat().st_mtime_ns == began  # what is whole is left alone


@pytest.fixture(scope="module")
def build(tmp_path_factory) -> Callable[..., Path]:
    """``build(kind, settings)`` runs setuptools on a copy of the clone called lgae_pyg and returns the file."""
    copy = tmp_path_factory.mktemp("parent") / "lgae_pyg"
    for name in ("lgae_pyg", "configs", "tests"):
        shutil.copytree(CLONE / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in CLONE.iterdir():
        if path.is_file() and path.name != ".git":
            shutil.copy(path, copy)

    def run(kind: str, settings: dict | None = None) -> Path:
        out = tmp_path_factory.mktemp(kind)
        program = f"from setuptools.build_meta import *\nbuild_{kind}({str(out)!r}, {settings!r})"
        call([sys.executable, "-c", program], cwd=copy)
        (built,) = out.iterdir()
        return built

    run.copy = copy
    return run


@pytest.fixture(scope="module")
def wheel(build) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel"))


@pytest.fixture(scope="module")
def metadata(wheel):
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_bytes(wheel.read(name))


def test_the_wheel_holds_the_package_with_its_configurations_and_nothing_else(wheel) -> None:
    found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    configurations = {f"lgae_pyg/{name}" for name in files_of(CLONE / "configs")}
    assert {"lgae_pyg/configs/train.yaml", "lgae_pyg/configs/experiment/quickstart.yaml"} <= configurations
    assert found == set(files_of(CLONE / "lgae_pyg")) | configurations
    assert sum(name.endswith((".h", ".cpp")) for name in found) > 5
    assert "lgae_pyg/py.typed" in found  # type checkers of users look into it


def test_the_source_archive_builds_the_same_and_has_no_tests(build) -> None:
    with tarfile.open(build("sdist")) as archive:
        found = {name.partition("/")[2] for name in archive.getnames()}
    assert {*files_of(CLONE / "lgae_pyg"), *files_of(CLONE / "configs"), "setup.py", "pyproject.toml"} <= found
    assert {name.split("/")[0] for name in found} <= {
        "", "lgae_pyg", "configs", "lgae_pyg.egg-info", "setup.py", "setup.cfg", "pyproject.toml", "MANIFEST.in",
        "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO",
    }  # fmt: skip


def test_an_unpacked_wheel_finds_its_configurations(wheel, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    wheel.extractall(site)
    elsewhere.mkdir()
    program = "import lgae_pyg.cli as cli; print(cli.__file__); cli.main(['train', '--cfg', 'job'])"
    shown = call([sys.executable, "-c", program], cwd=elsewhere, environment={"PYTHONPATH": str(site)})
    assert shown.startswith(str(site)) and "optimizer" in shown


@pytest.mark.parametrize("settings", [None, {"editable_mode": "strict"}], ids=["default", "strict"])
def test_an_editable_install_works_beside_the_clone(build, settings, tmp_path: Path) -> None:
    """From the parent of a clone called lgae_pyg, the clone's folder must not be taken for the package."""
    site = tmp_path / "site"
    zipfile.ZipFile(build("editable", settings)).extractall(site)
    program = f"import site; site.addsitedir({str(site)!r})\nfrom lgae_pyg import __version__, config\n"
    program += "print(__version__, config.config_directory())"
    # -S: without the packages of this environment, where lgae_pyg may be installed too.
    shown = call([sys.executable, "-S", "-c", program], cwd=build.copy.parent).split()
    assert shown == ["0.1.0", str(build.copy / "configs")]


def test_requirements_share_an_environment_with_numpy_2(metadata) -> None:
    default = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    names = {re.split(r"[<>=!~; ]", line)[0].lower() for line in default}
    assert {"torch", "numpy"} <= names and not names & {"jetnet", "wasserstein", "energyflow", "coffea"}
    assert not [line for line in default if re.search(r"<|==|~=", line)]  # no version of a neighbour is shut out


def test_every_extra_that_is_named_exists(metadata) -> None:
    """setuptools drops some names without a word: an extra called root is lost when built in an environment."""
    offered = set(metadata.get_all("Provides-Extra"))
    written = (CLONE / "setup.cfg").read_text().partition("[options.extras_require]")[2].partition("\n[")[0]
    assert offered == set(re.findall(r"^(\w+) =", written, re.MULTILINE))
    texts = [path.read_text() for path in [*(CLONE / "lgae_pyg").rglob("*.py"), CLONE / "README.md"]]
    named = {extra for text in texts for extra in re.findall(r"lgae-pyg\[(\w+)\]", text)}
    assert {"jetnet", "emd", "generator"} <= named <= offered
