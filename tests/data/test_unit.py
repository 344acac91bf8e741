"""The unit of jets: stated, collated, converted, stored, and never mixed."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Batch

from lgae_pyg.data import JetData, JetStore, unit_of
from lgae_pyg.data.units import UNITS_IN_GEV, unit_factor

units = st.sampled_from(list(UNITS_IN_GEV))


def jet(particles: int = 3, **fields) -> JetData:
    p = torch.rand(particles, 3, dtype=torch.float64)
    reference = torch.rand(1, 4, dtype=torch.float64)
    return JetData(pos=torch.cat([p.norm(dim=1, keepdim=True), p], 1), jet_ref=reference, **fields)


def test_jets_without_unit_are_as_they_were():
    assert jet().unit is None and set(jet().keys()) == {"pos", "jet_ref"}
    batch = Batch.from_data_list([jet(), jet()])
    assert batch.unit is None and unit_of(batch) is None
    assert JetStore.from_jets([jet(), jet()]).batch([0, 1]).unit is None
    with pytest.raises(ValueError, match=r"state it first, jet\.unit = 'GeV'"):
        batch.in_unit("TeV")


@given(units, units)
def test_conversion_scales_momenta_and_nothing_else(source, target):
    jets = [jet(size, unit=source, y=torch.tensor([size])) for size in (2, 4)]
    batch = Batch.from_data_list(jets)
    moved, factor = batch.in_unit(target), unit_factor(source, target)
    assert (batch.unit, moved.unit) == (source, target)
    torch.testing.assert_close(moved.pos, factor * batch.pos, rtol=1e-15, atol=0)
    torch.testing.assert_close(moved.jet_ref[:, [0, 3]], factor * batch.jet_ref[:, [0, 3]], rtol=1e-15, atol=0)
    assert torch.equal(moved.jet_ref[:, 1:3], batch.jet_ref[:, 1:3]) and torch.equal(moved.y, batch.y)
    assert [one.unit for one in moved.to_data_list()] == [target, target]
    torch.testing.assert_close(moved.in_unit(source).pos, batch.pos, rtol=1e-14, atol=0)


@given(units, units)
def test_a_store_keeps_and_converts_the_unit(source, target):
    jets = [jet(2, unit=source), jet(4, unit=source)]
    store = JetStore.from_jets(jets)
    assert store.unit == source and set(store.jet_fields) == {"jet_ref"}
    ours, theirs = store.batch([1, 0]), Batch.from_data_list([jets[1], jets[0]])
    assert set(ours.keys()) - {"rounding"} == set(theirs.keys())
    assert set(ours._slice_dict) - {"rounding"} == set(theirs._slice_dict)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs.keys())
    moved = store.in_unit(target)
    assert moved.unit == moved.batch([0]).unit == moved.jet(0).unit == target
    torch.testing.assert_close(moved.batch([1, 0]).pos, theirs.in_unit(target).pos, rtol=1e-15, atol=0)
    torch.testing.assert_close(moved.jet_field("jet_ref"), store.batch([0, 1]).in_unit(target).jet_ref)
    assert torch.equal(store.batch([1, 0]).pos, theirs.pos)


def test_a_converted_store_is_written_as_it_reads(tmp_path):
    store = JetStore.from_jets([jet(unit="GeV"), jet(unit="GeV")]).in_unit("TeV")
    store.save(tmp_path / "jets.safetensors")
    again = JetStore.load(tmp_path / "jets.safetensors")
    assert again.unit == "TeV" and torch.equal(again.batch([0, 1]).pos, store.batch([0, 1]).pos)


def test_units_are_never_mixed():
    mixed = [jet(unit="GeV"), jet(unit="TeV")]
    with pytest.raises(ValueError, match="in GeV and TeV"):
        _ = Batch.from_data_list(mixed).unit
    with pytest.raises(ValueError, match="in GeV and TeV"):
        JetStore.from_jets(mixed)
    with pytest.raises(ValueError, match="not in TeV as the meta says"):
        JetStore.from_jets([jet(unit="GeV")], {"unit": "TeV"})
    with pytest.raises(ValueError, match="no field 'unit_in_gev'"):
        JetStore.from_jets([jet(unit="GeV"), jet()])
    with pytest.raises(ValueError, match="unknown unit 'MeV'"):
        jet(unit="MeV")
