"""``lgae decompress``: jets out of a file that ``lgae compress`` wrote."""

import argparse
from pathlib import Path

from lgae_pyg.cli.parser import CommandParser
from lgae_pyg.places import check_inputs
from lgae_pyg.registry import check_choice
from lgae_pyg.vocabulary import JET_FORMATS


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="a file that lgae compress wrote")
    add("out", nargs="?", type=Path, metavar="OUT",
        help="OUT.parquet, OUT.h5, OUT.npz, or without a suffix the folder of a store; left out: only check the "
        "file and say what is in it")
    add("--model", metavar="MODEL", help="the checkpoint that the file was written with, if it was with one")


def run(options: argparse.Namespace) -> int:
    """Says what the file promises, and writes its jets."""
    import time

    check_inputs(options.model, [options.file])
    if options.out is not None:
        check_choice("suffix of the file to be written", options.out.suffix.lower(), JET_FORMATS)

    from lgae_pyg.applications.compression import CompressedJets
    from lgae_pyg.applications.compression.output import write_jets

    with CompressedJets(options.file, options.model) as jets:
        header = jets.header
        print(
            f"{options.file}: {len(jets):,} jets, {header.particles:,} particles in {header.blocks:,} blocks, "
            f"coder {header.coder['name']}; no particle is moved by more than: {header.layout.bounds}"
        )
        begin = time.perf_counter()
        if options.out is None:
            for _ in jets.blocks():
                pass
            print("every block fits its checksums")
            return 0
        read = write_jets(jets, options.out)
        seconds = time.perf_counter() - begin
        print(f"{options.out}: {len(jets) / seconds:,.0f} jets/s")
        print("Read it: " + read.format(path=str(options.out)))
        if options.out.suffix.lower() == ".parquet" and (names := header.meta.get("class_names")):
            numbered = ", ".join(f"{number}: {name}" for number, name in enumerate(names))
            print(f"It has the numbers of the classes, not their names ({numbered}); a folder as OUT has both.")
    return 0
