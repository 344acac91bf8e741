"""The console script ``lgae``: one file per command, each imported only when it is called."""

import argparse
import importlib
import keyword
import sys
from collections.abc import Sequence

from lgae_pyg.processes import INTERRUPTED, Interrupted
from lgae_pyg.terminal import run_command
from lgae_pyg.version import __version__

COMMANDS = {
    "generate": "make jets with Pythia 8 and FastJet, in JetNet's file format",
    "data": "look into files of jets, or convert them to a store",
    "train": "train a model from a Hydra configuration",
    "evaluate": "write the tables and figures of a trained model",
    "score": "apply a trained model to files of jets: a row of scores per jet",
    "judge": "say what the scores in a file are worth, and how much of them is jet mass",
    "publish": "write a trained model as safetensors with a card, for others",
    "report": "write one HTML page on evaluated runs, and their tables side by side",
    "efficiency": "train models on few jets and many, over seeds, and compare them",
    "export": "write a trained model as one file for ONNX Runtime or PyTorch",
    "compress": "write jets into a file in which no particle is moved by more than a bound",
    "decompress": "take the jets out of such a file",
    "import": "turn weights of the published LGAE or GNNAE code into a checkpoint",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``lgae COMMAND ...``.

    Each command is a module of this package (``import_`` for ``import``) with two functions,
    ``add_arguments(parser)`` and ``run(options) -> int``. Errors that a user can mend (:class:`ValueError`,
    :class:`OSError`, :class:`ImportError`) are printed as one line, without a traceback.

    Args:
        arguments: the words after ``lgae``; the process's own when omitted.

    Returns:
        The exit status: 0 success, 1 a failure that the message explains, 2 a wrong call, 75 after a signal
        where the same command goes on, 130 after Ctrl-C elsewhere.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(words))


def _run(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="lgae", description="Lorentz-equivariant networks for jets.")
    parser.add_argument("--version", action="version", version=f"lgae-pyg {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if words[:1] == [name]:
            module = importlib.import_module(f"{__name__}.{name}{'_' * keyword.iskeyword(name)}")
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    options = parser.parse_args(words)
    try:
        return options.run(options)
    except BrokenPipeError:
        raise
    except (ValueError, OSError, ImportError) as error:
        print(f"lgae {options.command}: {error}", file=sys.stderr)
        return 1
    except Interrupted as stop:
        print(f"lgae {options.command}: stopped by {stop}; call the same command again", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print(f"lgae {options.command}: stopped", file=sys.stderr)
        return 130
