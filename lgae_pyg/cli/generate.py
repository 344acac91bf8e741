"""``lgae generate``: jets from Pythia 8 and FastJet as JetNet files, and their distance to real JetNet."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser, names_of, positive
from lgae_pyg.generator.presets import PRESETS
from lgae_pyg.generator.settings import GeneratorSettings, check_classes
from lgae_pyg.registry import check_keys


def add_arguments(parser: CommandParser) -> None:
    """Adds the options of ``lgae generate`` to a parser."""
    add = parser.add_argument
    known = "; ".join(f"{name}: {','.join(preset.processes)}" for name, preset in PRESETS.items())
    add("--preset", choices=PRESETS, default="jetnet", help="which public set the jets resemble (default jetnet)")
    classes = f"jet classes, of {known} (default g,q for jetnet, else all)"
    add("--classes", type=names_of, metavar="A,B", help=classes)
    jets = "jets of each class; a file of fewer is extended (default 10000)"
    add("--jets", type=positive, metavar="N", default=10_000, help=jets)
    where = "the files go to DIR/raw/g.hdf5 etc., so that JetNet(root=DIR) and PythiaJets(root=DIR) read them"
    add("--out", type=Path, default=Path("data/pythia"), metavar="DIR", help=f"{where} (default data/pythia)")
    kept = "leading particles kept per jet, at most 200; files of more than 30 are called g150.hdf5 etc., of more "
    usual = ", ".join(f"{preset.particles} for {name}" for name, preset in PRESETS.items())
    add("--particles", type=positive, metavar="N", help=f"{kept}than 150 g200.hdf5 (default {usual})")
    add("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
    add("--workers", type=positive, metavar="K", help="processes; the jets do not depend on them (default: all)")
    changed = "change a generator setting, e.g. --set underlying_event=0 (repeatable); names: "
    changed += ", ".join(field.name for field in dataclasses.fields(GeneratorSettings))
    add("--set", action="append", default=[], metavar="NAME=VALUE", help=changed)
    add("--overwrite", action="store_true", help="replace files made with another recipe")
    judged = "print the Frechet ParticleNet distance to real JetNet and the confusion of the network shipped with "
    add("--judge", action="store_true", help=f"{judged}jetnet, and add both to the data cards")
    add("--quiet", action="store_true", help="no progress bar")
    parser.offers = {
        "classes": lambda: (name for preset in PRESETS.values() for name in preset.processes),
        "set": lambda: (f"{field.name}=" for field in dataclasses.fields(GeneratorSettings)),
    }


def run(options: argparse.Namespace) -> int:
    """Generates the files and, with ``--judge``, measures them."""
    settings = parse_settings(options.set, options.preset)
    usual = ("g", "q") if settings.preset == "jetnet" else settings.classes
    classes = check_classes(options.classes or usual, settings)
    if options.judge:
        from lgae_pyg.metrics.fpnd import resources

        if settings.preset != "jetnet":
            raise ValueError("--judge compares with JetNet; for other presets use data/compare_with_real.py")
        resources()  # found missing before hours of generation

    from lgae_pyg.datasets.pythia import generate_files
    from lgae_pyg.processes import GracefulStop

    with GracefulStop("finishing the jets under way") as stop:
        paths = generate_files(
            options.out / "raw", classes, options.jets, options.particles or PRESETS[settings.preset].particles,
            options.seed, options.workers, settings, progress=not options.quiet, overwrite=options.overwrite,
            check=stop.check,
        )
    for path in paths:
        print(path)
    if options.judge:
        judge(paths, progress=not options.quiet)
    return 0


def parse_settings(changes: list[str], preset: str = "jetnet") -> GeneratorSettings:
    """Settings of a preset with changes ``name=value``.

    Raises:
        ValueError: an unknown name, or a value that is no number of the setting's type.
    """
    defaults = dataclasses.asdict(GeneratorSettings())
    values: dict[str, Any] = {"preset": preset}
    for change in changes:
        name, _, text = change.partition("=")
        check_keys("--set", [name], defaults)
        kind = type(defaults.get(name, text))
        try:
            values[name] = bool(int(text)) if kind is bool else kind(text)
        except ValueError:
            raise ValueError(f"--set {change}: give NAME=NUMBER (0 or 1 for a switch)") from None
    return GeneratorSettings.from_dict(values)


def judge(paths: list[Path], progress: bool = False) -> None:
    """Prints the distance to real JetNet and the confusion of each file and adds them to its card."""
    from lgae_pyg.datasets.hdf5 import open_hdf5
    from lgae_pyg.datasets.pythia.files import update_card
    from lgae_pyg.metrics import fpnd as metric

    print("class    jets    FPND  " + " ".join(f"as {name:>2} %" for name in metric.JUDGE_CLASSES))
    for path in paths:
        with open_hdf5(path) as file:
            features = file["particle_features"][: metric.MAX_JETS, : metric.NUM_PARTICLES, :3]
        name = path.stem.removesuffix("150")
        activation = metric.activations(features, progress=progress)
        fractions = metric.class_fractions(activation)
        distance = None
        if name in metric.FPND_CLASSES:
            reference = metric.reference_statistics(name)
            distance = metric.frechet_distance(*reference, *metric.gaussian(activation))
        shown = "-" if distance is None else f"{distance:.3f}"
        percent = " ".join(f"{100 * part:7.1f}" for part in fractions)
        print(f"{name:>5} {len(features):7d} {shown:>7}  {percent}")
        update_card(path, judge={
            "network": "ParticleNet of jetnet, trained on real JetNet jets of 30 particles",
            "jets": len(features),
            "fpnd": distance,
            "confusion": dict(zip(metric.JUDGE_CLASSES, fractions.round(4).tolist())),
        })
