"""Formulas of data cards: right values, and nothing but values."""

import math

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgae_pyg.datasets.expressions import ExpressionError, evaluate, names_in

PT = ak.Array([[3.0, 1.0], [], [5.0]])
COLUMNS = {
    "pt": PT,
    "eta": ak.Array([[0.5, -1.0], [], [2.0]]),
    "jet_pt": np.array([4.0, 1.0, 5.0]),
    "X": np.arange(24.0).reshape(2, 3, 4),
    "label": np.array([0, 1, 1]),
}


@pytest.mark.parametrize(
    "text, value",
    [
        ("np.log(pt)", [[math.log(3), 0.0], [], [math.log(5)]]),
        ("pt * np.cosh(eta)", [[3 * math.cosh(0.5), math.cosh(1)], [], [5 * math.cosh(2)]]),
        ("pt / jet_pt", [[0.75, 0.25], [], [1.0]]),
        ("clip((pt - 2) * 0.5, -0.1, 1)", [[0.5, -0.1], [], [1.0]]),
        ("np.clip(pt, 2, 4)", [[3.0, 2.0], [], [4.0]]),
        ("ak.sum(pt, axis=1)", [4.0, 0.0, 5.0]),
        ("ak.num(pt)", [2, 0, 1]),
        ("ak.ones_like(pt)", [[1.0, 1.0], [], [1.0]]),
        ("(jet_pt > 2) & (jet_pt < 4.5)", [True, False, False]),
        ("2 < jet_pt <= 4", [True, False, False]),
        ("~(label == 1) | (jet_pt > 4)", [True, False, True]),
        ("np.argmax(np.stack([label, 1 - label], axis=1), axis=1)", [1, 0, 0]),
        ("np.where(label == 1, jet_pt, -1.0)", [-1.0, 1.0, 5.0]),
        ("X[:, 0, -1]", [3.0, 15.0]),
        ("np.pi", math.pi),
        ("math.log(10) * 2", 2 * math.log(10)),
        ("-2**2", -4.0),
    ],
)
def test_values(text: str, value: object) -> None:
    found = evaluate(text, COLUMNS)
    if isinstance(value, float):
        assert found == value
        return
    value, found = ak.Array(value), ak.Array(found)
    assert ak.to_list(ak.num(found, axis=-1)) == ak.to_list(ak.num(value, axis=-1))
    np.testing.assert_allclose(ak.flatten(found, axis=None), ak.flatten(value, axis=None))


def test_names() -> None:
    assert names_in("np.log(pt / jet_pt) + clip(eta, 0, 1) * np.pi") == {"pt", "jet_pt", "eta"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "pt.__class__",
        "().__class__.__bases__",
        "np.fromfile('x')",
        "np.lib.format",
        "np.ones(10)",
        "[x for x in pt]",
        "lambda: 0",
        "(x := 3)",
        "f'{pt}'",
        "'a' * 9",
        "open('x')",
        "getattr(pt, 'x')",
        "pt if label else eta",
        "X[label]",
        "np.sum(pt, out=X)",
        "ak.from_parquet('x')",
        "pt and eta",
        "not pt",
        "pt in eta",
        "*pt",
        "[pt] * 1000000000",
        "X[:, None]",
        "pt; eta",
        "",
        "(" * 2000,
        "-" * 3999 + "1",
        "1" * 5000,
    ],
)
def test_nothing_else_is_run(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, COLUMNS)


@pytest.mark.parametrize("text", ["9**9**9**9", "2**100000*2**100000", "99999999999*99999999999"])
def test_powers_of_numbers_are_bounded(text: str) -> None:
    assert isinstance(evaluate(text, {}), float)


def test_an_unknown_column_is_named_with_the_nearest() -> None:
    with pytest.raises(ExpressionError, match=r"'np.log\(jet_pT\)'.*no column 'jet_pT'.*jet_pt"):
        evaluate("np.log(jet_pT)", COLUMNS)


def test_an_unknown_function_is_named_with_the_nearest() -> None:
    with pytest.raises(ExpressionError, match=r"no function .arctanh2..*arctan"):
        evaluate("np.arctanh2(pt, eta)", COLUMNS)


@given(st.text(alphabet="pt+-*/()[]:,.np_xX0 1'\"lambd=<>&|~{}", max_size=40))
def test_any_text_is_a_value_or_a_clear_error(text: str) -> None:
    try:
        evaluate(text, COLUMNS)
    except ExpressionError as error:
        assert "formula" in str(error)
