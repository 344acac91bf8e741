"""Autoencoders on padded jets are the autoencoders, and exported files of them give their scores and jets."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import lgae_pyg
from lgae_pyg.applications.export import check, export_model, open_export, read_description
from lgae_pyg.applications.export.anomaly import PaddedAutoencoder
from lgae_pyg.applications.export.autoencoders import padded_autoencoder
from lgae_pyg.checkpoint import Checkpoint, save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import JetData, JetStore
from lgae_pyg.evaluation.anomaly.density import Mahalanobis
from lgae_pyg.evaluation.latent.codes import latent_invariants
from lgae_pyg.models import CNNAE, GNNAE, LGAE, Behaviour, LinearAE, ShellLGAE
from lgae_pyg.ops.jets import pad_jets

SLOTS = 8
PUBLISHED = {**Behaviour.named("original").to_dict(), "masked_padding": False, "jet_as_particle": False}
SMALL = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "mlp_depth": 1, "num_bells": 3}
MODELS = {
    "LinearAE": lambda jets: LinearAE(2, SLOTS).fit([jets]),
    "LinearAE, P conserved": lambda jets: LinearAE(2, SLOTS, conserve_momentum=True).fit([jets]),
    "GNNAE-JL": lambda _: GNNAE("jet", 6, SLOTS),
    "GNNAE-JL, max, scaled": lambda _: GNNAE("jet", 6, SLOTS, aggregation="max", scale=[1, 2, 3], distance="norm"),
    "GNNAE-JL, mix, slots": lambda _: GNNAE("jet", 6, SLOTS, aggregation="mix", decode="slots"),
    "GNNAE-PL": lambda _: GNNAE("particle", 2, SLOTS),
    "GNNAE-PL, padded": lambda _: GNNAE("particle", 2, SLOTS, padded=True, decode="slots", squash_output=True),
    "CNNAE": lambda _: CNNAE(5, 8, 0.8, 3),
    "LGAE": lambda _: LGAE("mix", SLOTS, 2, **SMALL),
    "LGAE, P conserved": lambda _: LGAE("mix", SLOTS, 2, conserve_momentum=True, **SMALL),
    "LGAE, mean, jet inputs": lambda _: LGAE("mean", SLOTS, 2, jet_inputs=True, readout="real", **SMALL),
    "LGAE, sum, slots": lambda _: LGAE("sum", SLOTS, 2, decode="slots", mixed_precision=True, **SMALL),
    "LGAE, weight 2": lambda _: LGAE("mix", SLOTS, 2, max_weight=2, **SMALL),
    "LGAE, published": lambda _: LGAE("mix", SLOTS, 2, behaviour=PUBLISHED, **SMALL),
    "ShellLGAE": lambda _: ShellLGAE("list", SLOTS, 2, **SMALL),
    "ShellLGAE by rest energy": lambda _: ShellLGAE("rest_energy", SLOTS, 2, **SMALL),
    "ShellLGAE, all places": lambda _: ShellLGAE("list", SLOTS, 4, **SMALL),
}


@pytest.fixture
def tev_jets(massless_jet, generator) -> Batch:
    """Jets of 1 to 8 particles, sorted."""
    sizes = (SLOTS, 1, 2, 5, 7, SLOTS, 3)
    return Batch.from_data_list([JetData(pos=massless_jet(size, generator), unit="TeV") for size in sizes])


def model_of(name: str, jets: Batch) -> torch.nn.Module:
    """A model of that name in float64, none of whose weights is zero."""
    torch.manual_seed(0)
    model = MODELS[name](jets).double().eval()
    with torch.no_grad():
        for one in model.parameters():
            if not one.any():
                one.normal_(std=0.3)
        if isinstance(model, GNNAE):  # whose negative pT would count as zero
            last = model.decoder.network.convs[-1].node_layers[-1]
            last.weight *= 0.1 / last(torch.ones(1, last.in_features).double()).abs().max()
            last.bias.fill_(0.3)
    model.unit = "TeV"
    return model


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_padded_jets_are_rebuilt_as_graphs(name: str, tev_jets: Batch) -> None:
    model = model_of(name, tev_jets)
    wanted = model(tev_jets)
    p4, exists = pad_jets(tev_jets.pos, tev_jets.ptr, SLOTS)
    found = padded_autoencoder(model)(model, p4, exists)
    rebuilt, real = pad_jets(wanted.p4, wanted.ptr, found.p4.shape[1])
    assert torch.equal(found.exists, real) and rebuilt.abs().max() > 0.01
    tolerance = {"rtol": 1e-6 if "slots" in name else 1e-10, "atol": 1e-7 if "slots" in name else 1e-10}
    torch.testing.assert_close(torch.where(real.unsqueeze(-1), found.p4, 0.0), rebuilt, **tolerance)
    torch.testing.assert_close(found.invariants, latent_invariants(wanted.latent), rtol=1e-6, atol=1e-6)
    if found.images:
        for one, two in zip(found.images, (wanted.images.target, wanted.images.output)):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["LGAE, P conserved", "ShellLGAE by rest energy", "GNNAE-PL", "CNNAE", "LGAE"])
@torch.no_grad()
def test_scores_are_those_of_lgae_score_whatever_the_padding(name: str, tev_jets: Batch) -> None:
    """Units, sorting, cuts and padding included; bad jets have NaN, and the others keep their numbers."""
    model = model_of(name, tev_jets)
    store = JetStore(tev_jets.ptr, {"pos": tev_jets.pos.flip(0) * 1000}, meta={"unit": "GeV"})
    codes = latent_invariants(model(tev_jets).latent).double().numpy()
    rng = np.random.default_rng(0)
    density = Mahalanobis(codes.mean(0), rng.normal(size=(codes.shape[1], 2)))
    tensors = {"mean": torch.from_numpy(density.mean), "matrix": torch.from_numpy(density.matrix)}
    table = lgae_pyg.score(Checkpoint(model, Path("x"), {"order": "pt"}, "TeV", density=tensors), store)
    program = PaddedAutoencoder(model, "GeV", dtype=torch.float64, density=density)
    known = [one for one in table.scores if not one.startswith("hungarian")]  # which need assignments
    assert sorted(program.names) == sorted(known) and "latent_mahalanobis" in known
    for spare, fill in ((0, 0.0), (3, 7.0), (1, float("nan"))):
        p4, exists = pad_jets(store.particle_fields["pos"], store.ptr, SLOTS + spare)
        p4 = torch.where(exists.unsqueeze(-1), p4, fill)
        bad = torch.full_like(p4[:1], float("nan"))
        scores, rebuilt = program(torch.cat([bad, p4]), torch.cat([torch.tensor([2]), exists.sum(1)]))
        assert scores[0].isnan().all() and rebuilt[0].isnan().all() and rebuilt[1:].isfinite().all()
        for name_, values in zip(program.names, scores[1:].T):
            floor = 1e-4 if "lorentz" in name_ else 1e-7  # roots of rounding
            np.testing.assert_allclose(values, table[name_], rtol=1e-6, atol=floor * 1000, err_msg=name_)


def test_what_cannot_be_exported_says_why() -> None:
    class Other(GNNAE):
        """An autoencoder that may do anything."""

    for model, reason in (
        (LGAE("min&max", SLOTS, 2, **SMALL), "aggregation 'min&max' cannot be exported: particles that tie"),
        (LGAE("mix", SLOTS, 2, behaviour="original", **SMALL), "masked_padding"),
        (LGAE("mix", SLOTS, 2, extra_scalars=1, **SMALL), "extra_scalars=0"),
        (Other("jet", 6, SLOTS), "Other has no form for padded jets"),
    ):
        with pytest.raises(ValueError, match=reason):
            PaddedAutoencoder(model)
    with pytest.raises(ValueError, match="8 places, fewer than num_particles=9"):
        PaddedAutoencoder(GNNAE("jet", 6, SLOTS), num_particles=9)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "name, ending",
    [
        ("LinearAE", ".onnx"),
        ("CNNAE", ".pt2"),
        *(pytest.param(name, ".onnx", marks=SLOW) for name in ("GNNAE-JL", "CNNAE")),
        *(pytest.param("LGAE, P conserved", ending, marks=SLOW) for ending in (".onnx", ".pt2")),
        *(pytest.param("ShellLGAE by rest energy", ending, marks=SLOW) for ending in (".onnx", ".pt2")),
    ],
)  # tracing takes the longer, the more operations there are
def test_files_give_what_pytorch_gives(name: str, ending: str, tev_jets: Batch, tmp_path: Path) -> None:
    if ending == ".onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    model = model_of(name, tev_jets)
    path = save_checkpoint(tmp_path / "model.ckpt", model.float() if name == "CNNAE" else model, unit="TeV")
    made = export_model(path, tmp_path / f"model{ending}")
    assert made.comparison.largest < (1e-4 if name == "CNNAE" else 1e-7)
    file, facts = open_export(made.path, threads=1), read_description(made.path)
    assert facts["headline"] in facts["score_names"] and facts["num_particles"] == made.program.num_particles
    p4, ptr = check.trial_jets("GeV", torch.float32, seed=5)
    one = file(p4[ptr[9] : ptr[10]].numpy()[None], np.array([int(ptr[10] - ptr[9])]))  # another number of both
    assert one["scores"].shape == (1, len(facts["score_names"])) and np.isfinite(one["rebuilt"]).all()
    wrong = dataclasses.replace(made.comparison, file=made.comparison.file + 1)
    assert wrong.largest > 0.9 and "decisions" not in str(wrong)


def test_the_command_exports_a_detector(tev_jets: Batch, tmp_path: Path, capsys) -> None:
    model = model_of("LinearAE", tev_jets)
    codes = latent_invariants(model(tev_jets).latent).numpy()
    density = {"mean": torch.from_numpy(codes.mean(0)), "matrix": torch.eye(codes.shape[1]).double()}
    detector = {"score": "latent_mahalanobis", "thresholds": {"0.1": 3.5}, "jets": 7, "ordinary": "these"}
    path = save_checkpoint(tmp_path / "model.ckpt", model, density, unit="TeV", detector=detector)
    words = ["export", str(path), "--out", str(tmp_path / "model.pt2"), "--latency", "--repeats", "3"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "scores of latent_mahalanobis (main), chamfer_cartesian" in printed and "99 %" in printed
    assert read_description(tmp_path / "model.pt2")["detector"] == detector
    assert main([*words, "--classes", "a,b"]) == 1 and "has no classes" in capsys.readouterr().err
