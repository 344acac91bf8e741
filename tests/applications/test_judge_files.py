"""Files of scores of all formats, with names that are recognised and said, and with faults that are named."""

import csv
import json
import zipfile

import h5py
import numpy as np
import pytest

from lgae_pyg.applications.judge import judge_file
from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError

RNG = np.random.default_rng(4)
N = 300
Y = np.arange(N) % 2
COLUMNS = {
    "is_signal": Y,
    "bdt_score": Y + RNG.normal(0, 1, N),
    "m_jet": 1000 * RNG.exponential(80, N),
    "nConst": RNG.poisson(40, N),
    "jet_pt": 1000 * RNG.uniform(500, 600, N),
}
FAST = {"resamples": 5}


def write_csv(path, columns, delimiter=","):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))


def write(path, columns):
    """A file of the format that its suffix says."""
    match path.suffix:
        case ".npz":
            np.savez(path, **columns)
        case ".h5":
            with h5py.File(path, "w") as file:
                for name, values in columns.items():
                    file[f"scores/{name}"] = values
        case ".root":
            with pytest.importorskip("uproot").recreate(path) as file:
                file["tree"] = columns
        case ".parquet":
            import pyarrow as pa
            from pyarrow.parquet import write_table

            write_table(pa.table(columns), path)
        case ".csv":
            write_csv(path, columns)
        case ".tsv":
            write_csv(path, columns, "\t")


@pytest.mark.parametrize("suffix", ["npz", "h5", "root", "parquet", "csv", "tsv"])
def test_every_format_gives_the_same_numbers(suffix, tmp_path) -> None:
    reference = tmp_path / "reference.npz"
    np.savez(reference, **COLUMNS)
    path = tmp_path / f"file.{suffix}"
    write(path, COLUMNS)
    verdict, other = (judge_file(one, unit="MeV", **FAST) for one in (path, reference))
    numbers = [[{**one, "score": ""} for one in each.to_dict()["scores"]] for each in (verdict, other)]
    assert json.dumps(numbers[0]) == json.dumps(numbers[1])
    said = verdict.notes[0].replace("scores/", "")
    assert said == (
        "Columns: scores bdt_score (guessed); labels is_signal (guessed); mass m_jet (guessed); number of "
        "particles nConst (guessed); pT jet_pt (guessed)."
    )
    assert not any("Doubtful" in note for note in verdict.notes)


def test_a_unit_that_cannot_be_is_doubted(tmp_path) -> None:
    np.savez(tmp_path / "a.npz", **COLUMNS)
    verdict = judge_file(tmp_path / "a.npz", **FAST)
    assert any(note.startswith("Doubtful: the median jet mass is") and "--unit" in note for note in verdict.notes)


META = {"format": 1, "class_names": ["QCD", "top"], "statuses": ["", "empty"], "files": ["a.root"]}


def ours(path):
    """What ``lgae score`` writes: two classes, a jet that was dropped and one of unknown class."""
    y, score = Y.copy(), RNG.random(N)
    y[3], score[5] = -1, np.nan
    columns = {"file": np.zeros(N, dtype=int), "jet": np.arange(N), "y": y, "jet_pt": COLUMNS["jet_pt"] / 1000}
    columns |= {"jet_eta": RNG.normal(size=N), "jet_phi": RNG.normal(size=N), "jet_mass": COLUMNS["m_jet"] / 1000}
    columns |= {"num_particles": COLUMNS["nConst"], "status": np.where(np.arange(N) == 5, 1, 0)}
    columns |= {"score_QCD": 1 - score, "score_top": score, "score": score, "latent_0": RNG.random(N)}
    text = json.dumps(META)
    words = np.array(META["statuses"])[columns["status"]]
    match path.suffix:
        case ".npz":
            with zipfile.ZipFile(path, "w") as archive:  # savez cannot write an array named "file"
                for name, values in {**columns, "status": words, "lgae_pyg": np.array([text])}.items():
                    with archive.open(f"{name}.npy", "w") as file:
                        np.lib.format.write_array(file, values, allow_pickle=False)
        case ".h5":
            write(path, columns)
            with h5py.File(path, "a") as file:
                for name in columns:
                    file.move(f"scores/{name}", name)
                del file["scores"], file["status"]
                file["status"] = words.astype("S9")
                file.attrs["lgae_pyg"] = text
        case ".parquet":
            import pyarrow as pa
            from pyarrow.parquet import write_table

            write_table(pa.table(columns | {"status": words}).replace_schema_metadata({"lgae_pyg": text}), path)
        case ".root":
            with pytest.importorskip("uproot").recreate(path) as file:
                file["jets"] = columns
                file["other"] = {"x": np.zeros(1000)}
                file["lgae_pyg"] = text


@pytest.mark.parametrize("suffix", ["npz", "h5", "parquet", "root"])
def test_files_of_our_own_explain_themselves(suffix, tmp_path) -> None:
    ours(tmp_path / f"o.{suffix}")
    verdict = judge_file(tmp_path / f"o.{suffix}", **FAST)
    assert list(verdict.words) == ["score"] and verdict.numbers[0].signal == "top"
    assert sum(verdict.numbers[0].jets) == N - 2 and len(verdict.numbers) == 4
    text = " ".join(verdict.notes)
    assert "'score' is NaN in 1 (first in row 5), the class in 'y' is unknown in 1 (first in row 3)" in text
    assert "Their status: empty (1)." in text


def test_one_column_for_each_class(tmp_path) -> None:
    """As weaver writes it: labels of zeros and ones, and a score of each class."""
    y = RNG.integers(0, 3, N)
    columns = {f"label_{name}": (y == k) * 1 for k, name in enumerate(("QCD", "Hbb", "Tbqq"))}
    columns |= {f"score_{name}": (y == k) + RNG.normal(0, 0.3, N) for k, name in enumerate(columns)}
    np.savez(tmp_path / "w.npz", **columns)
    verdict = judge_file(tmp_path / "w.npz", **FAST)
    found = [(one.score, one.background, one.signal) for one in verdict.numbers]
    assert found == [(f"score_label_{name}", "all others", name) for name in ("QCD", "Hbb", "Tbqq")]
    columns["label_QCD"] = columns["label_QCD"] + 1
    np.savez(tmp_path / "w.npz", **columns)
    with pytest.raises(DataFileError, match=r"w\.npz, row 0 \(from 0\): the columns label_QCD"):
        judge_file(tmp_path / "w.npz", **FAST)


def test_what_is_missing_is_named_with_its_mend(tmp_path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **COLUMNS)
    with pytest.raises(DataFileError, match=r"a\.npz has no column 'bdtscore' \(did you mean bdt_score\?\)"):
        judge_file(path, scores=["bdtscore"])
    np.savez(path, a=Y, b=Y)
    with pytest.raises(DataFileError, match=r"looks like labels .* --label\. It has: a, b"):
        judge_file(path)
    with pytest.raises(DataFileError, match=r"looks like a score .* --score A,B\. It has: a, b"):
        judge_file(path, labels="a")
    np.savez(path, y=Y, score=np.arange(N - 1.0))
    with pytest.raises(DataFileError, match=r"a\.npz: columns differ in length: 'score' 299, 'y' 300"):
        judge_file(path)
    np.savez(path, y=np.zeros(N), score=np.arange(N))
    with pytest.raises(DataFileError, match=r"a\.npz: all jets are of one class, 'class 0' in 'y'"):
        judge_file(path)


def test_pickles_are_never_opened(tmp_path) -> None:
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    np.savez(tmp_path / "a.npz", y=Y, score=np.array([Bomb()] * N, dtype=object))
    with pytest.raises(DataFileError, match="pickle"):
        judge_file(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", y=Y, score=Y, lgae_pyg=np.array([Bomb()], dtype=object))
    with pytest.raises(DataFileError):
        judge_file(tmp_path / "b.npz")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty"),
        ("1,2\n3,4\n", "begins with numbers"),
        ("y,score,score\n0,1,2\n", "two columns 'score'"),
        ("y,score\n0,1\n1\n", "cannot be read as CSV"),
        ("y,score\n0,1\n1,abc\n", r"row 1 \(from 0\) of 'score' is 'abc', no number"),
        ("y,score\n", "has no rows"),
    ],
)
def test_texts_with_faults_are_named(text, message, tmp_path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataFileError, match=message):
        judge_file(tmp_path / "a.csv")


def test_missing_numbers_in_a_text_are_counted(tmp_path) -> None:
    rows = [f"{'top' if k % 2 else 'QCD'},{'' if k == 7 else k}" for k in range(40)]
    (tmp_path / "a.csv").write_text("sample,output\n" + "\n".join(rows))
    verdict = judge_file(tmp_path / "a.csv", **FAST)
    assert "1 of 40 jets are left out of all figures: 'output' is NaN in 1 (first in row 7)." in verdict.notes
    assert verdict.numbers[0].background == "QCD"


def test_the_model_that_made_the_scores_is_named(tmp_path) -> None:
    meta = np.array([json.dumps({"model": "LorentzNet", "model_sha256": "0" * 64})])
    np.savez(tmp_path / "ours.npz", **COLUMNS, lgae_pyg=meta)
    verdict = judge_file(tmp_path / "ours.npz", resamples=5, pt="none")
    assert "The scores are those of LorentzNet, as their file says." in str(verdict)


def test_the_command_prints_and_writes_one_page(tmp_path, capsys) -> None:
    np.savez(tmp_path / "a.npz", **COLUMNS)
    arguments = ["judge", str(tmp_path / "a.npz"), "--unit", "MeV", "--resamples", "5", "--pt", "none"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "class 1 from class 0" in printed and "Not judged, since it is not given: jet pT." in printed
    assert (tmp_path / "out" / "verdict.html").exists() and "Page: " in printed
    assert json.loads((tmp_path / "out" / "verdict.json").read_text())["file"] == "a.npz"
    assert main(["judge", str(tmp_path / "none.npz")]) == 1
    assert "none.npz" in capsys.readouterr().err
