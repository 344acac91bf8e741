"""Generated jets: what the data set asks of the generator, and which files it accepts."""

import argparse
import json
import shlex
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lgae_pyg.cli.generate import add_arguments, parse_settings
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.datasets import JetNet, PythiaJets, build_dataset
from lgae_pyg.datasets.pythia import GeneratorSettings
from lgae_pyg.datasets.pythia.files import CHUNK_JETS


def write_jets(path: Path, jets: int, particles: int, recipe: dict) -> None:
    rng = np.random.default_rng(ord(path.name[0]))
    features = np.ones((jets, particles, 4), dtype=np.float32)
    features[..., :2] = rng.normal(0, 0.1, (jets, particles, 2))
    features[..., 2] = np.sort(rng.uniform(0, 1, (jets, particles)))[:, ::-1]
    jet_features = np.tile([1000.0, 0.5, 80.0, particles], (jets, 1))
    with h5py.File(path, "w") as file:
        file["particle_features"], file["jet_features"] = features, jet_features
        file.attrs["recipe"] = json.dumps(recipe)


@pytest.fixture
def calls(monkeypatch) -> list[tuple]:
    """Puts a quick stand-in in the generator's place and records what it is asked for."""
    record = []

    def generate(folder, classes, jets, particles, seed, workers, settings):
        record.append((list(classes), jets, particles, seed))
        Path(folder).mkdir(parents=True, exist_ok=True)
        for letter in classes:
            recipe = {
                "name": letter,
                "jets": jets,
                "particles": particles,
                "seed": seed,
                "chunk_jets": CHUNK_JETS,
            }
            name = f"{letter}.hdf5" if particles <= 30 else f"{letter}150.hdf5"
            write_jets(Path(folder, name), jets, particles, {**recipe, "settings": settings.to_dict()})

    monkeypatch.setattr("lgae_pyg.datasets.pythia_jets.generate_files", generate)
    return record


def test_only_missing_files_are_generated(tmp_path: Path, calls, capsys):
    first = PythiaJets(tmp_path, ("q",), jets=20, seed=4)
    assert len(first) == 20
    said = capsys.readouterr().err
    assert "lacks 20 jets of each of the classes q: they are generated, as by lgae generate --classes q" in said
    assert len(PythiaJets(tmp_path, ("t", "q"), jets=20, seed=4, split="train")) == 24
    assert len(PythiaJets(tmp_path, ("q", "t"), jets=20, seed=4, split="test")) == 8
    assert calls == [(["q"], 20, 30, 4), (["t"], 20, 30, 4)]


def test_large_jets_are_generated_with_all_their_particles(tmp_path: Path, calls):
    dataset = PythiaJets(tmp_path, ("g",), jets=3, num_particles=40)
    assert dataset.store.sizes.tolist() == [40, 40, 40]
    assert calls == [(["g"], 3, 150, 0)]
    assert PythiaJets(tmp_path, ("g",), jets=3, num_particles=20).store.max_particles == 20
    assert len(calls) == 1


def test_the_jets_are_those_that_jetnet_reads_from_the_same_files(tmp_path: Path, calls):
    ours = PythiaJets(tmp_path, ("g", "w"), jets=12, split="val").store.batch(slice(None))
    theirs = JetNet(tmp_path, ("g", "w"), split="val").store.batch(slice(None))
    assert ours.unit == theirs.unit
    assert all(torch.equal(ours[name], theirs[name]) for name in ours.keys() if name != "unit")


def test_of_a_larger_file_the_first_jets_are_taken(tmp_path: Path, calls):
    large = PythiaJets(tmp_path, ("g",), jets=12)
    small = PythiaJets(tmp_path, ("g",), jets=5)
    assert len(calls) == 1
    torch.testing.assert_close(small.store.batch(slice(None)).pos, large.store.batch(slice(5)).pos)
    assert len(PythiaJets(tmp_path, ("g",), jets=12, max_jets=7)) == 7


def test_jets_of_a_smaller_study_are_extended_for_a_larger_one(tmp_path: Path, calls):
    PythiaJets(tmp_path, ("g", "q"), jets=5)
    assert len(PythiaJets(tmp_path, ("g", "q", "t"), jets=8)) == 24
    assert calls[1:] == [(["g", "q", "t"], 8, 30, 0)]
    assert len(PythiaJets(tmp_path, ("g", "q"), jets=5)) == 10
    PythiaJets(tmp_path, ("w",), jets=3, num_particles=40)
    assert len(PythiaJets(tmp_path, ("w", "z"), jets=4)) == 8  # the long file is extended, the new one is short
    assert calls[2:] == [(["w"], 3, 150, 0), (["z"], 4, 30, 0), (["w"], 4, 150, 0)]


def test_nothing_is_generated_for_a_recipe_unless_it_is_asked_for(tmp_path: Path, calls, monkeypatch):
    recipe = PythiaJets(tmp_path / "here", ("g",), jets=6).recipe
    assert "generate" not in recipe
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")
    assert len(build_dataset(recipe)) == 6  # found from another folder
    with pytest.raises(FileNotFoundError, match=r"6 jets .* g are wanted in .*there/jets/raw.*no files.*--data"):
        build_dataset({**recipe, "root": "jets"})
    with pytest.raises(FileNotFoundError, match=r"g\.hdf5 holds 6 jets"):
        build_dataset({**recipe, "jets": 7})
    with pytest.raises(FileNotFoundError, match="no files"):
        PythiaJets("jets", ("g",), jets=6, generate=False)
    assert list((tmp_path / "there").glob("**/*.hdf5")) == [] and len(calls) == 1
    assert len(build_dataset({**recipe, "root": "jets", "generate": True})) == 6
    assert len(build_dataset(recipe, jets=7, generate=True)) == 7
    assert len(calls) == 3


@pytest.mark.parametrize("particles", [12, 40])
def test_the_command_that_is_named_makes_these_jets(tmp_path: Path, calls, particles):
    settings = {"track_efficiency": 0.9, "underlying_event": False, "tune": 21, "hadron_noise": 1e-7}
    root = tmp_path / "my jets"
    with pytest.raises(FileNotFoundError, match="to make them: lgae generate") as caught:
        PythiaJets(root, ("q", "t"), 6, particles, seed=4, settings=settings, generate=False)
    words = shlex.split(str(caught.value).partition("to make them: ")[2])
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = parser.parse_args(words[2:])
    assert (options.classes, options.jets, options.seed, options.out) == (["q", "t"], 6, 4, root)
    assert (options.particles or 30) == (30 if particles <= 30 else 150)
    assert parse_settings(options.set) == GeneratorSettings.from_dict(settings)


def without_names(path: Path) -> None:
    """Makes a processed file one of those that kept neither names nor origin."""
    store = JetStore.load(path)
    store.meta = {key: store.meta[key] for key in ("recipe", "unit", "raw")} | {"generated": True}
    store.save(path)


def test_names_and_origin_are_kept_and_come_back_to_older_files(tmp_path: Path, calls):
    dataset = PythiaJets(tmp_path, ("q",), jets=6)
    expected = (("g", "q", "t", "w", "z"), "PythiaJets (generated with Pythia 8)")
    path = Path(dataset.processed_paths[0])

    def described(found: PythiaJets) -> tuple:
        assert tuple(found.store.meta["class_names"]) == found.class_names
        return found.class_names, found.origin

    assert described(dataset) == expected
    without_names(path)
    assert described(PythiaJets(tmp_path, ("q",), jets=6)) == expected
    assert "class_names" in JetStore.load(path).meta  # made again from the raw file
    without_names(path)
    (tmp_path / "raw" / "q.hdf5").unlink()
    content = path.read_bytes()
    again = PythiaJets(tmp_path, ("q",), jets=6, split="train", generate=False)
    assert described(again) == expected and path.read_bytes() == content


def test_the_recipe_carries_the_generator_settings(tmp_path: Path, calls):
    settings = replace(GeneratorSettings(), track_efficiency=0.9)
    dataset = PythiaJets(tmp_path, ("g",), jets=10, settings=settings, workers=1)
    assert json.loads(json.dumps(dataset.recipe)) == dataset.recipe
    assert dataset.recipe["settings"]["track_efficiency"] == 0.9
    again = build_dataset(dataset.recipe, "train")
    assert isinstance(again, PythiaJets)
    assert again.recipe == dataset.recipe
    assert len(calls) == 1


def test_files_of_other_settings_are_refused(tmp_path: Path, calls):
    PythiaJets(tmp_path, ("g",), jets=10)
    settings = {"track_efficiency": 0.9}
    with pytest.raises(DataFileError, match=r"g\.hdf5.*track_efficiency = 1\.0, not 0\.9"):
        PythiaJets(tmp_path, ("g",), jets=10, settings=settings)
    with pytest.raises(DataFileError, match=r"seed = 0, not 1.*another root"):
        PythiaJets(tmp_path, ("g",), jets=10, seed=1)
    with pytest.raises(DataFileError, match=r"seed = 0, not 1; 10 jets, not 11"):
        PythiaJets(tmp_path, ("g",), jets=11, seed=1)
    assert len(calls) == 1


def test_foreign_and_damaged_files_are_refused(tmp_path: Path, calls):
    path = tmp_path / "raw" / "g.hdf5"
    path.parent.mkdir()
    write_jets(path, 5, 30, {})
    with h5py.File(path, "r+") as file:
        del file.attrs["recipe"]
    with pytest.raises(DataFileError, match=r"not made by the generator.*JetNet"):
        PythiaJets(tmp_path, ("g",), jets=5)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(DataFileError, match="cut short or damaged"):
        PythiaJets(tmp_path, ("g",), jets=5)
    assert calls == []
    assert not (tmp_path / "processed").exists()


def test_impossible_numbers_are_refused_before_anything_is_generated(tmp_path: Path, calls):
    for arguments, words in (({"jets": 0}, "jets"), ({"num_particles": 201}, "200"), ({"unit": "eV"}, "eV")):
        with pytest.raises(ValueError, match=words):
            PythiaJets(tmp_path, ("g",), **arguments)
    assert calls == []


def test_real_jets_reach_the_store(tmp_path: Path):
    for module in ("pythia8mc", "fastjet"):
        pytest.importorskip(module)
    dataset = PythiaJets(tmp_path, ("w",), jets=4, workers=1, unit="GeV")
    assert len(dataset) == 4
    pt, _, _, mass = dataset.store.jet_field("jet_ref").unbind(-1)
    assert ((pt > 800) & (pt < 1600) & (mass > 0)).all()
    assert dataset[0].validate()
