"""Imports point one way, and the package opens quickly without its optional companions."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import lgae_pyg

PACKAGE = Path(lgae_pyg.__file__).parent

#: Floors of the package; a module may import from its own folder and from lower floors only.
FLOORS = {
    "version": 0,
    "config": 0,
    "files": 0,
    "lazy": 0,
    "registry": 0,
    "vocabulary": 0,
    "generator": 0.01,
    "places": 0.02,
    "terminal": 0,
    "tables": 0.05,
    "checksums": 0.02,
    "processes": 0,
    "lock": 0.05,
    "progress": 0,
    "lorentz": 0.1,
    "ops": 1.0,
    "data": 1.1,
    "transforms": 1.2,
    "datasets": 1.3,
    "losses": 1.4,
    "metrics": 1.5,
    "nn": 2,
    "models": 3,
    "weights": 3.9,
    "checkpoint": 4.0,
    "legacy": 4.1,
    "training": 4.2,
    "evaluation": 4.3,
    "applications": 4.4,
    "publishing": 4.45,
    "cli": 5,
}
OPTIONAL = ("jetnet", "wandb", "fastjet", "pythia8mc", "awkward", "matplotlib", "lightning", "hydra")
OPTIONAL += ("torch_scatter", "triton", "uproot", "pyarrow")


def folder_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the module out"
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for module in imported_modules(path):
        if not module.startswith("lgae_pyg."):
            continue
        other = folder_of(module)
        assert other == own or FLOORS[other] < FLOORS[own], f"{path.name} ({own}) imports {module}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "lorentz").glob("*.py")), ids=lambda p: p.name)
def test_lorentz_core_knows_no_modules(path: Path) -> None:
    assert not {m for m in imported_modules(path) if m.startswith(("torch_geometric", "torch.nn"))}


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def run_without(hidden: tuple[str, ...], statement: str) -> str:
    """Runs a statement in a new interpreter in which some packages cannot be imported."""
    program = f"import sys\nfor name in {hidden!r}: sys.modules[name] = None\n{statement}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_models_work_without_optional_packages() -> None:
    statement = (
        "import torch, lgae_pyg\n"
        "from lgae_pyg.data import JetData\n"
        "from lgae_pyg.datasets import JetNet, PythiaJets\n"
        "from lgae_pyg.models import LGAE\n"
        "p = torch.rand(5, 3, dtype=torch.float64); p = torch.cat([p.norm(dim=1, keepdim=True), p], 1)\n"
        "print(tuple(LGAE()(JetData(pos=p)).p4.shape))"
    )
    assert run_without(OPTIONAL, statement).strip() == "(5, 4)"


def test_import_loads_no_heavy_package() -> None:
    heavy = (*OPTIONAL, "torch", "torch_geometric", "scipy", "h5py")
    statement = f"import lgae_pyg\nprint([name for name in {heavy!r} if name in sys.modules])"
    assert run_without((), statement).strip() == "[]"


def test_dir_lists_what_is_loaded_on_first_use() -> None:
    """Every package that loads names lazily shows them."""
    lazy = [path for path in PACKAGE.rglob("__init__.py") if "__getattr__" in path.read_text()]
    assert lazy
    for path in lazy:
        module = importlib.import_module(".".join(("lgae_pyg", *path.parent.relative_to(PACKAGE).parts)))
        assert set(module.__all__) <= set(dir(module)), f"{module.__name__} hides names"
        assert "__name__" in dir(module) and "loaded_on_use" not in dir(module)


def test_modules_are_found_without_importing_them() -> None:
    statement = "import lgae_pyg\nprint(lgae_pyg.models.LGAE.__name__, lgae_pyg.data.jet.__name__)"
    assert run_without((), statement).split() == ["LGAE", "lgae_pyg.data.jet"]
    assert run_without((), "import lgae_pyg\nprint(hasattr(lgae_pyg, 'LGAE'))").strip() == "False"


def test_files_are_looked_into_without_graphs_and_judged_without_torch() -> None:
    """These imports take seconds, of which commands that are typed by hand should be free."""
    inspect = "from lgae_pyg.datasets import cards, readers, reading, recognition"
    judge = "import lgae_pyg.applications.judge.figures, lgae_pyg.applications.judge.page"
    for statement, heavy in ((inspect, "torch_geometric"), (judge, "torch")):
        assert run_without((), f"{statement}\nimport sys\nprint({heavy!r} in sys.modules)").strip() == "False"


def test_names_loaded_on_first_use_are_no_modules() -> None:
    """A module of the same name would be found in its place once it is imported."""
    for path in (one for one in PACKAGE.rglob("__init__.py") if "__getattr__" in one.read_text()):
        name = ".".join(("lgae_pyg", *path.parent.relative_to(PACKAGE).parts))
        later = run_without((), f"import {name}\nprint(*({{*{name}.__all__}} - {{*vars({name})}}))").split()
        assert not {one.stem for one in path.parent.iterdir()} & set(later), name
