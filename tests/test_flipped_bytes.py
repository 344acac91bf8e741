"""One byte of a file has changed, anywhere: reading it is an error, never other numbers."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from lgae_pyg.checkpoint import CheckpointError, load_checkpoint, read_checkpoint, save_checkpoint
from lgae_pyg.checksums import (
    check_archive,
    fingerprint,
    read_signed,
    read_signed_rows,
    read_signed_text,
    write_signed,
)
from lgae_pyg.data import DataFileError, JetStore
from lgae_pyg.legacy.files import OriginalFileError, read_state_dict
from lgae_pyg.models import LinearAE
from lgae_pyg.training.configuration import save_config
from lgae_pyg.training.record import MetricsFile


def each_flip(path: Path, count: int | None = None) -> Iterable[int]:
    """Flips one bit in each byte of a file, or in some of them; the file is whole again at the end."""
    content, rng = path.read_bytes(), np.random.default_rng(0)
    places = range(len(content)) if count is None else rng.choice(len(content), count, replace=False)
    for place in places:
        spoilt = bytearray(content)
        spoilt[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        yield int(place)
    path.write_bytes(content)


def accepted(
    path: Path, read: Callable[[], object], error: type[Exception], count: int | None = None
) -> list[int]:
    """Places in which a flipped byte was not noticed."""
    passed = []
    for place in each_flip(path, count):
        try:
            read()
        except error:
            continue
        passed.append(place)
    return passed


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = LinearAE(latent_vectors=2, num_particles=4)
    return save_checkpoint(tmp_path / "a.ckpt", model, unit="TeV", config={"seed": 3}, epoch=7)


def test_a_checkpoint(checkpoint: Path) -> None:
    assert accepted(checkpoint, lambda: load_checkpoint(checkpoint), CheckpointError) == []
    assert load_checkpoint(checkpoint).epoch == 7


def test_a_checkpoint_without_checksum_is_compared_with_those_of_its_archive(checkpoint: Path) -> None:
    """As earlier versions wrote it; what may pass are bytes that mean nothing, such as the padding of tensors."""
    content = torch.load(checkpoint, weights_only=True)
    torch.save(content, checkpoint)
    check_archive(checkpoint)
    before = read_checkpoint(checkpoint)
    for _ in each_flip(checkpoint, 300):
        try:
            found = read_checkpoint(checkpoint)
        except CheckpointError:
            continue
        assert found["lgae_pyg"] == before["lgae_pyg"]
        assert str(found["state_dict"]) == str(before["state_dict"])


def test_weights_of_others(tmp_path: Path) -> None:
    state = {"weight": torch.arange(100.0)}
    torch.save(state, tmp_path / "weights.pt")
    for _ in each_flip(tmp_path / "weights.pt", 300):
        try:
            found = read_state_dict(tmp_path / "weights.pt")
        except OriginalFileError:
            continue
        assert torch.equal(found["weight"], state["weight"])


def test_a_store_of_jets(tmp_path: Path) -> None:
    fields = {"pos": torch.tensor([[2.0, 1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 0.0], [3.0, 1.0, 1.0, 1.0]])}
    path = tmp_path / "jets.safetensors"
    JetStore(torch.tensor([0, 2, 3]), fields, {"y": torch.tensor([0, 1])}, {"unit": "GeV"}).save(path)
    assert accepted(path, lambda: JetStore.load(path), DataFileError) == []


def test_signed_values(tmp_path: Path) -> None:
    path = write_signed(tmp_path / "a.json", {"name": "jets", "numbers": [1, 2.5, None], "more": {"x": "y"}})
    for needed in (True, False):
        assert accepted(path, lambda needed=needed: read_signed(path, needed), ValueError) == []
    content = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("crc32", "signed")}
    path.write_text(json.dumps(content))
    assert read_signed(path, needed=False) == content
    with pytest.raises(ValueError, match="checksum"):
        read_signed(path)


def test_a_fingerprint_is_of_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    with open(path, "wb") as file:
        file.truncate(5 << 20)
    before = fingerprint(path)
    with open(path, "r+b") as file:
        file.seek(2_500_000)
        file.write(b"\1")
    assert fingerprint(path) != before


def test_metrics_of_a_training(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv", ("val/mse",))
    file.keep(0)
    for epoch in range(3):
        file.append({"epoch": epoch, "step": 6 * epoch, "val/loss": 0.125 / 3, "seconds": 1.5})
    text, whole = read_signed_rows(file.path)
    assert whole and text.startswith("epoch,step,") and "crc32" not in text
    for place in each_flip(file.path):
        try:
            found, whole = read_signed_rows(file.path)
        except ValueError:
            continue
        assert not whole and text.startswith(found.rstrip("\n")), place  # the last row, which is left out
    file.append({"epoch": 3})
    file.path.write_bytes(file.path.read_bytes()[:-5])
    assert read_signed_rows(file.path) == (text, False)
    file.keep(2)
    assert read_signed_rows(file.path)[0] == "\n".join(text.split("\n")[:3]) + "\n"


def test_metrics_of_earlier_versions(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    header, rows = ",".join(MetricsFile(path).columns[:-1]), ["0,0,,2.5,,,,", "1,6,3.5,2.0,0.1,1.0,9.0,2.5"]
    text = "\n".join([header, *rows]) + "\n"
    path.write_text(text + "2,1")
    assert read_signed_rows(path) == (text, False)
    MetricsFile(path).keep(2)
    assert read_signed_rows(path) == (text, True) and path.read_text() != text


def test_the_configuration_of_a_run(tmp_path: Path) -> None:
    path, config = tmp_path / "config.yaml", {"seed": 3, "model": {"name": "LGAE", "widths": [1, 2.5]}}
    save_config(path, config)
    assert yaml.safe_load(read_signed_text(path)) == config
    assert accepted(path, lambda: read_signed_text(path), ValueError) == []
    path.write_text("seed: 4\n")
    assert read_signed_text(path) == "seed: 4\n"
