"""The curve of a training."""

import io
from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt

from lgae_pyg.evaluation.style import SETTINGS, STYLES, add_caption
from lgae_pyg.tables import Value


def training_curve(rows: Sequence[Mapping[str, Value]], label: str) -> bytes | None:
    """Training and validation loss against the epoch, as PNG; ``None`` if there is nothing to draw.

    Args:
        rows: those of a run's ``metrics.csv``.
        label: printed name of the model.
    """
    with plt.rc_context(SETTINGS):
        figure, axes = plt.subplots(figsize=(6.4, 3.8))
        for style, name in zip(STYLES, ("train/loss", "val/loss")):
            points = [(row["epoch"], row[name]) for row in rows if isinstance(row.get(name), float) and row[name]]
            if points:
                axes.plot(*zip(*points), marker="o", markersize=3, label=name.replace("/", " "), **style)
        drawn = bool(axes.lines)
        axes.set(xlabel="epoch", ylabel="loss", yscale="log")
        axes.grid(alpha=0.3)
        axes.legend()
        add_caption(figure, f"Loss of {label}, in the unit of its configuration.")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
        plt.close(figure)
    return buffer.getvalue() if drawn else None
