"""``lgae compress``: jets into a file in which no particle is moved by more than a bound."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import MODEL, check_inputs, preset_names, shipped_model, shipped_models
from lgae_pyg.registry import suggestion

#: Columns that are listed by name.
SHOWN = 12


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    parser.usage = "lgae compress [MODEL] IN... OUT [options]"
    add("paths", nargs="+", metavar="[MODEL] IN... OUT",
        help="files of jets (ROOT, HDF5, Parquet, NumPy, stores), folders or patterns; last the file to be "
        "written; first, if one is to be tried, an autoencoder: checkpoint, folder of a run, or name of a "
        "shipped one")
    add("--pt", type=float, default=0.01, metavar="SHARE",
        help="largest relative error of a particle's pT, and of its mass if it has any (default 0.01)")
    add("--angle", type=float, default=1.0, metavar="X",
        help="largest error of its eta and of its phi, in units of 1e-3 (default 1)")
    add("--jet", action="store_true", help="keep the four-momentum of each jet as it was, in the field jet_p4")
    add("--drop", default="", metavar="A,B", help="leave these fields out, such as jet_ref (default: keep all)")
    add("--coder", default="auto", choices=("auto", "plain", "learned", "model"),
        help="how particles are written; learned: fewer bits, slower; auto: plain, or with the model if that is "
        "shorter on a sample (default)")
    add("--card", metavar="CARD", help="data card of the files: preset or YAML file (default: recognised)")
    add("--particles", type=int, metavar="N", help="cut jets to their N leading particles (default: keep all)")
    add("--unit", default="GeV", choices=("GeV", "TeV", "PeV"), help="unit of the momenta (default GeV)")
    parser.offers = {"card": preset_names}


def run(options: argparse.Namespace) -> int:
    """Compresses, and prints what it cost."""
    import time

    *inputs, out = options.paths
    model = inputs.pop(0) if inputs and _is_model(inputs[0]) else None
    if not inputs:
        raise ValueError("lgae compress [MODEL] IN... OUT: give the jets, and last the file to be written")
    if Path(out).is_dir():
        raise IsADirectoryError(f"{out} is a folder: last comes the file to be written")
    try:
        check_inputs(model, inputs, options.card)
    except FileNotFoundError as error:
        meant = "" if model or not inputs[1:] else suggestion(inputs[0], shipped_models())
        raise FileNotFoundError(f"{error}{meant}") from None

    from lgae_pyg.applications.compression.quantise import Bounds

    bounds = {"pt": options.pt, "angle": options.angle}
    Bounds(**bounds)

    from lgae_pyg.applications.compression import compress
    from lgae_pyg.datasets import JetFiles
    from lgae_pyg.processes import GracefulStop

    if _is_jets(Path(out)):
        raise ValueError(f"{out} is a file of jets, and would be replaced: last comes the file to be written")
    jets = JetFiles(inputs, options.card, num_particles=options.particles, unit=options.unit)
    print("".join(f"{line}\n" for line in _left_out(jets.card, jets.files)), end="")
    drop = [name for name in options.drop.split(",") if name]
    begin = time.perf_counter()
    how = {"jet": options.jet, "drop": drop, "model": model, "coder": options.coder}
    with GracefulStop("finishing this block; nothing is written") as stop:
        account = compress(jets, out, **bounds, **how, check=stop.check)
    seconds = time.perf_counter() - begin
    print("\n".join(account.lines()))
    print(f"{out}: {account.jets / seconds:,.0f} jets/s; every block was decompressed and compared")
    print(f"Take it out again: lgae decompress {out} OUT.parquet")
    return 0


def _left_out(card: Any, files: Sequence[str]) -> list[str]:
    """Which columns of the files are not kept, since the card does not name them, and how to name them."""
    from lgae_pyg.datasets.cards import preset_names
    from lgae_pyg.datasets.columns import CardColumns

    groups: dict[tuple[str, ...], list[str]] = {}
    for path in files:
        groups.setdefault(tuple(CardColumns(card, path).unnamed), []).append(Path(path).name)
    lines = []
    for names, paths in groups.items():
        if names:
            listed = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if names[SHOWN:] else "")
            more = f" and {len(paths) - 1:,} more files" if paths[1:] else ""
            plural = "s" if names[1:] else ""
            what = f"{len(names):,} column{plural} that {card} does not name"
            lines.append(f"left out of {paths[0]}{more}: {what}: {listed}")
    if lines:
        base = f"base: {card.name}" if card.name in preset_names() else "the entries of `lgae data inspect`"
        lines.append(
            f"To keep some, name them in a card of your own (--card mine.yaml): {base}; features: [columns of the "
            "particles]; observers: [columns of the jets]; both become single precision"
        )
    return lines


def _is_model(text: str) -> bool:
    """Whether a word is a checkpoint, folder of a run or a published model, or name of a shipped one."""
    path = Path(text)
    if path.is_file() and path.suffix == Path(MODEL).suffix:
        from lgae_pyg.weights import is_weights

        return is_weights(path)
    if path.is_file():
        return path.suffix == ".ckpt"
    return (path / "checkpoints").is_dir() or (path / MODEL).is_file() or shipped_model(text) is not None


def _is_jets(path: Path) -> bool:
    from lgae_pyg.datasets.readers import recognise

    try:
        return path.exists() and bool(recognise(path))
    except OSError:
        return False
