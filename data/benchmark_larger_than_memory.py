"""Converts more jets than memory should hold and trains on them, while the resident memory is recorded.

Ten million jets are made by repetition: of made-up jets, or of files given with --files. They are converted to a
store in shards, read once in a shuffled epoch, read by the workers of PyTorch Geometric's DataLoader, and an
autoencoder takes some hundred steps on the training split. The memory of this process and of its workers together
is written to memory.csv and drawn in memory.png; the script fails where it exceeds the limit. The jets are removed
at the end.

    OMP_NUM_THREADS=2 python data/benchmark_larger_than_memory.py --out larger_than_memory
"""

import argparse
import csv
import itertools
import os
import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from matplotlib import pyplot as plt
from torch_geometric.loader import DataLoader

from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.datasets.base import stratified_split
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.conversion import Conversion, convert
from lgae_pyg.datasets.recognition import recognise_card
from lgae_pyg.evaluation.style import SETTINGS, STYLES
from lgae_pyg.losses import get_loss
from lgae_pyg.models import LGAE

JETS_IN_FILE = 100_000
BATCH = 64


class Memory(threading.Thread):
    """Records the resident memory of this process and its children twice a second, by phase of the work."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.rows: list[dict[str, object]] = []
        self.spans: list[tuple[str, float, float]] = []
        self._begin, self._phase, self._over = time.perf_counter(), "start", threading.Event()

    def now(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._begin

    def run(self) -> None:
        """Reads until it is stopped."""
        while not self._over.wait(0.5):
            self.read()

    def read(self) -> None:
        """Adds a row."""
        own, workers = status(os.getpid()), [status(number) for number in children()]
        total = own.get("VmRSS", 0) + sum(worker.get("VmRSS", 0) for worker in workers)
        row = {"seconds": round(self.now(), 2), "phase": self._phase, "total_mib": total, "rss_mib": own["VmRSS"]}
        row |= {"file_backed_mib": own["RssFile"], "peak_rss_mib": own["VmHWM"], "workers": len(workers)}
        self.rows.append(row)

    @contextmanager
    def phase(self, name: str, jets: int) -> Iterator[None]:
        """Names the work of the block, and prints what it took."""
        begin, self._phase = self.now(), name
        self.read()
        yield
        self.read()
        self.spans.append((name, begin, self.now()))
        most = max(row["total_mib"] for row in self.rows if row["phase"] == name)
        taken = self.now() - begin
        print(f"{name}: {taken:.0f} s, {jets / taken:,.0f} jets/s, at most {most:,.0f} MiB resident", flush=True)

    def stop(self) -> None:
        """Ends the recording."""
        self._over.set()
        self.join()


def status(process: int) -> dict[str, float]:
    """Memory of a process in MiB, by the names that Linux gives."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:  # it has ended
        return {}
    return {name: int(kib) / 1024 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}


def children() -> list[int]:
    """Numbers of the processes that this one has started."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(number) for one in lists for number in one.read_text().split()]


def write_jets(path: Path, jets: int) -> None:
    """Writes made-up jets of 15 to 30 massless particles in our neutral layout."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(15, 31, jets)
    ptr = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.repeat(np.arange(jets), sizes)
    pt = rng.exponential(25, ptr[-1]).astype(np.float32) + 1
    eta, phi = (rng.normal(0, 0.2, ptr[-1]) + rng.normal(0, 1, jets)[owner] for _ in range(2))
    p4 = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], -1)
    labels, names = rng.integers(0, 2, jets), np.array(["QCD", "top"])
    np.savez(path, p4=p4.astype(np.float32), ptr=ptr, label=labels, class_names=names)


def repeat_files(files: list[Path], folder: Path, jets: int) -> list[str]:
    """Links to the files under many names, until they hold that many jets."""
    card, links, found = recognise_card(files[0]), [], 0
    counts = {file: sum(piece.rows for piece in Conversion((str(file),), card).pieces()) for file in files}
    for number, file in enumerate(itertools.cycle(files)):
        if found >= jets:
            return links
        links.append(str(folder / f"{number:04d}{file.suffix}"))
        os.link(file, links[-1])
        found += counts[file]


def train(store: JetStore, steps: int) -> None:
    """Trains a small autoencoder on the training split for some steps."""
    ids = stratified_split(store.jet_field("y"), "train", (0.6, 0.2, 0.2), 0)
    loader = JetLoader(store.select(ids).to(torch.float64), BATCH, shuffle=True, seed=0)
    model = LGAE("min&max", encoder_channels=(2, 2), decoder_channels=(2, 2))
    optimizer, loss = torch.optim.Adam(model.parameters(), 1e-3), get_loss("mse")
    for batch in itertools.islice(loader, steps):
        result = model(batch)
        optimizer.zero_grad()
        loss(result.p4, result.ptr, batch.pos, batch.ptr).mean().backward()
        optimizer.step()


def draw(memory: Memory, path: Path, gibibytes: float, jets: int, limit: float) -> None:
    """Draws the resident memory over time, the limit and the size of the store beside it."""
    seconds = [row["seconds"] for row in memory.rows]
    lines = {
        "total_mib": "this process and its workers (shared pages counted in each)",
        "rss_mib": "this process",
        "file_backed_mib": "this process, files mapped (libraries and jets)",
    }
    top = max(limit, gibibytes)
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(7, 4.2))
        for number, (name, begin, end) in enumerate(memory.spans):
            axes.axvspan(begin, end, color="0.92" if number % 2 else "0.98", lw=0, zorder=0)
            height = top * (1.06 + 0.08 * (number % 2))  # narrow spans beside each other
            axes.text((begin + end) / 2, height, name, ha="center", fontsize=9)
        for (name, label), style in zip(lines.items(), STYLES):
            axes.plot(seconds, [row[name] / 1024 for row in memory.rows], label=label, **style)
        axes.axhline(limit, color="0.2", lw=1, label=f"limit, {limit:g} GiB")
        axes.axhline(gibibytes, color="0.5", lw=1, ls=(0, (6, 3)), label=f"the jets on disk, {gibibytes:.2f} GiB")
        axes.set(xlabel="time [s]", ylabel="resident memory [GiB]", xlim=(0, seconds[-1]), ylim=(0, 1.24 * top))
        axes.set_title(f"{jets / 1e6:g} million jets converted, read and trained on")
        figure.legend(loc="outside lower center", ncols=2)
        figure.savefig(path)


def main() -> int:
    """Does the work; returns 1 if the memory exceeded the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jets", type=int, default=10_000_000)
    parser.add_argument("--files", type=Path, nargs="+", help="files of one kind that are repeated")
    parser.add_argument("--card", help="their data card; recognised when omitted")
    parser.add_argument("--workers", type=int, default=2, help="processes that convert, and of the DataLoader")
    parser.add_argument("--steps", type=int, default=1000, help="steps of training")
    parser.add_argument(
        "--limit", type=float, default=3.0, help="resident memory in GiB that must not be exceeded"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of memory.csv and memory.png")
    options = parser.parse_args()
    memory = Memory()
    memory.start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = options.files or [folder / "made_up.npz"]
        if not options.files:
            write_jets(files[0], min(JETS_IN_FILE, options.jets))
        else:
            files = [
                Path(shutil.copy(file, folder / f"copy{number}{file.suffix}")) for number, file in enumerate(files)
            ]
        (folder / "files").mkdir()
        links = repeat_files(files, folder / "files", options.jets)
        card = read_card(options.card) if options.card else recognise_card(links[0])
        with memory.phase("convert", options.jets):
            convert(Conversion(tuple(links), card, unit="TeV"), folder / "store", options.workers)
        size = sum(file.stat().st_size for file in (folder / "store").iterdir()) / 2**30
        store = JetStore.load(folder / "store")
        with memory.phase("one epoch", len(store)):
            read = sum(len(batch.y) for batch in JetLoader(store, 512, shuffle=True, seed=0))
        with memory.phase("DataLoader", 300 * BATCH):
            order = JetLoader(store, BATCH, shuffle=True, seed=1).order(0)[: 300 * BATCH].tolist()
            jets = Jets(store)
            for _ in DataLoader(jets, BATCH, sampler=order, num_workers=options.workers):
                pass
        with memory.phase("train", options.steps * BATCH):
            train(store, options.steps)
        memory.stop()
    print(
        f"{read:,} of {len(store):,} jets read once, {store.num_particles:,} particles, {size:.2f} GiB in shards"
    )
    options.out.mkdir(parents=True, exist_ok=True)
    with open(options.out / "memory.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(memory.rows[0]))
        writer.writeheader()
        writer.writerows(memory.rows)
    draw(memory, options.out / "memory.png", size, len(store), options.limit)
    most = max(row["total_mib"] for row in memory.rows) / 1024
    print(f"at most {most:.2f} GiB resident, this process alone {memory.rows[-1]['peak_rss_mib'] / 1024:.2f} GiB")
    return int(most > options.limit)


class Jets(torch.utils.data.Dataset):
    """The jets of a store one by one, as PyTorch Geometric's DataLoader wants them."""

    def __init__(self, store: JetStore) -> None:
        self.store = store

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, number: int) -> object:
        return self.store.jet(number)


if __name__ == "__main__":
    sys.exit(main())
