"""A checkpoint may come from anywhere: the folder that it names for its jets is read, and never made."""

from pathlib import Path

import pytest
import torch

from lgae_pyg.checkpoint import save_checkpoint
from lgae_pyg.evaluation import Subject
from lgae_pyg.models import LinearAE


def subject(tmp_path: Path, recipe: dict, **options) -> Subject:
    model = LinearAE(latent_vectors=2, num_particles=4)
    for tensor in model.state_dict().values():
        torch.nn.init.zeros_(tensor)
    return Subject.load(save_checkpoint(tmp_path / "a.ckpt", model, unit="TeV", data=recipe), **options)


@pytest.mark.parametrize("generate", [False, True])
@pytest.mark.parametrize("name", ["JetNet", "PythiaJets", "TopTagging"])
def test_no_folder_is_made_where_a_checkpoint_says(tmp_path: Path, name: str, generate: bool) -> None:
    elsewhere = tmp_path / "somewhere" / "of" / "others"
    found = subject(tmp_path, {"name": name, "root": str(elsewhere), "unit": "TeV"}, generate=generate)
    with pytest.raises(FileNotFoundError, match=f"{elsewhere}, which is not there: say with --data"):
        found.background()
    assert not (tmp_path / "somewhere").exists()
