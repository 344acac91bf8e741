"""Tasks by themselves: in a plain Lightning trainer, with PyG's loader, over several processes."""

import csv

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_add_pool

from lgae_pyg.checkpoint import load_model
from lgae_pyg.data import JetData
from lgae_pyg.losses import get_loss
from lgae_pyg.metrics.roc import area_under_curve
from lgae_pyg.models import LinearAE, Tagger
from lgae_pyg.training import ClassificationTask, JetDataModule, ReconstructionTask, build_task, train
from lgae_pyg.training.run import DONE


class Sums(Tagger):
    """A linear map on sums over the particles."""

    def __init__(self, num_classes: int = 2):
        super().__init__()
        self.num_classes = num_classes
        self.linear = nn.Linear(5, num_classes)

    def forward(self, batch):
        features = torch.cat([torch.ones_like(batch.pos[:, :1]), batch.pos], -1)
        return self.linear(global_add_pool(features, batch.batch))


def some_jets(number, generator):
    """Jets of two classes: the second has three times as many particles."""
    jets = []
    for place in range(number):
        p = 0.01 * torch.rand(3 * (1 + 2 * (place % 2)), 3, generator=generator, dtype=torch.float64)
        p4 = torch.cat([p.norm(dim=-1, keepdim=True), p], -1)
        jets.append(JetData(pos=p4, y=torch.tensor([place % 2]), jet_id=torch.tensor([place])))
    return jets


def plain_trainer(folder, **options):
    quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False}
    return pl.Trainer(accelerator="cpu", default_root_dir=folder, **quiet, **options)


@pytest.mark.parametrize("schedule", [{}, {"name": "cosine", "warmup_epochs": 1}, {"name": "plateau"}])
def test_a_plain_trainer_with_the_loader_of_pyg(schedule, tmp_path, generator):
    jets = some_jets(40, generator)
    task = ClassificationTask(Sums().double(), optimizer={"lr": 0.05}, schedule=schedule)
    trainer = plain_trainer(tmp_path, max_epochs=8, num_sanity_val_steps=0)
    trainer.fit(task, DataLoader(jets, 8, shuffle=True), DataLoader(jets, 16))
    assert trainer.callback_metrics["val/loss"] < 0.5
    assert trainer.callback_metrics["val/accuracy"] == trainer.callback_metrics["val/auc"] == 1
    assert torch.isfinite(trainer.callback_metrics["train/loss"])
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    batch = Batch.from_data_list(jets)
    assert torch.equal(load_model(tmp_path / "plain.ckpt")(batch), task.model.eval()(batch))


def test_a_module_without_a_configuration_trains_too(tmp_path, generator):
    class Identity(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, batch):
            from lgae_pyg.models import Reconstruction

            return Reconstruction(self.linear(batch.pos), batch.ptr)

    jets = some_jets(8, generator)
    trainer = plain_trainer(tmp_path, max_epochs=1)
    trainer.fit(ReconstructionTask(Identity()), DataLoader(jets, 4), DataLoader(jets, 4))
    assert trainer.callback_metrics["val/mse"] > 0
    trainer.save_checkpoint(tmp_path / "bare.ckpt")


def test_compiled_models_are_saved_under_the_names_of_the_bare_one(tmp_path, generator):
    jets = some_jets(8, generator)
    model = Sums().double()
    task = ClassificationTask(torch.compile(model, backend="eager"))
    trainer = plain_trainer(tmp_path, max_epochs=1)
    trainer.fit(task, DataLoader(jets, 4), DataLoader(jets, 4))
    trainer.save_checkpoint(tmp_path / "compiled.ckpt")
    assert torch.equal(load_model(tmp_path / "compiled.ckpt").linear.weight, model.linear.weight)
    again = ClassificationTask(torch.compile(Sums().double(), backend="eager"))
    longer = plain_trainer(tmp_path, max_epochs=2)
    longer.fit(again, DataLoader(jets, 4), DataLoader(jets, 4), ckpt_path=tmp_path / "compiled.ckpt")
    assert longer.current_epoch == 2


def test_values_of_the_validation_are_those_of_all_jets(tmp_path, generator):
    jets = some_jets(30, generator)
    model = Sums().double()
    task = ClassificationTask(model)
    plain_trainer(tmp_path).validate(task, DataLoader(jets, 7), verbose=False)
    batch = Batch.from_data_list(jets)
    logits = model(batch).detach()
    loss = nn.functional.cross_entropy(logits, batch.y)
    score = logits.softmax(-1)[:, 1].numpy()
    y = batch.y.numpy()
    assert task.metrics["val/loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert task.metrics["val/auc"] == pytest.approx(area_under_curve(score[y == 0], score[y == 1]), rel=1e-12)
    assert task.metrics["val/accuracy"] == ((score > 0.5) == y).mean()


def test_two_processes_give_the_values_of_one(tmp_path, generator):
    """Each process sees every other jet; the means and the area under the curve are over all of them."""
    jets = some_jets(20, generator)
    model = Sums().double()
    one, two = (ClassificationTask(model) for _ in range(2))
    plain_trainer(tmp_path).validate(one, DataLoader(jets, 5), verbose=False)
    trainer = plain_trainer(tmp_path, devices=2, strategy="ddp_fork")
    found = trainer.validate(two, DataLoader(jets, 5), verbose=False)[0]
    assert found == pytest.approx(one.metrics, rel=1e-6)  # Lightning keeps what is logged in float32


def test_class_numbers_beyond_the_logits_are_refused(generator):
    batch = Batch.from_data_list(some_jets(4, generator))
    batch.y = batch.y + 1
    task = ClassificationTask(Sums().double())
    with pytest.raises(ValueError, match=r"class number 2, but Sums has 2 logits: set model\.num_classes"):
        task.jet_losses(batch, task(batch))


@pytest.mark.parametrize(
    ("make", "loss", "message"),
    [
        (Sums, {"names": ["chamfer"]}, "unknown loss 'chamfer': choose one of cross_entropy"),
        (lambda: LinearAE(2), {"names": ["cross_entropy"]}, "unknown loss 'cross_entropy'"),
        (lambda: LinearAE(2), {"names": ["mse"], "space": "nativ"}, "did you mean native"),
        (lambda: LinearAE(2), {"names": ["mse"], "colour": 1}, "loss does not know colour"),
    ],
)
def test_losses_of_another_task_are_refused(make, loss, message):
    with pytest.raises(ValueError, match=message):
        build_task(make(), loss)


def test_a_tagger_of_ones_own_trains_from_a_configuration(config, tmp_path, capsys):
    config["model"] = {"_target_": f"{__name__}.Sums"}
    config["loss"] = {"names": ["cross_entropy"], "weights": [1.0], "space": "momenta"}
    assert train(config, tmp_path) == DONE
    assert capsys.readouterr().out.count("val/auc") == 4  # its headline, in the line of each epoch
    with open(tmp_path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and 0 <= float(rows[-1]["val/auc"]) <= 1 and "val/mse" not in rows[0]
    model = load_model(tmp_path)
    assert type(model) is Sums and model.unit == "TeV"
    data = JetDataModule(config["data"], eval_batch_size=1000)
    batch = next(iter(data.val_dataloader()))
    loss = nn.functional.cross_entropy(model(batch), batch.y).item()
    assert min(float(row["val/loss"]) for row in rows) == pytest.approx(loss, rel=1e-12)


def test_reconstruction_sums_its_losses(generator):
    batch = Batch.from_data_list(some_jets(4, generator))
    model = LinearAE(1, 9).fit([batch])
    task = ReconstructionTask(model, ["mse", "chamfer"], [2.0, 0.5])
    result = model(batch)
    pair = result.p4, result.ptr, batch.pos, batch.ptr
    expected = 2.0 * get_loss("mse")(*pair) + 0.5 * get_loss("chamfer")(*pair)
    assert torch.equal(task.jet_losses(batch, result), expected)
