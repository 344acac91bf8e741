"""The Hydra application behind ``lgae train`` and ``train/train.py``."""

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.config import config_directory
from lgae_pyg.terminal import run_command
from lgae_pyg.training.command_line import (
    check_flags,
    check_names,
    check_targets,
    complete,
    explain,
    given,
    help_text,
    with_task,
)


def main(arguments: Sequence[str] | None = None, program: str = "lgae train") -> int:
    """Composes the configuration from the command line and trains.

    All of Hydra's command line works: overrides, ``--cfg job``, ``--multirun``, ``--config-dir``.

    Args:
        arguments: the words after the name of the program; the process's own when omitted.
        program: how the user called this.

    Returns:
        The exit status: that of :func:`lgae_pyg.training.run.train`, 1 after an error,
        130 after Ctrl-C before the training began.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: compose_and_train(words, program))


def compose_and_train(words: Sequence[str], program: str) -> int:
    """Lets Hydra compose the configuration, or those of a multirun, and trains with each; the exit status.

    What is wrong and shows without Hydra is told first.
    """
    if {"--help", "-h"} & set(words):
        print(help_text(program), end="")
        return 0
    if wrong := check_flags(words):
        print(f"{program}: {wrong}", file=sys.stderr)
        return 2
    try:
        check_names(words)
    except (ValueError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    words, own = complete(words)
    decorate = hydra.main(str(config_directory()), "train", version_base="1.3")
    with _called_as([program, *words]):
        try:
            check_targets(words)
            sys.argv[1:] = with_task(words)
            decorate(lambda config: run_job(config, program, own))()
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
        except KeyboardInterrupt:
            print(f"{program}: stopped before the training began", file=sys.stderr)
            return 130
        except (HydraException, OmegaConfBaseException, ValueError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            print(f"{program}: {explain(error)}", file=sys.stderr)
            return 1
        return 0


@contextlib.contextmanager
def _called_as(words: list[str]) -> Iterator[None]:
    """Context in which Hydra sees these words, and raises its errors instead of printing them."""
    former = sys.argv, os.environ.get("HYDRA_FULL_ERROR", "0")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = words, "1"
    try:
        yield
    finally:
        sys.argv, os.environ["HYDRA_FULL_ERROR"] = former


def run_job(config: Any, program: str, own: set[str]) -> None:
    """Trains with one composed configuration.

    Args:
        config: as Hydra composed it.
        program: how the user called this.
        own: groups whose class is the user's own: only keys of the command line are passed to it.

    Raises:
        SystemExit: with the exit status, if that is not 0.
    """
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from lgae_pyg.training.run import train

    job = HydraConfig.get()
    try:
        resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        for group in own:
            keys = given(job.overrides.task, group)
            resolved[group] = {key: value for key, value in resolved[group].items() if key in keys}
        chosen = given(job.overrides.task, "data")
        if resolved["data"].get("generate") and "root" in chosen and "generate" not in chosen:
            resolved["data"]["generate"] = False  # the folder may be mistyped
        output = Path(job.runtime.output_dir)
        folder = Path(resolved["runs"], str(resolved["name"])) if output == Path.cwd() else output
        words = [word for word in job.overrides.task if not re.match(r"\+*(resume|overwrite)=", word)]
        if job.mode == RunMode.MULTIRUN:
            words = name_one_of_many(resolved, job.sweep.subdir, words)
        if folder.is_relative_to(Path.cwd()):
            folder = folder.relative_to(Path.cwd())
        status = train(resolved, folder, " ".join([program, *words]))
    except BrokenPipeError:
        raise
    except (OmegaConfBaseException, ValueError, OSError, ImportError) as error:
        text = explain(error) if isinstance(error, OmegaConfBaseException) else error
        print(f"{program}: {text}", file=sys.stderr)
        status = 1
    except Exception:
        traceback.print_exc()
        status = 1
    if status and job.mode == RunMode.MULTIRUN:
        with contextlib.suppress(OSError):  # Hydra has made the folder, and something may be in it
            Path(job.runtime.output_dir).rmdir()
    if status:
        raise SystemExit(status)


def name_one_of_many(config: dict[str, Any], subdir: str, words: list[str]) -> list[str]:
    """Gives one training of a multirun a name of its own, that of its folder, and all of them a group in W&B.

    Returns:
        The words of the command line that trains just this one.
    """
    many = str(config["name"])
    config["name"] = f"{many}/{subdir}"
    if not config["logger"].get("group") and not os.environ.get("WANDB_RUN_GROUP"):
        config["logger"]["group"] = many
    for one in ("WANDB_RUN_ID", "WANDB_NAME"):  # they mean one run
        os.environ.pop(one, None)
    return [*(word for word in words if not re.match(r"\+*name=", word)), f"name={config['name']}"]
