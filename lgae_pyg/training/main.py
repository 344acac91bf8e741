"""The Hydra application behind ``lgae train`` and ``train/train.py``."""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.config import config_directory


def main(arguments: Sequence[str] | None = None, program: str = "lgae train") -> int:
    """Composes the configuration from the command line and trains.

    All of Hydra's command line works: overrides, ``--help``, ``--cfg job``, ``--multirun``, ``--config-dir``.

    Args:
        arguments: the words after the name of the program; the process's own when omitted.
        program: how the user called this.

    Returns:
        The exit status: that of :func:`lgae_pyg.training.run.train`, 1 after an error,
        130 after Ctrl-C before the training began.
    """
    try:
        import hydra
    except ImportError as error:
        raise ImportError("training needs hydra-core: pip install 'lgae-pyg'") from error

    words = list(sys.argv[1:] if arguments is None else arguments)
    former, sys.argv = sys.argv, [program, *words]
    application = hydra.main(str(config_directory()), "train", version_base="1.3")(
        lambda config: run_job(config, program)
    )
    try:
        application()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        print(f"{program}: stopped before the training began", file=sys.stderr)
        return 130
    finally:
        sys.argv = former
    return 0


def run_job(config: Any, program: str) -> None:
    """Trains with one composed configuration.

    Raises:
        SystemExit: with the exit status, if that is not 0.
   """
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from lgae_pyg.training.run import train

    job = HydraConfig.get()
    words = [word for word in job.overrides.task if not word.startswith(("resume=", "overwrite="))]
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        folder = Path(job.runtime.output_dir)
        if folder.is_relative_to(Path.cwd()):
            folder = folder.relative_to(Path.cwd())
        status = train(resolved, folder, " ".join([program, *words]))
    except (ValueError, OSError, ImportError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        status = 1
    except Exception:
        traceback.print_exc()
        status = 1
    if status:
        raise SystemExit(status)
