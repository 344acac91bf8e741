"""Batch normalisation in several processes: statistics, outputs and gradients are those of one."""

import functools

import pytest
import torch
import torch.distributed
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from together import together, torchrun
from torch import nn
from torch_geometric.data import Batch

from lgae_pyg.data import JetData
from lgae_pyg.models import PFN, LorentzNet, LorentzNetBase, ParticleNetLite
from lgae_pyg.nn import JointBatchNorm

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA does not survive a fork")

#: Numbers of particles. Every second jet is one process's; with those of one particle it has no pairs.
EVEN, ODD = (5, 2, 7), (1, 1, 1)
MODELS = {
    "LorentzNet": functools.partial(LorentzNet, hidden=8, layers=2),
    "LorentzNetBase with pairs": functools.partial(LorentzNetBase, hidden=8, layers=2, pairs="mass"),
    "ParticleNetLite": ParticleNetLite,
    "ParticleNetLite with friends": functools.partial(ParticleNetLite, friends="mass"),
    "ParticleNetLite with pairs": functools.partial(ParticleNetLite, pairs="mass"),
    "PFN with friends": functools.partial(PFN, friends="mass"),
}


def jets():
    generator = torch.Generator().manual_seed(7)
    found = []
    for pair in zip(EVEN, ODD):
        for number in pair:
            p = torch.randn(number, 3, generator=generator, dtype=torch.float64) + torch.tensor([50.0, 0, 0])
            p4 = torch.cat([p.norm(dim=-1, keepdim=True), p], -1)
            found.append(JetData(pos=p4, y=torch.tensor([number % 2])))
    return found


def joined():
    """Sets up the processes, as Lightning does, each with its jets."""
    torch.distributed.init_process_group("gloo")
    return jets()[torch.distributed.get_rank() :: torch.distributed.get_world_size()]


def step(make, shown, path):
    """Losses, gradients and buffers of a step in training, in float64."""
    torch.manual_seed(0)
    model = make().double().train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    outputs = model(Batch.from_data_list(shown))
    outputs.square().sum().backward()
    found = {f"grad {name}": p.grad for name, p in model.named_parameters() if p.grad is not None}
    found |= {f"buffer {name}": buffer for name, buffer in model.named_buffers()} | {"outputs": outputs.detach()}
    save_file({name: tensor.contiguous() for name, tensor in found.items()}, path)
    return 0


@pytest.mark.parametrize("name", MODELS)
def test_two_processes_take_the_step_of_one(name, tmp_path):
    make = MODELS[name]
    step(make, jets(), tmp_path / "one")

    def half(rank):
        return step(make, joined(), tmp_path / str(rank))

    assert together(half, [torchrun(rank) for rank in range(2)], 60) == [0, 0]
    one, *two = (load_file(tmp_path / part) for part in ("one", "0", "1"))
    largest = max(tensor.abs().max() for key, tensor in one.items() if key.startswith("grad"))
    for key, expected in one.items():
        if not expected.numel():
            continue
        if key == "outputs":
            found = torch.stack([part[key] for part in two], 1).flatten(0, 1)
        elif key.startswith("grad"):  # of the losses of both, as DDP adds them up
            found = sum(part[key] for part in two)
        else:
            assert torch.equal(two[0][key], two[1][key])
            found = two[0][key]
        size = largest if key.startswith("grad") else 1.0  # some gradients are zero but for rounding
        assert torch.allclose(found / size, expected / size, rtol=1e-10, atol=1e-13), key


def test_shares_of_any_size(tmp_path):
    """One process has no rows at all, or no pairs; a single row in all is refused in each."""

    def shared(rank):
        torch.distributed.init_process_group("gloo")
        norm = JointBatchNorm(3).double()
        values = torch.arange(12.0, dtype=torch.float64).view(4, 3).square().requires_grad_()
        found = norm(values[: 4 * (1 - rank)])
        assert rank or torch.allclose(found, nn.BatchNorm1d(3).double()(values))
        assert norm.running_mean.allclose(0.1 * values.mean(0)) and norm.num_batches_tracked == 1
        with pytest.raises(ValueError, match="more than one value"):
            norm(values[: 1 - rank])
        assert norm.eval()(values[:1]).shape == (1, 3)
        return 0

    assert together(shared, [torchrun(rank) for rank in range(2)], 60) == [0, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**20), st.sampled_from([torch.float32, torch.float64]))
def test_alone_it_is_batch_norm(rows, seed, dtype):
    torch.manual_seed(seed)
    ours, theirs = JointBatchNorm(4, dtype=dtype), nn.BatchNorm1d(4, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(rows, 4, dtype=dtype)
    assert torch.equal(ours(x), theirs(x)) and torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
