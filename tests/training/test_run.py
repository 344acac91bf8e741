"""What a training writes, keeps and refuses."""

import csv
import math

import pytest
import torch
import yaml

from lgae_pyg.checkpoint import HEADER, load_checkpoint, load_model, read_checkpoint
from lgae_pyg.losses import get_loss
from lgae_pyg.models import LinearAE
from lgae_pyg.training import JetDataModule, train
from lgae_pyg.training.optimization import build_optimizer, build_schedule
from lgae_pyg.training.record import MetricsFile
from lgae_pyg.training.run import DONE


def rows(folder):
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


def test_run_folder(config, tmp_path, capsys):
    assert train(config, tmp_path) == DONE
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"config.yaml", "metrics.csv", "checkpoints/best.ckpt", "checkpoints/last.ckpt"}
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == config
    assert [row["epoch"] for row in rows(tmp_path)] == ["0", "1", "2", "3"]
    assert [row["step"] for row in rows(tmp_path)] == ["0", "6", "12", "18"]
    assert rows(tmp_path)[0]["train/loss"] == ""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6  # what is trained, four epochs, the end
    last = load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    assert last.epoch == 3 and last.unit == "TeV" and last.config == config
    assert set(last.data["classes"]) < set(last.class_names)  # places are the numbers of the whole set
    assert last.data["root"] == config["data"]["root"] and last.data["fractions"] == [0.6, 0.2, 0.2]
    torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)


def test_validation_loss_is_the_mean_over_jets_of_the_saved_model(config, tmp_path):
    train(config, tmp_path)
    data = JetDataModule(config["data"], eval_batch_size=7)
    losses = []
    with torch.no_grad():
        for batch in data.val_dataloader():
            result = load_model(tmp_path)(batch)
            arguments = (result.p4, result.ptr, batch.pos, batch.ptr)
            losses.append(get_loss("mse")(*arguments) + 0.1 * get_loss("chamfer")(*arguments))
    best = min(rows(tmp_path), key=lambda row: float(row["val/loss"]))
    assert float(best["val/loss"]) == pytest.approx(torch.cat(losses).mean().item(), rel=1e-12)
    assert load_checkpoint(tmp_path).epoch == int(best["epoch"])


def test_training_learns_and_its_learning_rate_follows_the_schedule(config, tmp_path):
    config["trainer"]["max_epochs"] = 4
    train(config, tmp_path)
    losses = [float(row["val/loss"]) for row in rows(tmp_path)]
    assert losses[-1] < 0.9 * losses[0]
    expected = [0.5e-2 * (1 + math.cos(math.pi * epoch / 4)) for epoch in (1, 2, 3, 4)]
    assert [float(row["lr"]) for row in rows(tmp_path)[1:]] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({}, [1, 1, 1, 1]),
        ({"name": "constant", "warmup_epochs": 1}, [0.25, 0.5, 0.75, 1, 1]),
        ({"name": "exponential", "decay": 0.5}, [1, 0.5**0.25, 0.5**0.5, 0.5**0.75, 0.5]),
        ({"name": "cosine", "epochs": 1, "final_factor": 0.2}, [1, 0.8828427, 0.6, 0.3171573, 0.2, 0.2]),
    ],
)
def test_schedules(schedule, factors):
    optimizer = build_optimizer([torch.nn.Parameter(torch.ones(1))], {"name": "sgd", "lr": 2.0})
    steps = build_schedule(optimizer, schedule, steps_per_epoch=4, max_epochs=10)
    for factor in factors:
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * factor, rel=1e-6)
        optimizer.step()
        steps.step()


def test_schedules_of_pyg_count_batches():
    optimizer = build_optimizer([torch.nn.Parameter(torch.ones(1))], {"name": "radam", "lr": 2.0})
    steps = build_schedule(optimizer, {"name": "linear_with_warmup", "warmup_epochs": 1}, 4, max_epochs=2)
    for factor in (0, 0.25, 0.5, 0.75, 1, 0.75):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(2 * factor)
        optimizer.step()
        steps.step()


def test_initial_weights_are_a_candidate_for_the_best(config, tmp_path):
    config["optimizer"]["lr"] = 10.0
    config["schedule"] = {}
    train(config, tmp_path)
    assert load_checkpoint(tmp_path).epoch == 0


def test_patience(config, tmp_path, capsys):
    config["optimizer"]["lr"] = 10.0
    config["schedule"] = {}
    config["trainer"] |= {"patience": 2, "max_epochs": 50}
    train(config, tmp_path)
    assert "no smaller validation loss for 2 epochs" in capsys.readouterr().out
    best = load_checkpoint(tmp_path).epoch
    assert len(rows(tmp_path)) == best + 3
    assert train(config, tmp_path) == DONE
    assert "already trained" in capsys.readouterr().out
    assert len(rows(tmp_path)) == best + 3


def test_time_limit_cuts_the_epoch_short_and_is_a_proper_end(config, tmp_path, capsys):
    config["trainer"]["max_minutes"] = 0.0
    assert train(config, tmp_path) == DONE
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1"]
    assert math.isfinite(float(rows(tmp_path)[-1]["val/loss"]))
    assert train(config, tmp_path) == DONE
    assert "already trained (0 minutes are over)" in capsys.readouterr().out
    config["trainer"]["max_minutes"] = None
    assert train(config, tmp_path) == DONE
    assert [row["step"] for row in rows(tmp_path)] == ["0", "1", "7", "13"]


def test_time_counts_once(config, tmp_path):
    train(config, tmp_path)
    state = read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["callbacks"]["EpochRecorder"]
    assert state["total_seconds"] == pytest.approx(sum(float(row["seconds"] or 0) for row in rows(tmp_path)))
    assert state["train"]["seconds"] == 0


def test_folder_of_another_training_is_refused(config, tmp_path):
    train(config, tmp_path)
    other = config | {"seed": 5, "optimizer": {"name": "adam", "lr": 0.5}}
    with pytest.raises(FileExistsError, match=r"optimizer.lr: 0.01 -> 0.5; seed: 1 -> 5.*overwrite=true"):
        train(other, tmp_path)
    with pytest.raises(FileExistsError, match="holds a training"):
        train(config | {"resume": False}, tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    assert train(other | {"overwrite": True}, tmp_path) == DONE
    assert len(rows(tmp_path)) == 4
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")[HEADER]["config"]["seed"] == 5
    assert (tmp_path / "notes.txt").exists()
    with pytest.raises(FileNotFoundError, match="resume=true"):
        train(config | {"resume": True}, tmp_path / "empty")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "configuration does not know colour"),
        ({"model": {"name": "Tiny", "colour": 1}}, "no argument colour"),
        ({"model": {"name": "Nothing"}}, "unknown model 'Nothing'"),
        ({"loss": {"names": ["nothing"]}}, "unknown loss 'nothing'"),
        ({"loss": {"names": ["mse"], "weights": [1, 2]}}, "one weight per loss"),
        ({"optimizer": {"name": "adan"}}, "optimizer.name=adan is unknown; choose one of .*did you mean adam"),
        ({"optimizer": {"colour": 1}}, "optimizer adam does not know colour"),
        ({"schedule": {"name": "constant", "decay": 1}}, "schedule constant does not know decay"),
        ({"logger": {"colour": 1}}, "logger does not know colour"),
        ({"loader": {"batch": 3}}, "loader does not know batch"),
        ({"warm_start": "nothing"}, "warm_start=nothing"),
        ({"warm_start": "linear"}, "only LGAE-Mix can start from LinearAE, not Tiny"),
        ({"loss": {"names": ["mse"], "space": "native"}}, "set loss.space=momenta"),
        ({"data": {"name": "Nothing"}}, "no data set named"),
        ({"data": {"name": "JetNet", "root": ".", "colour": 1}}, "colour"),
    ],
)
def test_wrong_configurations_are_refused_by_name(config, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        train(config | change, tmp_path)


def test_float32(config, tmp_path):
    config["trainer"]["precision"] = "float32"
    assert train(config, tmp_path) == DONE
    assert all(p.dtype == torch.float32 for p in load_model(tmp_path).parameters())


def test_linear_model_is_fitted_in_closed_form(config, tmp_path, capsys):
    config["model"] = {"name": "LinearAE", "latent_vectors": 2, "num_particles": 6}
    assert train(config, tmp_path) == DONE
    batches = JetDataModule(config["data"]).train.loader(100)
    expected = LinearAE(latent_vectors=2, num_particles=6).fit(batches)
    batch = next(iter(batches))
    assert torch.allclose(load_model(tmp_path)(batch).p4, expected(batch).p4)
    assert len(rows(tmp_path)) == 1
    assert train(config, tmp_path) == DONE
    assert "already trained" in capsys.readouterr().out


def test_warm_start_begins_at_the_linear_map(config, tmp_path):
    model = {"num_particles": 6, "latent_vectors": 2, "num_bells": 3}
    channels = {"encoder_channels": [2, 2], "decoder_channels": [2, 2]}
    config["trainer"]["max_epochs"] = 1
    train(config | {"model": {"name": "LGAE", **model, **channels}, "warm_start": "linear"}, tmp_path)
    data = JetDataModule(config["data"])
    linear = LinearAE(latent_vectors=2, num_particles=6).fit(data.train.loader(100), "transverse")
    batch = next(iter(data.val.loader(100)))
    result = linear(batch)
    expected = get_loss("mse")(result.p4, result.ptr, batch.pos, batch.ptr).mean().item()
    assert float(rows(tmp_path)[0]["val/mse"]) == pytest.approx(expected, rel=1e-6)


def test_metrics_file_is_cut_to_whole_rows(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.keep(0)
    for epoch in range(3):
        file.append({"epoch": epoch, "val/loss": 1 / 3})
    whole = file.path.read_text()
    with open(file.path, "a") as handle:
        handle.write("3,5")
    with pytest.raises(OSError, match="has 3 rows"):
        file.keep(4)
    file.keep(3)
    assert file.path.read_text() == whole
    assert float(rows(tmp_path)[0]["val/loss"]) == 1 / 3
