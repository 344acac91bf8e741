"""A loss or gradient that is not finite ends the training and names the jets; it is never called the best."""

import csv

import pytest
import torch

from lgae_pyg.checkpoint import load_checkpoint
from lgae_pyg.data import JetStore
from lgae_pyg.training import JetDataModule, ReconstructionTask, train
from lgae_pyg.training.guard import gradient_norm
from lgae_pyg.training.run import DONE, NOT_FINITE


def corrupt(monkeypatch, chosen, loss=None, gradient=None, training=True):
    """Spoils the loss, or only its gradient, of the jets chosen by class number and row."""
    jet_losses = ReconstructionTask.jet_losses

    def spoiled(module, batch, result):
        losses = jet_losses(module, batch, result)
        names = zip(batch.y.tolist(), batch.jet_id.tolist())
        hit = torch.tensor([name in chosen for name in names])
        if module.training != training or not hit.any():
            return losses
        if loss is not None:
            return torch.where(hit, losses * loss, losses)
        losses = losses.clone()
        losses[hit] += (losses[hit] * 0.0).sqrt()  # the value is 0, its derivative 0 times infinity
        return losses

    monkeypatch.setattr(ReconstructionTask, "jet_losses", spoiled)


def train_jets(config):
    data = JetDataModule(config["data"], **config["loader"])
    return {(int(jet.y), int(jet.jet_id)) for jet in data.train}, {
        (int(jet.y), int(jet.jet_id)) for jet in data.val
    }


@pytest.mark.parametrize("kind", [{"loss": float("nan")}, {"loss": float("inf")}, {"gradient": True}])
def test_training_jets_are_named_and_saved(config, tmp_path, monkeypatch, capfd, kind):
    bad = {jet for jet in sorted(train_jets(config)[0]) if jet[1] in (7, 23)}
    assert bad
    corrupt(monkeypatch, bad, **kind)
    config["loader"]["batch_size"] = 1000  # one batch, so that all of them are met at once
    assert train(config, tmp_path) == NOT_FINITE
    message = capfd.readouterr().err
    assert ("gradient" if "gradient" in kind else "loss") + " is not finite in epoch 1, step 1" in message
    assert f"for {len(bad)} of" in message
    for number, row in bad:
        assert f"{'gq'[number]} {row}" in message
    store = JetStore.load(tmp_path / "nonfinite.safetensors")
    assert set(zip(store.jet_field("y").tolist(), store.jet_field("jet_id").tolist())) == bad
    assert "epoch 1" in store.meta["reason"]


def test_such_an_epoch_is_neither_written_nor_best(config, tmp_path, monkeypatch):
    assert train(config, tmp_path) == DONE
    before = (tmp_path / "metrics.csv").read_text()
    best = load_checkpoint(tmp_path)
    corrupt(monkeypatch, train_jets(config)[1], loss=float("nan"), training=False)
    config["trainer"]["max_epochs"] = 5
    assert train(config, tmp_path) == NOT_FINITE
    assert (tmp_path / "metrics.csv").read_text() == before
    after = load_checkpoint(tmp_path)
    assert after.epoch == best.epoch and after.metrics == best.metrics
    assert all(torch.isfinite(tensor).all() for tensor in after.model.state_dict().values())


def test_initial_weights_are_checked_too(config, tmp_path, monkeypatch):
    corrupt(monkeypatch, train_jets(config)[1], loss=float("inf"), training=False)
    assert train(config, tmp_path) == NOT_FINITE
    assert not (tmp_path / "checkpoints" / "best.ckpt").exists()
    with open(tmp_path / "metrics.csv") as file:
        assert list(csv.DictReader(file)) == []


def test_gradient_norm_is_that_of_all_parameters_together():
    module = torch.nn.Linear(2, 1)
    module.weight.grad, module.bias.grad = torch.tensor([[2.0, 3.0]]), torch.tensor([6.0])
    assert gradient_norm(module) == pytest.approx(7.0)
