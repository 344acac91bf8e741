"""Cards of weaver: the same columns, and a word on each thing that is not used."""

import numpy as np
import pytest
import yaml

from lgae_pyg.datasets.expressions import evaluate
from lgae_pyg.datasets.weaver import Formulas, from_weaver, is_weaver

CARD = yaml.safe_load("""
treename: tree
selection: (jet_pt > 500) & (jet_pt < 1000)
new_variables:
  part_mask: ak.ones_like(part_energy)
  part_pt: np.hypot(part_px, part_py)
  part_pt_log: np.log(part_pt)
  part_e: part_energy
preprocess: {method: manual, data_fraction: 0.5}
inputs:
  pf_points: {length: 128, pad_mode: wrap, vars: [[part_deta, null], [part_dphi, null]]}
  pf_features: {length: 128, vars: [[part_pt_log, 1.7, 0.7], [part_charge, null], [part_d0, 0, 2, -1, 3]]}
  pf_vectors: {length: 128, vars: [[part_px, null], [part_py, null], [part_pz, null], [part_energy, null]]}
  pf_mask: {length: 128, vars: [[part_mask, null]]}
labels: {type: simple, value: [label_QCD, label_Hbb]}
observers: [jet_pt, jet_eta]
weights: {use_precomputed_weights: true, weight_branches: [w, 2 * v]}
""")
COLUMNS = {"part_px": np.array([3.0]), "part_py": np.array([4.0]), "part_d0": np.array([9.0])}


def test_a_card_says_the_same() -> None:
    assert is_weaver(CARD)
    card, notes = from_weaver(CARD, "mine")
    assert card["momenta"] == {"px": "part_px", "py": "part_py", "pz": "part_pz", "E": "part_energy"}
    assert card["table"] == "tree" and card["mask"] == "ak.ones_like(part_energy)"
    assert card["labels"] == {"one_hot": ["label_QCD", "label_Hbb"]}
    assert card["class_names"] == ["label_QCD", "label_Hbb"]
    assert card["observers"] == {"jet_pt": "jet_pt", "jet_eta": "jet_eta"}
    assert evaluate(card["features"]["part_pt_log"], COLUMNS) == pytest.approx((np.log(5) - 1.7) * 0.7)
    assert evaluate(card["features"]["part_d0"], COLUMNS) == 3  # clipped
    assert evaluate(card["weight"], {"w": np.array([2.0]), "v": np.array([3.0])}) == 12
    assert list(evaluate(card["selection"], {"jet_pt": np.array([400.0, 600.0])})) == [False, True]
    assert any("pf_points" in note for note in notes) and any("num_particles=128" in note for note in notes)


def test_momenta_go_by_the_names_of_their_variables() -> None:
    names = ["part_energy", "part_pt", "part_eta", "part_phi"]
    card, _ = from_weaver({"inputs": {"pf_vectors": {"vars": names}}})
    assert card["momenta"] == {"E": "part_energy", "pt": "part_pt", "eta": "part_eta", "phi": "part_phi"}


def test_complex_labels_and_what_is_not_done() -> None:
    values = {
        "inputs": {"pf_vectors": {"vars": ["a_px", "a_py", "a_pz", "a_energy"]}, "pf_features": {"vars": ["q"]}},
        "labels": {"type": "complex", "value": {"flavour": "np.abs(pdg)", "mass": "m"}},
        "weights": {"use_precomputed_weights": False, "reweight_vars": {}},
        "preprocess": {"method": "auto"},
        "test_time_selection": "pt > 0",
        "file_magic": {"x": 1},
    }
    card, notes = from_weaver(values)
    assert card["labels"] == {"column": "np.abs(pdg)"} and "weight" not in card
    said = " ".join(notes)
    for word in ("mass", "reweighting", "standardised by the data (q)", "test_time_selection", "file_magic"):
        assert word in said


@pytest.mark.parametrize(
    "values, message",
    [
        ({"inputs": {"pf_features": {"vars": []}}}, "no inputs.pf_vectors"),
        ({"inputs": {"pf_vectors": {"vars": ["px"]}}}, "needs four"),
        ({"inputs": {"pf_vectors": {"vars": list("abcd")}}, "new_variables": {"a": "b", "b": "a"}}, "in a circle"),
        ({"inputs": {"pf_vectors": {"vars": list("abcd")}}, "labels": {"value": "y"}}, "list of columns"),
        ({"inputs": {"pf_vectors": {"vars": list("abcd")}}, "new_variables": ["a"]}, "name: value"),
    ],
)
def test_what_a_card_must_say(values: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_weaver(values)


def test_formulas_that_double_are_bounded() -> None:
    definitions = {f"v{i}": f"v{i + 1} + v{i + 1}" for i in range(60)}
    with pytest.raises(ValueError, match="more than 1000"):
        Formulas(definitions).inlined("v0")
