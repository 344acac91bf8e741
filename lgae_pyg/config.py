"""Where the Hydra configurations are."""

import sys
from pathlib import Path


def config_directory() -> Path:
    """Returns the folder of the Hydra configurations, in a clone or under the prefix of the environment.

    Raises:
        FileNotFoundError: neither is there.
    """
    clone = Path(__file__).resolve().parents[1] / "configs"
    installed = Path(sys.prefix) / "share" / "lgae_pyg" / "configs"
    for folder in (clone, installed):
        if (folder / "train.yaml").exists():
            return folder
    raise FileNotFoundError(f"no train.yaml in {clone} or {installed}: reinstall lgae-pyg")
