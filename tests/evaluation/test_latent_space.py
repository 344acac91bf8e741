"""The latent study: on models whose codes are known, and its parts."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from torch import nn

from lgae_pyg.data import JetStore
from lgae_pyg.evaluation.latent import study as latent_space
from lgae_pyg.evaluation.latent.codes import Codes, encode_sample, vector_combinations
from lgae_pyg.evaluation.latent.figures import FIGURES, symbol
from lgae_pyg.evaluation.latent.probes import probe, probe_targets
from lgae_pyg.evaluation.latent.study import correlate, latent_masses
from lgae_pyg.evaluation.latent.traversal import decode_moved, image_changes, moves
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import Sample
from lgae_pyg.evaluation.study import StudyOptions
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.lorentz import from_pt_eta_phi_m, random_lorentz
from lgae_pyg.losses import jet_sum
from lgae_pyg.models import Latent

TEV = 1000.0


class Known(nn.Module):
    """Its code is v_1 = P/2 + i P, v_2 = P/2 and the scalar 7; the particles come back scaled as Im v_1 is."""

    label, permutation_invariant = "Known", False

    def encode(self, batch):
        total = jet_sum(batch.pos, batch.ptr)
        vectors = torch.stack([torch.complex(total / 2, total), torch.complex(total / 2, 0 * total)], 1)
        return Latent(torch.full((len(total), 1), 7 + 0j, dtype=vectors.dtype), vectors)

    def decode_like(self, latent, batch):
        factor = latent.vectors[:, 0, 0].imag / jet_sum(batch.pos, batch.ptr)[:, 0]
        p4 = batch.pos * factor.repeat_interleave(batch.ptr.diff())[:, None]
        return SimpleNamespace(p4=p4, ptr=batch.ptr, latent=latent, images=None)


class Plain(nn.Module):
    """A code of plain numbers: mass squared, multiplicity, and nothing."""

    label, permutation_invariant = "Plain", False

    def encode(self, batch):
        total = jet_sum(batch.pos, batch.ptr)
        square = total[:, 0] ** 2 - total[:, 1:].square().sum(-1)
        codes = torch.stack([square, batch.ptr.diff().double(), 0 * square], 1)
        return Latent(codes, codes.new_zeros(len(codes), 0, 4))

    def decode_like(self, latent, batch):
        p4 = batch.pos * (10 + latent.scalars[0, 1])
        return SimpleNamespace(p4=p4, ptr=batch.ptr, latent=latent, images=None)


def store(jets: int, spread: float, seed: int) -> JetStore:
    """Jets of four to seven particles around random axes; the wider, the heavier."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.randint(4, 8, (jets,), generator=generator)
    ptr = torch.nn.functional.pad(sizes.cumsum(0), (1, 0))
    axis = torch.rand(jets, generator=generator, dtype=torch.float64).repeat_interleave(sizes)
    pt = 0.25 * (0.2 + torch.rand(len(axis), generator=generator, dtype=torch.float64))
    around = spread * torch.randn(2, len(axis), generator=generator, dtype=torch.float64)
    pos = from_pt_eta_phi_m(pt, around[0] + axis, around[1] + 6 * axis)
    return JetStore(ptr, {"pos": pos}, {"y": torch.zeros(jets, dtype=torch.long)})


class Toy(Subject):
    """A subject whose samples are made here: signals have wider jets."""

    def background(self, jets=None, split=None, root=None):
        return Sample("QCD", store(200, 0.05, 1), "toy")

    def signals(self, classes=None, jets=20_000, root=None):
        return [Sample("t", store(100, 0.2, 3), "toy")]


def subject(model: nn.Module) -> Toy:
    return Toy(model, model.label, "TeV", {"name": "toy", "num_particles": 7, "classes": ["g", "q"]})


OPTIONS = StudyOptions(resamples=8, progress=False)


@pytest.fixture(scope="module")
def known() -> Results:
    return latent_space.run(subject(Known()), OPTIONS)


@pytest.fixture(scope="module")
def plain() -> Results:
    return latent_space.run(subject(Plain()), OPTIONS)


def test_masses_are_those_of_the_jet(known: Results) -> None:
    assert next(iter(known.tables)) == "latent_masses"
    rows = {(row["class"], row["quantity"]): row for row in known.tables["latent_masses"].records()}
    factors = {"Re v_1": 0.5, "Im v_1": 1, "Re v_2": 0.5, "Im v_2": 0, "sum of Re v": 1, "sum of Im v": 1}
    for sample in ("QCD", "t"):
        jet = rows[sample, "jet"]
        for name, factor in {**factors, "sum of Re v + Im v": 2}.items():
            for column in ("median", "median_error", "iqr", "iqr_error"):
                assert rows[sample, name][column] == pytest.approx(factor * jet[column], rel=1e-6)
    found = jet_sum(store(200, 0.05, 1).particle_fields["pos"], store(200, 0.05, 1).ptr)
    masses = TEV * (found[:, 0] ** 2 - found[:, 1:].square().sum(-1)).sqrt()
    assert rows["QCD", "jet"]["median"] == pytest.approx(float(np.median(masses)))


def test_correlations_are_one_or_there_are_none(known: Results) -> None:
    rows = {row["quantity"]: row for row in known.tables["latent_correlations"].records()}
    for name in ("Re v_1", "Im v_1", "sum of Re v + Im v"):
        assert [rows[name][f"r_{part}"] for part in ("E", "px", "py", "pz")] == pytest.approx([1] * 4)
    for name in ("Im v_2", "Re s_1", "Im s_1"):
        assert rows[name]["r_px"] == "constant" and rows[name]["r_px_error"] == ""
    assert known.description["best"] in rows and not known.description["best"].startswith("Im v_2")


def test_copies_of_the_momentum_are_named(known: Results, plain: Results) -> None:
    assert known.caption.startswith(
        "Equal to the jet momentum, up to rounding: Im v_1, sum of Re v, sum of Im v. Data"
    )
    assert "Equal to" not in plain.caption


def test_opposite_and_single_components() -> None:
    rng = np.random.default_rng(0)
    jets = rng.normal(size=(50, 4))
    found = correlate({"minus": -jets, "shifted": 3 * jets + 100, "fixed": np.ones((50, 4))}, jets, 4)
    assert [cell[0] for cell in found["minus"]] == pytest.approx([-1] * 4)
    assert [cell[0] for cell in found["shifted"]] == pytest.approx([1] * 4)
    assert found["fixed"] == [None] * 4
    assert latent_space.best_combination({"fixed": found["fixed"]}) is None


def test_combinations_by_hand() -> None:
    vectors = torch.arange(8.0).view(1, 2, 4)
    found = vector_combinations(vectors)
    assert list(found) == ["v_1", "v_2", "sum of v"]
    torch.testing.assert_close(found["sum of v"], torch.tensor([[4.0, 6, 8, 10]]))
    names = list(vector_combinations(torch.complex(vectors, vectors)[:, :1]))
    assert names == ["Re v_1", "Im v_1", "sum of Re v + Im v"]
    assert vector_combinations(vectors[:, :0]) == {}


def test_space_like_vectors_have_negative_masses() -> None:
    vectors = torch.tensor([[[5.0, 0, 0, 3], [3.0, 0, 0, 5]]], dtype=torch.float64)
    codes = Codes(Latent(vectors.new_zeros(1, 0), vectors), vectors[:, 0], torch.tensor([1]))
    assert {name: float(value[0]) for name, value in latent_masses(codes).items()} == {
        "jet": 4, "v_1": 4, "v_2": -4, "sum of v": 0
    }  # fmt: skip


def test_invariants_are_products_and_roots(generator: torch.Generator) -> None:
    real, imag = torch.randn(2, 5, 2, 4, generator=generator, dtype=torch.float64)
    scalars = torch.randn(5, 1, generator=generator, dtype=torch.complex128)
    transform = random_lorentz(1.0, generator=generator)

    def codes(matrix: torch.Tensor) -> Codes:
        return Codes(Latent(scalars, torch.complex(real @ matrix.T, imag @ matrix.T)), real[:, 0], torch.ones(5))

    found = codes(torch.eye(4, dtype=torch.float64)).invariants()
    assert found.shape == (5, 2 + 10 + 10)
    product = real[:, 0, 0] * real[:, 1, 0] - (real[:, 0, 1:] * real[:, 1, 1:]).sum(-1)
    np.testing.assert_allclose(found[:, 13], product)
    np.testing.assert_allclose(codes(transform).invariants(), found, rtol=1e-6, atol=1e-6)
    assert codes(transform).numbers().shape == (5, 2 + 16)


def test_probes_find_what_is_in_the_code(known: Results, plain: Results) -> None:
    rows = {(row["target"], row["input"]): row["r_squared"] for row in known.tables["latent_probes"].records()}
    assert rows["jet mass", "code, invariants"] == pytest.approx(1, abs=1e-6)
    assert rows["number of particles", "code, invariants"] < 0.7
    assert ("jet mass", "jet mass alone") not in rows and ("tau_32", "jet mass alone") in rows
    rows = {(row["target"], row["input"]): row["r_squared"] for row in plain.tables["latent_probes"].records()}
    assert rows["number of particles", "code, all numbers"] == pytest.approx(1, abs=1e-6)
    assert ("jet mass", "code, invariants") not in rows


def test_a_probe_of_noise_finds_nothing_and_of_a_line_all() -> None:
    rng = np.random.default_rng(0)
    features, target = rng.normal(size=(2000, 10)), rng.normal(size=2000)
    score, error, _ = probe(features, target, 20)
    assert abs(score) < 5 * error + 0.02
    score, error, strength = probe(features, features @ np.arange(10.0), 20)
    assert score == pytest.approx(1) and error < 1e-9 and strength == 0


def test_ratios_of_few_particles_are_left_out() -> None:
    p4 = from_pt_eta_phi_m(*torch.tensor([[3.0, 2, 1, 1], [0.0, 0.1, 0.5, 0], [0.0, 0.2, 0, 0]]).double())
    jets = JetStore(torch.tensor([0, 3, 4]), {"pos": p4})
    codes = encode_sample(subject(Known()), Sample("two", jets, "toy"))
    targets = probe_targets(codes, Sample("two", jets, "toy"))
    assert np.isnan([targets["tau_21"][1], targets["tau_32"][1]]).all()
    assert targets["tau_32"][0] == 0 and targets["multiplicity"].tolist() == [3, 1]
    assert targets["pt"][1] == pytest.approx(TEV) and targets["mass"][1] == pytest.approx(0, abs=1e-3)


def test_moves_change_one_latent_each() -> None:
    sample = Sample("QCD", store(20, 0.1, 5), "toy")
    codes = encode_sample(subject(Known()), sample)
    found = {move.name: move for move in moves(codes)}
    assert list(found) == ["Re v_1", "Re v_2", "Im v_1", "Im v_2"]  # the scalar does not vary
    moved = found["Im v_1"].apply(codes.latent, 2.0)
    torch.testing.assert_close(moved.vectors[:, 0].imag, 2 * codes.latent.vectors[:, 0].imag)
    torch.testing.assert_close(moved.vectors[:, 0].real, codes.latent.vectors[:, 0].real)
    torch.testing.assert_close(moved.vectors[:, 1], codes.latent.vectors[:, 1])
    batch = sample.store.batch([3])
    total = jet_sum(batch.pos, batch.ptr)[0]
    for value, (p4, image) in zip(found["Im v_1"].values, decode_moved(Known(), batch, found["Im v_1"])):
        torch.testing.assert_close(p4, value * total)
        assert image.min() >= 0 and (value == 0) == bool(image.sum() == 0)


def test_traversal_tables(known: Results, plain: Results) -> None:
    table = known.tables["latent_traversals"]
    rows = {(row["latent"], row["value"]): row for row in table.records()}
    assert rows["Im v_1", 2.0]["mass"] == pytest.approx(2 * rows["Im v_1", 1.0]["mass"])
    assert rows["Im v_1", 0.0]["pt"] == 0 and rows["Re v_1", 0.0]["change"] == 0
    shifts = [row for row in plain.tables["latent_traversals"].records() if row["latent"] == "z_2"]
    steps = np.diff([row["pt"] for row in shifts])
    assert [row["move"] for row in shifts] == ["shift"] * 5 and steps == pytest.approx([steps[0]] * 4)
    assert {row["latent"] for row in plain.tables["latent_traversals"].records()} == {"z_1", "z_2"}


def test_changes_of_images_by_hand() -> None:
    images = np.zeros((5, 2, 2))
    images[0, 0, 0], images[4, 1, 1] = 0.5, math.nan
    np.testing.assert_array_equal(image_changes(images), [0.5, 0, 0, 0, math.nan])


def test_what_has_no_finite_jet_is_said() -> None:
    class Broken(Known):
        def decode_like(self, latent, batch):
            result = super().decode_like(latent, batch)
            result.p4 = result.p4 / latent.vectors[:, 0, 0].imag  # 0 / 0 for the factor 0
            return result

    results = latent_space.run(subject(Broken()), OPTIONS)
    rows = [row for row in results.tables["latent_traversals"].records() if row["mass"] == "undefined"]
    assert [(row["latent"], row["value"]) for row in rows] == [("Im v_1", 0.0)]
    assert "Moved codes without a finite jet: 1 " in results.tables["latent_traversals"].caption


def test_codes_without_vectors_have_no_masses(plain: Results) -> None:
    assert list(plain.tables) == ["latent_correlations", "latent_probes", "latent_traversals"]
    assert "The code has no four-vectors" in plain.caption
    assert plain.tables["latent_correlations"].column("r_px")[2] == "constant"


def test_codes_that_are_nan_are_errors_and_few_jets_have_no_probes() -> None:
    class Nan(Known):
        def encode(self, batch):
            latent = super().encode(batch)
            return latent._replace(scalars=latent.scalars * math.nan)

    with pytest.raises(ValueError, match="codes of 200 QCD jets are not finite, the first is that of jet 0"):
        latent_space.run(subject(Nan()), OPTIONS)

    class Few(Toy):
        def background(self, jets=None, split=None, root=None):
            return Sample("QCD", store(20, 0.05, 1), "toy")

    results = latent_space.run(Few(Known(), "Known", "TeV", {"classes": ["g", "q"]}), OPTIONS)
    assert "latent_probes" not in results.tables and "latent_correlations" in results.tables
    assert any("at least 40 jets, and there are 20" in note for note in results.description["notes"])


@pytest.mark.parametrize("name", ["known", "plain"])
def test_results_are_read_back_and_drawn(name: str, request, tmp_path) -> None:
    results = request.getfixturevalue(name)
    results.save(tmp_path)
    found = Results.load(tmp_path)
    for key, table in results.tables.items():
        assert found.tables[key].rows == table.rows
    figures = {key: draw(found) for key, draw in FIGURES.items()}
    missing = set() if name == "known" else {"latent_sum_masses", "latent_vector_masses"}
    assert {key for key, figure in figures.items() if figure is None} == missing
    for figure in filter(None, figures.values()):
        written, caption = ("".join(text.split()) for text in (figure.get_supxlabel(), results.caption))
        assert written.endswith(caption)
    titles = [axes.get_title() for axes in figures["latent_momentum"].axes[:4]]
    assert name != "known" or titles == ["$r = 1$"] * 4
    assert len(figures["latent_traversal_images"].axes) == 6 * (4 if name == "known" else 2) + 1
    plt.close("all")


def test_symbols() -> None:
    assert symbol("Re v_12") == r"$\mathrm{Re}\,v_{12}$" and symbol("z_3") == "$z_{3}$"
    assert symbol("sum of v") == r"$\sum_k v_k$"
    assert symbol("sum of Re v + Im v") == r"$\sum_k (\mathrm{Re}\,v_k + \mathrm{Im}\,v_k)$"
