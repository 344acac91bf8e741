"""JetNet's files become four-momenta: physics, splits, recipes, offline use, and bad files."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jetnet_files import make_arrays, processed, write_file
from torch_geometric.loader import DataLoader

from lgae_pyg.data import DataFileError, JetData
from lgae_pyg.data.gate import Admission
from lgae_pyg.datasets import JetNet, build_dataset
from lgae_pyg.lorentz.kinematics import (
    energy,
    from_pt_eta_phi_m,
    mass,
    pseudorapidity,
    relative_coordinates,
    spatial,
    transverse_momentum,
)


def keys_of(dataset: JetNet) -> set[tuple[int, int]]:
    store = dataset.store
    return set(zip(store.jet_field("y").tolist(), store.jet_field("jet_id").tolist()))


# Physics


def test_momenta_give_back_the_coordinates_of_the_file(root: Path):
    features, jet_features = make_arrays(25, seed=0)
    batch = JetNet(root, ("g",), unit="GeV").store.batch(slice(None))
    pt, eta, phi, mass = batch.jet_ref.unbind(-1)
    axis = from_pt_eta_phi_m(pt, eta, phi)[batch.batch]
    present = torch.from_numpy(features[features[..., 3] == 1])
    etarel, phirel, ptrel, _ = present.unbind(-1)
    expected = torch.stack([ptrel, etarel, phirel], dim=-1)
    torch.testing.assert_close(relative_coordinates(batch.p4, axis), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(torch.stack([pt, eta, mass], -1), torch.from_numpy(jet_features[:, :3]))
    assert batch.y.tolist() == [0] * 25
    assert batch.jet_id.tolist() == list(range(25))


def test_particles_are_massless_and_sum_to_the_jet(root: Path):
    batch = JetNet(root, ("q",)).store.batch(slice(None))
    assert torch.equal(energy(batch.p4), torch.linalg.vector_norm(spatial(batch.p4), dim=-1))
    # The made-up relative momenta of a jet sum to 1 and lie close to its axis.
    total = torch.zeros(40, 4, dtype=torch.float64).index_add_(0, batch.batch, batch.p4)
    pt, _, phi, _ = batch.jet_ref.unbind(-1)
    scalar_sum = torch.zeros(40, dtype=torch.float64).index_add_(
        0, batch.batch, transverse_momentum(batch.p4)
    )
    torch.testing.assert_close(scalar_sum, pt)
    assert (transverse_momentum(total) / pt - 1).abs().max() < 0.05
    direction = relative_coordinates(total, from_pt_eta_phi_m(pt, torch.zeros_like(pt), phi))
    assert direction[:, 2].abs().max() < 0.3


def test_the_unit_scales_momenta_and_references_alike(root: Path):
    gev, tev, pev = (
        JetNet(root, ("t",), unit=unit).store.batch(slice(None)) for unit in ("GeV", "TeV", "PeV")
    )
    torch.testing.assert_close(gev.p4, 1e3 * tev.p4, rtol=1e-14, atol=0)
    torch.testing.assert_close(gev.p4, 1e6 * pev.p4, rtol=1e-14, atol=0)
    scale = torch.tensor([1e3, 1, 1, 1e3], dtype=torch.float64)
    torch.testing.assert_close(gev.jet_ref, scale * tev.jet_ref, rtol=1e-14, atol=0)


def test_azimuths_are_uniform_seeded_and_depend_on_nothing_else(tmp_path: Path):
    write_file(tmp_path / "raw" / "g.hdf5", *make_arrays(2000, particles=2))
    write_file(tmp_path / "raw" / "q.hdf5", *make_arrays(50, particles=2))

    def azimuths(letter: str = "g", **arguments) -> torch.Tensor:
        dataset = JetNet(tmp_path, num_particles=2, **{"classes": (letter,), **arguments})
        jets = dataset.store.jet_field("y") == "gq".index(letter)
        return dataset.store.jet_field("jet_ref")[jets][:, 2]

    phi = azimuths()
    assert torch.equal(phi, azimuths(force_reload=True))
    assert torch.equal(azimuths(classes=("q", "g")), phi)
    assert torch.equal(azimuths(max_jets=30), phi[:30])
    assert not torch.equal(azimuths(seed=1), phi)
    assert not torch.equal(azimuths("q"), phi[:50])
    counts = torch.histc(phi, bins=10, min=-torch.pi, max=torch.pi)
    assert counts.sum() == 2000
    # Chi-squared with 9 degrees of freedom: beyond 33.7 once in 10,000.
    assert ((counts - 200) ** 2 / 200).sum() < 33.7


def test_the_leading_particles_are_kept_and_disorder_is_mended(tmp_path: Path):
    features, jet_features = make_arrays(12, particles=8, smallest=3)
    shuffled = features.copy()
    for row in range(0, 12, 2):
        shuffled[row] = shuffled[row, np.random.default_rng(row).permutation(8)]
    write_file(tmp_path / "ordered" / "raw" / "g.hdf5", features, jet_features)
    write_file(tmp_path / "shuffled" / "raw" / "g.hdf5", shuffled, jet_features)
    for kept in (8, 3):
        ordered, mended = (
            JetNet(tmp_path / name, ("g",), num_particles=kept).store.batch(slice(None))
            for name in ("ordered", "shuffled")
        )
        assert torch.equal(ordered.pos, mended.pos)
        assert torch.equal(ordered.ptr, mended.ptr)
        assert (ordered.ptr.diff() <= kept).all()


def test_equal_momenta_keep_their_order(tmp_path: Path):
    # Many equal ones: an unstable sort keeps the order of a few by chance.
    features = np.zeros((1, 100, 4))
    features[0, :, 0], features[0, :, 2], features[0, :, 3] = np.linspace(-1, 1, 100), 0.3, 1
    features[0, ::7, 2] = 0.1
    write_file(tmp_path / "raw" / "g150.hdf5", features, np.array([[1000.0, 0, 50, 100]]))
    jet = JetNet(tmp_path, ("g",), num_particles=60).get(0)
    expected = torch.from_numpy(features[0, features[0, :, 2] == 0.3, 0][:60])
    torch.testing.assert_close(pseudorapidity(jet.p4), expected)


# Splits


def test_splits_of_a_data_set(root: Path):
    parts = {split: JetNet(root, ("g", "q"), split=split) for split in ("train", "val", "test", "all")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 39,
        "val": 13,
        "test": 13,
        "all": 65,
    }
    keys = {split: keys_of(part) for split, part in parts.items()}
    assert keys["train"] | keys["val"] | keys["test"] == keys["all"]
    assert len(processed(root)) == 1
    assert keys_of(JetNet(root, ("q", "g"), split="train")) == keys["train"]
    assert keys_of(JetNet(root, ("g", "q"), split="train", seed=1)) != keys["train"]
    gluons = {key for key in keys["train"] if key[0] == 0}
    assert keys_of(JetNet(root, ("t", "g"), split="train")) >= gluons


def test_max_jets_takes_the_first_rows(root: Path):
    dataset = JetNet(root, ("g", "q"), max_jets=7)
    assert keys_of(dataset) == {(number, row) for number in (0, 1) for row in range(7)}


# PyTorch Geometric's interface


def test_slices_items_and_loaders(root: Path):
    dataset = JetNet(root, ("g", "q"), split="train")
    jet = dataset[3]
    assert isinstance(jet, JetData)
    assert jet.validate()
    part = dataset[5:20]
    assert len(part) == len(part.store) == 15
    assert torch.equal(part[2].pos, dataset[7].pos)
    ours, theirs = list(part.loader(4)), list(DataLoader(part, batch_size=4))
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        assert mine.unit == other.unit
        assert all(torch.equal(mine[name], other[name]) for name in other.keys() if name != "unit")
    shuffled = torch.cat([batch.jet_id for batch in part.loader(4, shuffle=True, seed=2)])
    assert sorted(shuffled.tolist()) == sorted(part.store.jet_field("jet_id").tolist())
    assert dataset.num_classes == 2


def test_a_transform_reaches_items_and_fast_batches(root: Path):
    def double(jet: JetData) -> JetData:
        jet.p4 = 2 * jet.p4
        return jet

    plain, doubled = JetNet(root, ("t",)), JetNet(root, ("t",), transform=double)
    assert torch.equal(doubled[1].p4, 2 * plain[1].p4)
    assert torch.equal(next(iter(doubled.loader(4))).p4, 2 * next(iter(plain.loader(4))).p4)


def test_the_recipe_rebuilds_the_data_set(root: Path, tmp_path: Path):
    dataset = JetNet(root, ("q", "g"), 20, "val", (0.5, 0.25, 0.25), seed=3, max_jets=12, unit="GeV")
    again = build_dataset(dataset.recipe, "val")
    assert again.recipe == dataset.recipe
    assert torch.equal(again.store.batch(slice(None)).pos, dataset.store.batch(slice(None)).pos)
    assert dataset.unit == dataset.store.meta["unit"] == "GeV"
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (root / "raw").rename(moved / "raw")
    assert keys_of(build_dataset(dataset.recipe, "val", root=str(moved))) == keys_of(dataset)
    with pytest.raises(ValueError, match="'JetSet'"):
        build_dataset({"name": "JetSet"}, "train")


# Files


def test_the_processed_file_is_enough(root: Path):
    first = JetNet(root, ("g",))
    for path in first.raw_paths:
        Path(path).unlink()
    again = JetNet(root, ("g",), split="test", fractions=(0.2, 0.2, 0.6))
    assert len(again) == 15


def test_a_changed_raw_file_is_read_again(root: Path):
    first = JetNet(root, ("g",))
    write_file(root / "raw" / "g.hdf5", *make_arrays(25, seed=77))
    second = JetNet(root, ("g",))
    assert len(processed(root)) == 1
    assert not torch.equal(first.get(0).pos, second.get(0).pos)


def test_nothing_but_the_jets_is_written(root: Path):
    JetNet(root, ("g",))
    assert [name.split(".")[-1] for name in processed(root)] == ["safetensors"]


def test_a_damaged_processed_file_is_named(root: Path):
    path = Path(JetNet(root, ("g",)).processed_paths[0])
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataFileError, match=r"JetNet_.*Delete it"):
        JetNet(root, ("g",))
    assert len(JetNet(root, ("g",), force_reload=True)) == 25


def test_long_files_serve_many_and_few_particles(tmp_path: Path):
    features, jet_features = make_arrays(6, particles=40, smallest=35)
    write_file(tmp_path / "raw" / "g150.hdf5", features, jet_features)
    assert JetNet(tmp_path, ("g",), num_particles=40).store.max_particles > 30
    assert JetNet(tmp_path, ("g",), num_particles=30).store.max_particles == 30


def test_missing_files_are_explained_and_the_network_is_left_alone(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was touched"))
    with pytest.raises(FileNotFoundError, match=r"t\.hdf5.*download=True.*6975118.*lgae generate"):
        JetNet(tmp_path, ("t",))
    with pytest.raises(FileNotFoundError, match=r"t150\.hdf5.*6975117"):
        JetNet(tmp_path, ("t",), num_particles=100)
    assert processed(tmp_path) == []


def test_captions_say_jetnet_only_of_its_files_or_where_it_is_stated(root: Path):
    assert JetNet(root).origin == "jets in JetNet's format"
    stated = JetNet(root, origin="JetNet")
    assert stated.origin == build_dataset(stated.recipe).origin == "JetNet"
    assert stated.processed_file_names == JetNet(root).processed_file_names


def test_what_the_format_and_the_cut_cost_is_counted_and_said(root: Path, capsys):
    dataset = JetNet(root, ("g",), num_particles=4, unit="GeV")
    report = Admission.from_dict(dataset.store.meta["admission"])
    whole = JetNet(root, ("g",), unit="GeV").store
    before, after = (totals(store.batch(slice(None))) for store in (whole, dataset.store))
    lost = mass(before) - mass(after)
    assert (report.read, report.kept, report.unit) == (25, 25, "GeV")
    assert report.cut == int((whole.sizes > 4).sum())
    assert report.mass_lost == pytest.approx(float(lost.sum()))
    given = dataset.store.jet_field("jet_ref")[:, 3]
    assert report.reference_lost == pytest.approx(float((given - mass(after)).sum()))
    said = capsys.readouterr().err
    assert "jets cut" in said and "below the one in the file" in said


def totals(batch):
    return torch.zeros(batch.num_graphs, 4, dtype=torch.float64).index_add(0, batch.batch, batch.pos)


def test_unsorted_jets_and_particles_without_energy_are_counted(root: Path):
    features, jets = make_arrays(6, smallest=3)
    features[1, :2] = features[1, 1::-1]
    features[2, 1:3, 2] = 0
    write_file(root / "raw" / "z.hdf5", features, jets)
    store = JetNet(root, ("z",)).store
    report = Admission.from_dict(store.meta["admission"])
    assert report.sorted >= 1 and report.padding == 2
    assert (store.batch(slice(None)).pos[:, 0] > 0).all()


def test_download_fetches_missing_files_only(root: Path, monkeypatch):
    utils = pytest.importorskip("jetnet.datasets.utils")
    asked = []

    def fetch(folder, name, record, key, download):
        asked.append((name, record, download))
        write_file(Path(folder) / key, *make_arrays(4))
        return Path(folder) / key

    monkeypatch.setattr(utils, "checkDownloadZenodoDataset", fetch)
    assert len(JetNet(root, ("g", "w"), download=True)) == 29
    assert asked == [("w", 6975118, True)]
    assert JetNet(root, ("w",)).origin == "JetNet"
    assert JetNet(root, ("g", "w")).origin == "jets in JetNet's format"
    write_file(root / "raw" / "w.hdf5", *make_arrays(5))  # put in its place later
    assert JetNet(root, ("w",)).origin == "jets in JetNet's format"
    assert sorted(file.name for file in (root / "raw").iterdir()) == ["g.hdf5", "q.hdf5", "t.hdf5", "w.hdf5"]


def test_a_failed_download_leaves_nothing(root: Path, monkeypatch):
    utils = pytest.importorskip("jetnet.datasets.utils")

    def fetch(folder, name, record, key, download):
        (Path(folder) / key).write_bytes(b"half of it")
        raise ConnectionError("line cut")

    monkeypatch.setattr(utils, "checkDownloadZenodoDataset", fetch)
    with pytest.raises(OSError, match=r"w\.hdf5 could not be downloaded.*line cut.*6975118"):
        JetNet(root, ("w",), download=True)
    assert sorted(file.name for file in (root / "raw").iterdir()) == ["g.hdf5", "q.hdf5", "t.hdf5"]


def test_a_download_without_jetnet_names_the_extra_and_the_place(root: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jetnet.datasets.utils", None)
    with pytest.raises(ImportError, match=r"lgae-pyg\[jetnet\].*w\.hdf5 by hand from https://zenodo.org/records/6975118"):
        JetNet(root, ("w",), download=True)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_chunks_do_not_show(tmp_path_factory, jets, particles, chunk, seed):
    root = tmp_path_factory.mktemp("chunks")
    write_file(root / "raw" / "z.hdf5", *make_arrays(jets, particles, seed))
    arguments = {"classes": ("z",), "num_particles": particles, "force_reload": True}
    whole = JetNet(root, **arguments).store.batch(slice(None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lgae_pyg.datasets.jetnet_format._CHUNK", chunk)
        parts = JetNet(root, **arguments).store.batch(slice(None))
    assert whole.unit == parts.unit
    for name in set(whole.keys()) - {"unit"}:
        torch.testing.assert_close(whole[name], parts[name], rtol=1e-14, atol=1e-16)
