"""Options of the training of taggers: smoothing, weights, averages, Lion, and by what the best is chosen."""

import copy
import csv
import signal

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn import global_add_pool

from lgae_pyg import load_model
from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.data import JetData
from lgae_pyg.models import Tagger, registry
from lgae_pyg.training import ClassificationTask, build_task, train
from lgae_pyg.training.average import WeightAverage
from lgae_pyg.training.optimization import build_optimizer
from lgae_pyg.training.run import DONE, INTERRUPTED


class Sums(Tagger):
    """A linear map with dropout and batch norm on sums over the particles: random numbers, and statistics."""

    def __init__(self, num_classes: int = 2):
        super().__init__()
        self.num_classes = num_classes
        self.norm, self.linear = nn.BatchNorm1d(5), nn.Linear(5, num_classes)

    def forward(self, batch):
        features = torch.cat([torch.ones_like(batch.pos[:, :1]), batch.pos], -1)
        return self.linear(
            nn.functional.dropout(self.norm(global_add_pool(features, batch.batch)), 0.2, self.training)
        )


@pytest.fixture
def batch(massless_jet, generator):
    """Five jets of three classes with weights."""
    jets = [massless_jet(size, generator) for size in (2, 3, 4, 5, 6)]
    made = [JetData(pos=p4, y=torch.tensor([place % 3])) for place, p4 in enumerate(jets)]
    found = Batch.from_data_list(made)
    found.weight = torch.tensor([0.5, 2.0, 1.0, -1.0, 3.0])
    return found


def losses(batch, logits, y=None, **options):
    task = ClassificationTask(Sums(3), **options)
    if y is not None:
        task.learn_from(y)
    return task.jet_losses(batch, logits)


def test_smoothing_and_weights_by_hand(batch, generator):
    logits = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    logs, y = logits.log_softmax(-1), batch.y
    plain = -logs[torch.arange(5), y]
    smooth = -(0.9 * logs[torch.arange(5), y] + 0.1 * logs.mean(-1))
    torch.testing.assert_close(losses(batch, logits), plain)
    torch.testing.assert_close(losses(batch, logits, label_smoothing=0.1), smooth)
    of_classes = torch.tensor([1.0, 0.0, 4.0], dtype=torch.float64)[y]
    found = losses(batch, logits, label_smoothing=0.1, class_weights=[1.0, 0.0, 4.0], event_weights="weight")
    torch.testing.assert_close(found, smooth * of_classes * batch.weight)


def test_balanced_classes_weigh_the_same_and_one_on_average(batch):
    y = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2])
    task = ClassificationTask(Sums(3), class_weights="balanced")
    with pytest.raises(ValueError, match="learn_from"):
        task.jet_losses(batch, torch.zeros(5, 3))
    task.learn_from(y)
    weights = task.class_weights[y]
    assert [float(weights[y == one].sum()) for one in range(3)] == pytest.approx(3 * [8 / 3])
    assert float(weights.mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"class_weights": ["even"]}, "give balanced"),
        ({"class_weights": [1.0, -1.0, 1.0]}, "0 or more"),
        ({"class_weights": [1.0, 1.0]}, "class number 2, but loss.class_weights has 2"),
        ({"event_weights": "importance"}, "no field of that name"),
        ({"ema": 1.0}, "trainer.ema=1.0"),
    ],
)
def test_what_makes_no_sense_is_refused(batch, options, message):
    with pytest.raises(ValueError, match=message):
        losses(batch, torch.zeros(5, 3), **options)


def test_options_of_taggers_are_refused_elsewhere():
    from lgae_pyg.models import LinearAE

    with pytest.raises(ValueError, match="loss does not know label_smoothing"):
        build_task(LinearAE(2), {"names": ["mse"], "label_smoothing": 0.1})
    build_task(LinearAE(2), {"names": ["mse"], "label_smoothing": None})


def test_lion_by_hand():
    weights = nn.Parameter(torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    phase = nn.Parameter(torch.tensor([1.0 + 1.0j], dtype=torch.complex128))
    config = {"name": "lion", "lr": 0.1, "betas": [0.8, 0.75], "weight_decay": 0.2, "eps": None}
    optimizer = build_optimizer([weights, phase], config)
    expected, momentum = weights.detach().clone(), torch.zeros(3, dtype=torch.float64)
    for gradient in ([1.0, -2.0, 0.0], [-0.2, -1.0, 1.0], [-5.0, 3.0, -0.5]):
        weights.grad = torch.tensor(gradient, dtype=torch.float64)
        phase.grad = torch.tensor([3.0 - 0.1j], dtype=torch.complex128)
        optimizer.step()
        sign = torch.sign(0.8 * momentum + 0.2 * weights.grad)
        expected = expected * (1 - 0.1 * 0.2) - 0.1 * sign
        momentum = 0.75 * momentum + 0.25 * weights.grad
        torch.testing.assert_close(weights.detach(), expected)
    decay = 0.98**3
    steps = 0.1 * (1 + 0.98 + 0.98**2)
    assert complex(phase[0]) == pytest.approx(complex(decay - steps, decay + steps))
    with pytest.raises(ValueError, match="lr=-1"):
        build_optimizer([weights], {"name": "lion", "lr": -1.0})
    with pytest.raises(ValueError, match="lion does not know alpha"):
        build_optimizer([weights], {"name": "lion", "alpha": 1.0})


def test_average_by_hand():
    model = nn.BatchNorm1d(1)
    average = WeightAverage(model, 0.25)
    expected = 1.0
    for step, value in enumerate((2.0, 5.0, -1.0, 4.0), 1):
        with torch.no_grad():
            model.weight.fill_(value)
        model.num_batches_tracked += 1
        average.update()
        decay = min(0.25, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.shown():
        assert model.weight.item() == pytest.approx(expected) and model.num_batches_tracked == 4
    assert model.weight.item() == 4.0


@pytest.fixture
def tagging(config, monkeypatch):
    """A training of three epochs of ten batches with averaged weights."""
    monkeypatch.setitem(registry.MODELS, "Sums", Sums)
    config["model"], config["loss"] = {"name": "Sums"}, {"names": ["cross_entropy"], "label_smoothing": 0.05}
    config["optimizer"] = {"name": "lion", "lr": 1e-2}
    config["trainer"]["ema"] = 0.9
    return config


def rows(folder):
    with open(folder / "metrics.csv") as file:
        clock = ("jets_per_second", "seconds", "crc32")
        return [{k: v for k, v in row.items() if k not in clock} for row in csv.DictReader(file)]


def state(folder, name):
    content = read_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
    return {
        **content["state_dict"],
        **{f"average.{k}": v for k, v in content.get("average", {"values": {}})["values"].items()},
    }


def test_averaged_weights_are_validated_kept_as_best_and_resumed_bit_for_bit(tagging, tmp_path, monkeypatch):
    assert train(tagging, tmp_path / "whole") == DONE
    last, best = (state(tmp_path / "whole", name) for name in ("last", "best"))
    key = "linear.weight"
    assert not torch.equal(last[f"model.{key}"], last[f"average.{key}"])
    if float(rows(tmp_path / "whole")[-1]["val/loss"]) == min(
        float(row["val/loss"]) for row in rows(tmp_path / "whole")
    ):
        assert torch.equal(best[f"model.{key}"], last[f"average.{key}"])
        assert torch.equal(load_model(tmp_path / "whole").linear.weight, last[f"average.{key}"])
    assert not any(name.startswith("average.") for name in best)

    from lgae_pyg.training.signals import GracefulStop

    step, count = ClassificationTask.training_step, [0]
    installed = []
    monkeypatch.setattr(GracefulStop, "__enter__", keeping(GracefulStop.__enter__, installed))

    def stopping(task, batch, number):
        count[0] += 1
        if count[0] in stops:
            installed[-1].requested = signal.SIGTERM
        return step(task, batch, number)

    monkeypatch.setattr(ClassificationTask, "training_step", stopping)
    stops = {3, 6, 13}
    folder = tmp_path / "stopped"
    found = [train(copy.deepcopy(tagging), folder) for _ in range(4)]
    assert found == [INTERRUPTED] * 3 + [DONE]
    assert rows(folder) == rows(tmp_path / "whole")
    for name in ("last", "best"):
        one, other = state(folder, name), state(tmp_path / "whole", name)
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def keeping(enter, found):
    def wrapped(self):
        result = enter(self)
        found.append(result)
        return result

    return wrapped


@pytest.mark.parametrize("monitor", ["val/auc", "val/accuracy", None])
def test_best_weights_and_patience_follow_what_is_monitored(tagging, tmp_path, monitor):
    tagging["trainer"] |= {"monitor": monitor, "max_epochs": 6, "patience": 2, "ema": None}
    tagging["optimizer"] = {"name": "sgd", "lr": 1.0}
    assert train(tagging, tmp_path / "run") == DONE
    name, sign = monitor or "val/loss", -1 if monitor else 1
    values = [sign * float(row[name]) for row in rows(tmp_path / "run")]
    content = read_checkpoint(tmp_path / "run" / "checkpoints" / "best.ckpt")["lgae_pyg"]
    assert content["epoch"] == values.index(min(values))
    assert len(values) == min(7, content["epoch"] + 3)


def test_only_what_the_validation_gives_can_be_monitored(tagging, tmp_path):
    tagging["trainer"]["monitor"] = "val/mse"
    with pytest.raises(ValueError, match=r"trainer\.monitor"):
        train(tagging, tmp_path / "run")


def test_balanced_weights_from_the_configuration(tagging, tmp_path, capsys):
    tagging["loss"]["class_weights"] = "balanced"
    tagging["trainer"]["max_epochs"] = 1
    assert train(tagging, tmp_path / "run") == DONE
    assert train({**tagging, "loss": {**tagging["loss"], "class_weights": [1.0, 1.0]}}, tmp_path / "same") == DONE
    one, other = (rows(tmp_path / name) for name in ("run", "same"))
    assert float(one[-1]["val/loss"]) == pytest.approx(float(other[-1]["val/loss"]), rel=0.2)


def test_panels_are_of_the_whole_validation(batch, generator):
    task = ClassificationTask(Sums(2), class_names=("q", "t"))
    y = torch.arange(200) % 2
    scores = torch.sigmoid(torch.randn(200, generator=generator, dtype=torch.float64) + 2 * y - 1)
    task.derived({"scores": torch.stack([1 - scores, scores, y], -1)})
    batch.y = batch.y % 2
    figures = task.figures(batch, torch.zeros(5, 2))
    assert sorted(figures) == ["jets/calibration", "jets/confusion", "jets/roc", "jets/scores"]
    texts = [text.get_text() for text in figures["jets/confusion"].axes[0].texts]
    right = int(((scores > 0.5) & (y == 0)).sum()), int(((scores > 0.5) & (y == 1)).sum())
    assert [text.split("(")[1].rstrip(")") for text in texts] == [
        str(n) for n in (100 - right[0], right[0], 100 - right[1], right[1])
    ]
    axes = figures["jets/roc"].axes[0]
    assert axes.get_yscale() == "log" and axes.get_ylim() == (1.0, 200.0)
