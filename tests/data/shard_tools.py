"""Stores in memory and in shards that hold the same jets."""

from pathlib import Path

import numpy as np
import torch

from lgae_pyg.data import JetStore, JetStoreWriter

META = {"unit": "GeV", "class_names": ["QCD", "top"]}


def make_store(sizes: list[int], seed: int = 0) -> JetStore:
    rng = torch.Generator().manual_seed(seed)
    ptr = torch.tensor([0, *np.cumsum(sizes)])
    particles, jets = int(ptr[-1]), len(sizes)
    fields = {
        "pos": torch.rand(particles, 4, generator=rng),
        "x": torch.rand(particles, 2, generator=rng).double(),
    }
    more = {"y": torch.randint(2, (jets,), generator=rng), "jet_id": torch.arange(jets)}
    more |= {"jet_ref": torch.rand(jets, 4, generator=rng), "weight": torch.rand(jets, generator=rng)}
    return JetStore(ptr, fields, more, META)


def parts(store: JetStore, cuts: list[int]):
    for first, last in zip([0, *cuts], [*cuts, len(store)]):
        particles = slice(int(store.ptr[first]), int(store.ptr[last]))
        fields = {name: value[particles].numpy() for name, value in store.particle_fields.items()}
        yield (
            store.sizes[first:last],
            fields,
            {name: value[first:last] for name, value in store.jet_fields.items()},
        )


def write(path: Path, store: JetStore, shard_bytes: int = 300, cuts: tuple[int, ...] = ()) -> Path:
    with JetStoreWriter(path, store.meta, shard_bytes) as writer:
        for part in parts(store, sorted(cuts)):
            writer.add(*part)
    return path


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def assert_same(left, right) -> None:
    assert set(left.keys()) == set(right.keys())
    for name in left.keys():
        if isinstance(left[name], torch.Tensor):
            assert left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]), name
        else:
            assert left[name] == right[name]
