"""Where the Hydra configurations are."""

from pathlib import Path


def config_directory() -> Path:
    """Returns the folder of the Hydra configurations, in a clone or inside the installed package.

    Raises:
        FileNotFoundError: neither is there.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / "train.yaml").exists():
            return folder
    raise FileNotFoundError(f"no configs/train.yaml in {package} or beside it: reinstall lgae-pyg")
