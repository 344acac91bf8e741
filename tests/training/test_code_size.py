"""The comparison of codes by their size, and the run of a model without weights that it begins with."""

import importlib.util
from pathlib import Path

from lgae_pyg import load_model
from lgae_pyg.models import ClusterAE
from lgae_pyg.tables import read_csv
from lgae_pyg.training import train
from lgae_pyg.training.run import DONE


def code_size(*words: str) -> int:
    path = Path(__file__).parents[2] / "train" / "code_size.py"
    spec = importlib.util.spec_from_file_location("code_size", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(list(words))


def test_a_run_of_clusters_and_the_comparison(config, tmp_path, capsys) -> None:
    config["model"] = {"name": "ClusterAE", "num_particles": 6, "latent_vectors": 2}
    config["loss"] = {"names": ["hungarian"]}
    assert train(config, tmp_path / "run") == DONE
    assert isinstance(load_model(tmp_path / "run"), ClusterAE)
    words = ["--jets", "20", "--vectors", "1,2,3", "--out", str(tmp_path / "out")]
    assert code_size(str(tmp_path / "run"), *words) == 0
    names, rows = read_csv((tmp_path / "out" / "code_size.csv").read_text())
    found = {row[0]: dict(zip(names, row)) for row in rows}
    assert set(found) == {f"{name} τ={tau}" for name in ("ClusterAE",) for tau in (1, 2, 3)} | {
        f"LinearAE τ={tau}, P conserved" for tau in (1, 2, 3)
    }
    assert found["ClusterAE τ=3"]["mse"] < 1e-20 < found["ClusterAE τ=2"]["mse"] < found["ClusterAE τ=1"]["mse"]
    assert (tmp_path / "out" / "code_size.png").stat().st_size > 10_000
    assert code_size(str(tmp_path / "nothing"), *words) == 1
    assert "no such checkpoint" in capsys.readouterr().err
