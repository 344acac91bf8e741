"""The verdict: it says what a score is, its numbers are those of our studies, and odd input is named."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import lgae_pyg
from lgae_pyg.applications.judge.figures import score_edges
from lgae_pyg.applications.judge.words import _separation as separation
from lgae_pyg.evaluation.anomaly.tables import anomaly_tables
from lgae_pyg.metrics.equal_mass import equal_mass_with_error
from lgae_pyg.metrics.roc import figures_of_merit

RNG = np.random.default_rng(11)
N = 4000
Y = np.arange(N) % 2
MASS = np.where(Y == 1, RNG.normal(150, 40, N), RNG.exponential(90, N)).clip(1)
COUNT = np.where(Y == 1, RNG.poisson(50, N), RNG.poisson(42, N))
KNOWN = {"mass": MASS, "num_particles": COUNT, "resamples": 20}


def judged(score, y=Y, **more):
    return lgae_pyg.judge(score, y, **(KNOWN | {"class_names": ("QCD", "top")} | more))


def words(score, **more) -> str:
    return " ".join(judged(score, **more).words["score"])


def test_a_score_that_is_the_jet_mass_is_called_so() -> None:
    verdict = judged(np.log(MASS))
    first = verdict.words["score"][0]
    assert first.startswith("This score is the jet mass (rank correlation 1.00")
    assert "at equal mass AUC 0.5" in first
    assert words(-MASS).startswith("This score is the jet mass with the other sign (rank correlation -1.00")
    assert "sculpts the background's mass" in words(MASS) and "sculpts" in words(-MASS)
    one = verdict.numbers[0]
    assert one.correlation["mass"][0] == 1 and one.equal["mass"].auc == pytest.approx(0.5, abs=0.06)


def test_a_score_that_is_the_number_of_particles_is_called_so() -> None:
    text = words(1.0 * COUNT)
    assert text.startswith("This score is the number of particles (rank correlation 1.00")
    assert "is the jet mass" not in text and "no sculpting" in text


def test_a_function_of_the_mass_that_does_not_rise_tells_no_more_than_the_mass() -> None:
    text = words(-np.abs(MASS - 150))
    assert "It tells no more than the jet mass: nothing is left at equal mass" in text


def test_a_random_score_has_no_information() -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        text = words(rng.random(N))
        assert "It has no information that tells top from QCD (AUC 0." in text and "without any it is 0.5" in text


def test_what_is_told_at_equal_mass_alone_is_said() -> None:
    """Of quarks and gluons, where the mass of one kind hides what the score knows."""
    one = judged(np.random.default_rng(1).random(N)).numbers[0]
    one = replace(one, equal={**one.equal, "mass": replace(one.equal["mass"], auc=0.66, error=0.02)})
    said = separation(one)
    assert said.startswith("It does not tell top from QCD among all jets (AUC 0.")
    assert "at equal mass it does" in said


def test_a_perfect_score_tells_all() -> None:
    verdict = judged(Y * 1.0)
    assert "It tells all top from QCD (AUC 1)." in verdict.words["score"][0]
    merits = verdict.numbers[0].merits["larger"]
    assert merits["auc"] == 1 and merits["auc_error"] == 0 and math.isinf(merits["rejection_0.5"])
    assert "It is more than the jet mass: 100 ± 0 %" in " ".join(verdict.words["score"])


def test_a_score_of_the_wrong_sign_is_read_the_other_way() -> None:
    text = words(-Y + RNG.normal(0, 0.5, N))
    assert "Small values mean signal (AUC 0.0" in text and "with the other sign it tells top from QCD" in text


def test_a_score_that_knows_its_ends_alone() -> None:
    """The signal avoids both ends, so that the area stays one half."""
    score = np.where(Y == 1, RNG.uniform(-0.5, 0.5, N), RNG.uniform(-1, 1, N))
    assert "but its ends do: a cut that 10 % of the background passes" in words(score)


def test_a_constant_score_and_few_jets() -> None:
    assert words(np.zeros(N)) == "All jets have the same score: it tells nothing."
    few = slice(0, 60)
    verdict = judged(MASS[few] + 10 * Y[few], Y[few], mass=MASS[few], num_particles=COUNT[few])
    text = " ".join(verdict.words["score"])
    assert "it has the order of the jet mass" in text and "This score is" not in text  # it knows the class, too
    assert "Too few jets are equal to tell it from the number of particles" in text


def test_exact_numbers_by_hand() -> None:
    """One hundred background jets 0..99; of twenty signal jets half at 100 and half at 89.5; see test_roc."""
    score = np.array([*range(100), *[100.0] * 10, *[89.5] * 10])
    y = np.array([0] * 100 + [1] * 20)
    one = lgae_pyg.judge(score, y, mass=score, resamples=5).numbers[0]
    merits = one.merits["larger"]
    assert merits["auc"] == pytest.approx(0.95) and one.merits["smaller"]["auc"] == pytest.approx(0.05)
    assert merits["efficiency_0.1"] == 1 and merits["efficiency_0.01"] == 0.5
    assert merits["improvement"] == pytest.approx(1 / math.sqrt(0.1))
    assert one.jets == (100, 20) and one.correlation["mass"] == (1.0, 0.0)
    cut = one.sculpting["larger"][0.1]
    assert cut.passing == 10 and cut.before == 49.5 and cut.after == 94
    assert one.sculpting["larger"][0.01] is None


def test_the_numbers_are_those_of_the_studies() -> None:
    """Of the study of anomalies, from the same scores of two signals."""
    rng = np.random.default_rng(2)
    found = {
        name: {"headline": rng.normal(shift, 1, 400), "mass": rng.exponential(60 + 30 * shift, 400)}
        for name, shift in (("QCD", 0), ("t", 1), ("w", 2))
    }
    about = {"background": "QCD", "signals": ["t", "w"], "headline": "headline", "label": "M", "caption": "Toy."}
    tables = anomaly_tables(found, about, 30, False)
    both = {name: np.concatenate([one[name] for one in found.values()]) for name in ("headline", "mass")}
    y = np.repeat(["QCD", "t", "w"], 400)
    verdict = lgae_pyg.judge({"headline": both["headline"]}, y, mass=both["mass"], resamples=30)
    rows = [row for row in tables["anomaly_scores"].records() if "headline" in row["score"]]
    mine = [one for one in verdict.numbers if not one.quantity]
    assert [one.signal for one in mine] == ["t", "w", "all signals"] and len(rows) == 3
    for row, one in zip(rows, mine):
        for key, value in one.merits["larger"].items():
            assert value == pytest.approx(row[key], rel=1e-12, nan_ok=True), key
    study = tables["anomaly"].records()[0]
    assert mine[-1].equal["mass"].auc == study["auc_equal_mass"]
    assert mine[-1].equal["mass"].error == study["auc_equal_mass_error"]
    for name, value in mine[-1].equal["mass"].efficiencies.items():
        place = name.removesuffix("_error") + "_equal_mass" + "_error" * name.endswith("_error")
        assert value == pytest.approx(study[place], nan_ok=True)


def test_probabilities_of_classes_stand_against_all_others_as_in_the_study_of_taggers() -> None:
    y = RNG.integers(0, 3, N)
    scores = torch.from_numpy(np.eye(3)[y] + RNG.normal(0, 1, (N, 3))).softmax(-1)
    verdict = lgae_pyg.judge(scores, y, mass=MASS, class_names=("q", "g", "t"), resamples=20)
    mine = [one for one in verdict.numbers if not one.quantity]
    assert [(one.score, one.background, one.signal) for one in mine] == [
        (f"score_{name}", "all others", name) for name in "qgt"
    ]
    for number, one in enumerate(mine):
        score, signal = scores[:, number].numpy(), y == number
        assert one.merits["larger"] == figures_of_merit(score[~signal], score[signal], 20)
        pairs = [np.stack([score[kind], MASS[kind]], -1) for kind in (~signal, signal)]
        assert (one.equal["mass"].auc, one.equal["mass"].error) == equal_mass_with_error(*pairs, 20)
    two = lgae_pyg.judge(scores[:, :2], np.minimum(y, 1), resamples=5)
    assert two.numbers[0].merits["larger"]["auc"] == pytest.approx(
        figures_of_merit(scores[y == 0, 1], scores[y != 0, 1])["auc"]
    )


def test_classes_are_chosen_by_name_and_number() -> None:
    y = RNG.integers(0, 3, N)
    score = RNG.normal(size=N) + y
    options = {"class_names": ("q", "g", "t"), "resamples": 5}
    guessed = lgae_pyg.judge(score, y, **options)
    assert [(one.background, one.signal) for one in guessed.numbers] == [("q+g", "t")]
    assert any("Background: q+g (a guess" in note for note in guessed.notes)
    chosen = lgae_pyg.judge(score, y, background="t", **options)
    assert [one.signal for one in chosen.numbers] == ["q", "g", "all signals"]
    assert chosen.numbers[0].merits["larger"]["auc"] < 0.2 and not any("guess" in note for note in chosen.notes)
    only = lgae_pyg.judge(score, y, background=[0], signals=["t"], **options)
    assert [(one.background, one.signal, sum(one.jets)) for one in only.numbers] == [("q", "t", (y != 1).sum())]
    with pytest.raises(ValueError, match=r"no class 'tt' \(did you mean t\?\); there are: q, g, t"):
        lgae_pyg.judge(score, y, background="tt", **options)
    with pytest.raises(ValueError, match="cannot be background and signal"):
        lgae_pyg.judge(score, y, background="q", signals="q", **options)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans(), st.integers(0, 2)), min_size=25, max_size=60))
@settings(max_examples=25, deadline=None)
def test_only_the_order_of_a_score_counts(rows: list) -> None:
    score, y, mass = (np.array(column, dtype=float) for column in zip(*rows))
    if len(set(y)) < 2:
        return
    y, mass = y.astype(bool), 40 * mass
    one, other = (lgae_pyg.judge(s, y, mass=mass, resamples=3).to_dict()["scores"] for s in (score, np.exp(score)))
    assert json.dumps(one) == json.dumps(other)


def test_missing_numbers_are_left_out_of_all_figures_and_said() -> None:
    first, second, mass = RNG.normal(size=N), MASS.copy(), MASS.copy()
    first[[7, 9]] = np.nan
    second[9], second[20] = np.nan, np.nan
    mass[30] = np.inf
    labels = Y.astype(float)
    labels[40] = np.nan
    verdict = judged({"a": first, "b": second, "c": np.full(N, np.nan)}, labels, mass=mass)
    assert verdict.notes[1] == "Score 'c' is left out: it is NaN in every row."
    assert verdict.notes[2] == (
        "5 of 4,000 jets are left out of all figures: 'a' is NaN in 2 (first in row 7), 'b' is NaN in 2 (first in "
        "row 9), 'mass' is not finite in 1 (first in row 30), the class in 'labels' is unknown in 1 (first in row "
        "40)."
    )
    assert {sum(one.jets) for one in verdict.numbers} == {N - 5}
    kept = np.delete(np.arange(N), [7, 9, 20, 30, 40])
    clean = judged({"a": first[kept], "b": second[kept]}, Y[kept], mass=MASS[kept], num_particles=COUNT[kept])
    assert clean.to_dict()["scores"] == verdict.to_dict()["scores"]


@pytest.mark.parametrize(
    "scores, labels, more, message",
    [
        (np.zeros(5), np.zeros(5), {}, r"all jets are of one class, 'class 0' in 'labels'"),
        (np.zeros(5), [0, 1, 0.5, 1, 0], {}, r"row 2 \(from 0\) of 'labels' is 0.5"),
        (["1", "x", "2"], [0, 1, 1], {}, r"row 1 \(from 0\) of 'score' is 'x', no number"),
        (np.zeros(5), [0, 1, 0, 1], {}, r"columns differ in length: 'score' 5, 'labels' 4"),
        (np.zeros(2), [0, 1], {"mass": [1.0]}, r"'mass' 1"),
        (np.full(3, np.nan), [0, 1, 0], {}, r"score 'score' is NaN in all 3 rows"),
        (np.zeros((2, 2, 2)), [0, 1], {}, r"'score' has the shape \(2, 2, 2\)"),
        (np.zeros(0), [], {}, "there are no jets"),
        (np.arange(300.0), np.arange(300), {}, r"'labels' has 300 different values"),
        ({}, [0, 1], {}, "there is no score to judge"),
        (np.zeros(2), [0, 1], {"resamples": 1}, "at least 2 bootstrap samples"),
        (np.array([np.nan, 1.0]), [0, 1], {}, r"of one class, 'class 1'"),
    ],
)
def test_odd_input_is_named(scores, labels, more, message) -> None:
    with pytest.raises(ValueError, match=message):
        lgae_pyg.judge(scores, labels, **({"resamples": 5} | more))


def test_labels_may_be_names_truth_values_or_minus_one() -> None:
    score = Y + RNG.normal(0, 0.5, N)
    auc = judged(score).numbers[0].merits["larger"]["auc"]
    for labels in (Y == 1, np.where(Y == 1, "signal", "background"), 2 * Y - 1, torch.from_numpy(Y)):
        assert lgae_pyg.judge(score, labels, resamples=3).numbers[0].merits["larger"]["auc"] == auc
    unknown = np.where(np.arange(N) < 100, -1, Y)
    verdict = lgae_pyg.judge(score, unknown, resamples=3)
    assert sum(verdict.numbers[0].jets) == N - 100
    assert "is unknown in 100 (first in row 0)" in " ".join(verdict.notes)


class Checker(HTMLParser):
    """The tags that a page has, and what lies outside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href")]


def test_the_page_holds_all_and_names_from_outside_do_nothing(tmp_path) -> None:
    names = ["<script>alert(1)</script>", "_$\\frac{", "x" * 90]
    scores = {name: RNG.normal(size=N) + k * Y for k, name in enumerate(names)}
    classes = ("<b>Q$CD", "_top$")
    verdict = judged(scores, mass=MASS, class_names=classes)
    page = verdict.save(tmp_path)
    checker = Checker()
    text = page.read_text(encoding="utf-8")
    checker.feed(text)
    assert "script" not in checker.tags and "b" not in checker.tags
    assert checker.tags.count("img") == 3 and checker.tags.count("table") == 3
    assert all(source.startswith("data:image/png;base64,") for source in checker.sources)
    assert {path.name for path in tmp_path.iterdir()} == {
        "verdict.html", "verdict.json", "figures",
        *(f"{name}.{end}" for name in ("separation", "explanation", "sculpting") for end in ("csv", "md")),
    }  # fmt: skip
    content = json.loads((tmp_path / "verdict.json").read_text(encoding="utf-8"))
    assert content == verdict.to_dict() and content["jets"] == dict.fromkeys(classes, N // 2)
    assert content["verdict"][names[0]] == list(verdict.words[names[0]])


def test_a_verdict_without_mass_replaces_one_with(tmp_path) -> None:
    judged(MASS).save(tmp_path)
    verdict = lgae_pyg.judge(MASS, Y, resamples=5)
    verdict.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "figures", "separation.csv", "separation.md", "verdict.html", "verdict.json"
    ]  # fmt: skip
    assert not (tmp_path / "figures" / "mass.png").exists()
    assert "Not judged, since it is not given: jet mass, number of particles, jet pT." in str(verdict)


def test_many_classes_without_a_background_are_not_guessed_about():
    y = np.repeat(np.arange(12), 40)
    score = np.random.default_rng(0).normal(size=len(y))
    with pytest.raises(ValueError, match=r"12 classes \(class 0, .*say which are"):
        lgae_pyg.judge(score, y, resamples=5)
    verdict = lgae_pyg.judge(score, y, background=["0", "1"], signals=["5"], resamples=5)
    assert "120 of 12 classes" not in str(verdict) and "40 class 5" in str(verdict)
    assert "40 class 7" not in str(verdict)


def test_few_jets_of_the_background_are_said():
    y = np.repeat([0, 1], [4, 40])
    score = np.random.default_rng(0).normal(size=len(y))
    assert "Only 4 jets of 'class 0': errors cannot be trusted." in str(lgae_pyg.judge(score, y, resamples=5))


def test_jets_without_labels_are_called_so():
    with pytest.raises(ValueError, match=r"gives none of the 3 jets a class: .* \(--label; labels=\)"):
        lgae_pyg.judge([0.1, 0.2, 0.3], [np.nan] * 3)


def test_axes_of_scores_that_span_orders_of_magnitude() -> None:
    odds = RNG.normal(0, 5, 2000)
    probability = 1 / (1 + np.exp(-odds))
    for values, scale in (
        (probability, "logit"),
        (np.append(probability, [1.0, 1.0]), "logit"),
        (np.exp(odds), "log"),
        (1e-3 * np.exp(odds.clip(max=5)) / 150, "log"),
        (RNG.uniform(0.2, 0.8, 2000), "linear"),
        (np.ones(50), "linear"),
        (np.full(50, 0.7), "linear"),
        (np.append(RNG.normal(size=500), [np.inf, -np.inf]), "linear"),
    ):
        edges, found = score_edges(values)
        assert found == scale and (np.diff(edges) > 0).all() and np.isfinite(edges).all()
        inside = np.histogram(values.clip(edges[0], edges[-1]), edges)[0]
        assert inside.sum() == len(values)
        if scale != "linear":
            assert inside.max() < 0.2 * len(values)  # no class in one bin
