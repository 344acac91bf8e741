"""The same jets written in every layout that files of jets have."""

from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import torch
import uproot

from lgae_pyg.datasets import JetFiles

SLOTS = 12
NAMES = ("QCD", "top")


class Jets:
    """Some jets of massive particles, ordered by falling pT, and their columns; unit GeV."""

    def __init__(self, jets: int = 7, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.sizes = rng.integers(2, SLOTS, jets)
        self.ptr = np.concatenate([[0], np.cumsum(self.sizes)])
        owner, n = np.repeat(np.arange(jets), self.sizes), self.ptr[-1]
        pt = rng.uniform(1, 100, n)
        self.pt = pt[np.lexsort((-pt, owner))]
        self.jet_eta, self.jet_phi = rng.normal(size=jets), rng.uniform(-3, 3, jets)
        self.eta = self.jet_eta[owner] + 0.1 * rng.normal(size=n)
        self.phi = self.jet_phi[owner] + 0.1 * rng.normal(size=n)
        self.m = rng.uniform(0, 1, n)
        p = self.pt * np.stack([np.cos(self.phi), np.sin(self.phi), np.sinh(self.eta)])
        self.p4 = np.stack([np.sqrt((p**2).sum(axis=0) + self.m**2), *p], axis=1)
        self.rapidity = np.arctanh(self.p4[:, 3] / self.p4[:, 0])
        self.charge = rng.integers(-1, 2, n)
        self.y = np.arange(jets) % 2
        self.jet_pt = np.add.reduceat(self.pt, self.ptr[:-1])
        self.owner = owner

    def __len__(self) -> int:
        return len(self.sizes)

    def jagged(self, column: np.ndarray) -> ak.Array:
        return ak.unflatten(np.ascontiguousarray(column), self.sizes)

    def padded(self, column: np.ndarray, slots: int = SLOTS) -> np.ndarray:
        array = np.zeros((len(self), slots, *column.shape[1:]), column.dtype)
        array[np.arange(slots) < self.sizes[:, None]] = column
        return array


def root_tree(path: Path, jets: Jets, **more: np.ndarray) -> None:
    """JetClass: lists of particles, one-hot labels."""
    e, px, py, pz = jets.p4.astype(np.float32).T
    lists = {"energy": e, "px": px, "py": py, "pz": pz, "charge": jets.charge.astype(np.float32)}
    tree = {f"part_{name}": jets.jagged(values) for name, values in lists.items()}
    labels = ["QCD", "Hbb", "Hcc", "Hgg", "H4q", "Hqql", "Zqq", "Wqq", "Tbqq", "Tbl"]
    tree |= {f"label_{name}": jets.y == i for i, name in enumerate(labels)}
    tree |= {"jet_pt": jets.jet_pt, "jet_eta": jets.jet_eta, "jet_phi": jets.jet_phi}
    tree |= {"jet_energy": 2 * jets.jet_pt}
    with uproot.recreate(path) as file:
        file.mktree(
            "tree",
            {
                name: ak.type(values).content if isinstance(values, ak.Array) else values.dtype
                for name, values in (tree | more).items()
            },
        )
        file["tree"].extend(tree | more)


def pandas_table(path: Path, jets: Jets) -> None:
    """The Zenodo table of the top tagging set, as PyTables writes it: blocks of columns, names in pickles."""
    names = [f"{axis}_{i}" for i in range(SLOTS) for axis in ("E", "PX", "PY", "PZ")]
    names += ["truthE", "truthPX", "truthPY", "truthPZ"]
    rows = np.zeros(
        len(jets), [("index", "<i8"), ("values_block_0", "<f4", (len(names),)), ("values_block_1", "<i8", (2,))]
    )
    rows["values_block_0"][:, : 4 * SLOTS] = jets.padded(jets.p4.astype(np.float32)).reshape(len(jets), -1)
    rows["values_block_1"] = np.stack([np.arange(len(jets)) % 3, jets.y], axis=1)
    with h5py.File(path, "w") as file:
        group = file.create_group("table")
        group.attrs["pandas_type"] = b"frame_table"
        table = group.create_dataset("table", data=rows, chunks=(4,), compression="gzip")
        table.attrs["NROWS"] = len(rows)
        table.attrs["values_block_0_kind"] = _pickled(names)
        table.attrs["values_block_1_kind"] = _pickled(["ttv", "is_signal_new"])


def _pickled(names: list[str]) -> np.bytes_:
    import pickle

    return np.bytes_(pickle.dumps(names, 0))


def pandas_fixed(path: Path, jets: Jets) -> None:
    """The other format of pandas: blocks with their names beside them."""
    names = [f"{axis}_{i}" for i in range(SLOTS) for axis in ("E", "PX", "PY", "PZ")]
    with h5py.File(path, "w") as file:
        group = file.create_group("frame")
        group.attrs["pandas_type"] = b"frame"
        group["axis1"] = np.arange(len(jets))
        group["block0_values"] = jets.padded(jets.p4).reshape(len(jets), -1)
        group["block0_items"] = np.array(names, "S")
        group["block1_values"], group["block1_items"] = jets.y[:, None], np.array(["is_signal_new"], "S")


def lgn(path: Path, jets: Jets) -> None:
    """LGN: Pmu with two beams in front, label -1 for them."""
    beams = np.tile([[[1.0, 0, 0, 1], [1, 0, 0, -1]]], (len(jets), 1, 1))
    label = np.concatenate([np.full((len(jets), 2), -1), jets.padded(np.ones(len(jets.p4), int))], axis=1)
    with h5py.File(path, "w") as file:
        file["Pmu"] = np.concatenate([beams, jets.padded(jets.p4)], axis=1)
        file["label"], file["is_signal"], file["Nobj"] = label, jets.y, jets.sizes
        file["mass"] = np.zeros(label.shape)


def jetnet(path: Path, jets: Jets) -> None:
    """JetNet: relative coordinates and a mask."""
    axis = [values[jets.owner] for values in (jets.jet_eta, jets.jet_phi, jets.jet_pt)]
    columns = np.stack([jets.eta - axis[0], jets.phi - axis[1], jets.pt / axis[2], np.ones(len(jets.pt))], axis=1)
    with h5py.File(path, "w") as file:
        file["particle_features"] = jets.padded(columns)
        file["jet_features"] = np.stack([jets.jet_pt, jets.jet_eta, jets.jet_pt / 5, jets.sizes], axis=1)


def energyflow(path: Path, jets: Jets) -> None:
    """EnergyFlow: pT, rapidity, azimuth and PDG number, massless."""
    columns = np.stack([jets.pt, jets.eta, jets.phi % (2 * np.pi), jets.charge * 211.0], axis=1)
    np.savez_compressed(path, X=jets.padded(columns), y=jets.y.astype(float))


def neutral(path: Path, jets: Jets) -> None:
    """p4, ptr, label."""
    np.savez(path, p4=jets.p4, ptr=jets.ptr, label=jets.y, class_names=np.array(NAMES), unit=np.array("GeV"))


def parquet_lists(path: Path, jets: Jets) -> None:
    """weaver: lists of particles, in row groups of two jets."""
    e, px, py, pz = jets.p4.astype(np.float32).T
    lists = {"part_energy": e, "part_px": px, "part_py": py, "part_pz": pz}
    table = {name: ak.to_arrow(jets.jagged(values)) for name, values in lists.items()}
    parquet.write_table(pyarrow.table(table | {"label": jets.y}), path, row_group_size=2)


def nano(path: Path, jets: Jets, ntuple: bool = False) -> None:
    """PFNano, as TTree or RNTuple: two jets in an event, candidates shuffled, some of no jet, links by number."""
    rng = np.random.default_rng(1)
    columns = {"pt": jets.pt, "eta": jets.eta, "phi": jets.phi, "mass": jets.m, "charge": jets.charge}
    events: list[dict] = []
    for first in range(0, len(jets), 2):
        numbers = [b for b in (first, first + 1) if b < len(jets)]
        members = np.concatenate([np.arange(jets.ptr[b], jets.ptr[b + 1]) for b in numbers])
        place = rng.permutation(len(members) + 3)  # three candidates of no jet
        event = {f"PFCands_{name}": np.full(len(place), 1.0) for name in columns}
        for name, values in columns.items():
            event[f"PFCands_{name}"][place[: len(members)]] = values[members]
        event["FatJetPFCands_pFCandsIdx"] = np.concatenate([place[: len(members)], [0]])
        event["FatJetPFCands_jetIdx"] = np.concatenate([jets.owner[members] - first, [-1]])
        of_jets = {"pt": jets.jet_pt, "eta": jets.jet_eta, "phi": jets.jet_phi, "mass": jets.jet_pt}
        for name, values in of_jets.items():
            event[f"FatJet_{name}"] = values[numbers]
        events.append(event | {"genWeight": 0.5 * first})
    with uproot.recreate(path) as file:
        flat = np.array([event.pop("genWeight") for event in events])
        lists = {name: ak.Array([event[name].tolist() for event in events]) for name in events[0]}
        columns = lists | {"genWeight": flat}
        if ntuple:
            file.mkrntuple("Events", columns)
            return
        types = {
            name: ak.type(one).content if isinstance(one, ak.Array) else one.dtype for name, one in columns.items()
        }
        file.mktree("Events", types)
        file["Events"].extend(columns)


#: Rounding of single precision, relative to the energy.
SINGLE = 3e-7


def deviation(found: JetFiles, wanted: np.ndarray) -> float:
    """Largest deviation of a momentum, in units of its energy."""
    pos = found.store.particle_fields["pos"].double()
    assert pos.shape == wanted.shape
    return float(((pos - torch.from_numpy(wanted)).abs().amax(1) / torch.from_numpy(wanted[:, 0])).max())
