"""Presets of the generator: the selection of each public set, classes and files, and the default left alone."""

import importlib.util
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytest.importorskip("pythia8mc", exc_type=ImportError)
pytest.importorskip("fastjet", exc_type=ImportError)

from lgae_pyg.cli import main  # noqa: E402
from lgae_pyg.data import DataFileError  # noqa: E402
from lgae_pyg.datasets import JetFiles, PythiaJets  # noqa: E402
from lgae_pyg.datasets.pythia import PRESETS, GeneratorSettings, generate_files  # noqa: E402
from lgae_pyg.datasets.pythia.events import build_pythia, generate_chunk, require_generator  # noqa: E402
from lgae_pyg.datasets.pythia.partons import Partons  # noqa: E402
from lgae_pyg.generator.presets import Process  # noqa: E402
from lgae_pyg.generator.settings import LATER  # noqa: E402
from lgae_pyg.tables import read_csv  # noqa: E402

JETS = 40
WINDOWS = {"top_tagging": (550, 650, 2.0, 0.8), "quark_gluon": (500, 550, 1.7, 0.4)}
PARENTS = {"top_tagging": "top", "quark_gluon": "gluon"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> dict[str, Path]:
    """A folder of few jets of each preset, made on the command line."""
    folders = {}
    for preset in WINDOWS:
        folders[preset] = tmp_path_factory.mktemp(preset)
        words = ["generate", "--preset", preset, "--jets", str(JETS), "--workers", "1", "--quiet", "--out"]
        assert main([*words, str(folders[preset])]) == 0
    return folders


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["particle_features"][:].astype(float), file["jet_features"][:]


def of(made: dict[str, Path], preset: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Particles and jets of each class."""
    end = {200: "200", 150: "150"}[PRESETS[preset].particles]
    return {name: read(made[preset] / "raw" / f"{name}{end}.hdf5") for name in PRESETS[preset].processes}


@pytest.mark.parametrize("preset", WINDOWS)
def test_the_files_are_recognised(made, preset, tmp_path) -> None:
    jets = JetFiles(made[preset] / "raw", root=tmp_path)
    assert list(jets.class_names) == list(PRESETS[preset].processes) and jets.card.name == f"generated_{preset}"
    assert jets.store.jet_field("y").flatten().bincount().tolist() == [JETS, JETS]


@pytest.mark.parametrize("preset", WINDOWS)
def test_jets_are_in_the_window_of_the_public_set(made, preset):
    low, high, eta_max, radius = WINDOWS[preset]
    for name, (particles, jets) in of(made, preset).items():
        pt, eta, mass, count = jets.T
        mask = particles[..., 3] == 1
        assert len(jets) == JETS and (pt >= low).all() and (pt <= high).all(), name
        assert (np.abs(eta) <= eta_max).all() and (np.abs(eta) > eta_max / 2).any()
        assert (mass > 0).all() and (mass < radius * pt).all()
        assert np.array_equal(mask.sum(1), count) and count.max() < PRESETS[preset].particles
        far = np.hypot(particles[..., 0], particles[..., 1]).max(1)
        assert 0.6 * radius < np.median(far) < 1.3 * radius  # of the particles that are the farthest from the axis
        assert (np.diff(particles[..., 2], axis=1) <= 0).all()


@pytest.mark.parametrize("preset", WINDOWS)
def test_particles_add_up_to_the_jet(made, preset):
    """No particle was cut: as massless momenta they have the jet's transverse momentum; for towers its mass."""
    for particles, jets in of(made, preset).values():
        pt, eta = particles[..., 2] * jets[:, :1], particles[..., 0] + jets[:, 1:2]
        p4 = pt[..., None] * np.stack(
            [np.cosh(eta), np.cos(particles[..., 1]), np.sin(particles[..., 1]), np.sinh(eta)], -1)
        energy, px, py, pz = p4.sum(1).T
        assert np.allclose(np.hypot(px, py), jets[:, 0], rtol=1e-5)
        if preset == "top_tagging":
            assert np.allclose(np.sqrt(energy**2 - px**2 - py**2 - pz**2), jets[:, 2], rtol=1e-3)


def test_classes_differ_as_tops_from_light_quarks_and_gluons_from_quarks(made):
    top_tagging, quark_gluon = of(made, "top_tagging"), of(made, "quark_gluon")
    assert 140 < np.median(top_tagging["top"][1][:, 2]) < 200  # GeV
    assert np.median(top_tagging["QCD"][1][:, 2]) < 120
    assert quark_gluon["gluon"][1][:, 3].mean() > 1.25 * quark_gluon["quark"][1][:, 3].mean()


@pytest.mark.parametrize("preset", WINDOWS)
def test_a_seed_gives_the_same_jets(made, preset):
    name = PARENTS[preset]
    particles, jets = of(made, preset)[name]
    settings = GeneratorSettings.from_dict({"preset": preset})
    slots = PRESETS[preset].particles
    again, other = (generate_chunk(name, 0, 10, slots, seed, settings) for seed in (0, 1))
    assert np.array_equal(again.particle_features, particles[:10].astype(np.float32))
    assert np.array_equal(again.jet_features, jets[:10])
    assert not np.array_equal(other.jet_features, jets[:10])


def compare_with_real(*words: str) -> int:
    path = Path(__file__).parents[2] / "data" / "compare_with_real.py"
    spec = importlib.util.spec_from_file_location("compare_with_real", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(list(words))


@pytest.mark.parametrize("shift", [1.0, 1.5])
def test_comparison_finds_equals_equal_and_others_not(made, tmp_path, capsys, shift):
    """The generated jets themselves, or with half as large momenta again, in the place of the real ones."""
    settings = {"preset": "quark_gluon"}
    jets = PythiaJets(made["quark_gluon"], None, JETS, 150, unit="GeV", settings=settings, generate=False).store
    whole = jets.batch(np.arange(len(jets)))
    np.savez(tmp_path / "real.npz", p4=shift * whole.p4.numpy(), ptr=whole.ptr.numpy(), label=whole.y.numpy(),
             class_names=np.array(["gluon", "quark"]))
    words = ["--generated", str(made["quark_gluon"]), "--real", str(tmp_path / "real.npz"), "--out", str(tmp_path)]
    assert compare_with_real(*words) == 0
    names, rows = read_csv((tmp_path / "quark_gluon.csv").read_text())
    found = {row[:2]: dict(zip(names, row)) for row in rows}
    for name in ("gluon", "quark"):
        pt = found[name, "pt [GeV]"]
        assert pt["distance"] < 1e-3 if shift == 1 else pt["distance"] > 200
        assert found[name, "tau32"]["distance"] < 1e-6 and pt["verdict"] == ("no" if shift == 1 else "yes")
    assert (tmp_path / "quark_gluon.png").stat().st_size > 10_000
    assert compare_with_real(*words[:1], str(tmp_path), *words[2:]) == 1
    assert "no jets in" in capsys.readouterr().err


RECORDED = {
    "g": (1293.294439, -0.545829, 264.234297, 30),
    "q": (992.284636, 0.993709, 18.383437, 19),
    "t": (1013.392212, -0.500861, 168.956246, 30),
    "w": (973.331212, 0.690239, 72.697270, 23),
    "z": (993.228882, 0.800029, 94.411591, 30),
}
"""Transverse momentum, pseudorapidity, mass and particles of the first jet of each class of JetNet, seed 0, as the
generator made them before there were presets, with Pythia 8.317."""


@pytest.mark.skipif(not require_generator()["pythia8mc"].startswith("8.317"), reason="recorded with Pythia 8.317")
@pytest.mark.parametrize("name", RECORDED)
def test_jets_like_jetnets_are_what_they_were(name):
    jets = generate_chunk(name, 0, 1, 30, 0, GeneratorSettings())
    assert np.allclose(jets.jet_features[0], RECORDED[name], rtol=1e-6)


def test_recipes_of_jetnets_jets_are_what_they_were():
    """Files that were made before are neither refused nor made again."""
    recipe = GeneratorSettings().to_dict()
    assert not set(LATER) & set(recipe) and recipe["jet_radius"] == 0.4
    assert GeneratorSettings.from_dict(recipe) == GeneratorSettings()
    assert GeneratorSettings.from_dict({**recipe, "rapidity": True}).to_dict()["rapidity"] is True


@pytest.mark.parametrize("preset", WINDOWS)
def test_files_of_a_preset_are_a_data_set(made, preset, tmp_path):
    root, settings = made[preset], {"preset": preset}
    jets = PythiaJets(root, jets=JETS, num_particles=100, settings=settings, generate=False)
    classes = list(PRESETS[preset].processes)
    assert list(jets.class_names) == classes and len(jets) == 2 * JETS
    assert PRESETS[preset].about in jets.origin
    assert jets[0].p4.shape[0] <= 100 and int(jets.store.jet_field("y").max()) == 1
    with pytest.raises(DataFileError, match="jet_radius"):
        PythiaJets(root, jets=JETS, num_particles=100, settings={**settings, "jet_radius": 0.6}, generate=False)
    with pytest.raises(ValueError, match=f"classes must be some of {', '.join(classes)}"):
        PythiaJets(root, ("g",), jets=JETS, settings=settings)
    with pytest.raises(FileNotFoundError, match="to make them: ") as caught:
        PythiaJets(tmp_path, jets=7, num_particles=200, settings=settings, generate=False)
    words = shlex.split(str(caught.value).partition("to make them: ")[2])
    named = [words[words.index(option) + 1] for option in ("--preset", "--classes")]
    assert named == [preset, ",".join(classes)]


def test_unknown_presets_and_classes_of_others_are_refused(tmp_path):
    with pytest.raises(ValueError, match="preset is 'atlas': choose from jetnet, top_tagging, quark_gluon"):
        GeneratorSettings.from_dict({"preset": "atlas"})
    with pytest.raises(ValueError, match="unknown jet class 'g': choose from QCD, top"):
        generate_files(tmp_path, ["g"], 1, settings=GeneratorSettings.from_dict({"preset": "top_tagging"}))


def partons(codes: list[int], mothers: list[int], directions: list[tuple[float, float]]) -> Partons:
    """Outgoing partons of 100 GeV of one event, in directions (eta, phi)."""
    momenta = [(100 * math.cos(phi), 100 * math.sin(phi), 100 * math.sinh(eta)) for eta, phi in directions]
    return Partons(np.zeros(len(codes), int), np.array(codes), np.array(mothers), np.array(momenta))


@pytest.mark.parametrize(("quark", "inside"), [((0.4, 0.4), True), ((0.0, -0.7), True), ((0.0, 0.9), False)])
def test_a_jet_of_a_top_holds_the_top_and_its_quarks(quark, inside):
    """Also where the azimuth passes through pi."""
    settings = GeneratorSettings.from_dict({"preset": "top_tagging"})
    for turn in (0.0, 3.1):
        places = [(eta, phi + turn) for eta, phi in ((0.1, 0.0), (0.0, 0.1), quark)]
        wanted = partons([5, 1, -2], [6, 24, 24], places).wanted(Process((), top=True), settings)
        axis = np.array([turn]) if turn < math.pi else np.array([turn - 2 * math.pi])
        assert wanted(np.array([0]), np.array([0.0]), axis)[0] == inside
        assert not wanted(np.array([0]), np.array([2.0]), axis)[0]
    leptonic = partons([5], [6], [(0.0, 0.0)]).wanted(Process((), top=True), settings)
    assert not leptonic(np.array([0]), np.array([0.0]), np.array([0.0]))[0]


@pytest.mark.parametrize(("code", "light"), [(1, True), (-3, True), (4, False), (-5, False), (21, False)])
def test_only_light_quarks_are_quarks(code, light):
    settings = GeneratorSettings.from_dict({"preset": "quark_gluon"})
    wanted = partons([code], [21], [(0.0, 0.0)]).wanted(settings.process("quark"), settings)
    assert wanted(np.array([0]), np.array([0.0]), np.array([0.0]))[0] == light


@pytest.mark.parametrize(("name", "setting", "code"), [("w", "w_mass", 24), ("t", "top_mass", 6)])
def test_resonances_of_other_masses(name: str, setting: str, code: int) -> None:
    heavy = GeneratorSettings.from_dict({setting: 130.0})
    assert heavy.to_dict()[setting] == 130.0 and setting not in GeneratorSettings().to_dict()
    events = build_pythia(name, heavy, seed=1)
    assert events.particleData.m0(code) == 130.0
    assert build_pythia(name, GeneratorSettings(), seed=1).particleData.m0(code) not in (0.0, 130.0)
