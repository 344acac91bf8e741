"""Every layout gives the jets that were written; what does not fit is named."""

import re
from pathlib import Path

import awkward as ak
import jet_layouts as write
import numpy as np
import pytest
import torch
from jet_layouts import SINGLE, Jets, deviation

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets import JetFiles, build_dataset, from_arrays, from_awkward, from_numpy
from lgae_pyg.datasets.cards import Card, read_card
from lgae_pyg.datasets.jet_files import cache_folder
from lgae_pyg.lorentz.kinematics import massless, minkowski_square, relative_coordinates


@pytest.fixture
def jets() -> Jets:
    return Jets()


def read(path: Path, card=None, **options) -> JetFiles:
    return JetFiles(path, card, root=path.parent / "store", **options)


LAYOUTS = {
    "jetclass": ("jets.root", write.root_tree),
    "top_tagging": ("jets.h5", write.pandas_table),
    "lgn": ("jets.h5", write.lgn),
    "neutral": ("jets.npz", write.neutral),
    "weaver": ("jets.parquet", write.parquet_lists),
    "pfnano": ("jets.root", write.nano),
}


@pytest.mark.parametrize("card", LAYOUTS)
@pytest.mark.parametrize("said", [True, False])
def test_layouts_give_the_momenta_that_were_written(
    tmp_path: Path, jets: Jets, card: str, said: bool, monkeypatch
):
    monkeypatch.setattr("lgae_pyg.datasets.reading.ROWS", 3)  # several chunks
    monkeypatch.setattr("lgae_pyg.datasets.reading.EVENTS", 2)
    name, writer = LAYOUTS[card]
    writer(tmp_path / name, jets)
    found = read(tmp_path / name, card if said else None)
    assert found.card.name == card
    assert deviation(found, jets.p4) < SINGLE
    assert found.store.sizes.tolist() == jets.sizes.tolist()
    assert found.store.jet_field("jet_id").tolist() == list(range(len(jets)))
    if card != "pfnano":
        assert found.store.jet_field("y").tolist() == jets.y.tolist()


def test_energyflow_is_massless_with_its_rapidity(tmp_path: Path, jets: Jets):
    write.energyflow(tmp_path / "qg.npz", jets)
    found = read(tmp_path / "qg.npz")
    assert deviation(found, massless(torch.from_numpy(jets.p4)).numpy()) < 1e-12
    assert found.store.meta["x_names"] == ["pdgid"] and found.class_names == ("gluon", "quark")
    assert found.store.particle_fields["x"].flatten().tolist() == (jets.charge * 211).tolist()


def test_jetnet_layout_is_relative_to_the_jet(tmp_path: Path, jets: Jets):
    write.jetnet(tmp_path / "t.hdf5", jets)
    found = read(tmp_path / "t.hdf5", seed=3)
    assert found.class_names[found.store.jet_field("y")[0]] == "t"
    ref = found.store.jet_field("jet_ref")
    assert torch.allclose(ref[:, 0], torch.from_numpy(jets.jet_pt))
    from lgae_pyg.lorentz.kinematics import from_pt_eta_phi_m

    axis = from_pt_eta_phi_m(ref[:, 0], ref[:, 1], ref[:, 2])[torch.from_numpy(jets.owner)]
    relative = relative_coordinates(found.store.particle_fields["pos"], axis)
    wanted = [
        jets.pt / jets.jet_pt[jets.owner],
        jets.eta - jets.jet_eta[jets.owner],
        jets.phi - jets.jet_phi[jets.owner],
    ]
    assert torch.allclose(relative, torch.from_numpy(np.stack(wanted, axis=1)), atol=1e-12)
    assert len(ref[:, 2].unique()) == len(jets)
    assert "drawn" in " ".join(found.summary)
    write.jetnet(tmp_path / "t150.hdf5", jets)
    with pytest.raises(ValueError, match=r"t\.hdf5 and .*t150\.hdf5 hold the same jets"):
        read(tmp_path / "*.hdf5")
    (tmp_path / "t150.hdf5").rename(tmp_path / "t2.hdf5")  # a name of one's own is another file
    mine = {"base": "jetnet", "labels": {"files": {"t.hdf5": "t", "t2.hdf5": "t"}}}
    assert len(read(tmp_path / "*.hdf5", mine)) == 2 * len(jets)


def test_drawn_azimuths_do_not_depend_on_chunks(tmp_path: Path, jets: Jets, monkeypatch):
    write.jetnet(tmp_path / "g.hdf5", jets)
    whole = read(tmp_path / "g.hdf5").store.particle_fields["pos"]
    monkeypatch.setattr("lgae_pyg.datasets.reading.ROWS", 2)
    again = read(tmp_path / "g.hdf5", force_reload=True).store.particle_fields["pos"]
    assert torch.allclose(whole, again, rtol=1e-14)


@pytest.mark.parametrize("ntuple", [False, True])
def test_linked_candidates_share_weights_and_columns(tmp_path: Path, jets: Jets, ntuple: bool):
    write.nano(tmp_path / "nano.root", jets, ntuple)
    found = read(tmp_path / "nano.root", "pfnano")
    assert deviation(found, jets.p4) < 1e-12
    assert found.store.meta["x_names"] == ["charge"]
    assert found.store.particle_fields["x"].flatten().tolist() == jets.charge.tolist()
    assert found.store.jet_field("weight").tolist() == [0.5 * (i // 2 * 2) for i in range(len(jets))]
    assert torch.allclose(found.store.jet_field("jet_ref")[:, 0], torch.from_numpy(jets.jet_pt))


def test_pandas_fixed_format(tmp_path: Path, jets: Jets):
    write.pandas_fixed(tmp_path / "fixed.h5", jets)
    card = {"base": "top_tagging", "table": "frame", "observers": {}, "split": {}}
    found = read(tmp_path / "fixed.h5", card)
    assert deviation(found, jets.p4) < 1e-15 and found.store.jet_field("y").tolist() == jets.y.tolist()


@pytest.mark.parametrize(
    "keys",
    [
        {"E": "p4[:, :, 0]", "px": "px", "py": "py", "pz": "pz"},
        {"px": "px", "py": "py", "pz": "pz", "m": "m"},
        {"pt": "pt", "eta": "eta", "phi": "phi", "m": "m"},
        {"pt": "pt", "eta": "eta", "phi": "phi", "E": "e"},
        {"pt": "pt", "y": "rap", "phi": "phi", "m": "m"},
        {"pt": "pt", "y": "rap", "phi": "phi", "E": "e"},
        {"ptrel": "pt / jet_pt", "etarel": "eta - jet_eta", "phirel": "phi - jet_phi", "m": "m"},
    ],
    ids=" ".join,
)
def test_every_way_to_give_a_momentum(tmp_path: Path, jets: Jets, keys: dict[str, str]):
    e, px, py, pz = jets.p4.T
    particles = {
        "e": e,
        "px": px,
        "py": py,
        "pz": pz,
        "pt": jets.pt,
        "eta": jets.eta,
        "phi": jets.phi,
        "m": jets.m,
        "rap": jets.rapidity,
        "p4": jets.p4,
    }
    columns = {name: jets.padded(values) for name, values in particles.items()}
    of_jets = {"jet_pt": jets.jet_pt, "jet_eta": jets.jet_eta, "jet_phi": jets.jet_phi}
    np.savez(
        tmp_path / "jets.npz",
        **columns,
        **{name: one[:, None] for name, one in of_jets.items()},
        y=jets.y,
        **{f"flat_{name}": one for name, one in of_jets.items()},
    )
    card = {
        "momenta": keys,
        "labels": {"column": "y"},
        "jet_ref": {"pt": "flat_jet_pt", "eta": "flat_jet_eta", "phi": "flat_jet_phi"},
    }
    assert deviation(read(tmp_path / "jets.npz", card), jets.p4) < 1e-12


def test_momenta_from_masses_lie_on_their_mass_shell(tmp_path: Path, jets: Jets):
    """Single-precision pt, eta, phi and m of a fast pion: its mass survives."""
    particles = {
        name: jets.padded(np.asarray(values, np.float32))
        for name, values in (
            ("pt", jets.pt),
            ("eta", jets.eta),
            ("phi", jets.phi),
            ("m", np.full(len(jets.pt), 0.13957)),
        )
    }
    np.savez(tmp_path / "jets.npz", **particles)
    card = {"momenta": {"pt": "pt", "eta": "eta", "phi": "phi", "m": "m"}}
    square = minkowski_square(read(tmp_path / "jets.npz", card).store.particle_fields["pos"])
    assert torch.allclose(square, torch.full_like(square, 0.13957**2), rtol=1e-4)


def test_units_are_converted(tmp_path: Path, jets: Jets):
    np.savez(tmp_path / "jets.npz", p4=1000 * jets.p4, ptr=jets.ptr, label=jets.y)
    found = read(tmp_path / "jets.npz", {"base": "neutral", "unit": "MeV"}, unit="TeV")
    assert found.unit == "TeV" and deviation(found, jets.p4 / 1000) < 1e-12


def test_particles_are_sorted_cut_and_counted(tmp_path: Path, jets: Jets):
    rows = np.arange(len(jets.p4))[::-1]
    np.savez(
        tmp_path / "jets.npz",
        p4=jets.p4[rows],
        ptr=np.concatenate([[0], np.cumsum(jets.sizes[::-1])]),
        label=jets.y,
    )
    found = read(tmp_path / "jets.npz", num_particles=2)
    first = jets.ptr[:-1][::-1]
    assert deviation(found, jets.p4[np.stack([first, first + 1], axis=1).flatten()]) == 0
    text = " ".join(found.summary)
    assert f"{len(jets)} jets sorted" in text
    assert f"{(jets.sizes > 2).sum()} jets cut to the 2 leading particles (" in text


def test_the_summary_of_jets_in_memory_is_what_the_gate_did(jets: Jets, capsys) -> None:
    """Also of a part of the jets, and after they were saved."""
    p4 = jets.p4.copy()
    p4[jets.ptr[1]] = np.nan  # the second jet
    left = np.delete(jets.sizes, 1)
    found = from_arrays(p4, jets.ptr, jets.y, unit="GeV", num_particles=2)
    first, *others = found.summary
    assert first == f"{len(jets)} jets read, {len(jets) - 1} kept; dropped: 1 not finite"
    assert any(line.startswith(f"{(left > 2).sum()} jets cut to the 2 leading particles") for line in others)
    assert found.part("train").summary == found.summary == capsys.readouterr().err.splitlines()


def test_class_choice_renumbers_and_first_jets_are_taken(tmp_path: Path, jets: Jets):
    write.root_tree(tmp_path / "jets.root", jets)
    found = read(tmp_path / "jets.root", classes=["Hbb", "QCD"])
    assert found.class_names == ("Hbb", "QCD")
    assert found.store.jet_field("y").tolist() == (1 - jets.y).tolist()
    few = read(tmp_path / "jets.root", classes=["Hbb"], max_jets=2)
    assert few.store.jet_field("jet_id").tolist() == [1, 3]
    with pytest.raises(ValueError, match="did you mean Hbb"):
        read(tmp_path / "jets.root", classes=["Hb"])


def test_published_split_is_kept(tmp_path: Path, jets: Jets):
    write.pandas_table(tmp_path / "jets.h5", jets)
    parts = {
        name: read(tmp_path / "jets.h5", split=name).store.jet_field("jet_id").tolist()
        for name in ("train", "test", "val")
    }
    numbers = np.arange(len(jets))
    assert list(parts.values()) == [numbers[numbers % 3 == place].tolist() for place in range(3)]
    own = read(tmp_path / "jets.h5", split="train", fractions=(1, 0, 0))
    assert len(own) == len(jets)


def test_the_recipe_rebuilds_and_changes_are_noticed(tmp_path: Path, jets: Jets):
    write.neutral(tmp_path / "jets.npz", jets)
    first = read(tmp_path / "jets.npz")
    again = build_dataset(first.recipe, "train")
    assert again.card == first.card and Path(first.recipe["path"]).is_absolute()
    write.neutral(tmp_path / "jets.npz", Jets(5, 1))
    assert len(build_dataset(first.recipe)) == 5
    (tmp_path / "jets.npz").unlink()
    assert len(build_dataset(first.recipe)) == 5  # the store will do


def test_fields_reach_the_batch(tmp_path: Path, jets: Jets):
    e, px, py, pz = jets.p4.T
    lists = {"e": e, "px": px, "py": py, "pz": pz, "q": jets.charge, "d": -jets.pt}
    ak.to_parquet(
        ak.Array(
            {name: jets.jagged(values) for name, values in lists.items()}
            | {"kind": np.array(["light", "heavy"])[jets.y], "w": jets.jet_pt}
        ),
        tmp_path / "jets.parquet",
    )
    card = {
        "momenta": {"E": "e", "px": "px", "py": "py", "pz": "pz"},
        "class_names": ["light", "heavy"],
        "labels": {"column": "kind"},
        "features": {"charge": "q", "depth": "abs(d)"},
        "weight": "w",
        "observers": {"double": "2 * w"},
        "selection": "w > 0",
    }
    batch = next(iter(read(tmp_path / "jets.parquet", card).loader(100)))
    assert batch.y.tolist() == jets.y.tolist()
    assert torch.allclose(batch.x, torch.tensor(np.stack([jets.charge, jets.pt], axis=1), dtype=torch.float32))
    assert torch.allclose(batch.weight, torch.tensor(jets.jet_pt, dtype=torch.float32))
    assert torch.allclose(batch.observers[:, 0], 2 * batch.weight)


def test_selection_leaves_rows_as_they_are(tmp_path: Path, jets: Jets):
    write.neutral(tmp_path / "jets.npz", jets)
    found = read(tmp_path / "jets.npz", {"base": "neutral", "selection": "label == 1"})
    assert found.store.jet_field("jet_id").tolist() == np.flatnonzero(jets.y).tolist()


WRONG = {
    "a label that is no class": ({"class_names": ["QCD"], "labels": {"column": "label"}}, "jet 1 .*'label' is 1"),
    "a column that is not there": ({"features": ["charges"]}, "no column charges, wanted for features.charges"),
    "particles one after another": (
        {"offsets": "", "axes": {}, "momenta": {"px": "label", "py": "label", "pz": "label"}},
        "offsets",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_mistakes_are_named(tmp_path: Path, jets: Jets, what: str):
    write.neutral(tmp_path / "jets.npz", jets)
    changes, message = WRONG[what]
    with pytest.raises(DataFileError, match=message) as caught:
        read(tmp_path / "jets.npz", {"base": "neutral", **changes})
    assert "jets.npz" in str(caught.value)


def test_unknown_keys_of_cards_get_a_suggestion(tmp_path: Path):
    (tmp_path / "card.yaml").write_text("momenta: {px: a, py: b, pz: c}\nclass_name: [a]\n")
    with pytest.raises(ValueError, match=r"card\.yaml: the card .*did you mean class_names"):
        read_card(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="did you mean jetclass"):
        read_card("jetclas")
    (tmp_path / "card.yaml").write_text("momenta: !!python/object/apply:os.system [true]\n")
    with pytest.raises(ValueError, match="no YAML"):
        read_card(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="momenta are given as"):
        Card({"E": "e", "pt": "pt"})


@pytest.mark.parametrize("card", LAYOUTS)
def test_foreign_and_cut_files_are_named(tmp_path: Path, jets: Jets, card: str):
    name, writer = LAYOUTS[card]
    writer(tmp_path / name, jets)
    content = (tmp_path / name).read_bytes()
    for keep in (0, 3, 0.3, 0.7):
        (tmp_path / name).write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
        with pytest.raises(DataFileError, match=re.escape(name)):
            read(tmp_path / name, card)
    foreign = "npz" if "h5" in name or "root" in name else "h5"
    (write.neutral if foreign == "npz" else write.lgn)(tmp_path / f"other.{foreign}", jets)
    (tmp_path / name).write_bytes((tmp_path / f"other.{foreign}").read_bytes())
    kinds = {"npz": "NumPy", "h5": "HDF5"}
    if not (card == "neutral"):  # which may be HDF5, too
        with pytest.raises(DataFileError, match=f"is a {kinds[foreign]} file, where the card {card} expects"):
            read(tmp_path / name, card)


@pytest.mark.parametrize("card", ["jetclass", "top_tagging", "neutral", "energyflow_qg"])
def test_flipped_bytes_give_an_error_or_the_same_jets(tmp_path: Path, card: str):
    """Formats with checksums or compression: npz, gzipped HDF5, zlib baskets."""
    name, writer = {**LAYOUTS, "energyflow_qg": ("qg.npz", write.energyflow)}[card]
    path, jets = tmp_path / name, Jets(40)
    writer(path, jets)
    sound, content = read(path, card).store, path.read_bytes()
    rng, errors = np.random.default_rng(0), 0
    for place in rng.integers(0, len(content), 60):
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        try:
            found = read(path, card, force_reload=True).store
        except (DataFileError, MemoryError):
            errors += 1
            continue
        if card in ("neutral", "energyflow_qg"):
            assert torch.equal(found.particle_fields["pos"], sound.particle_fields["pos"])
    assert errors


def test_pickles_are_never_opened(tmp_path: Path):
    np.savez(tmp_path / "jets.npz", p4=np.array([{}, None], dtype=object), y=np.zeros(2))
    with pytest.raises(DataFileError, match=r"jets\.npz.*pickle"):
        read(tmp_path / "jets.npz", {"momenta": {"px": "p4", "py": "p4", "pz": "p4"}})


def test_in_memory_jets_agree(jets: Jets):
    flat = from_arrays(jets.p4, jets.ptr, jets.y, unit="GeV", class_names=write.NAMES)
    padded = from_numpy(jets.padded(jets.p4), y=jets.y, unit="GeV", features={"q": jets.padded(jets.charge)})
    columns = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "m": jets.m, "other": jets.m}
    lists = from_awkward(
        ak.zip({name: jets.jagged(values) for name, values in columns.items()}), jets.y, unit="GeV"
    )
    for found in (flat, padded, lists):
        assert deviation(found, jets.p4) < 1e-12 and found.store.jet_field("y").tolist() == jets.y.tolist()
    assert sum(len(flat.part(split)) for split in ("train", "val", "test")) == len(flat)
    assert flat.class_names == write.NAMES and flat.unit == "GeV" and len(next(iter(padded.loader(3))).x)
    with pytest.raises(ValueError, match="unknown unit"):
        from_arrays(jets.p4, jets.ptr, unit="kg")
    with pytest.raises(ValueError, match="px, py, pz, E"):
        from_arrays(np.roll(jets.p4, -1, axis=1), jets.ptr, unit="GeV")


def test_a_folder_that_nobody_may_write_in_is_left_alone(tmp_path, monkeypatch):
    """Also for the superuser, whom the system would let write."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = tmp_path / "data"
    data.mkdir()
    assert cache_folder([str(data)]) == str(data / ".lgae_pyg")
    (data / ".lgae_pyg").rmdir()
    data.chmod(0o555)
    try:
        assert cache_folder([str(data)]).startswith(str(tmp_path / "cache"))
        assert not (data / ".lgae_pyg").exists()
    finally:
        data.chmod(0o755)
