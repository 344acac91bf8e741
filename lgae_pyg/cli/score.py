"""``lgae score``: a trained model applied to files of jets."""

import argparse
import sys
from pathlib import Path
from typing import Any

from lgae_pyg.cli.parser import CommandParser, positive
from lgae_pyg.places import check_inputs, preset_names, score_format, shipped_models


def add_arguments(parser: CommandParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a run, a checkpoint, or a name: " + ", ".join(shipped_models()))
    add("files", nargs="+", metavar="IN", help="ROOT, HDF5, Parquet or NumPy files, stores, folders or patterns")
    add("--out", required=True, type=Path, metavar="OUT", help="score file: .parquet, .h5, .root or .npz")
    add("--card", metavar="CARD", help="what is in the files (default: the card of the training, or recognised)")
    add("--no-labels", action="store_true", help="read no classes: for files that have none")
    add("--latents", action="store_true", help="autoencoders: also the numbers of the codes")
    add(
        "--reference",
        metavar="FILES",
        help="autoencoders: also scores of the codes, fitted on these ordinary jets; train: on the training jets",
    )
    add("--batch-size", type=positive, default=64, metavar="N", help="jets per batch (default 64)")
    add("--device", default="cpu", help="cpu (default), cuda, cuda:1, or auto: a GPU where there is one")
    add("--workers", type=positive, default=1, metavar="K", help="processes, of one thread each (default 1)")
    add(
        "--shard",
        type=_shard,
        metavar="I/N",
        help="score the I-th of N shares; a last call joins them",
    )
    add("--quiet", action="store_true", help="no progress bar")
    parser.offers = {"model": shipped_models, "card": preset_names, "reference": lambda: ["train"]}


def run(options: argparse.Namespace) -> int:
    """Scores the files, and prints what the gate did, and how fast it went."""
    score_format(options.out)
    check_inputs(options.model, options.files, options.card)
    if options.reference not in (None, "train"):
        check_inputs(files=[options.reference])

    from lgae_pyg.applications.score_files import parts_folder, score_files
    from lgae_pyg.applications.score_formats import read_meta
    from lgae_pyg.applications.score_job import ScoreJob, choose_card
    from lgae_pyg.applications.score_model import Scorer, reference_codes
    from lgae_pyg.datasets.readers import find_files
    from lgae_pyg.ops.threads import limited_threads
    from lgae_pyg.processes import GracefulStop

    files = find_files(options.files)
    trained = Scorer.of(options.model, options.latents, options.batch_size, options.device).card
    card = choose_card(options.card, files, trained, not options.no_labels)
    print(f"the jets are read with {card}", file=sys.stderr)
    codes = None
    if options.reference is not None:
        with limited_threads(1):  # the same numbers whenever the job goes on
            codes = reference_codes(options.model, options.reference, options.card, options.batch_size)
    sizes = {"batch_size": options.batch_size, "device": options.device}
    job = ScoreJob(options.model, tuple(files), card, options.latents, codes, **sizes)
    with GracefulStop("finishing this piece") as stop, _Progress(options.out.name, options.quiet) as progress:
        out = score_files(job, options.out, options.workers, options.shard, progress, stop.check)
    if out is None:
        share = "/".join(map(str, options.shard))
        print(f"shard {share}: {progress.text}; its parts are in {parts_folder(options.out)}")
        print("When all shards are done, the same command without --shard writes the file.")
        return 0
    meta = read_meta(out)
    print("\n".join(_lines(meta)))
    read = meta["admission"]["read"]
    if read != progress.done:  # a selection, or events of several jets
        progress.unit = "events" if card.links else "rows"
    print(f"{out}: {progress.text}" + (f" ({read:,} jets)" if read != progress.done else ""))
    return 0


def _lines(meta: dict[str, Any]) -> list[str]:
    """What was done to the jets, in sentences."""
    from lgae_pyg.data.admission import Admission

    return [*Admission.from_dict(meta["admission"]).lines(), *meta["notes"]]


def _shard(text: str) -> tuple[int, int]:
    try:
        number, shards = map(int, text.split("/"))
    except ValueError:
        raise argparse.ArgumentTypeError("give I/N, as in 1/4, 2/4, 3/4, 4/4") from None
    if not 1 <= number <= shards:
        raise argparse.ArgumentTypeError(f"{text}: there are shares 1/{shards} to {shards}/{shards}")
    return number, shards


class _Progress:
    """A bar with jets per second; a line now and then in a file."""

    def __init__(self, name: str, quiet: bool) -> None:
        from tqdm import tqdm

        every = 0.1 if sys.stderr.isatty() else 30.0
        self.bar = tqdm(unit="jets", unit_scale=True, desc=name, disable=quiet, mininterval=every)
        self.first: int | None = None
        self.done, self.unit = 0, "jets"

    def __enter__(self) -> "_Progress":
        import time

        self.begin = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def __call__(self, done: int, total: int) -> None:
        if self.first is None:
            self.first = self.bar.initial = done
            self.bar.reset(total)
        self.bar.update(done - self.done)
        self.done = done

    @property
    def text(self) -> str:
        """How much was done, and how fast."""
        import time

        seconds = time.perf_counter() - self.begin
        if self.first is None:
            return "was finished before"
        now = self.done - self.first
        kept = f", {self.first:,} were done before" if self.first else ""
        return f"{now:,} {self.unit} in {seconds:.1f} s, {now / seconds:,.0f} {self.unit}/s{kept}"
