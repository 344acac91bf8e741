"""``lgae import``: weights of the published implementations as a checkpoint of this package."""

import argparse
import sys
from pathlib import Path
from typing import Any

UNITS = ("GeV", "TeV", "PeV")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--encoder", required=True, metavar="FILE", help="state dict of the encoder (best_encoder_weights.pth)")
    add("--decoder", required=True, metavar="FILE", help="state dict of the decoder")
    add("--config", required=True, metavar="FILE", help="the original's arguments, as JSON")
    add("--out", required=True, type=Path, metavar="FILE", help="checkpoint to write, or to replace")
    add("--kind", default="lgae", choices=("lgae", "gnn"),
        help="lgae: lgn-autoencoder, gnn: gnn-jet-autoencoder (default lgae)")
    add("--unit", choices=UNITS,
        help="unit of the momenta that the model was trained on (default: 'unit' of the configuration, or TeV)")


def run(options: argparse.Namespace) -> int:
    """Reads the three files, writes the checkpoint and says what is in it."""
    from lgae_pyg.checkpoint import save_checkpoint
    from lgae_pyg.legacy.files import load_original

    model, arguments = load_original(options.kind, options.encoder, options.decoder, options.config)
    unit = options.unit or _unit_of(arguments, options.config)
    save_checkpoint(options.out, model, unit=unit, config={"imported": options.kind, "arguments": arguments})
    if _normalised(arguments):
        print(
            "note: the original divided the momenta of each jet by a number of the jet's own before the network "
            "(normalize); that is no part of the checkpoint",
            file=sys.stderr,
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    told = options.unit or "unit" in arguments
    print(
        f"{options.out}: {type(model).__name__} with {parameters:,} parameters, momenta in {unit}"
        + ("" if told else " (assumed: choose with --unit)")
    )
    return 0


def _unit_of(arguments: dict[str, Any], path: str) -> str:
    unit = arguments.get("unit", "TeV")
    if unit not in UNITS:
        raise ValueError(f"{path}: 'unit' is {unit!r}, not one of {', '.join(UNITS)}: choose one with --unit")
    return unit


def _normalised(arguments: dict[str, Any]) -> bool:
    return str(arguments.get("normalize", False)).lower() in ("true", "t", "1")
