"""Pictures for the dashboard: jet images, histograms of residuals."""

from typing import Any

import lightning.pytorch as pl
import torch

from lgae_pyg.metrics import JET_FEATURES, PARTICLE_FEATURES, jet_features, particle_features, relative_error
from lgae_pyg.ops.images import jet_images


class Panels(pl.Callback):
    """Sends pictures of some validation jets to W&B every few epochs; the task draws them.

    Args:
        logger: the ``WandbLogger``.
        every: epochs between two sets of pictures.
    """

    def __init__(self, logger: Any, every: int = 10) -> None:
        self.logger = logger
        self.every = every
        self._shown: tuple[Any, Any] | None = None

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Keeps the first batch and its result until the end of the epoch."""
        if batch_idx == 0:
            self._shown = batch, outputs["result"]

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Draws and sends the pictures, if it is their turn."""
        shown, self._shown = self._shown, None
        if shown is None or (trainer.current_epoch + 1) % self.every or not trainer.is_global_zero:
            return
        for key, figure in module.figures(*shown).items():
            self.logger.log_image(key, [figure], step=trainer.global_step)


def image_figure(batch: Any, result: Any, examples: int = 3) -> Any:
    """Draws true (above) and reconstructed (below) jets, and in the first column their mean."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    images = getattr(result, "images", None)
    if images is None:
        true, made, radius = jet_images(batch.pos, batch.ptr), jet_images(result.p4, result.ptr), 0.5
    else:
        true, made, radius = images.target, images.output, images.max_radius
    true, made = true.cpu().double(), made.cpu().double()
    columns = min(examples, len(true)) + 1
    figure = Figure(figsize=(2.4 * columns, 5), layout="constrained")
    axes = figure.subplots(2, columns, sharex=True, sharey=True)
    for row, (images, label) in enumerate(((true, "true"), (made, "reconstructed"))):
        shown = [images.mean(0), *images[: columns - 1]]
        for column, image in enumerate(shown):
            title = "mean" if column == 0 else f"jet {column}"
            axis = axes[row, column]
            window = {"origin": "lower", "extent": (-radius, radius, -radius, radius)}
            picture = axis.imshow(image, norm=LogNorm(1e-4, 1, clip=True), **window)
            axis.set_title(f"{label}, {title}", fontsize=8)
    figure.supxlabel(r"$\eta - \eta_\mathrm{jet}$")
    figure.supylabel(r"$\phi - \phi_\mathrm{jet}$ [rad]")
    figure.colorbar(picture, ax=axes, label=r"$p_\mathrm{T}^\mathrm{rel}$ per pixel", extend="min")
    return figure


def residual_figure(batch: Any, result: Any) -> Any:
    """Draws histograms of relative errors, of jets and, where particles correspond, of particles.

    Errors that are all below a bound of the precision, 4e-10 in float64 and 7e-5 in float32, are called rounding
    instead: that of a mass is larger than that of a momentum by the square of energy over mass.
    """
    from matplotlib.figure import Figure

    rounding = torch.finfo(result.p4.dtype).eps ** 0.6

    sets = [("jet", jet_features, JET_FEATURES)]
    if torch.equal(batch.ptr, result.ptr):
        sets.append(("particle", particle_features, PARTICLE_FEATURES))
    residuals = {}
    for kind, features, names in sets:
        values = errors(features, batch, result, names)
        residuals |= {f"{kind} {name}": row for name, row in zip(names, values)}
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots(2, 4).flatten()
    for axis, (name, values) in zip(axes, residuals.items()):
        values = values[torch.isfinite(values)]
        if len(values) and values.abs().max() < rounding:
            text = f"conserved to rounding:\nat most {values.abs().max():.0e}"
            axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes, fontsize=8)
        elif len(values):
            low, high = torch.quantile(values, torch.tensor([0.02, 0.98]).to(values)).tolist()
            axis.hist(values.clamp(low, high).numpy(), bins=60)
        axis.set_title(f"relative error, {name}", fontsize=8)
    for axis in axes[len(residuals) :]:
        axis.set_axis_off()
    figure.supylabel("entries per bin")
    note = "(reconstructed - true) / true; the outermost 2 % on each side are in the outermost bins"
    figure.supxlabel(note, fontsize=8)
    return figure


def errors(features: Any, batch: Any, result: Any, names: tuple[str, ...]) -> torch.Tensor:
    """Returns the relative errors of some features, one row per feature."""
    made, true = features(result.p4, result.ptr), features(batch.pos, batch.ptr)
    return relative_error(made, true, names).T.cpu().double()
