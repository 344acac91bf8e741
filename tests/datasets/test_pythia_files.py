"""Generated jet files: reproducible, resumable, in JetNet's format, with the physics of each class."""

import json
from pathlib import Path

import numpy as np
import pytest

h5py = pytest.importorskip("h5py")
pytest.importorskip("pythia8mc", exc_type=ImportError)
pytest.importorskip("fastjet", exc_type=ImportError)

from lgae_pyg.checksums import read_signed  # noqa: E402
from lgae_pyg.cli import main  # noqa: E402
from lgae_pyg.datasets.pythia import CLASSES, GeneratorSettings, events, files, generate_files  # noqa: E402
from lgae_pyg.datasets.pythia.files import Recipe, card_path, read_recipe, update_card  # noqa: E402

JETS, CHUNK = 80, 44
MAKE_CHUNK = files._make_chunk


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(path, "r") as file:
        return file["particle_features"][:], file["jet_features"][:]


def same(path: Path, other: Path) -> bool:
    return path.read_bytes() == other.read_bytes()


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> dict[str, Path]:
    """One small file of each class."""
    paths = generate_files(tmp_path_factory.mktemp("pythia"), CLASSES, JETS, workers=1, progress=False,
                           chunk_jets=CHUNK)
    return dict(zip(CLASSES, paths))


def test_format_is_jetnets(made):
    for name, path in made.items():
        particles, jets = read(path)
        assert path.name == f"{name}.hdf5"
        assert particles.shape == (JETS, 30, 4) and particles.dtype == np.float32
        assert jets.shape == (JETS, 4)
        mask = particles[..., 3]
        assert set(np.unique(mask)) <= {0.0, 1.0}
        assert np.all(np.diff(mask, axis=1) <= 0)
        assert np.all(particles[mask == 0] == 0)
        assert np.all(particles[mask == 1][:, 2] > 0)
        assert np.all(np.diff(particles[..., 2], axis=1) <= 0)
        assert np.array_equal(jets[:, 3], mask.sum(1))


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> dict[str, Path]:
    """Gluon and quark jets with up to 150 particles: nearly all of them."""
    paths = generate_files(tmp_path_factory.mktemp("whole"), ["g", "q"], 44, 150, workers=1, progress=False)
    return dict(zip("gq", paths))


def summed(particles: np.ndarray, jets: np.ndarray) -> tuple[np.ndarray, ...]:
    """Energy and momentum (x towards the jet) of each jet from its massless constituents, in GeV."""
    eta_rel, phi_rel, pt_rel, mask = (particles[..., k].astype(float) for k in range(4))
    pt, eta = pt_rel * jets[:, :1], eta_rel + jets[:, 1:2]
    parts = pt * np.cosh(eta), pt * np.cos(phi_rel), pt * np.sin(phi_rel), pt * np.sinh(eta)
    return tuple((mask * part).sum(1) for part in parts)


def test_constituents_add_up_to_their_jet(whole):
    for path in whole.values():
        particles, jets = read(path)
        complete = jets[:, 3] < particles.shape[1]
        assert complete.mean() > 0.5
        particles, jets = particles[complete], jets[complete]
        energy, px, py, pz = summed(particles, jets)
        pt = np.hypot(px, py)
        assert np.allclose(pt, jets[:, 0], rtol=1e-5)
        assert np.allclose(np.arctan2(py, px), 0, atol=1e-4)
        assert np.allclose(np.arcsinh(pz / pt), jets[:, 1], atol=1e-3)
        mass = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
        assert np.all(mass < jets[:, 2] + 0.1)  # particle masses, which the format drops, only add to it
        assert np.median(mass / jets[:, 2]) > 0.9


def test_leading_particles_carry_most_of_the_jet(made):
    for path in made.values():
        particles, jets = read(path)
        _, px, py, _ = summed(particles, jets)
        share = np.hypot(px, py) / jets[:, 0]
        assert np.all(share < 1 + 1e-5) and share.min() > 0.5


def test_kinematic_window_and_cone(made):
    settings = GeneratorSettings()
    for path in made.values():
        particles, jets = read(path)
        assert np.all((jets[:, 0] >= settings.jet_pt_min) & (jets[:, 0] <= settings.jet_pt_max))
        assert np.all(np.abs(particles[..., 1]) <= np.pi)
        assert np.quantile(np.abs(particles[particles[..., 3] == 1][:, 1]), 0.999) < 1.2 * settings.jet_radius


def peak(mass: np.ndarray, width: float) -> float:
    """Centre of the fullest window."""
    centres = np.sort(mass)
    counts = [np.sum(np.abs(mass - centre) < width / 2) for centre in centres]
    return float(np.median(centres[counts == np.max(counts)]))


def test_masses_and_multiplicities_of_the_classes(made):
    mass = {name: read(path)[1][:, 2] for name, path in made.items()}
    assert peak(mass["t"], 30) == pytest.approx(173, abs=15)
    assert peak(mass["w"], 12) == pytest.approx(80.4, abs=6)
    assert peak(mass["z"], 12) == pytest.approx(91.2, abs=6)
    assert np.median(mass["q"]) < np.median(mass["g"]) < np.median(mass["t"])
    lead = {name: read(path)[0][:, 0, 2].mean() for name, path in made.items()}
    assert lead["q"] > lead["g"]


def test_gluons_have_more_constituents_than_quarks(whole):
    count = {}
    for name, path in whole.items():
        particles, jets = read(path)
        assert path.name == f"{name}150.hdf5" and particles.shape == (44, 150, 4)
        count[name] = jets[:, 3].mean()
    assert count["g"] > 1.2 * count["q"]


def test_two_processes_make_the_same_file(made, tmp_path):
    (path,) = generate_files(tmp_path, ["q"], JETS, workers=2, progress=False, chunk_jets=CHUNK)
    assert same(path, made["q"])


def test_seeds_and_chunks_differ(made, tmp_path):
    (path,) = generate_files(tmp_path, ["q"], 20, seed=1, workers=1, progress=False, chunk_jets=CHUNK)
    jets = read(made["q"])[1]
    assert not np.isin(read(path)[1][:, 0], jets[:, 0]).any()
    assert len(np.unique(jets[:, 0])) == JETS


def test_fewer_jets_are_the_first_jets(made, tmp_path):
    (path,) = generate_files(tmp_path, ["g"], 20, workers=1, progress=False, chunk_jets=CHUNK)
    for part, whole in zip(read(path), read(made["g"])):
        assert np.array_equal(part, whole[:20])


def test_interrupted_run_goes_on_to_the_same_file(made, tmp_path, monkeypatch):
    done: list[int] = []

    def interrupted(task):
        if done:
            raise KeyboardInterrupt
        done.append(task[2])
        return MAKE_CHUNK(task)

    again = {"classes": ["w"], "jets": JETS, "workers": 1, "progress": False, "chunk_jets": CHUNK}
    monkeypatch.setattr(files, "_make_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_files(tmp_path, **again)
    assert not (tmp_path / "w.hdf5").exists()
    monkeypatch.setattr(files, "_make_chunk", lambda task: done.append(task[2]) or MAKE_CHUNK(task))
    (path,) = generate_files(tmp_path, **again)
    assert done == [0, 1]
    assert same(path, made["w"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["w.hdf5", "w.json"]


@pytest.fixture
def quick(monkeypatch):
    """Random numbers in the place of Pythia: of a chunk, too, fewer jets are the first jets."""

    def generate_chunk(name, number, jets, particles, seed, settings):
        rng = np.random.default_rng([seed, CLASSES.index(name), number])
        rows = rng.random((jets, particles + 1, 4))
        return events.Jets(rows[:, 1:].astype(np.float32), rows[:, 0])

    monkeypatch.setattr(files, "generate_chunk", generate_chunk)


def test_generated_jets_are_extended_to_the_same_file(made, tmp_path):
    again = {"classes": ["q"], "workers": 1, "progress": False, "chunk_jets": CHUNK}
    generate_files(tmp_path, jets=10, **again)
    (path,) = generate_files(tmp_path, jets=JETS, **again)
    assert same(path, made["q"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q.hdf5", "q.json"]


@pytest.mark.parametrize(("before", "after"), [(1, 50), (20, 50), (23, 24), (23, 40), (40, 100)])
def test_whole_chunks_of_a_shorter_file_are_not_made_again(quick, tmp_path, monkeypatch, before, after):
    again = {"classes": ["q"], "workers": 1, "progress": False, "chunk_jets": 20}
    (whole,) = generate_files(tmp_path / "whole", jets=after, **again)
    generate_files(tmp_path, jets=before, **again)
    done = []
    monkeypatch.setattr(files, "_make_chunk", lambda task: done.append(task[2]) or MAKE_CHUNK(task))
    (path,) = generate_files(tmp_path, jets=after, **again)
    assert same(path, whole) and done == list(range(before // 20, -(-after // 20)))
    assert json.loads(card_path(path).read_text())["recipe"]["jets"] == after
    assert generate_files(tmp_path, jets=after, **again) == [path] and done[-1] + 1 == -(-after // 20)
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_extension_leaves_the_smaller_file(quick, tmp_path, monkeypatch):
    again = {"classes": ["q"], "workers": 1, "progress": False, "chunk_jets": 20}
    (path,) = generate_files(tmp_path, jets=10, **again)
    before = path.read_bytes()

    def interrupted(task):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "_make_chunk", interrupted)
        generate_files(tmp_path, jets=50, **again)
    assert path.read_bytes() == before
    generate_files(tmp_path, jets=50, **again)
    assert len(read(path)[0]) == 50


def test_jets_of_other_programs_are_not_mixed(quick, tmp_path):
    again = {"classes": ["q"], "workers": 1, "progress": False, "chunk_jets": 20}
    (path,) = generate_files(tmp_path, jets=4, **again)
    sound = read(path)[1]
    with h5py.File(path, "r+") as file:
        versions = json.loads(file.attrs["versions"])
        file.attrs["versions"] = json.dumps(versions | {"pythia8mc": "8.1"})
    with pytest.raises(ValueError, match=r"q\.hdf5 holds 4 jets made with pythia8mc 8\.1, here 8"):
        generate_files(tmp_path, jets=6, **again)
    with h5py.File(path, "r+") as file:
        file.attrs["versions"] = json.dumps(versions)
        file["jet_features"][1, 2] += 1
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"q\.hdf5 holds other jets than are made here"):
        generate_files(tmp_path, jets=6, **again)
    assert path.read_bytes() == before
    generate_files(tmp_path, jets=6, overwrite=True, **again)
    assert np.array_equal(read(path)[1][:4], sound)


@pytest.mark.parametrize("spoilt", [b"", b"PK", b"no archive", -1, -200])
def test_a_damaged_chunk_is_made_again(quick, tmp_path, monkeypatch, spoilt):
    """A machine that lost its power may leave one; what the system refuses is no damage."""
    again = {"classes": ["w"], "jets": 30, "workers": 1, "progress": False, "chunk_jets": 20}
    (whole,) = generate_files(tmp_path / "whole", **again)

    def lost(task):
        done = MAKE_CHUNK(task)
        (chunk,) = tmp_path.glob(".w_*.chunks/*.npz")
        chunk.write_bytes(spoilt if isinstance(spoilt, bytes) else chunk.read_bytes()[:spoilt])
        raise KeyboardInterrupt(done)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(files, "_make_chunk", lost)
        generate_files(tmp_path, **again)
    with monkeypatch.context() as patch, pytest.raises(PermissionError):
        patch.setattr(np, "load", lambda *_, **__: (_ for _ in ()).throw(PermissionError(13, "forbidden")))
        generate_files(tmp_path, **again)
    (path,) = generate_files(tmp_path, **again)
    assert same(path, whole)


def test_complete_file_is_not_made_again(made, monkeypatch):
    def never(task):
        raise AssertionError("made again")

    monkeypatch.setattr(files, "_make_chunk", never)
    folder = made["g"].parent
    assert generate_files(folder, ["g", "t"], JETS, progress=False, chunk_jets=CHUNK) == [made["g"], made["t"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 3}, "seed: 0 in the file, 3 asked for"),
        ({"jets": 7}, f"jets: {JETS} in the file, 7 asked for"),
        ({"settings": GeneratorSettings(jet_radius=0.8)}, "jet_radius: .* in the file, 0.8 asked for"),
    ],
)
def test_file_of_another_recipe_is_kept_and_named(made, change, message):
    arguments = {"jets": JETS, "chunk_jets": CHUNK, "progress": False} | change
    with pytest.raises(ValueError, match=message):
        generate_files(made["g"].parent, ["g"], **arguments)


def test_foreign_or_broken_files_are_errors(tmp_path):
    with h5py.File(tmp_path / "g.hdf5", "w") as file:
        file["jet_features"] = np.zeros((1, 4))
    with pytest.raises(ValueError, match="not made by this generator"):
        generate_files(tmp_path, ["g"], 5, progress=False)
    with h5py.File(tmp_path / "g.hdf5", "r+") as file:
        file.attrs["recipe"] = "two eggs"
    with pytest.raises(ValueError, match="not made by this generator"):
        generate_files(tmp_path, ["g"], 5, progress=False)
    (tmp_path / "q.hdf5").write_bytes(b"no file")
    with pytest.raises(OSError, match=r"q\.hdf5 cannot be read as HDF5"):
        generate_files(tmp_path, ["q"], 5, progress=False)


def test_recipe_and_card_say_how_it_was_made(made):
    recipe = read_recipe(made["t"])
    assert recipe == Recipe("t", JETS, 30, 0, CHUNK, GeneratorSettings()).to_dict()
    card = read_signed(card_path(made["t"]))
    assert card["recipe"] == recipe
    assert card["versions"]["pythia8mc"] and card["versions"]["fastjet"]
    assert 800 < card["summary"]["median_pt_gev"] < 1600
    update_card(made["t"], judge={"fpnd": 1.0})
    assert read_signed(card_path(made["t"])) == card | {"judge": {"fpnd": 1.0}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["x"]}, "unknown jet class 'x': choose from g, q, t, w, z"),
        ({"classes": []}, "choose from"),
        ({"jets": 0}, "jets is 0"),
        ({"particles": 201}, "particles is 201: give a number from 1 to 200"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_calls_are_named(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate_files(tmp_path, **({"progress": False} | arguments))
    assert not list(tmp_path.iterdir())


def test_window_without_jets_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "MOST_EVENTS_WITHOUT_JETS", events.BATCH_EVENTS)
    settings = GeneratorSettings(jet_pt_min=3000, jet_pt_max=4000)
    with pytest.raises(ValueError, match=r"none of \d+ events of class g has a jet with a pT from 3000"):
        generate_files(tmp_path, ["g"], 5, workers=1, settings=settings, progress=False)


def test_command_line(made, tmp_path, capsys):
    words = ["generate", "--classes", "z", "--jets", "10", "--out", str(tmp_path), "--workers", "1", "--quiet"]
    assert main([*words, "--set", "jets_per_event=2", "--set", "underlying_event=0"]) == 0
    assert str(tmp_path / "raw" / "z.hdf5") in capsys.readouterr().out
    settings = read_recipe(tmp_path / "raw" / "z.hdf5")["settings"]
    assert settings["jets_per_event"] == 2 and settings["underlying_event"] is False
    assert main(words) == 1
    assert "jets_per_event: 2 in the file, 1 asked for" in capsys.readouterr().err
    assert main([*words, "--set", "radius=1"]) == 1
    assert "--set does not know radius" in capsys.readouterr().err
    assert main(["generate", "--classes", "g,x", "--out", str(tmp_path)]) == 1
    assert "choose from g, q, t, w, z" in capsys.readouterr().err


def test_judge_writes_the_card(made, capsys):
    pytest.importorskip("torch")
    from lgae_pyg.cli.generate import judge
    from lgae_pyg.metrics import fpnd

    try:
        fpnd.resources()
    except ImportError:
        pytest.skip("jetnet's network is not installed")
    judge([made["g"], made["z"]])
    shown = capsys.readouterr().out
    found = {name: json.loads(card_path(made[name]).read_text())["judge"] for name in "gz"}
    assert found["z"]["fpnd"] is None and found["g"]["jets"] == JETS
    assert f"{found['g']['fpnd']:.3f}" in shown
    assert found["g"]["fpnd"] < 10
    assert max(found["g"]["confusion"], key=found["g"]["confusion"].get) == "g"
