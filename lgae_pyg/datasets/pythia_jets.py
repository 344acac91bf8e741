"""Jets made by our own generator, in JetNet's format."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.data import DataFileError, JetData, JetStore
from lgae_pyg.datasets.jetnet_format import JetNetFormat, open_class_file
from lgae_pyg.datasets.pythia import GeneratorSettings, generate_files
from lgae_pyg.datasets.pythia.files import CHUNK_JETS, MAX_PARTICLES, SLOTS, flat, read_recipe, slots
from lgae_pyg.generator.presets import PRESETS
from lgae_pyg.generator.settings import JETNET_NAME
from lgae_pyg.registry import near


class PythiaJets(JetNetFormat):
    r"""Jets generated with Pythia 8, a fast detector and FastJet; unless asked for others they resemble JetNet's.

    ``settings={"preset": "top_tagging"}`` makes jets like those of the top tagging reference set (classes QCD and
    top), ``{"preset": "quark_gluon"}`` like EnergyFlow's (gluon and quark).

    Missing files ``root/raw/{g,q,t,w,z}.hdf5`` (``{g,...}150.hdf5`` for more than 30 particles, ``200`` for more
    than 150; other presets have other names of classes) are generated, and those with too few jets extended; then
    they are read exactly as :class:`~lgae_pyg.datasets.JetNet` reads its files. A generated file says how it was
    made: one of other settings than those asked for is refused. Of a file with more jets than asked for the first
    ones are taken; they are the jets of the smaller file.

    With more than one worker the generator starts fresh Python processes: a script that makes this data set
    must do so under ``if __name__ == "__main__":``.

    Args:
        root: Folder of the data set.
        classes: Which of the preset's classes, in any order; ``None``: g and q, or all those of another preset.
        jets: Number of jets of each class.
        num_particles: How many of the leading particles of a jet are kept (up to 200).
        split: ``"train"``, ``"val"``, ``"test"`` or ``"all"``.
        fractions: Shares of the three splits.
        seed: Seed of the generator, of the jets' azimuths and of the splits.
        max_jets: Read only that many jets of each class, the first ones.
        unit: Unit of the momenta: GeV, TeV or PeV (the files are in GeV).
        settings: Settings of the generator, as an object or a dict; what a dict omits is its ``preset``'s.
        workers: Processes to generate with; by default all cores. The jets do not depend on it.
        transform: Change applied to each jet when it is taken.
        force_reload: Make the processed file again (not the generated files).
        generate: Generate what is missing. Data sets rebuilt from a recipe
            (:func:`~lgae_pyg.datasets.build_dataset`) do so only if they are told.

    Raises:
        FileNotFoundError: if jets are missing and must not be generated.
        ImportError: if jets must be generated and the generator is not installed.
        DataFileError: if a file is broken, or was made with other settings.
    """

    FILE_ENDS = SLOTS

    def __init__(
        self,
        root: str | os.PathLike[str],
        classes: Sequence[str] | None = None,
        jets: int = 10_000,
        num_particles: int = 30,
        split: str = "all",
        fractions: Sequence[float] = (0.6, 0.2, 0.2),
        seed: int = 0,
        max_jets: int | None = None,
        unit: str = "TeV",
        settings: GeneratorSettings | Mapping[str, Any] | None = None,
        workers: int | None = None,
        transform: Callable[[JetData], JetData] | None = None,
        force_reload: bool = False,
        generate: bool = True,
    ) -> None:
        if jets < 1:
            raise ValueError(f"jets must be at least 1, not {jets}.")
        if num_particles > MAX_PARTICLES:
            raise ValueError(f"num_particles must be at most {MAX_PARTICLES}, not {num_particles}.")
        if not isinstance(settings, GeneratorSettings):
            settings = GeneratorSettings.from_dict(settings or {})
        self._settings = settings
        self.known_classes = settings.classes
        classes = _usual(settings) if classes is None else classes
        self._workers = workers
        self._may_generate = generate
        more = {"jets": jets, "settings": settings.to_dict()}
        options = {"transform": transform, "force_reload": force_reload}
        super().__init__(root, classes, num_particles, split, fractions, seed, max_jets, unit, more, **options)

    @classmethod
    def usual_classes(cls, recipe: Mapping[str, Any]) -> Sequence[str]:
        """g and q, or all those of another preset."""
        return _usual(GeneratorSettings.from_dict(recipe.get("settings") or {}))

    def missing_classes(self) -> list[str]:
        """Letters of the classes whose file is not there, or has too few jets and can be extended."""
        return [
            letter
            for letter, path in zip(self.classes, self.raw_paths)
            if not Path(path).is_file() or (self._lacks_jets(path) and not self._differences(letter, path))
        ]

    def lacks_raw_files(self) -> bool:
        """Whether jets have to be generated."""
        return bool(self.missing_classes())

    def check_download(self) -> None:
        """Refuses to go on without missing jets that may not be generated.

        Raises:
            FileNotFoundError: says how to get them.
        """
        missing = self.missing_classes()
        if not self._may_generate:
            found = [path for path in self.raw_paths if Path(path).is_file()]
            few = [f"{Path(path).name} holds {_rows(path)} jets" for path in found if self._lacks_jets(path)]
            there = "; ".join(few) or "; ".join(filter(None, ("no files", near(self.recipe["root"]))))
            fewer = ", or take as many (data.jets=...)" if few else ""
            raise FileNotFoundError(
                f"{self.recipe['jets']} jets of each of the classes {', '.join(missing)} are wanted in "
                f"{self.raw_dir}, and are not there ({there}). Nothing is generated unasked: if they are "
                f"elsewhere, name that folder (root=..., --data ROOT){fewer}, or train "
                f"with data.generate=true; to make them: {self._command(missing)}"
            )

    def download(self) -> None:
        """Generates the missing jets, and says so."""
        missing = self.missing_classes()
        print(
            f"{self.raw_dir} lacks {self.recipe['jets']:,} jets of each of the classes {', '.join(missing)}: they "
            f"are generated, as by {self._command(missing)}; data.root=... names another folder, data.jets=... "
            "fewer",
            file=sys.stderr,
        )
        for particles in sorted({self._particles(letter) for letter in missing}):
            letters = [letter for letter in missing if self._particles(letter) == particles]
            generate_files(
                self.raw_dir,
                letters,
                self.recipe["jets"],
                particles,
                self.recipe["seed"],
                workers=self._workers,
                settings=self._settings,
            )

    def _particles(self, letter: str) -> int:
        """Particles per jet of the file of a class, as it is or as it will be."""
        path = Path(self.raw_dir, self._file_name(letter))
        if path.is_file():
            return read_recipe(path)["particles"]
        return slots(self.recipe["num_particles"])

    def _command(self, classes: Sequence[str]) -> str:
        """The command that makes the jets of these classes."""
        words = ["lgae", "generate", "--classes", ",".join(classes), "--jets", str(self.recipe["jets"])]
        words += ["--seed", str(self.recipe["seed"]), "--out", self.recipe["root"]]
        preset = PRESETS[self._settings.preset]
        if slots(self.recipe["num_particles"]) != slots(preset.particles):
            words += ["--particles", str(slots(self.recipe["num_particles"]))]
        if self._settings.preset != JETNET_NAME:
            words += ["--preset", self._settings.preset]
        usual = dataclasses.asdict(GeneratorSettings.from_dict({"preset": self._settings.preset}))
        for name, value in dataclasses.asdict(self._settings).items():
            if value != usual[name]:
                words += ["--set", f"{name}={int(value) if isinstance(value, bool) else value}"]
        return shlex.join(words)

    def _description(self, generated: bool) -> dict[str, Any]:
        description = super()._description(generated)
        if self._settings.preset != JETNET_NAME:
            description["origin"] += f" like {PRESETS[self._settings.preset].about}"
        return description

    def build_store(self) -> JetStore:
        """Reads the class files, after a look at how they were made."""
        for letter, path in zip(self.classes, self.raw_paths):
            self._check_origin(letter, path)
        return super().build_store()

    def rows_per_class(self) -> int:
        """Only the jets asked for are read, even where the files hold more."""
        return min(self.recipe["jets"], self.recipe["max_jets"] or self.recipe["jets"])

    def _lacks_jets(self, path: str) -> bool:
        return _rows(path) < self.recipe["jets"]

    def _differences(self, letter: str, path: str) -> list[str]:
        """What makes a file another one than the generator would make for this recipe, its number of jets aside.

        Raises:
            DataFileError: the file was not made by the generator.
        """
        found = read_recipe(path)
        if found is None:
            raise DataFileError(f"{path} was not made by the generator: read its folder with JetNet instead.")
        origin = {"name": letter, "seed": self.recipe["seed"], "chunk_jets": CHUNK_JETS}
        wanted = flat({**origin, "settings": self.recipe["settings"]})
        names, found = wanted.keys() | found.get("settings", {}).keys(), flat(found)
        usual = dataclasses.asdict(GeneratorSettings())  # of what is left out of a recipe
        pairs = [(key, *(side.get(key, usual.get(key)) for side in (found, wanted))) for key in sorted(names)]
        return [f"{key} = {there}, not {here}" for key, there, here in pairs if there != here]

    def _check_origin(self, letter: str, path: str) -> None:
        """Refuses a file that the generator would not have made for this recipe."""
        different = self._differences(letter, path)
        if self._lacks_jets(path):
            different.append(f"{_rows(path)} jets, not {self.recipe['jets']}")
        if different:
            raise DataFileError(
                f"{path} was made with other settings ({'; '.join(different)}): ask for those of the file, or "
                "choose another root."
            )


def _usual(settings: GeneratorSettings) -> Sequence[str]:
    return ("g", "q") if settings.preset == JETNET_NAME else settings.classes


def _rows(path: str) -> int:
    with open_class_file(path) as (particles, _):
        return len(particles)
