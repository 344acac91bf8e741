"""Irreps: the text they are written as, their products, and the layout of packed features."""

import pickle
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lgae_pyg.lorentz import Irrep, Irreps

irrep_values = st.builds(lambda k, n: Irrep(k / 2, n / 2), st.integers(0, 6), st.integers(0, 6))
irreps_values = st.builds(Irreps, st.lists(st.tuples(st.integers(0, 9), irrep_values), max_size=5))


@given(irrep_values)
def test_an_irrep_round_trips_through_text(irrep):
    assert Irrep.parse(str(irrep)) == irrep
    assert hash(Irrep.parse(str(irrep))) == hash(irrep)


@given(irreps_values)
def test_irreps_round_trip_through_text(irreps):
    again = Irreps.parse(str(irreps))
    assert again == irreps
    assert hash(again) == hash(irreps)
    assert pickle.loads(pickle.dumps(irreps)) == irreps


@given(irrep_values, irrep_values)
def test_a_product_has_the_dimension_of_its_parts_together(a, b):
    product = a * b
    assert sum(c.dim for c in product) == a.dim * b.dim
    assert len(set(product)) == len(product)
    assert set(product) == set(b * a)


def test_labels_and_dimensions_of_known_irreps():
    vector = Irrep(0.5, 0.5)
    assert (str(vector), vector.dim, vector.doubled, vector.weight) == ("(1/2,1/2)", 4, (1, 1), 1)
    assert [irrep.dim for irrep in vector * vector] == [1, 3, 3, 9]
    assert vector * Irrep(0, 0) == (vector,)
    assert Irrep("1/2", Fraction(3, 2)) == Irrep(0.5, 1.5)
    assert Irrep(0.5, 1.5).weight == 3


def test_text_may_be_written_loosely():
    assert Irreps(" 2 x ( 0 , 0 ) + (0.5, 1/2) ") == Irreps("2x(0,0)+1x(1/2,1/2)")
    assert str(Irreps("(1, 3/2)")) == "1x(1,3/2)"
    assert Irreps("") == Irreps([])
    assert Irreps("").dim == 0


UNREADABLE = ["(1/2)", "1/2,1/2", "(0,0", "x(0,0)", "2x", "2x(0,0)+", "(1/3,0)", "(1/0,0)", "(-1/2,0)"]
UNREADABLE += ["2x(0;0)", "-1x(0,0)", "1x(a,b)"]


@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_text_is_named_in_the_error(text):
    with pytest.raises(ValueError, match=r"irrep"):
        Irreps.parse(text)


@pytest.mark.parametrize("labels", [(-0.5, 0), (0.3, 0), (0, float("nan")), (float("inf"), 0), (None, 0)])
def test_labels_that_are_not_half_integers_are_refused(labels):
    with pytest.raises(ValueError, match="irrep label"):
        Irrep(*labels)


@pytest.mark.parametrize("blocks", [[(-1, "(0,0)")], [(1.5, "(0,0)")], [("(0,0)",)], [5], [(True, "(0,0)")]])
def test_bad_blocks_are_refused(blocks):
    with pytest.raises(ValueError):
        Irreps(blocks)


def test_counting():
    irreps = Irreps("2x(0,0)+3x(1/2,1/2)+1x(0,0)")
    assert irreps.dim == 15
    assert len(irreps) == 3
    assert irreps[1] == (3, Irrep(0.5, 0.5))
    assert irreps.multiplicity("(0,0)") == 3
    assert irreps.multiplicity(Irrep(1, 1)) == 0
    assert "(1/2,1/2)" in irreps
    assert Irrep(1, 0) not in irreps
    assert list(irreps) == [(2, Irrep(0, 0)), (3, Irrep(0.5, 0.5)), (1, Irrep(0, 0))]


@given(irreps_values)
def test_blocks_cover_the_packed_features_in_order(irreps):
    x = torch.arange(2 * irreps.dim).reshape(2, irreps.dim)
    parts = irreps.split(x)
    assert [tuple(part.shape) for part in parts] == [(2, mul, irrep.dim) for mul, irrep in irreps]
    again = torch.cat([part.flatten(1) for part in parts], dim=1) if parts else x
    assert torch.equal(again, x)
    assert sum(place.stop - place.start for place in irreps.slices()) == irreps.dim


def test_split_refuses_features_of_another_size():
    with pytest.raises(ValueError, match="9 components, not 8"):
        Irreps("1x(0,0)+2x(1/2,1/2)").split(torch.zeros(3, 8))


@given(irreps_values, irreps_values)
def test_sums(a, b):
    both = a + b
    assert both.dim == a.dim + b.dim
    assert both.sort() == (b + a).sort()
    assert sum(mul for mul, _ in both.sort()) == sum(mul for mul, _ in both)


def test_sort_joins_all():
    irreps = Irreps("1x(0,0)+2x(0,0)+0x(1,0)+1x(1/2,1/2)+1x(0,0)")
    assert str(irreps.sort()) == "4x(0,0)+1x(1/2,1/2)"
    assert str(irreps + "1x(1,1)") == str(irreps) + "+1x(1,1)"
    assert repr(irreps.sort()) == "Irreps('4x(0,0)+1x(1/2,1/2)')"


def test_values_are_frozen():
    with pytest.raises(AttributeError):
        Irrep(0, 0).m = 1
    with pytest.raises(AttributeError):
        Irreps("1x(0,0)").blocks = ()
