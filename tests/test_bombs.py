"""Small files that declare large things: refused before memory is asked for; and files that lead elsewhere."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from lgae_pyg.checkpoint import CheckpointError, load_model, read_checkpoint, save_checkpoint, write_checkpoint
from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.hdf5 import open_hdf5
from lgae_pyg.evaluation.report import collect_run, write_report
from lgae_pyg.evaluation.results import Results
from lgae_pyg.files import read_yaml
from lgae_pyg.models import LGAE, LinearAE
from lgae_pyg.tables import Table

LAUGHS = "a0: &a0 [lol]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of more than 100 MB are a failure, not a machine without memory."""
    empty = torch.empty

    def small(*sizes, **options):
        device = options.get("device") or torch.get_default_device()
        shape = sizes[0] if sizes and not isinstance(sizes[0], int) else sizes
        assert str(device) == "meta" or np.prod(shape, dtype=float) < 1e7, shape
        return empty(*sizes, **options)

    monkeypatch.setattr(torch, "empty", small)


@pytest.mark.parametrize("change", [{"num_particles": 10**9}, {"latent_vectors": 4_000, "num_particles": 9_000}])
def test_a_header_that_declares_more_than_the_file_holds(tmp_path: Path, memory, change) -> None:
    path = save_checkpoint(tmp_path / "a.ckpt", LinearAE(latent_vectors=2, num_particles=4), unit="TeV")
    content = read_checkpoint(path)
    content["lgae_pyg"]["model"] |= change
    write_checkpoint(path, content)
    with pytest.raises(CheckpointError, match="and the file has"):
        load_model(path)


def test_models_that_are_what_they_say_are_loaded(tmp_path: Path) -> None:
    small = {"encoder_channels": (2, 2), "decoder_channels": (2, 2), "num_bells": 3}
    for model in (LinearAE(2, 200), LGAE("mix", num_particles=8, latent_vectors=2, **small).double()):
        state = torch.get_rng_state()
        loaded = load_model(save_checkpoint(tmp_path / "a.ckpt", model, unit="TeV"))
        assert str(loaded.state_dict()) == str(model.state_dict())
        del state


def test_aliases_of_aliases(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(LAUGHS)
    with pytest.raises(ValueError, match=r"card\.yaml stands for more than"):
        read_card(tmp_path / "card.yaml")
    with pytest.raises(ValueError, match="no YAML"):
        read_yaml("[" * 100_000, "deep")
    assert read_yaml("a: &x [1, 2]\nb: *x\n", "fine") == {"a": [1, 2], "b": [1, 2]}
    assert read_yaml("a: &x [1, *x]\n", "of itself")["a"][0] == 1


def test_a_run_with_such_a_configuration_is_one_clear_error(tmp_path: Path) -> None:
    about = {"caption": "Data.", "label": "toy"}
    table = Table("first", "Data.", {"model": "m"}, (("toy",),))
    Results("toy", {"first": table}, {}, about).save(tmp_path / "run" / "evaluation" / "toy")
    (tmp_path / "run" / "config.yaml").write_text(LAUGHS + "seed: *a29\n")
    with pytest.raises(ValueError, match=r"config\.yaml of run stands for more than"):
        write_report([collect_run(tmp_path / "run")], tmp_path / "page.html")


def declares_particles(file: h5py.File) -> None:
    file.create_dataset("jets", (10, 10**9, 4), "f4", chunks=(1, 1000, 4))


def declares_jets(file: h5py.File) -> None:
    file.create_dataset("jets", (10**9, 30, 4), "f4", chunks=(10, 30, 4))


def outside(file: h5py.File) -> None:
    with h5py.File(Path(file.filename).with_name("secret.h5"), "w") as other:
        other["jets"] = np.ones((3, 2, 4))
    file["group/jets"] = h5py.ExternalLink("secret.h5", "/jets")


def raw_outside(file: h5py.File) -> None:
    file.create_dataset("jets", (3, 2, 4), "f4", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((3, 2, 4), "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "jets", (3, 2, 4))
    file.create_virtual_dataset("jets", layout)


@pytest.mark.parametrize("make", [declares_particles, declares_jets, outside, raw_outside, virtual])
def test_hdf5_that_declares_too_much_or_leads_elsewhere(tmp_path: Path, make: Callable) -> None:
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        make(file)
    with pytest.raises(DataFileError, match=r"declares|other file"), open_hdf5(tmp_path / "jets.h5"):
        pass


def test_well_packed_hdf5_is_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "jets.h5", "w") as file:
        file.create_dataset("jets", data=np.zeros((20_000, 100, 4), "f4"), compression="gzip")
        file["alias"] = h5py.SoftLink("/jets")
    with open_hdf5(tmp_path / "jets.h5") as file:
        assert file["alias"].shape == (20_000, 100, 4)
