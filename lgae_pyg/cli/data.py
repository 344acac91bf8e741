"""``lgae data``: what is in a file of jets, with which card it is read; files converted to a store."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import check_inputs, preset_names

#: Files of a folder that are compared with the first one.
COMPARED = 100

COMMANDS = {
    "inspect": (
        "show what is in a file, and the data card that reads it",
        "lgae data inspect JETS.parquet --out card.yaml",
    ),
    "convert": (
        "read files through the gate into a store on disk, in bounded memory",
        "lgae data convert auto JETS.parquet --out store --particles 100",
    ),
    "contrast": (
        "make jets of several prongs out of background jets, for an anomaly detector to learn from",
        "lgae data contrast QCD.hdf5 --out contrast.store --mass decorrelated",
    ),
}


def add_arguments(parser: CommandParser) -> None:
    """Adds the subcommands of ``lgae data`` to a parser."""
    commands = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True)
    inspect = _add(commands, "inspect")
    add = inspect.add_argument
    add("file", metavar="FILE", help="a ROOT, HDF5, Parquet or NumPy file; a folder or a pattern: its first file")
    add("--card", metavar="CARD", help="read it with this preset or YAML file (default: recognised)")
    add("--table", default="", metavar="NAME", help="tree or group to look into (default: the only one)")
    add("--out", type=Path, metavar="YAML", help="save the card there, to be changed and used")
    add("--particles", type=int, default=10, help="particles of the first jet that are shown (default 10)")
    inspect.offers = {"card": preset_names}
    inspect.set_defaults(work=inspect_file)
    convert = _add(commands, "convert")
    add = convert.add_argument
    add("card", metavar="CARD", help="preset or YAML file that says what is in the files; auto: recognised")
    add("files", nargs="+", metavar="FILE", help="files, folders or patterns")
    add("--out", required=True, type=Path, metavar="DIR", help="folder of the store; an interrupted one goes on")
    add("--particles", type=int, metavar="N", help="cut jets to their N leading particles (default: keep all)")
    add("--order", default="pt", choices=("pt", "kept"), help="pt: sort particles by falling pT (default)")
    add("--bad-jets", default="drop", choices=("drop", "stop"), help="jets no network can read (default: drop)")
    add("--unit", default="GeV", choices=("GeV", "TeV", "PeV"), help="unit in the store (default GeV)")
    add("--classes", metavar="A,B", help="only these classes, numbered in this order")
    add("--seed", type=int, default=0, help="seed of azimuths that are not in the files (default 0)")
    add("--workers", type=int, default=1, metavar="K", help="processes (default 1); the result is the same")
    convert.offers = {"card": lambda: ["auto", *preset_names()]}
    convert.set_defaults(work=convert_files)
    contrast = _add(commands, "contrast")
    add = contrast.add_argument
    add("files", nargs="+", metavar="FILE", help="files, folders or patterns of background jets")
    add("--out", required=True, type=Path, metavar="STORE", help="file of the store, of background and contrast")
    add("--card", metavar="CARD", help="preset or YAML file that says what is in the files (default: recognised)")
    add("--split", default="train", choices=("train", "val", "test", "all"), help="of the files (default: train)")
    add("--classes", metavar="A,B", help="only these classes of the files are background (default: all)")
    add("--particles", type=int, metavar="N", help="cut jets to their N leading particles (default: keep all)")
    add("--max-jets", type=int, metavar="N", help="read N jets of each class, the first ones (default: all)")
    add("--jets", type=int, metavar="N", help="contrast jets (default: as many as there are of the background)")
    hidden = "decorrelated: weights hide the jet mass (default); free: a detector may use it"
    add("--mass", default="decorrelated", choices=("decorrelated", "free"), help=hidden)
    add("--prongs", default="2,3", metavar="K,K", help="numbers of prongs, equally frequent (default 2,3)")
    add("--sources", metavar="A,B", help="prongs are made of these classes, such as light quarks (default: all)")
    drawn = "cores drawn for each prong, of which the hardest is taken (default: 1 with --sources, else 2)"
    add("--candidates", type=int, metavar="N", help=drawn)
    masses = "smallest and largest mass of a mother (default 25 250)"
    add("--mass-range", type=float, nargs=2, default=(25.0, 250.0), metavar="GEV", help=masses)
    add("--radius", type=float, help="of the jets (default: measured in the background)")
    add("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
    contrast.offers = {"card": preset_names}
    contrast.set_defaults(work=make_contrast)


def _add(commands: Any, name: str) -> CommandParser:
    summary, example = COMMANDS[name]
    return commands.add_parser(name, help=summary, description=f"{summary}.".capitalize(), example=example)


def run(options: argparse.Namespace) -> int:
    """Runs the subcommand."""
    return options.work(options)


def inspect_file(options: argparse.Namespace) -> int:
    """Prints the columns of a file, the card that reads it, and its first jet."""
    check_inputs(files=[options.file], card=options.card)

    from lgae_pyg.datasets.cards import read_card
    from lgae_pyg.datasets.readers import find_files
    from lgae_pyg.datasets.recognition import fitting_presets, propose

    files = find_files(options.file)
    path = files[0]
    reader = _open(path, options.table)
    more = f" (the first of {len(files)})" if len(files) > 1 else ""
    print(f"{path}{more}: {reader.format}", *(f", {reader.table}" if reader.table else ""), sep="")
    if len(reader.tables) > 1:
        print("tables: " + ", ".join(f"{name} ({rows:,} rows)" for name, rows in reader.tables.items()))
    print(f"{reader.rows:,} rows; {reader.protection(list(reader.columns))}\n")
    print(_columns(list(reader.columns.values())))
    doubts: Sequence[str] = ()
    card: Any
    if options.card:
        card, why = read_card(options.card), "the card"
    elif fits := fitting_presets(path):
        card, why = fits[0], "recognised: the preset"
        others = ", ".join(one.name for one in fits[1:])
        doubts = [f"it fits these presets, too: {others}"] if others else ()
    else:
        proposal = propose(reader)
        card, doubts, why = proposal.card, proposal.doubts, "not recognised; proposed from names and values:"
    print(f"\n{why} {card.name if card else 'no card'}\n")
    if card:
        text = card.to_yaml()
        print(text)
        if options.out:
            from lgae_pyg.files import write_text

            print(f"saved: {write_text(options.out, text)}\n")
    for doubt in [*doubts, *_unlike_the_first(files, reader, options.table)]:
        print(f"to be checked: {doubt}")
    if card:
        print("\n" + _first_jet(path, card, options.particles))
    return 0 if card else 1


def convert_files(options: argparse.Namespace) -> int:
    """Converts files, and prints what the gate did, and how fast it went."""
    import time

    check_inputs(files=options.files, card=None if options.card == "auto" else options.card)

    from lgae_pyg.data.gate import Rules
    from lgae_pyg.datasets.cards import read_card
    from lgae_pyg.datasets.conversion import Conversion, convert
    from lgae_pyg.datasets.readers import find_files
    from lgae_pyg.datasets.recognition import recognise_card
    from lgae_pyg.processes import GracefulStop

    files = tuple(find_files(options.files))
    card = recognise_card(files[0]) if options.card == "auto" else read_card(options.card)
    rules = Rules(options.particles, options.order, options.bad_jets)
    classes = tuple(options.classes.split(",")) if options.classes else None
    begin = time.perf_counter()
    work = Conversion(files, card, rules, options.unit, options.seed, classes)
    with GracefulStop("finishing this piece") as stop:
        admission = convert(work, options.out, options.workers, check=stop.check)
    seconds = time.perf_counter() - begin
    print("\n".join(admission.lines()))
    print(f"{options.out}: {admission.read:,} jets in {seconds:.1f} s, {admission.read / seconds:,.0f} jets/s")
    print(f"Train on it: lgae train data=files data.path={options.out} data.num_particles=30")
    print(f"Open it in Python: lgae_pyg.data.JetStore.load({str(options.out)!r})")
    return 0


def make_contrast(options: argparse.Namespace) -> int:
    """Makes the store of background and contrast, and prints what is in it."""
    check_inputs(files=options.files, card=options.card)

    from lgae_pyg.datasets import JetFiles
    from lgae_pyg.datasets.contrast import ContrastSettings, contrast_store, summary

    classes = options.classes.split(",") if options.classes else None
    few = {"num_particles": options.particles, "max_jets": options.max_jets}
    jets = JetFiles(options.files, options.card, classes=classes, split=options.split, **few)
    low, high = options.mass_range
    prongs = tuple(int(one) for one in options.prongs.split(","))
    more = {"sources": options.sources.split(",")} if options.sources else {}
    more["candidates"] = options.candidates or (1 if options.sources else 2)
    more |= {"radius": options.radius, "mass": options.mass, "seed": options.seed}
    settings = ContrastSettings(prongs, low, high, **more)
    store = contrast_store(jets.store, options.jets or len(jets), settings)
    store.save(options.out)
    print("\n".join(summary(store)))
    print(f"Train on it: lgae train experiment=contrast_detector data.path={options.out}")
    return 0


def _open(path: str, table: str) -> Any:
    """The file; of several tables without a choice, the largest."""
    from lgae_pyg.datasets.readers import open_reader
    from lgae_pyg.datasets.readers.base import ManyTables

    try:
        return open_reader(path, table)
    except ManyTables as several:
        if table or not several.tables:
            raise
        tables = several.tables
        return open_reader(path, max(tables, key=lambda name: tables[name]))


def _unlike_the_first(files: Sequence[str], first: Any, table: str) -> list[str]:
    """Files that are of another format or hold other columns than the first one, in a sentence."""
    from lgae_pyg.data import DataFileError

    def layout(path: str) -> Any:
        try:
            reader = _open(path, table)
        except DataFileError:
            return None
        return reader.format, set(reader.columns)

    looked_into = files[1:COMPARED]
    unlike = [path for path in looked_into if layout(path) != (first.format, set(first.columns))]
    if not unlike:
        return []
    named = ", ".join(os.path.basename(path) for path in unlike[:3]) + (", ..." if len(unlike) > 3 else "")
    all_files = f"{len(files)}" if len(files) <= COMPARED else f"first {COMPARED}"
    return [f"{len(unlike)} of the {all_files} files have other columns than this one ({named})"]


def _columns(columns: list[Any]) -> str:
    """The columns as a table; numbered ones are drawn together."""
    import re

    from lgae_pyg.tables import Table

    groups: dict[tuple[str, str, str], list[str]] = {}
    for column in columns:
        stem = re.sub(r"\d+", "#", column.name)
        groups.setdefault((stem, column.dtype, column.shape_text), []).append(column.name)
    rows = []
    for (_, dtype, shape), names in groups.items():
        if len(names) > 5:
            rows.append((f"{names[0]} ... {names[-1]} ({len(names)})", dtype, shape))
        else:
            rows += [(name, dtype, shape) for name in names]
    caption = "Columns; the shape is that of a row, n a length that differs from row to row."
    return Table("columns", caption, {"name": "column", "dtype": "type", "shape": "shape"}, tuple(rows)).to_text()


def _first_jet(path: str, card: Any, particles: int) -> str:
    """The first jet of the file as a table."""
    import torch

    from lgae_pyg.datasets.assembly import assemble
    from lgae_pyg.datasets.columns import CardColumns
    from lgae_pyg.lorentz.kinematics import azimuth, mass, pseudorapidity, transverse_momentum
    from lgae_pyg.tables import Table

    source = CardColumns(card, path)
    jets = next((jets for chunk in source.chunks(100) if (jets := assemble(source, chunk, 0)).sizes.any()), None)
    if jets is None:
        return "There is no jet with particles in the file."
    number = int((jets.sizes > 0).argmax())
    jet = jets.take_jets(jets.sizes > 0).take_jets(torch.tensor([0]).numpy())
    p4 = torch.from_numpy(jet.p4).double()
    names = {"E": "E", "px": "px", "py": "py", "pz": "pz", "pt": "pT", "eta": "eta", "phi": "phi"}
    derived = torch.stack([transverse_momentum(p4), pseudorapidity(p4), azimuth(p4)], dim=1)
    rows = torch.cat([p4, derived], dim=1)[:particles].tolist()
    features = list(jet.particles)
    names |= {f"x_{name}": name for name in features}
    rows = [(*row, *(float(jet.particles[name][i]) for name in features)) for i, row in enumerate(rows)]
    total = p4.sum(dim=0)
    fields = {key: value[0].tolist() for key, value in jet.jets.items()}
    caption = (
        f"The first particles of jet {number} of the file, momenta in GeV, as the card reads it: {len(p4)} "
        f"particles, together pT = {float(transverse_momentum(total)):.6g}, m = {float(mass(total)):.6g}. "
        + "; ".join(f"{key} = {value}" for key, value in fields.items())
    )
    return Table("jet", caption, names, tuple(rows)).to_text()
