"""``lgae import``: weights of the published implementations as a checkpoint of this package."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import check_inputs
from lgae_pyg.vocabulary import UNITS_IN_GEV

UNITS = tuple(UNITS_IN_GEV)
AUTOENCODERS = ("lgae", "gnn")
TAGGERS = ("lorentz_net", "particle_net", "pfn", "lgn")


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--encoder", metavar="FILE", help="state dict of an autoencoder's encoder (best_encoder_weights.pth)")
    add("--decoder", metavar="FILE", help="state dict of its decoder")
    add("--weights", metavar="FILE", help="state dict of a tagger")
    add("--config", required=True, metavar="FILE", help="the original's arguments, as JSON")
    add("--out", required=True, type=Path, metavar="FILE", help="checkpoint to write, or to replace")
    add("--kind", default="lgae", choices=(*AUTOENCODERS, *TAGGERS),
        help="autoencoders, lgae: lgn-autoencoder, gnn: gnn-jet-autoencoder; taggers, lorentz_net: "
        "LorentzNet-release, particle_net and pfn: weaver-core, lgn: LorentzGroupNetwork (default lgae)")
    add("--unit", choices=UNITS,
        help="unit of the momenta that the model takes: that of its training for autoencoders (default: 'unit' of "
        "the configuration, or TeV); any for taggers, which bring them to GeV (default GeV)")

    add("--classes", metavar="A,B", help="names of a tagger's classes, in the order of its logits")


def run(options: argparse.Namespace) -> int:
    """Reads the three files, writes the checkpoint and says what is in it."""
    _check_files(options)
    model: Any

    from lgae_pyg.checkpoint import save_checkpoint
    from lgae_pyg.legacy.files import load_original, load_original_tagger

    if options.kind in TAGGERS:
        model, arguments = load_original_tagger(options.kind, options.weights, options.config)
        unit = options.unit or model.unit
    else:
        model, arguments = load_original(options.kind, options.encoder, options.decoder, options.config)
        unit = options.unit or _unit_of(arguments, options.config)
    if options.classes:
        model.class_names = tuple(options.classes.split(","))
        if options.kind not in TAGGERS or len(model.class_names) != model.num_classes:
            raise ValueError(f"--classes {options.classes}: give a tagger's, as many as it has logits")
    save_checkpoint(options.out, model, unit=unit, config={"imported": options.kind, "arguments": arguments})
    if _normalised(arguments):
        print(
            "note: the original divided the momenta of each jet by a number of the jet's own before the network "
            "(normalize); that is no part of the checkpoint",
            file=sys.stderr,
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    told = options.unit or "unit" in arguments or options.kind in TAGGERS
    print(
        f"{options.out}: {type(model).__name__} with {parameters:,} parameters, momenta in {unit}"
        + ("" if told else " (assumed: choose with --unit)")
    )
    return 0


def _check_files(options: argparse.Namespace) -> None:
    """Says which files a kind needs, if others were given."""
    needed = ("weights",) if options.kind in TAGGERS else ("encoder", "decoder")
    for name in ("encoder", "decoder", "weights"):
        if (getattr(options, name) is not None) != (name in needed):
            wanted = " and ".join(f"--{one} FILE" for one in needed)
            raise ValueError(f"--kind {options.kind} is imported with {wanted}")
    check_inputs(files=[options.config, *(getattr(options, name) for name in needed)])


def _unit_of(arguments: dict[str, Any], path: str) -> str:
    unit = arguments.get("unit", "TeV")
    if unit not in UNITS:
        raise ValueError(f"{path}: 'unit' is {unit!r}, not one of {', '.join(UNITS)}: choose one with --unit")
    return unit


def _normalised(arguments: dict[str, Any]) -> bool:
    return str(arguments.get("normalize", False)).lower() in ("true", "t", "1")
