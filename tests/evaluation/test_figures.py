"""What figures draw: the numbers behind lines, bands and arrows, not their pixels."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import lgae_pyg
from lgae_pyg.applications.judge.figures import mass_figure, roc_figure, score_figure
from lgae_pyg.applications.judge.numbers import CUTS
from lgae_pyg.evaluation.anomaly.figures import profile
from lgae_pyg.evaluation.anomaly.figures import roc_figure as anomaly_roc
from lgae_pyg.evaluation.results import Results
from lgae_pyg.metrics.roc import FEWEST_PASSING, binomial_interval, figures_of_merit
from lgae_pyg.metrics.statistics import shares
from lgae_pyg.tables import format_with_error
from lgae_pyg.training.drawing import draw_band, draw_steps, mark_outside
from lgae_pyg.training.tagging_panels import draw_calibration


def judged(background: int, sign: int = 1, signal: int = 400, seed: int = 0):
    """A verdict on a score that knows the mass, and on the number of particles, which is 30 for most jets."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], [background, signal])
    mass = np.where(y == 1, rng.normal(180, 30, len(y)), rng.exponential(40, len(y))).clip(1)
    count = np.where(rng.random(len(y)) < 0.8, 30, rng.integers(10, 30, len(y)))
    score = sign * (mass / 50 + rng.normal(size=len(y)))
    names = ("QCD", "top")
    return lgae_pyg.judge(score, y, class_names=names, mass=mass, num_particles=count, resamples=5)


def words_of(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def line_of(axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    return next(line for line in axes.lines if line.get_label() == label).get_data()


def band_at(axes, number: int, x: float) -> np.ndarray:
    """The lower and the upper end of a band at the place nearest to x."""
    points = axes.collections[number].get_paths()[0].vertices
    here = points[np.abs(points[:, 0] - x).argmin(), 0]
    values = points[points[:, 0] == here, 1]
    return np.array([values.min(), values.max()])


@pytest.mark.parametrize("background", [90, 500, 2000])
def test_the_masses_drawn_are_the_cuts_of_the_table_and_the_caption_says_so(background: int) -> None:
    verdict = judged(background)
    found = verdict.numbers[0].sculpting["larger"]
    figure = mass_figure(verdict)
    labels = set(figure.axes[0].get_legend_handles_labels()[1]) - {"all background"}
    assert labels == {rf"$\epsilon_B$ = {cut:g}" for cut in CUTS if found[cut] is not None}
    for cut in CUTS:
        missing = f"A cut of {cut:g} is not drawn: fewer than 10 jets pass" in words_of(figure)
        assert missing == (found[cut] is None)
    assert "(-)" not in words_of(figure) and "(-)" in words_of(mass_figure(judged(background, sign=-1)))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_improvement_drawn_is_that_of_the_table_with_the_error_of_its_cut(sign: int) -> None:
    verdict = judged(2000, sign)
    figure, way = roc_figure(verdict), "larger" if sign > 0 else "smaller"
    left, right = figure.axes
    for number, one in enumerate(verdict.numbers[:2]):  # the score, and the mass alone
        x, ratio = right.lines[2 * number].get_data()  # after each line the dot where it begins
        merits = one.merits[way if number == 0 else "larger"]
        assert ratio.max() == pytest.approx(merits["improvement"])
        dot = right.lines[2 * number + 1].get_data()
        assert (dot[0][0], dot[1][0]) == (x[0], ratio[0])
    x, ratio = right.lines[0].get_data()
    here = np.abs(x - 0.5).argmin()
    passing, efficiency = (x[here] / ratio[here]) ** 2, x[here]
    relative = (1 - efficiency) / (400 * efficiency) + (1 - passing) / (4 * 2000 * passing)
    low, high = band_at(right, 0, x[here])
    assert (high - low) / 2 == pytest.approx(ratio[here] * relative**0.5, rel=0.02)
    assert (x[x > 0] / ratio[x > 0]).min() == pytest.approx((FEWEST_PASSING / 2000) ** 0.5, rel=0.01)
    x, rejection = left.lines[0].get_data()
    here = np.abs(x - 0.5).argmin()
    low, high = binomial_interval(1 / rejection[here], 2000)
    assert band_at(left, 0, x[here]) == pytest.approx([1 / high, 1 / low], rel=0.02)


def test_equal_scores_are_drawn_as_the_straight_line_that_the_table_reads() -> None:
    """Four of five jets have 30 particles: the curve of their number does not begin there."""
    verdict = judged(2000)
    labels = [line.get_label() for line in roc_figure(verdict).axes[0].lines]
    label = next(name for name in labels if name.startswith("number of particles alone"))
    x, rejection = line_of(roc_figure(verdict).axes[0], label)
    assert x.min() < 0.01 and rejection.max() == pytest.approx(2000)
    rng = np.random.default_rng(0)
    arrays = {}
    for name in ("QCD", "w"):
        count = np.where(rng.random(1000) < 0.8, 30.0, rng.integers(10, 30, 1000))
        scores = {"head": rng.normal(name == "w", 1, 1000), "mass": rng.random(1000), "multiplicity": count}
        arrays |= {f"{name}/{score}": values for score, values in scores.items()}
    about = {"background": "QCD", "signals": ["w"], "headline": "head", "label": "Toy", "caption": "Toy."}
    axes = anomaly_roc(Results("anomaly", {}, arrays, about)).axes[0]
    x, passing = line_of(axes, "number of particles alone")
    assert passing.min() == pytest.approx(1e-3) and x.min() < 0.01
    merits = figures_of_merit(arrays["QCD/multiplicity"], arrays["w/multiplicity"])
    assert np.interp(0.1, passing, x) == pytest.approx(merits["efficiency_0.1"], rel=1e-3)


def test_distributions_have_the_errors_of_their_numbers_of_jets() -> None:
    rng = np.random.default_rng(1)
    values, edges = rng.random(500), np.linspace(0, 1, 6)
    share, error = shares(values, edges)
    counts = np.histogram(values, edges)[0]
    np.testing.assert_allclose(share, counts / 500)
    np.testing.assert_allclose(error, np.sqrt(counts) / 500)
    weighted = shares(values, edges, np.full(500, 0.3))
    np.testing.assert_allclose(weighted, (share, error))  # weights that are all alike change nothing
    np.testing.assert_allclose(shares(values, edges, (values > 0.5) * 1.0)[0].sum(), 1)
    axes = Figure().subplots()
    draw_steps(axes, share, error, edges, color="k")
    assert band_at(axes, 0, 0.1) == pytest.approx([share[0] - error[0], share[0] + error[0]])
    figure = score_figure(judged(500))
    assert "bands: statistical errors" in words_of(figure)
    assert len(figure.axes[0].collections) == 2  # a band for each class


def test_points_beyond_an_axis_are_arrows_at_its_edge() -> None:
    axes = Figure().subplots()
    axes.set_ylim(0, 2)
    mark_outside(axes, np.arange(5.0), np.array([1.0, 2.5, -1.0, np.nan, np.inf]), "k")
    drawn = {line.get_marker(): line.get_xdata().tolist() for line in axes.lines}
    assert drawn == {"^": [1.0, 4.0], "v": [2.0]}
    draw_band(axes, np.arange(2.0), np.ones(2), np.zeros(2), np.ones(2), color="k")
    assert len(axes.lines) == 3 and len(axes.collections) == 1


def test_medians_of_ranks_scatter_as_their_errors_say() -> None:
    rng = np.random.default_rng(0)
    many = np.array([profile(rng.random(400)) for _ in range(500)])
    assert (many[:, 3] - many[:, 1]).mean() / 2 == pytest.approx(many[:, 2].std(), rel=0.15)
    assert (np.diff(many) >= 0).all() and np.isnan(profile(rng.random(3))).all()


def test_bars_of_a_calibration_stay_between_none_and_all() -> None:
    axes = Figure().subplots()
    y = np.array([0] * 12 + [1] * 3 + [0])
    scores = np.array([0.3] * 12 + [0.95] * 4)
    draw_calibration(axes, np.stack([1 - scores, scores], -1), y, [1], ("QCD", "top"))
    ends = np.concatenate([path.vertices[:, 1] for path in axes.collections[0].get_paths()])
    assert ends.min() >= 0 and ends.max() <= 1


def test_small_numbers_share_a_power_of_ten_with_their_errors() -> None:
    assert format_with_error(1.09e-7, 4.6e-9) == "(1.090 ± 0.046)e-07"
    assert format_with_error(1.53e-4, 2.2e-5) == "0.000153 ± 0.000022"
    assert format_with_error(-3e-6, 1e-5) == "(-0.3 ± 1.0)e-05"
