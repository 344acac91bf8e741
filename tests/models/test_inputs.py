"""What models refuse and warn of: units, padding, columns, order, values; and what passes unseen."""

import copy
import math
import warnings

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from lgae_pyg.checkpoint import load_model, save_checkpoint
from lgae_pyg.data import JetData, JetLoader, JetStore
from lgae_pyg.data.jet import check_mark, set_mark
from lgae_pyg.lorentz import boost, equivariance_error
from lgae_pyg.models import LGAE, ClusterAE, LinearAE, ShellLGAE, Tagger, stated_unit
from lgae_pyg.ops.jets import jet_sum

SMALL = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "mlp_depth": 1, "mlp_width": 2, "num_bells": 3}


class Energies(Tagger):
    """Logits from the energy of the jet."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, 2, dtype=torch.float64))

    def forward(self, batch):
        return jet_sum(batch.pos, batch.ptr)[:, :1] * self.weight


def fitted(jets: Batch) -> LinearAE:
    return LinearAE(latent_vectors=2).fit([jets])


def lgae(jets: Batch) -> LGAE:
    return LGAE("mean", latent_vectors=2, **SMALL)


def shell(jets: Batch) -> ShellLGAE:
    return ShellLGAE(latent_vectors=2, encoder_channels=(2, 2), decoder_channels=(2, 2), mlp_depth=1, mlp_width=2)


def clusters(jets: Batch) -> ClusterAE:
    return ClusterAE(latent_vectors=2)


def tagger(jets: Batch) -> Energies:
    return Energies()


MODELS = pytest.mark.parametrize("make", [fitted, lgae, shell, clusters, tagger])


def parts(jets: Batch) -> list[torch.Tensor]:
    return list(jets.pos.split(jets.ptr.diff().tolist()))


def changed(jets: Batch, change, number: int = 3) -> Batch:
    """The batch with one jet changed, as hand-made jets are."""
    momenta = parts(jets)
    momenta[number] = change(momenta[number].clone())
    return Batch.from_data_list(
        [JetData(pos=p, y=torch.tensor([1]), jet_id=torch.tensor([100 + i])) for i, p in enumerate(momenta)]
    )


def padded(p4):
    return torch.cat([p4, torch.zeros(2, 4, dtype=p4.dtype)])


def not_a_number(p4):
    p4[2, 1] = torch.nan
    return p4


def below_zero(p4):
    p4[2, 0] *= -1
    return p4


WRONG = {
    "padding": (lambda p4: padded(p4[:20]), r"no energy for particle 20.*leave rows of padding out"),
    "not a number": (not_a_number, "not finite for particle 2.*leave the jet out"),
    "negative": (below_zero, r"negative energy for particle 2"),
    "empty": (lambda p4: p4[:0], "no particle: leave empty jets out"),
    "too many": (lambda p4: torch.cat([p4, p4]), "60 particles, but the model has 30 slots.*num_particles=30"),
}


@MODELS
@pytest.mark.parametrize("wrong", WRONG)
def test_a_jet_that_no_network_can_read_is_named(jets, make, wrong):
    model = make(jets)
    change, words = WRONG[wrong]
    if wrong == "too many" and model.num_particles is None:
        pytest.skip("it takes any number")
    bad = changed(jets, change)
    with pytest.raises(ValueError, match=rf"jet 3 of the batch \(class 1 103\).*{words}"):
        model(bad)
    if not isinstance(model, Tagger):
        with pytest.raises(ValueError, match="jet 3 of the batch"):
            model.encode(bad)


@MODELS
def test_energy_in_the_last_column_is_recognised(jets, make):
    bad = Batch.from_data_list([JetData(pos=p[:, [1, 2, 3, 0]]) for p in parts(jets)])
    with pytest.raises(ValueError, match=r"looks like \(px, py, pz, E\).*\[3, 0, 1, 2\]"):
        make(jets)(bad)


@MODELS
def test_another_unit_is_refused_and_can_be_converted(jets, make):
    model = make(jets)
    gev = Batch.from_data_list([JetData(pos=1000 * p, unit="GeV") for p in parts(jets)])
    with pytest.raises(ValueError, match=r"in GeV, but the model works in TeV.*in_unit\('TeV'\)"):
        model(gev)
    result, expected = model(gev.in_unit("TeV")), model(jets)
    first, second = (r if isinstance(r, torch.Tensor) else r.p4 for r in (result, expected))
    torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


@MODELS
def test_gev_without_a_stated_unit_do_not_pass_into_a_tev_model(jets, make):
    """The mass of a jet cannot be 15 TeV; no boost hides it."""
    gev = [JetData(pos=1e5 * p) for p in parts(jets)]
    with pytest.raises(ValueError, match=r"heavier than 15 TeV.*looks like GeV.*batch\.unit = 'GeV'"):
        make(jets)(Batch.from_data_list(gev))
    with pytest.raises(ValueError, match="heavier than 15 TeV"):
        make(jets)(Batch.from_data_list([JetData(pos=jet.pos @ boost(2.0, "x").T) for jet in gev]))
    stated = Batch.from_data_list([JetData(pos=jet.pos, unit="TeV") for jet in gev])
    with pytest.warns(UserWarning, match="heavier than 15 TeV"):
        make(jets)(stated)


def test_tev_in_a_gev_model_are_warned_of(jets):
    model = fitted(jets)
    model.unit = "GeV"
    large = [JetData(pos=p) for p in parts(jets) if len(p) > 5]
    with pytest.warns(UserWarning, match="lighter than 0.5 GeV.*looks like TeV"):
        model(Batch.from_data_list(large))


def test_padding_would_have_moved_the_latent_mean(jets):
    """The reason for all this: rows of zeros count as particles."""
    model, big = lgae(jets), [p for p in parts(jets) if len(p) < 25]
    sound = Batch.from_data_list([JetData(pos=p) for p in big])
    with_rows = Batch.from_data_list([JetData(pos=padded(p)) for p in big])
    with pytest.raises(ValueError, match="no energy"):
        model(with_rows)
    model.check_inputs = False  # the way around it
    one, other = model.encode(sound).vectors, model.encode(with_rows).vectors
    assert (one - other).abs().max() > 0.05 * one.abs().max()


@pytest.mark.parametrize("make, told", [(fitted, True), (lgae, False)])
def test_unsorted_jets_are_told_to_models_of_ordered_particles(jets, make, told):
    model = make(jets)
    unsorted = Batch.from_data_list([JetData(pos=p.flip(0)) for p in parts(jets)])
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        model(unsorted)
        model(unsorted)  # once is enough
    assert len([w for w in found if "not sorted by falling pT" in str(w.message)]) == int(told)


def test_boosted_jets_keep_their_order_without_a_word(jets, generator):
    model = fitted(jets)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert equivariance_error(model, jets, boost(3.0, torch.randn(3, generator=generator).double())) < 1e-9


def test_the_model_learns_its_unit_from_training_and_says_where_it_does_not_know(jets, tmp_path):
    assert stated_unit(LinearAE()) is None
    with pytest.warns(UserWarning, match="unit of LinearAE is not known, TeV is written"):
        save_checkpoint(tmp_path / "a.ckpt", fitted(jets))
    gev = Batch.from_data_list([JetData(pos=1000 * p, unit="GeV") for p in parts(jets)])
    model = LinearAE(latent_vectors=2).fit([gev])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_model(save_checkpoint(tmp_path / "b.ckpt", model)).unit == "GeV"
    with pytest.raises(ValueError, match="unknown unit 'MeV'"):
        save_checkpoint(tmp_path / "c.ckpt", model, unit="MeV")


@pytest.mark.parametrize("through", ["store", "checked"])
def test_marked_batches_are_not_looked_at_again_until_they_change(jets, monkeypatch, through):
    model, looked = fitted(jets), []
    monkeypatch.setattr("lgae_pyg.data.check._check_values", lambda *_: looked.append(1))
    if through == "store":
        store = JetStore.from_jets(jets.to_data_list(), {"admission": {}, "unit": "TeV"})
        batch = next(iter(JetLoader(store, 12)))
    else:
        batch = Batch.from_data_list(jets.to_data_list())
        model(batch)
        assert looked.pop()
    model(batch)
    model(copy.copy(batch))
    assert not looked
    batch.pos *= 1.0
    model(batch)
    assert len(looked) == 1
    batch.pos[0, 0] *= 1.0
    model(batch)
    batch.pos = batch.pos.clone()
    model(batch)
    assert len(looked) == 3
    plain = Batch.from_data_list([Data(pos=p) for p in parts(jets)])
    model(plain)
    model(plain)  # a graph of another kind cannot be marked
    assert len(looked) >= 5


def test_no_gpu_is_waited_for_where_a_batch_is_marked(jets):
    """On the device "meta" there are no values: to look at one is an error."""
    store = JetStore.from_jets(jets.to_data_list(), {"admission": {}, "unit": "TeV"})
    model = fitted(jets)
    model.check(store.batch([0, 2, 5]).to("meta"))
    with pytest.raises((RuntimeError, NotImplementedError)):
        model.check(Batch.from_data_list(jets.to_data_list()).to("meta"))


def test_the_unit_is_compared_also_where_the_mark_saves_the_rest(jets):
    store = JetStore.from_jets(jets.to_data_list(), {"admission": {}, "unit": "GeV"})
    with pytest.raises(ValueError, match="in GeV, but the model works in TeV"):
        fitted(jets)(store.batch([0, 1]))


def test_gradients_and_compilation_pass_through(jets):
    model = LGAE("mean", latent_vectors=2, backend="edge_list", **SMALL)
    pos = jets.pos.clone().requires_grad_()
    batch = copy.copy(jets)
    batch.pos = pos
    (first,) = torch.autograd.grad(model(batch).p4.square().sum(), pos, create_graph=True)
    assert torch.isfinite(torch.autograd.grad(first.square().sum(), pos)[0]).all()
    tagger = Energies()
    compiled = torch.compile(tagger, backend="eager", fullgraph=True)
    assert torch.equal(compiled(jets), tagger(jets))


def test_batches_of_every_loader_know_their_unit(jets):
    store = JetStore.from_jets(jets.to_data_list(), {"unit": "TeV"})
    ordinary = next(iter(DataLoader([store.jet(i) for i in range(12)], batch_size=12)))
    ours = next(iter(JetLoader(store, 12)))
    assert ordinary.unit == ours.unit == store.unit == "TeV"
    assert torch.equal(ordinary.unit_in_gev, ours.unit_in_gev)
    assert fitted(ours)(ordinary).p4.shape == jets.pos.shape


@pytest.mark.parametrize("change", ["set", "item", "in place", "apply"])
def test_momenta_that_were_changed_since_are_checked_again(change: str, jets: Batch) -> None:
    model = LinearAE(2, 30).fit([jets])
    model(jets)
    bad = torch.full_like(jets.pos, math.nan)
    if change == "set":
        jets.pos = bad
    elif change == "item":
        jets["pos"] = bad
    elif change == "in place":
        jets.pos[0, 0] = math.nan
    else:
        jets.apply(lambda pos: pos * math.nan, "pos")
    with pytest.raises(ValueError, match="not finite"):
        model(jets)


def test_a_mark_survives_moves_and_copies(jets: Batch) -> None:
    set_mark(jets)
    assert check_mark(copy.copy(jets)) and check_mark(jets.to("cpu")) and check_mark(jets.cpu())
    assert check_mark(copy.copy(jets).to("meta"))
