"""The picture of the README: a jet, what an autoencoder makes of it, and ROC curves of a tagger.

    python train/picture.py JETS [JETS ...] --names A,B --out DIR

JETS are files of top and QCD jets. Of the first, a top jet is drawn, and as the shipped autoencoder
``shell_lgae_jets`` gives it back; of each, the ROC curve of the shipped tagger ``lorentz_net_tops``, with binomial
errors, and that of the jet mass. The areas are printed.
"""

import argparse
from pathlib import Path

import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch_geometric.data import Batch

import lgae_pyg
from lgae_pyg.applications.score_table import ScoreTable
from lgae_pyg.datasets import JetFiles
from lgae_pyg.evaluation.style import SETTINGS, STYLES, save_figure
from lgae_pyg.lorentz import azimuth, pseudorapidity, transverse_momentum
from lgae_pyg.lorentz.kinematics import wrap_angle
from lgae_pyg.metrics.roc import FEWEST_PASSING, area_under_curve, binomial_interval, drawn_curve
from lgae_pyg.training.drawing import draw_band

PARTICLES = 30
RADIUS = 0.7


def main() -> None:
    """Draws the picture and prints the areas under the curves."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("jets", nargs="+", metavar="JETS", help="files, folders or patterns of top and QCD jets")
    parser.add_argument("--names", metavar="A,B", help="what they are called (default: as they are given)")
    parser.add_argument("--jet", type=int, default=0, help="which top jet of the first is drawn (default 0)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the figure")
    options = parser.parse_args()
    names = options.names.split(",") if options.names else options.jets
    with plt.rc_context(SETTINGS):
        figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.7))
        draw_jets(left, middle, *jet_and_rebuilt(options.jets[0], options.jet))
        for path, name, style in zip(options.jets, names, STYLES, strict=False):
            draw_curve(right, lgae_pyg.score("lorentz_net_tops", path), name, style)
        finish(right)
        options.out.mkdir(parents=True, exist_ok=True)
        print(*save_figure(figure, options.out, "picture"), sep="\n")


def jet_and_rebuilt(path: str, number: int) -> tuple[torch.Tensor, torch.Tensor, int]:
    """The leading particles of a top jet, what the autoencoder makes of them, and the numbers of its code."""
    model = lgae_pyg.load_model("shell_lgae_jets").double().eval()
    jets = JetFiles(path, unit="TeV", num_particles=PARTICLES)
    tops = torch.as_tensor(jets.store.jet_field("y")) == jets.store.meta["class_names"].index("top")
    jet = jets[int(tops.nonzero()[number])]
    jet.pos = jet.pos.double()
    with torch.no_grad():
        return jet.pos, model(Batch.from_data_list([jet])).p4, model.latent_size


def draw_jets(left: Axes, right: Axes, jet: torch.Tensor, rebuilt: torch.Tensor, numbers: int) -> None:
    """Both as circles around the axis of the jet, with areas proportional to the transverse momenta in TeV."""
    axis = jet.sum(0)
    title = f"rebuilt from {numbers} numbers for {jet.numel()}"
    for axes, p4, words in ((left, jet, f"a top jet, {len(jet)} particles"), (right, rebuilt, title)):
        eta = pseudorapidity(p4) - pseudorapidity(axis)
        phi = wrap_angle(azimuth(p4) - azimuth(axis))
        style = {"edgecolor": STYLES[0]["color"], "linewidth": 0.8, "alpha": 0.6}
        axes.scatter(phi, eta, 4000 * transverse_momentum(p4), **style)
        axes.set(xlim=(-RADIUS, RADIUS), ylim=(-RADIUS, RADIUS), aspect="equal", title=words)
        axes.set(xlabel=r"$\Delta\phi$ [rad]", ylabel=r"$\Delta\eta$")


def draw_curve(axes: Axes, table: ScoreTable, name: str, style: dict[str, str]) -> None:
    """Background rejection against signal efficiency, of the score and of the jet mass."""
    top = table["y"] == table.meta["class_names"].index("top")
    scored = table["status"] == ""
    for column, label in (("score", f"LorentzNet, {name}"), ("jet_mass", None)):
        background, signal = (table[column][scored & kind] for kind in (~top, top))
        area = area_under_curve(background, signal)
        print(f"{name}, {column}: {len(signal)} top and {len(background)} QCD jets, AUC {area:.4f}")
        passing, efficiency = drawn_curve(background, signal)
        shown = passing * len(background) >= FEWEST_PASSING - 1e-9
        low, high = binomial_interval(passing[shown], len(background))
        x, y = efficiency[shown], 1 / passing[shown]
        if label:
            draw_band(axes, x, y, 1 / high, 1 / low, label=f"{label}: AUC {area:.3f}", **style)
        else:
            axes.plot(x, y, alpha=0.4, **style)


def finish(axes: Axes) -> None:
    """Scales, labels and the legend of the curves."""
    axes.plot([], [], color="0.5", alpha=0.6, label="the jet mass alone (pale)")
    axes.set(yscale="log", xlim=(0, 1), ylim=(1, None), title="a tagger that comes with the package")
    axes.set(xlabel=r"signal efficiency $\epsilon_S$", ylabel=r"background rejection $1 / \epsilon_B$")
    axes.legend(loc="lower left")


if __name__ == "__main__":
    main()
