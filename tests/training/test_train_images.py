"""The training of a model of images, from configuration to panels."""

import csv

import torch

from lgae_pyg.checkpoint import load_model
from lgae_pyg.training import JetDataModule, train
from lgae_pyg.training.panels import image_figure, residual_figure
from lgae_pyg.training.run import DONE


def test_a_model_of_images_trains_in_native_space_and_float32(config, tmp_path):
    config["model"] = {"name": "CNNAE", "latent_size": 5, "pixels": 8, "channels": 4}
    config["loss"] = {"names": ["mse"], "weights": [64.0], "space": "native"}
    config["optimizer"] |= {"eps": 1e-12}
    config["trainer"]["precision"] = "float32"
    assert train(config, tmp_path) == DONE
    with open(tmp_path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val/loss"]) for row in rows]
    assert len(losses) == 4 and losses == sorted(losses, reverse=True)
    assert {row["val/mse"] for row in rows} == {row["val/pt_iqr"] for row in rows} == {""}
    model = load_model(tmp_path)
    assert model.to_code.weight.dtype == torch.float32
    batch = next(iter(JetDataModule(config["data"]).val_dataloader()))
    with torch.no_grad():
        result = model(batch)
    images = image_figure(batch, result)
    assert images.axes[0].images[0].get_array().shape == (8, 8)
    assert images.axes[0].images[0].get_extent() == [-0.8, 0.8, -0.8, 0.8]
    titles = [axes.get_title() for axes in residual_figure(batch, result).axes]
    assert [title for title in titles if title] == [
        f"relative error, jet {name}" for name in ("mass", "pt", "eta", "phi")
    ]
