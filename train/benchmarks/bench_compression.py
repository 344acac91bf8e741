"""Bits per jet at a guaranteed error: lgae compress beside general compressors, as a table and a figure.

    python train/benchmarks/bench_compression.py FILES --out DIR [--card CARD] [--particles N] [--model CKPT]

FILES are anything that JetFiles reads. Needs lgae-pyg[compress], zstandard, pysz and zfpy; a method whose package
is missing is left out, and the caption says so. Every row keeps its bound for every particle, and the largest
error of what comes back is in the table. Side information is counted (numbers of particles, tables, header),
labels are not.
"""

import argparse
import importlib
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lgae_pyg.applications.compression import CompressedJets, compress
from lgae_pyg.applications.compression.particles import Axis, stored_order, wrap
from lgae_pyg.applications.compression.quantise import Bounds, Grid, coordinates, quantise
from lgae_pyg.data import JetStore
from lgae_pyg.datasets import JetFiles
from lgae_pyg.tables import Table

#: Bounds: relative pT, angle in 1e-3.
BOUNDS = ((1e-3, 0.1), (2e-3, 0.2), (5e-3, 0.5), (0.01, 1.0), (0.02, 2.0), (0.05, 5.0), (0.1, 10.0))
NAMES = {
    "lgae": "lgae compress",
    "learned": "lgae compress --coder learned",
    "range": "columns against the stored jet axis, entropy",
    "zstd": "the same columns, zstd 19",
    "sz3": "SZ3 (pysz) on ln pT, eta, phi",
    "zfp": "zfp (zfpy) on ln pT, eta, phi",
    "model": "lgae compress with a model",
}
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#009E73", "#CC79A7", "0.5", "#E69F00")
XLABEL = "largest error of a particle [% of pT, 1e-3 in η and φ]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--card")
    parser.add_argument("--particles", type=int)
    parser.add_argument("--max-jets", type=int)
    parser.add_argument("--title", default="")
    only = "one bound, 1 %% and 1e-3, the two coders and the entropy of columns alone"
    parser.add_argument("--only", action="store_true", help=only)
    parser.add_argument("--model", help="checkpoint of an autoencoder, tried as well")
    options = parser.parse_args()
    data = JetFiles(options.files, options.card, num_particles=options.particles, max_jets=options.max_jets)
    store = data.store.gather(range(len(data)))
    pos = store.particle_fields["pos"].numpy()
    plain = JetStore(store.ptr, {"pos": torch.from_numpy(pos.astype(np.float32))}, None, {"unit": data.unit})
    missing, rows = [], exact_rows(plain)
    methods: dict[str, Callable[..., tuple[float, Errors]]] = {
        "lgae": partial(ours, coder="plain"),
        "learned": partial(ours, coder="learned"),
    }
    others = {"range": ("numpy", column_entropy), "zstd": ("zstandard", column_zstd)}
    others |= {"sz3": ("pysz", sz3), "zfp": ("zfpy", zfp)}
    for name, (package, method) in others.items():
        try:
            importlib.import_module(package)
            methods[name] = method
        except ImportError:
            missing.append(package)
    if options.model:
        methods["model"] = lambda jets, bounds: ours(jets, bounds, model=options.model, coder="model")
    if options.only:
        methods = {name: methods[name] for name in ("range", "lgae", "learned")}
    for pt, angle in [(0.01, 1.0)] if options.only else BOUNDS:
        for name, method in methods.items():
            bits, worst = method(plain, Bounds(pt, angle))
            rows.append((NAMES[name], pt, angle, bits, *worst))
            print(f"{NAMES[name]:50s} {pt:8g} {angle:6g} {bits:9.1f}", flush=True)
    caption = (
        f"{options.title or data.origin}: {len(plain):,} jets of {plain.num_particles / len(plain):.1f} particles "
        "on average. Bits per jet of the momenta with all side information; the bounds are on the pT (relative), "
        "and on eta and phi (in 1e-3) of every particle, and the largest errors are those of what comes back. The "
        "entropy is what an ideal coder with one table for each column would need; its tables are not counted, "
        "and columns with a value per jet cannot exceed the logarithm of the number of jets."
        + (f" Not installed: {', '.join(missing)}." if missing else "")
    )
    heads = {"method": "method", "pt": "bound pT", "angle": "bound angle", "bits": "bits per jet"}
    heads |= {"worst_pt": "largest pT error", "worst_angle": "largest angle error", "mass_iqr": "jet mass IQR"}
    table = Table("compression", caption, heads, tuple(rows))
    table.save(options.out)
    print(table.to_text())
    if not options.only:
        draw(table, options.out, options.title)


Errors = tuple[float, float, float]


def exact_rows(jets: JetStore) -> list[tuple]:
    """Float32 as it is, and with zstd."""
    pos = jets.particle_fields["pos"].numpy()
    rows = [("float32, (E, px, py, pz)", 0.0, 0.0, 128 * len(pos) / len(jets), 0.0, 0.0, 0.0)]
    rows.append(("float32, (px, py, pz)", 0.0, 0.0, 96 * len(pos) / len(jets), 0.0, 0.0, 0.0))
    try:
        packed = _zstd(np.ascontiguousarray(pos[:, 1:].T).view(np.uint8).reshape(3, -1, 4).transpose(0, 2, 1))
        rows.append(("float32, (px, py, pz), zstd 19", 0.0, 0.0, 8 * packed / len(jets), 0.0, 0.0, 0.0))
    except ImportError:
        pass
    return rows


def ours(jets: JetStore, bounds: Bounds, **more: str) -> tuple[float, Errors]:
    """Bits per jet on disk, all of the file."""
    with tempfile.TemporaryDirectory() as folder:
        account = compress(jets, Path(folder, "jets"), pt=bounds.pt, angle=bounds.angle, **more)
        with CompressedJets(Path(folder, "jets"), more.get("model")) as back:
            p4 = back.read(0, len(back)).p4
    worst = account.worst
    return account.bits(), (worst["pt"], max(worst["eta"], worst["phi"]), _mass_iqr(jets, p4))


def column_entropy(jets: JetStore, bounds: Bounds) -> tuple[float, Errors]:
    """The entropy of the columns, each number by itself: what a range coder with one table a column needs."""
    columns, worst = _columns(jets, bounds)
    return sum(map(_entropy, columns)) / len(jets), worst


def column_zstd(jets: JetStore, bounds: Bounds) -> tuple[float, Errors]:
    """The same columns in bytes, by zstd."""
    columns, worst = _columns(jets, bounds)
    total = sum(_zstd(_planes(values)) for values in columns)
    return 8 * total / len(jets), worst


def sz3(jets: JetStore, bounds: Bounds) -> tuple[float, Errors]:
    """SZ3 with absolute bounds on the sorted ln pT, on eta and on phi."""
    import pysz

    def one(values: np.ndarray, bound: float) -> tuple[int, np.ndarray]:
        config = pysz.szConfig(values.shape)
        config.errorBoundMode = pysz.szErrorBoundMode.ABS
        config.absErrorBound = bound
        packed, _ = pysz.sz.compress(values, config)
        back, _ = pysz.sz.decompress(packed, values.dtype, values.shape)
        return packed.nbytes, back

    return _coordinates_with(jets, bounds, one)


def zfp(jets: JetStore, bounds: Bounds) -> tuple[float, Errors]:
    """zfp with absolute bounds on the same columns."""
    import zfpy

    def one(values: np.ndarray, bound: float) -> tuple[int, np.ndarray]:
        packed = zfpy.compress_numpy(values, tolerance=bound)
        return len(packed), zfpy.decompress_numpy(packed)

    return _coordinates_with(jets, bounds, one)


def _coordinates_with(jets: JetStore, bounds: Bounds, one: Callable) -> tuple[float, Errors]:
    """Coordinates relative to the leading particle, compressed one by one; numbers of particles by zstd."""
    pos, ptr = jets.particle_fields["pos"].numpy(), jets.ptr.numpy()
    pt, eta, phi, _ = coordinates(pos)
    owner = np.repeat(np.arange(len(jets)), np.diff(ptr))
    order = np.lexsort((-pt, owner))
    lead = order[ptr[:-1]][owner]
    turn = (phi - phi[lead] + np.pi) % (2 * np.pi) - np.pi
    columns = np.log(pt)[order], (eta - eta[lead])[order], turn[order]
    limits = np.log1p(bounds.pt), 1e-3 * bounds.angle, 1e-3 * bounds.angle
    heads = [(eta[lead][ptr[:-1]], limits[1]), (phi[lead][ptr[:-1]], limits[2])]
    size, back = _zstd(_planes(np.diff(ptr))), []
    for values, bound in zip(columns, (limits[0], limits[1] / 2, limits[2] / 2)):
        packed, found = one(np.ascontiguousarray(values), bound)
        size, back = size + packed, [*back, found]
    leads = []
    for values, bound in heads:
        packed, found = one(np.ascontiguousarray(values), bound / 2)
        size, leads = size + packed, [*leads, found]
    new_pt, new_eta, new_phi = np.exp(back[0]), back[1] + leads[0][owner], back[2] + leads[1][owner]
    moved = np.abs(new_pt / pt[order] - 1).max(), 1e3 * np.abs(new_eta - eta[order]).max()
    turned = np.abs((new_phi - phi[order] + np.pi) % (2 * np.pi) - np.pi).max()
    p4 = new_pt * np.stack([np.cosh(new_eta), np.cos(new_phi), np.sin(new_phi), np.sinh(new_eta)])
    worst = float(moved[0]), float(max(moved[1], 1e3 * turned)), _mass_iqr(jets, p4.T)
    return 8 * size / len(jets), worst


def _columns(jets: JetStore, bounds: Bounds) -> tuple[list[np.ndarray], Errors]:
    """Sorted jets on the grid as columns: numbers of particles, pT of the first, steps of pT, angles against the
    stored axis of the jet, the axis."""
    pos, ptr = jets.particle_fields["pos"].numpy(), jets.ptr.numpy()
    grid = Grid.of(bounds, np.float32)
    integers, back = quantise(pos, bounds, grid)
    order = stored_order(integers, ptr)
    integers, back = integers.take(order), back[order]
    owner, first = np.repeat(np.arange(len(jets)), np.diff(ptr)), ptr[:-1]
    axis = Axis(grid, len(jets))
    for rank in range(int(np.diff(ptr).max())):
        rows = np.flatnonzero(np.diff(ptr) > rank)
        places = first[rows] + rank
        axis.add(rows, integers.pt[places], integers.eta[places], integers.phi[places])
    eta, phi = axis.of(np.arange(len(jets)))
    later = np.ones(len(order), dtype=bool)
    later[first] = False
    fall = integers.pt[np.flatnonzero(later) - 1] - integers.pt[later]
    columns = [np.diff(ptr), integers.pt[first], fall, integers.eta - eta[owner], eta, phi % grid.turn]
    columns.append(wrap(integers.phi - phi[owner], grid.turn))
    (pt, e, f, _), (pt2, e2, f2, _) = coordinates(pos[order]), coordinates(back)
    turn = np.abs((f2 - f + np.pi) % (2 * np.pi) - np.pi).max()
    worst = float(np.abs(pt2 / pt - 1).max()), float(1e3 * max(np.abs(e2 - e).max(), turn)), _mass_iqr(jets, back)
    return columns, worst


def _mass_iqr(jets: JetStore, p4: np.ndarray) -> float:
    """Interquartile range of the relative error of the jet mass, jets of mass above 1 GeV."""
    ptr = jets.ptr.numpy()
    mass = []
    for momenta in (jets.particle_fields["pos"].numpy(), p4):
        energy, px, py, pz = np.add.reduceat(momenta.astype(np.float64), ptr[:-1]).T
        mass.append(np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0)))
    heavy = mass[0] > 1
    low, high = np.quantile(mass[1][heavy] / mass[0][heavy] - 1, (0.25, 0.75))
    return float(high - low)


def _entropy(values: np.ndarray) -> float:
    counts = np.unique(values, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum())


def _planes(values: np.ndarray) -> np.ndarray:
    """The bytes of whole numbers, in int16 where they fit; zigzag, so that small ones have a zero high byte."""
    folded = np.where(values < 0, -2 * values - 1, 2 * values)
    kind = np.uint16 if folded.max() < 1 << 16 else np.uint32
    return folded.astype(kind).view(np.uint8).reshape(len(values), -1).T


def _zstd(values: np.ndarray) -> int:
    import zstandard

    return len(zstandard.ZstdCompressor(level=19).compress(np.ascontiguousarray(values).tobytes()))


def draw(table: Table, folder: Path, title: str) -> None:
    """Bits per jet against the error that was measured, a line for each method, and their ratio to ours there."""
    from matplotlib import pyplot as plt

    from lgae_pyg.evaluation.style import SETTINGS

    with plt.rc_context(SETTINGS):
        figure, (axes, lower) = plt.subplots(2, 1, figsize=(6.4, 6.6), sharex=True, height_ratios=(2, 1))
        records = [row for row in table.records() if row["pt"] > 0]
        ours = [row for row in records if row["method"] == NAMES["lgae"]]
        for number, method in enumerate(dict.fromkeys(row["method"] for row in records)):
            rows = [row for row in records if row["method"] == method]
            x, y = np.array([[_error(row), row["bits"]] for row in rows]).T
            looks = {"marker": "o*sD^vP"[number], "color": COLOURS[number], "label": method, "markersize": 5}
            filled = method in (NAMES["lgae"], NAMES["learned"])
            looks |= {"zorder": 5} if filled else {"markerfacecolor": "white", "linestyle": "--"}
            axes.plot(x, y, **looks)
            at = np.interp(np.log(x), [np.log(_error(row)) for row in ours], [row["bits"] for row in ours])
            inside = x >= 0.99 * _error(ours[0])
            lower.plot(x[inside], (y / at)[inside], **looks)
        for row in table.records()[1:3]:
            if row["pt"] == 0:
                axes.axhline(row["bits"], color="0.4", linestyle=":" if "zstd" in row["method"] else "--", lw=1)
                text, place = row["method"] + ", no error", (0.99, row["bits"])
                looks = {"ha": "right", "va": "bottom", "fontsize": "small", "color": "0.3"}
                axes.annotate(text, place, xycoords=("axes fraction", "data"), **looks)
        axes.set(ylabel="bits per jet", xscale="log", ylim=(0, None), title=title)
        lower.set(ylabel="ratio to lgae compress\nat the same error", xlabel=XLABEL)
        lower.xaxis.set_major_formatter("{x:g}")
        lower.axhline(1, color="0.7", lw=0.8)
        axes.legend(fontsize="small", loc="upper right", bbox_to_anchor=(1.0, 0.76), frameon=False)
        for suffix in ("png", "pdf"):
            figure.savefig(folder / f"compression.{suffix}")


def _error(row: Mapping[str, float]) -> float:
    """The largest error that came back, in per cent of pT or 1e-3 of an angle, whichever is larger."""
    return max(100 * row["worst_pt"], row["worst_angle"])


if __name__ == "__main__":
    main()
