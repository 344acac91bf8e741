"""Results of an evaluation in the W&B run of the training."""

import json

import pytest

from lgae_pyg.checkpoint import read_checkpoint
from lgae_pyg.training.keep import RUN_STATE
from lgae_pyg.training.result_panels import log_results
from lgae_pyg.training.run import train


def test_tables_and_figures_go_to_the_run_of_the_training(config, tmp_path, monkeypatch) -> None:
    from PIL import Image

    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    config["logger"] = {"wandb": True}
    assert train(config, folder) == 0
    identity = read_checkpoint(folder / "checkpoints" / "last.ckpt")[RUN_STATE]["wandb_id"]
    Image.new("RGB", (20, 10), "blue").save(tmp_path / "roc.png")
    place = log_results(folder, {"anomaly": (["model", "AUC"], [("a", 0.75)])}, {"roc": tmp_path / "roc.png"})
    assert place.is_relative_to(folder) and identity in place.name
    kept = {path.name.split("_")[0] for path in (place / "files" / "media").rglob("*.*")}
    assert kept == {"anomaly", "roc"}
    (table,) = (place / "files" / "media" / "table").rglob("*.json")
    assert '"AUC"' in table.read_text() and "0.75" in table.read_text()


def test_switched_off(config, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    with pytest.raises(ValueError, match="switched off"):
        log_results(tmp_path, {}, {})


def test_a_figure_does_not_replace_the_table_of_its_name(config, tmp_path, monkeypatch) -> None:
    from PIL import Image

    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    config["logger"] = {"wandb": False}
    assert train(config, folder) == 0
    Image.new("RGB", (20, 10), "blue").save(tmp_path / "probes.png")
    place = log_results(folder, {"probes": (["a", "b"], [(1, 2.5)])}, {"probes": tmp_path / "probes.png"})
    media = place / "files" / "media"
    (table,) = media.rglob("*.table.json")
    assert json.loads(table.read_text()) == {"columns": ["a", "b"], "data": [[1, 2.5]]}
    assert [file.name.split("_")[0] for file in media.rglob("*.png")] == ["probes"]
