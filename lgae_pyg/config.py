"""Where the Hydra configurations are."""

from pathlib import Path


def config_directory() -> Path:
    """Returns the folder of the Hydra configurations: inside the installed package, or at the top of the clone.

    The two are one: ``configs/`` at the top of the repository is the place to edit, and ``setup.py`` puts it into
    every wheel as ``lgae_pyg/configs``.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(__file__).resolve().parent
    folders = [package / "configs", package.parent / "configs"]
    for folder in folders:
        if (folder / "train.yaml").exists():
            return folder
    raise FileNotFoundError(f"no train.yaml in {folders[0]} or {folders[1]}: reinstall lgae-pyg")
