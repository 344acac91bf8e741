"""What paths and names of a command line mean: checkpoints, shipped models, files of jets, data cards.

Nothing here takes long to import, so that a mistyped name is told at once.
"""

import glob
import os
import re
import warnings
from collections.abc import Iterable
from pathlib import Path

from lgae_pyg.config import config_directory
from lgae_pyg.registry import check_choice, choose, meant, near, suggestion
from lgae_pyg.vocabulary import SCORE_FORMATS

BEST, LAST = "best.ckpt", "last.ckpt"
#: The file of a published model, in a folder of its own beside its card.
MODEL, CARD = "model.safetensors", "README.md"
#: Where the models lie that come with the package.
SHIPPED = Path(__file__).parent / "pretrained"


def shipped_models() -> dict[str, Path]:
    """The models that come with the package, by name, with their folders."""
    return {path.parent.name: path.parent for path in sorted(SHIPPED.glob(f"*/{MODEL}"))}


def shipped_model(name: str | os.PathLike[str]) -> Path | None:
    """The file of a shipped model; ``None`` if that is not the name of one."""
    text = os.fspath(name)
    return SHIPPED / text / MODEL if re.fullmatch(r"[a-z0-9_]+", text) and text in shipped_models() else None


def find_checkpoint(path: str | os.PathLike) -> Path:
    """Returns the checkpoint file that a path means.

    Args:
        path: a checkpoint file; the folder of a run, whose best model is taken, or, if there is none, the last
            one (a warning says so); the folder of a published model; or the name of one that is shipped with the
            package (:func:`shipped_models`), where there is no file of that name.

    Raises:
        FileNotFoundError: there is no such file, or the folder holds no checkpoint.
    """
    path = Path(path)
    if not path.is_dir():
        if path.exists():
            return path
        shipped = shipped_model(path)
        if shipped is None:
            known = ", ".join(shipped_models())
            raise FileNotFoundError(
                f"{path}: no such checkpoint or run folder ({near(path)}), and no model that comes with the "
                f"package ({known}){suggestion(path, shipped_models())}"
            )
        return shipped
    if (path / MODEL).exists():
        return path / MODEL
    for folder in (path / "checkpoints", path):
        if (folder / BEST).exists():
            return folder / BEST
        if (folder / LAST).exists():
            warnings.warn(f"{path} has no {BEST}, {LAST} is taken instead", stacklevel=2)
            return folder / LAST
    raise FileNotFoundError(f"{path.absolute()} is no run folder: no checkpoints/{BEST}, no checkpoints/{LAST}")


def check_inputs(
    model: str | os.PathLike | None = None,
    files: Iterable[str | os.PathLike] = (),
    card: str | os.PathLike | None = None,
) -> None:
    """Raises an error for what is not there, before anything that takes long.

    Args:
        model: what :func:`find_checkpoint` takes.
        files: paths, or patterns that something must fit.
        card: what :func:`card_file` takes.

    Raises:
        FileNotFoundError: it names the path, and what was probably meant.
        ValueError: no data card has that name.
    """
    if model is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            find_checkpoint(model)
    for path in files:
        whole = os.path.abspath(os.path.expanduser(path))
        if not os.path.exists(whole) and not glob.glob(whole, recursive=True):
            raise FileNotFoundError(f"{whole}: no such file, and no pattern that fits ({meant(whole)}).")
    if card is not None:
        card_file(card)


def score_format(path: str | os.PathLike) -> str:
    """The format of a score file by its suffix.

    Raises:
        ValueError: for another suffix.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SCORE_FORMATS:
        raise ValueError(f"{path}: score files end in {', '.join(SCORE_FORMATS)}, which say their format")
    return SCORE_FORMATS[suffix]


def preset_names() -> list[str]:
    """Names of the data cards that come with the package: the files in ``configs/cards``."""
    return config_names("cards")


def card_file(card: str | os.PathLike) -> Path:
    """The YAML file of a data card, by its path or the name of a preset.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no preset has that name.
    """
    text = os.fspath(card)
    if os.sep in text or text.endswith((".yaml", ".yml")):
        path = Path(text).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"data card {text}: {near(path)}")
        return path
    folder = config_directory() / "cards"
    return choose("card", text, {name: folder / f"{name}.yaml" for name in preset_names()})


def config_names(group: str) -> list[str]:
    """Names of the configurations of a group, such as ``experiment``; none if there is no such group."""
    return sorted(path.stem for path in (config_directory() / group).glob("*.yaml"))


def config_groups() -> list[str]:
    """The groups of configurations that a training is composed of, such as ``experiment`` and ``model``."""
    folders = (path.name for path in config_directory().iterdir() if path.is_dir())
    return sorted(name for name in folders if name != "cards" and config_names(name))


def check_experiment(name: str) -> None:
    """Raises :class:`ValueError` if no experiment that comes with the package has that name."""
    check_choice("experiment", name, config_names("experiment"))
