"""The console script ``lgae``: one file per command, each imported only when it is called."""

import importlib
import keyword
import sys
from collections.abc import Sequence

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.processes import INTERRUPTED, Interrupted
from lgae_pyg.terminal import run_command
from lgae_pyg.version import __version__

#: What each command does, and how it is called.
COMMANDS = {
    "generate": (
        "make jets with Pythia 8 and FastJet, in JetNet's file format",
        "lgae generate --preset top_tagging --jets 2000 --out data/tops",
    ),
    "data": (
        "look into files of jets, or convert them to a store",
        "lgae data inspect JETS.parquet",
    ),
    "train": (
        "train a model from a Hydra configuration",
        "lgae train experiment=lorentz_net data=files data.path=JETS.parquet name=mine",
    ),
    "evaluate": (
        "write the tables and figures of a trained model",
        "lgae evaluate runs/mine --studies tagging,robustness",
    ),
    "score": (
        "apply a trained model to files of jets: a row of scores per jet",
        "lgae score lorentz_net_tops JETS.parquet --out scores.parquet",
    ),
    "judge": (
        "say what the scores in a file are worth, and how much of them is jet mass",
        "lgae judge scores.parquet --out verdict",
    ),
    "publish": (
        "write a trained model as safetensors with a card, for others",
        "lgae publish runs/mine models/mine --about about.md",
    ),
    "report": (
        "write one HTML page on evaluated runs, and their tables side by side",
        "lgae report runs/mine runs/other --out report.html",
    ),
    "efficiency": (
        "train models on few jets and many, over seeds, and compare them",
        "lgae efficiency --experiments lgae_mix_fast,linear_fast --sizes 100,1000 --seeds 0,1",
    ),
    "export": (
        "write a trained model as one file for ONNX Runtime or PyTorch",
        "lgae export runs/mine --out tagger.onnx",
    ),
    "compress": (
        "write jets into a file in which no particle is moved by more than a bound",
        "lgae compress JETS.parquet jets.lgj --pt 0.01 --angle 1",
    ),
    "decompress": (
        "take the jets out of such a file",
        "lgae decompress jets.lgj OUT.parquet",
    ),
    "import": (
        "turn weights of the published LGAE or GNNAE code, or of taggers, into a checkpoint",
        "lgae import --kind lorentz_net --weights W.pt --config ARGS.json --out lorentz_net.ckpt",
    ),
    "completion": (
        "let bash or zsh complete the words of lgae",
        "source <(lgae completion bash)",
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``lgae COMMAND ...``.

    Each command is a module of this package (``import_`` for ``import``) with two functions,
    ``add_arguments(parser)`` and ``run(options) -> int``, which checks what it was given before it imports
    anything that takes long. Errors that a user can mend (:class:`ValueError`, :class:`OSError`,
    :class:`ImportError`) are printed as one line, without a traceback.

    Args:
        arguments: the words after ``lgae``; the process's own when omitted.

    Returns:
        The exit status: 0 success, 1 a failure that the message explains, 2 a wrong call, 75 after a signal
        where the same command goes on, 130 after Ctrl-C elsewhere.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    return run_command(lambda: _run(words))


def build_parser(command: str | None = None) -> CommandParser:
    """The parser of ``lgae``, with the arguments of one command; the others are known by name alone."""
    example = COMMANDS["score"][1]
    parser = CommandParser(prog="lgae", description="Lorentz-equivariant networks for jets.", example=example)
    parser.add_argument("--version", action="version", version=f"lgae-pyg {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (summary, example) in COMMANDS.items():
        description = summary[0].upper() + summary[1:] + "."
        one = commands.add_parser(name, help=summary, description=description, example=example)
        if name == command:
            module = importlib.import_module(f"{__name__}.{name}{'_' * keyword.iskeyword(name)}")
            module.add_arguments(one)
            one.set_defaults(run=module.run)
    return parser


def _run(words: Sequence[str]) -> int:
    try:
        options = build_parser(words[0] if words else None).parse_args(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
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
