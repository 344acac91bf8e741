"""Trains the network of the learned coder of lgae compress, and writes it in whole numbers.

    python train/learned_coder.py g.hdf5:30 q.hdf5:30 top200.hdf5:60 --out learned_jets.safetensors

Files are anything that JetFiles reads, momenta in GeV, each with the number of leading particles that are
looked at. The network is trained in floating point on jets on the grid of 1 % in pT and 1e-3 in the angles,
mirrored at random; what it costs is the mean number of bits. The same formulae, in whole numbers, are in
network, predictor and laws of lgae_pyg.applications.compression. A new network makes older files of the learned
coder unreadable.
"""

import argparse
import math
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from lgae_pyg.applications.compression.network import FEATURES, FORMAT, KNOWN, LOG_STEP, STEP
from lgae_pyg.applications.compression.quantise import Bounds, Grid, quantise
from lgae_pyg.datasets import JetFiles
from lgae_pyg.weights import write_weights

GRID = Grid.of(Bounds(0.01, 1.0), np.float32)
STEPS = torch.tensor([GRID.log_pt, GRID.eta, 2 * math.pi / GRID.turn])
#: Particles of each jet whose angles are looked at in a step of the training.
TARGETS = 10


class Net(nn.Module):
    """The network in floating point."""

    def __init__(self, width: int = 48, kernels: int = 6, depth: int = 12, drops: int = 4) -> None:
        super().__init__()
        self.kernels, self.depth, self.drops = kernels, depth, drops
        self.gru = nn.GRU(FEATURES, width, batch_first=True)
        self.pt = nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 2 * drops))
        self.query = nn.Sequential(nn.Linear(width + KNOWN, 64), nn.ReLU(), nn.Linear(64, depth + 3 * kernels))
        self.key = nn.Sequential(nn.Linear(width, 48), nn.ReLU(), nn.Linear(48, kernels * depth))
        self.log_scale = nn.Parameter(torch.linspace(math.log(0.004), math.log(0.4), kernels))
        self.log_ratio = nn.Parameter(torch.full((kernels,), math.log(0.65)))
        self.register_buffer("log_rate", torch.linspace(1, 4, drops))

    def forward(self, jets: dict[str, Tensor], targets: Tensor) -> Tensor:
        """Bits of all pT and angles but the first ones; the angles are those of the targets, scaled to all."""
        after = self.gru(jets["features"])[0]
        before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
        mask = jets["mask"].clone()
        mask[:, 0] = False
        falls = self._falls(before, jets["fall"]) * mask
        angles = self._angles(before, after, jets, targets) * mask[:, targets]
        return -(falls.sum() + angles.sum() * (mask.shape[1] - 1) / len(targets)) / math.log(2)

    def _falls(self, state: Tensor, fall: Tensor) -> Tensor:
        weight, rate = self.pt(state).split(self.drops, dim=-1)
        rate = (rate + self.log_rate).exp()
        low = (fall - GRID.log_pt / 2).clamp(min=0)[..., None]
        width = fall[..., None] + GRID.log_pt / 2 - low
        inside = torch.log(-torch.expm1(-rate * width) + 1e-9) - rate * low
        return torch.logsumexp(weight.log_softmax(-1) + inside, dim=-1)

    def _angles(self, before: Tensor, after: Tensor, jets: dict[str, Tensor], targets: Tensor) -> Tensor:
        top, k = int(targets.max()), self.kernels
        out = self.query(torch.cat([before[:, targets], jets["known"][:, targets]], dim=-1))
        query, centre, scale, weight = out.split([self.depth, k, k, k], dim=-1)
        key = self.key(after[:, :top]).reshape(len(out), top * k, self.depth)
        logs = (query @ key.transpose(1, 2)).reshape(len(out), len(targets), top, k) / math.sqrt(self.depth)
        later = torch.arange(top)[None] >= targets[:, None]
        logs = (logs + weight[:, :, None]).masked_fill(later[None, :, :, None], -1e9)
        logs = torch.cat([logs.flatten(2), centre], dim=-1).log_softmax(-1)
        square = ((self.log_scale + scale.clamp(-3, 3) * 0.5).exp() ** 2 + 0.0015**2)[:, :, None]
        here = jets["place"][:, targets]
        near = self._kernel(here[:, :, None] - jets["place"][:, None, :top], square).flatten(2)
        about = self._kernel(here - jets["axis"][:, targets], square[:, :, 0])
        return torch.logsumexp(logs + torch.cat([near, about], dim=-1), dim=-1)

    def _kernel(self, away: Tensor, square: Tensor) -> Tensor:
        """Logarithm of the share of a cell of the grid."""
        wide = square + away[..., :1] ** 2
        across = wide * self.log_ratio.exp()
        density = square.log() - 0.5 * wide.log() + self.log_ratio - 1.5 * (across + away[..., 1:] ** 2).log()
        return density + math.log(float(STEPS[1] * STEPS[2]) / 4)

    def whole_numbers(self) -> dict[str, Tensor]:
        """What the coder reads."""
        tensors = {"log_rate": self.log_rate * LOG_STEP, "log_scale": self.log_scale * STEP}
        tensors["log_ratio"] = self.log_ratio * STEP
        layers = {"pt_1": self.pt[0], "pt_2": self.pt[2], "query_1": self.query[0], "query_2": self.query[2]}
        layers |= {"key_1": self.key[0], "key_2": self.key[2]}
        pairs = {name: (layer.weight, layer.bias) for name, layer in layers.items()}
        pairs["key_2"] = tuple(part / math.sqrt(self.depth) for part in pairs["key_2"])
        pairs["gru_input"] = self.gru.weight_ih_l0, self.gru.bias_ih_l0
        pairs["gru_state"] = self.gru.weight_hh_l0, self.gru.bias_hh_l0
        for name, (weight, bias) in pairs.items():
            tensors[name], tensors[name + "_bias"] = weight.T * STEP, bias * STEP * STEP
        whole = {name: values.detach().double().round() for name, values in tensors.items()}
        small = {name: float(values.abs().max()) < 1 << 15 for name, values in whole.items()}
        return {name: v.to(torch.int16 if small[name] else torch.int32).contiguous() for name, v in whole.items()}


def numbers_of(path: str, particles: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of pT, eta and phi of the leading particles by falling pT, (J, particles, 3), angles against the
    first one's; and how many there are, (J,)."""
    data = JetFiles([path], num_particles=particles)
    store = data.store.gather(range(len(data)))
    p4, ptr = store.particle_fields["pos"].numpy().astype(np.float32), store.ptr.numpy()
    whole, _ = quantise(p4, Bounds(0.01, 1.0), GRID)
    owner = np.repeat(np.arange(len(ptr) - 1), np.diff(ptr))
    order = np.lexsort((whole.eta, -whole.pt, owner))
    rank = np.arange(len(order)) - ptr[:-1][owner]
    numbers = np.zeros((len(ptr) - 1, particles, 3), dtype=np.int64)
    numbers[owner, rank] = np.stack([whole.pt, whole.eta, whole.phi], axis=1)[order]
    numbers[..., 1:] -= numbers[:, :1, 1:]
    numbers[..., 2] = (numbers[..., 2] + GRID.turn // 2) % GRID.turn - GRID.turn // 2
    return numbers, np.diff(ptr)


def prepare(numbers: np.ndarray, sizes: np.ndarray) -> dict[str, Tensor]:
    """What the network sees of jets; as in lgae_pyg.applications.compression.predictor."""
    values, count = torch.from_numpy(numbers).double() * STEPS.double(), torch.from_numpy(sizes)
    rank = torch.arange(values.shape[1])
    mask = rank < count[:, None]
    pt, place = torch.where(mask, values[..., 0], values[..., 0].gather(1, count[:, None] - 1)), values[..., 1:]
    weight = (pt - pt[:, :1]).exp() * mask
    total = weight.cumsum(1)
    mean = (weight[..., None] * place).cumsum(1) / total[..., None]
    axis = torch.cat([torch.zeros_like(mean[:, :1]), mean[:, :-1]], dim=1)
    spread = ((weight * (place - mean).square().sum(-1)).cumsum(1) / total).sqrt()
    far = torch.cdist(place, place) + 9.0 * (rank[None] >= rank[:, None])
    near, nearest = far.min(dim=2)
    near[:, 0] = 1.0
    fall = torch.cat([torch.zeros_like(pt[:, :1]), pt[:, :-1] - pt[:, 1:]], dim=1)

    def log(x: Tensor) -> Tensor:
        return x.expand_as(pt).log() / 2

    lengths = [log((place - axis).norm(dim=-1) + 1e-3) + 1.5, log(near + 1e-3) + 1.5]
    known = [pt / 3 - 1, (pt - pt[:, :1]) / 3, log(fall + 0.01) + 1.5]
    left = (count[:, None] - 1 - rank).clamp(min=0)
    more = [(pt.gather(1, nearest) - pt) / 3, log(rank + 1.0) - 1, log(left + 1.0) - 1, log(spread + 1e-3) + 1.5]
    features = [*known, (total.log() + pt[:, :1]) / 3 - 2, *lengths, *more, log(count[:, None].double()) - 1.7]
    jets = {"features": torch.stack(features, -1), "known": torch.stack([*known, log(rank + 1.0) - 1], -1)}
    jets |= {"place": place, "axis": axis, "fall": fall}
    return {name: one.clamp(-8, 8).float() for name, one in jets.items()} | {"mask": mask}


def batches(groups: list[tuple[np.ndarray, np.ndarray]], jets: int, seed: int) -> Iterator[dict[str, Tensor]]:
    """Jets of the groups in turn, each as likely as any, mirrored at random."""
    rng = np.random.default_rng(seed)
    shares = np.array([len(sizes) for _, sizes in groups]) / sum(len(sizes) for _, sizes in groups)
    while True:
        numbers, sizes = groups[rng.choice(len(groups), p=shares)]
        chosen = rng.integers(0, len(sizes), max(16, jets * 30 // numbers.shape[1]))
        yield prepare(numbers[chosen] * [1, *rng.choice([-1, 1], 2)], sizes[chosen])


def train(net: Net, source: Iterator[dict[str, Tensor]], seconds: float, rate: float) -> None:
    """So many seconds of processor time, the rate falling to 0 as a cosine."""
    optimizer, begin, shown, step = torch.optim.Adam(net.parameters(), lr=rate), time.process_time(), 0.0, 0
    while (done := (time.process_time() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.51 + 0.5 * math.cos(math.pi * done))
        jets, step = next(source), step + 1
        most = jets["mask"].shape[1]
        bits = net(jets, 1 + torch.randperm(most - 1)[:TARGETS].sort()[0]) / jets["mask"].sum()
        optimizer.zero_grad()
        bits.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        if done >= shown:
            shown += 0.1
            print(f"step {step}, {100 * done:.0f} %: {bits.item():.3f} bits per particle", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE:PARTICLES")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--start", help="weights to start from")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    net = Net()
    if options.start:
        net.load_state_dict(torch.load(options.start, weights_only=True))
    groups = [numbers_of(path, int(number)) for path, number in (one.rsplit(":", 1) for one in options.files)]
    train(net, batches(groups, 128, options.seed), options.seconds, options.rate)
    torch.save(net.state_dict(), options.out + ".pt")
    write_weights(options.out, {"format": FORMAT, "what": "network of the learned coder"}, net.whole_numbers())


if __name__ == "__main__":
    main()
