"""The gate: what it mends, what it counts, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lgae_pyg.data import DataFileError
from lgae_pyg.data.flat import FlatJets
from lgae_pyg.data.gate import Admission, Rules, admit
from lgae_pyg.data.units import UNITS_IN_GEV


def massless(rng, sizes, dtype=np.float64, scale=20.0):
    """Jets in GeV of massless particles around random axes, in no order."""
    n = int(np.sum(sizes))
    owner = np.repeat(np.arange(len(sizes)), sizes)
    eta = rng.uniform(-2, 2, len(sizes))[owner] + rng.normal(0, 0.3, n)
    phi = rng.uniform(-3, 3, len(sizes))[owner] + rng.normal(0, 0.3, n)
    pt = rng.exponential(scale, n) + 0.1
    p4 = np.stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    return p4.astype(dtype)


def jets_of(sizes, seed=0, dtype=np.float64, unit="GeV"):
    rng = np.random.default_rng(seed)
    ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    charge = {"charge": rng.integers(-1, 2, ptr[-1]).astype(np.float32)}
    columns = {"y": rng.integers(0, 2, len(sizes)), "weight": rng.uniform(0.5, 1.5, len(sizes))}
    return FlatJets(massless(rng, sizes, dtype), ptr, charge, columns, unit=unit)


def same(one: FlatJets, other: FlatJets) -> bool:
    pairs = [(one.p4, other.p4), (one.ptr, other.ptr), (one.rows, other.rows)]
    pairs += [(one.particles[name], other.particles[name]) for name in one.particles]
    pairs += [(one.jets[name], other.jets[name]) for name in one.jets]
    return all(np.array_equal(a, b) for a, b in pairs)


def close(one: Admission, other: Admission) -> bool:
    first, second = one.to_dict(), other.to_dict()
    return all(first[name] == pytest.approx(second[name], rel=1e-9, abs=1e-12) for name in first if name != "unit")


def total(jets: FlatJets) -> np.ndarray:
    return np.stack([jets.p4[a:b].sum(axis=0) for a, b in zip(jets.ptr, jets.ptr[1:])])


some_sizes = st.lists(st.integers(0, 12), min_size=1, max_size=8)
rules = st.builds(Rules, st.sampled_from([None, 1, 4, 40]), st.sampled_from(["pt", "kept"]))


@st.composite
def dirty(draw):
    """Jets with padding, NaN and negative energies here and there."""
    jets = jets_of(draw(some_sizes), draw(st.integers(0, 99)))
    p4 = jets.p4.copy()
    for row in draw(st.lists(st.integers(0, max(len(p4) - 1, 0)), max_size=4)) if len(p4) else ():
        what = draw(st.sampled_from(["padding", "nan", "negative"]))
        if what == "padding":
            p4[row] = 0
        elif what == "nan":
            p4[row, draw(st.integers(0, 3))] = np.nan
        else:
            p4[row, 0] = -1.0
    return replace(jets, p4=p4)


def admitted(jets, rules):
    """The result, or the refusal: a handful of negative energies may be most of a tiny file."""
    try:
        return admit(jets, rules)
    except DataFileError:
        return None


@given(dirty(), rules)
def test_admitting_again_changes_nothing(jets, rules):
    if (result := admitted(jets, rules)) is None:
        return
    once, _ = result
    twice, report = admit(once, rules)
    assert same(once, twice)
    assert report.read == report.kept == len(once)
    assert not report.dropped and report.padding == report.sorted == report.cut == 0
    assert np.isfinite(once.p4).all() and (once.p4[:, 0] > 0).all() and (once.sizes > 0).all()
    assert rules.num_particles is None or (once.sizes <= rules.num_particles).all()


@given(dirty(), rules, st.integers(0, 8))
def test_the_report_of_the_whole_is_the_sum_of_the_parts(jets, rules, where):
    numbers = np.arange(len(jets))
    results = [admitted(part, rules) for part in (jets, *(jets.take_jets(n) for n in np.split(numbers, [where])))]
    if None in results:
        return
    whole, first, second = (report for _, report in results)
    assert close(whole, first + second)
    assert close(whole, first + second + Admission())
    joined = np.concatenate([results[1][0].p4, results[2][0].p4])
    assert np.array_equal(results[0][0].p4, joined)


@given(some_sizes, st.integers(0, 99), rules)
def test_the_order_of_jets_and_particles_does_not_matter(sizes, seed, rules):
    rules = replace(rules, order="pt")
    jets, rng = jets_of(sizes, seed), np.random.default_rng(seed)
    within = np.lexsort((rng.random(len(jets.p4)), jets.owner))
    mixed = jets.take_particles(within).take_jets(rng.permutation(len(jets)))
    (one, report), (two, other) = admit(jets, rules), admit(mixed, rules)
    assert close(replace(report, sorted=0), replace(other, sorted=0))
    assert same(one, two.take_jets(np.argsort(two.rows)))


@given(some_sizes, st.integers(0, 99))
def test_what_is_not_dropped_keeps_its_momentum(sizes, seed):
    jets = jets_of([size + 1 for size in sizes], seed)
    once, report = admit(jets)
    assert report.kept == len(jets)
    np.testing.assert_allclose(total(once), total(jets), rtol=1e-13, atol=1e-9)
    pt = np.hypot(once.p4[:, 1], once.p4[:, 2])
    for a, b in zip(once.ptr, once.ptr[1:]):
        assert (np.diff(pt[a:b]) <= 1e-12).all()


def test_columns_travel_with_their_particles_and_jets():
    jets = jets_of([5, 0, 7, 3])
    charge = {tuple(p): q for p, q in zip(jets.p4, jets.particles["charge"])}
    once, report = admit(jets, Rules(num_particles=4))
    assert report.dropped == {"empty": 1} and list(once.rows) == [0, 2, 3]
    assert [charge[tuple(p)] for p in once.p4] == list(once.particles["charge"])
    assert np.array_equal(once.jets["y"], jets.jets["y"][[0, 2, 3]])


def test_the_cost_of_a_cut_is_measured():
    p4 = np.array([[5.0, 3, 0, 4], [13, 0, 12, 5], [1, 1, 0, 0]])  # pT 3, 12, 1
    jets = FlatJets(p4, np.array([0, 3]), jets={"jet_ref": np.array([[15.0, 0, 0, 20.0]])})
    once, report = admit(jets, Rules(num_particles=2))
    mass = np.sqrt(19**2 - 4**2 - 12**2 - 9**2), np.sqrt(18**2 - 3**2 - 12**2 - 9**2)
    assert np.array_equal(once.p4, p4[[1, 0]]) and report.sorted == 1
    assert (report.cut, report.cut_particles) == (1, 1)
    assert report.pt_lost / report.pt == pytest.approx(1 / 16) == report.pt_worst
    assert report.mass_lost == pytest.approx(mass[0] - mass[1])
    assert report.reference_lost == pytest.approx(20 - mass[1])
    assert "6.2%" in " ".join(report.lines())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_particles_with_mass_and_below_their_mass_shell_are_counted(dtype):
    jets = jets_of([30, 30], dtype=dtype)
    p4 = jets.p4.copy()
    p4[:4, 0] *= 1.01
    p4[4:7, 0] *= 1 - 1e-5
    report = admit(replace(jets, p4=p4))[1]
    assert (report.massive, report.below_shell, report.particles) == (4, 3, 60)


def test_particles_at_rest_are_kept_counted_and_named():
    jets = jets_of([30, 30])
    p4 = jets.p4.copy()
    p4[[3, 40, 41], 1:], p4[[3, 40, 41], 0] = 0, 0.14
    kept, report = admit(replace(jets, p4=p4))
    assert (report.at_rest, report.padding, len(kept.p4)) == (3, 0, 60)
    assert "3 particles (5.0%) have an energy and no momentum" in " ".join(report.lines())
    assert not any("no momentum" in line for line in admit(jets)[1].lines())


def test_rounding_of_float32_is_no_tachyon_also_in_a_float64_column():
    single = jets_of([400], dtype=np.float32)
    double = replace(single, p4=single.p4.astype(np.float64))
    energy, momentum = double.p4[:, 0], np.linalg.norm(double.p4[:, 1:], axis=1)
    assert (energy < momentum * (1 - 1e-9)).any()
    assert admit(single)[1].below_shell == admit(double)[1].below_shell == 0


@pytest.mark.parametrize("unit, source", [("TeV", "GeV"), ("GeV", "TeV")])
def test_a_unit_that_cannot_be_right_is_told(unit, source):
    jets = jets_of([20] * 9, unit="GeV")
    if source == "TeV":
        jets = replace(jets, p4=jets.p4 / 1000)
    doubt = admit(replace(jets, unit=unit))[1]
    other = "smaller" if source == "GeV" else "larger"
    assert f"of a {other} unit than was declared" in doubt.unit_doubt and doubt.unit_doubt in doubt.lines()[-1]


def test_sound_jets_raise_no_doubt_in_any_unit():
    jets = jets_of([20] * 9)
    for unit, factor in (("GeV", 1.0), ("TeV", 1e-3), ("PeV", 1e-6)):
        assert admit(replace(jets, p4=jets.p4 * factor, unit=unit))[1].unit_doubt == ""


def test_energy_in_the_last_column_is_recognised():
    jets = jets_of([4, 3])
    with pytest.raises(DataFileError, match=r"a\.h5, jet 0 .*'p4'.*look like \(px, py, pz, E\).*reorder"):
        admit(replace(jets, p4=jets.p4[:, [1, 2, 3, 0]]), where="a.h5")


@pytest.mark.parametrize("row, value, reason", [(5, np.nan, "finite"), (6, np.inf, "finite"), (4, -1, "negative")])
def test_bad_jets_are_dropped_or_stop_everything(row, value, reason):
    jets = replace(jets_of([4, 3, 5]), rows=np.array([70, 71, 72]))
    p4 = jets.p4.copy()
    p4[row, 0] = value
    once, report = admit(replace(jets, p4=p4))
    assert list(once.rows) == [70, 72] and list(report.dropped.values()) == [1] and reason in str(report.dropped)
    with pytest.raises(DataFileError, match=rf"a\.h5, jet 71 .*'p4' is .*{reason}.*bad_jets=drop"):
        admit(replace(jets, p4=p4), Rules(bad_jets="stop"), "a.h5")


def test_features_and_weights_that_are_not_finite_are_named():
    jets = jets_of([4, 3, 5])
    jets.particles["charge"][5] = np.nan
    jets.jets["weight"][2] = np.inf
    once, report = admit(jets)
    assert report.dropped == {"charge not finite": 1, "weight not finite": 1} and len(once) == 1


def test_no_jets_and_only_bad_jets_pass():
    for sizes in ([], [0, 0]):
        once, report = admit(jets_of(sizes), Rules(num_particles=3))
        assert len(once) == 0 and report.read == len(sizes) and report.lines()


def test_integer_momenta_and_unknown_rules_are_refused():
    with pytest.raises(DataFileError, match="float32 or float64"):
        admit(FlatJets(np.ones((2, 4), dtype=np.int64), np.array([0, 2])))
    for wrong in ({"order": "eta"}, {"bad_jets": "keep"}, {"num_particles": 0}):
        with pytest.raises(ValueError):
            Rules(**wrong)


def test_the_report_survives_json():
    import json

    report = admit(jets_of([5, 0, 9], unit="TeV"), Rules(num_particles=4))[1]
    assert Admission.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    assert json.dumps(Admission(read=np.int64(3), pt=np.float32(0.5)).to_dict()) == json.dumps(
        Admission(read=3, pt=0.5).to_dict()
    )
    with pytest.raises(ValueError, match="convert"):
        report + replace(report, unit="GeV")


@pytest.mark.parametrize(("lost", "side"), [(-44.5, "44.5% above"), (44.5, "44.5% below")])
def test_masses_above_those_of_the_file_are_called_so(lost, side):
    lines = Admission(reference_mass=100.0, reference_lost=lost, reference_worst=0.5).lines()
    assert any(f"{side} the one in the file" in line for line in lines)
    assert not any("-" in line for line in lines)


@pytest.mark.parametrize("unit", ["GeV", "TeV"])
@pytest.mark.parametrize("value", [1e300, 1e38, 2e12])
def test_momenta_that_nobody_has_are_dropped_and_counted(value, unit):
    """In float32 their invariants would be infinite; jets beside them stay as they are."""
    jets = replace(jets_of([3, 4, 2]), unit=unit)
    for column in (0, 1):
        p4 = jets.p4.copy()
        p4[3, column] = value / UNITS_IN_GEV[unit]
        kept, report = admit(replace(jets, p4=p4))
        assert report.dropped == {"of more than 1e12 GeV": 1} and kept.sizes.tolist() == [3, 2]
    fast = jets.p4 * (1e11 / jets.p4.max() / UNITS_IN_GEV[unit])
    assert admit(replace(jets, p4=fast))[1].kept == 3
