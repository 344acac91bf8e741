"""Score files: the same bytes after kills, by any processes and shards, in every format; others are refused."""

import contextlib
import multiprocessing
import os
import random
import signal
import time
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as parquet
import pytest
import torch
import uproot
from score_jets import EMPTY, JETS, NEGATIVE, NOT_FINITE

from lgae_pyg.applications import score_files as module
from lgae_pyg.applications import score_formats
from lgae_pyg.applications.score_files import parts_folder, score_files
from lgae_pyg.applications.score_formats import read_meta, read_scores, write_scores
from lgae_pyg.applications.score_job import ScoreJob
from lgae_pyg.checkpoint import load_model, save_checkpoint
from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError
from lgae_pyg.data.tensor_file import read_tensors, write_tensors
from lgae_pyg.datasets.cards import read_card
from lgae_pyg.datasets.recognition import recognise_card

SUFFIXES = ["parquet", "h5", "root", "npz"]
PIECES = 9


@pytest.fixture
def job(tagger: Path, lists: Path) -> ScoreJob:
    """Nine pieces of seven jets, in row groups of 23."""
    return ScoreJob(str(tagger), (str(lists),), recognise_card(str(lists)), batch_size=4, piece_rows=7)


@pytest.fixture
def whole(job: ScoreJob, tmp_path: Path) -> bytes:
    """The file of an uninterrupted job."""
    return score_files(job, tmp_path / "whole.root").read_bytes()


@contextlib.contextmanager
def counted(monkeypatch):
    """The numbers of the pieces that are scored."""
    found, write = [], module._Work.write

    def counting(self, scorer, stretch):
        for number in write(self, scorer, stretch):
            found.append(number)
            yield number

    with monkeypatch.context() as patch:
        patch.setattr(module._Work, "write", counting)
        yield found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_bytes_at_another_time(job: ScoreJob, tmp_path: Path, suffix: str) -> None:
    first = score_files(job, tmp_path / f"a.{suffix}").read_bytes()
    time.sleep(1.1)  # ROOT counts seconds
    assert score_files(job, tmp_path / f"b.{suffix}").read_bytes() == first
    assert not parts_folder(tmp_path / f"a.{suffix}").exists()


def test_all_formats_hold_the_same_table(job: ScoreJob, tmp_path: Path) -> None:
    tables = [read_scores(score_files(job, tmp_path / f"scores.{suffix}")) for suffix in SUFFIXES]
    for table in tables:
        assert len(table) == JETS and table.meta == tables[0].meta
        assert list(table.columns) == list(tables[0].columns)
        for name in table.columns:
            np.testing.assert_array_equal(table[name], tables[0][name], err_msg=name)
    assert np.flatnonzero(tables[0]["status"] != "").tolist() == [NOT_FINITE, EMPTY, NEGATIVE]


def test_files_are_what_other_programs_read(job: ScoreJob, tmp_path: Path) -> None:
    paths = {suffix: score_files(job, tmp_path / f"scores.{suffix}") for suffix in SUFFIXES}
    wanted = read_scores(paths["npz"])["score"]
    frame = parquet.read_table(paths["parquet"])
    np.testing.assert_array_equal(frame["score"].to_numpy(), wanted)
    assert frame["status"].to_pylist()[EMPTY] == "empty" and frame["file"].to_pylist()[0] == "jets.parquet"
    with h5py.File(paths["h5"]) as file:
        np.testing.assert_array_equal(file["score"][()], wanted)
        assert file["status"][EMPTY] == b"empty" and file["score"].fletcher32 and "PFN" in file.attrs["lgae_pyg"]
    with uproot.open(paths["root"]) as file:
        tree = file["jets"]
        np.testing.assert_array_equal(tree["score"].array(library="np"), wanted)
        assert tree["file"].array(library="np").tolist() == JETS * [0] and "jets.parquet" in str(file["lgae_pyg"])
    with np.load(paths["npz"], allow_pickle=False) as file:
        assert file["jet"].tolist() == list(range(JETS)) and "PFN" in str(file["lgae_pyg"][0])


def forked(work) -> int:
    """Does something in a process of its own; returns how it ended (below zero: the signal)."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    return child.exitcode


def test_killed_at_any_file_operation_it_goes_on_to_the_same_bytes(job, whole, tmp_path: Path) -> None:
    """Every call that gives a file its name is preceded and followed by a kill, in one long history of kills."""
    out, replace, kills = tmp_path / "killed.root", os.replace, 0

    def dies(after: int, before: bool):
        calls = 0

        def replacing(*names):
            nonlocal calls
            calls += 1
            if calls == after and before:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(*names)
            if calls == after:
                os.kill(os.getpid(), signal.SIGKILL)

        def work():
            os.replace = replacing
            score_files(job, out)

        return work

    history = [(1, True), (1, False), (2, True), (2, False), (1, True), (3, False), (2, True), (1, False)]
    for after, before in history:
        kills += forked(dies(after, before)) == -signal.SIGKILL
        parts = list(parts_folder(out).glob("*.safetensors"))
        assert parts_folder(out).exists() and len(parts) <= PIECES
    assert kills == 8
    assert forked(dies(2, True)) == -signal.SIGKILL and not out.exists()  # the very last step
    score_files(job, out)
    assert out.read_bytes() == whole and not parts_folder(out).exists()
    assert not list(tmp_path.glob(".killed*"))


def test_killed_after_the_file_was_written(job, whole, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "killed.root"
    with monkeypatch.context() as patch:
        patch.setattr(module.shutil, "rmtree", lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        assert forked(lambda: score_files(job, out)) == -signal.SIGKILL
    assert out.read_bytes() == whole and parts_folder(out).exists()
    with counted(monkeypatch) as scored:
        score_files(job, out)
    assert not scored and out.read_bytes() == whole and not parts_folder(out).exists()


def test_killed_ten_times_at_random_moments(job, whole, tmp_path: Path) -> None:
    out, chance = tmp_path / "killed.root", random.Random(5)
    begin = time.perf_counter()
    score_files(job, tmp_path / "timed.root")
    length = time.perf_counter() - begin
    for _ in range(10):
        child = multiprocessing.get_context("fork").Process(target=score_files, args=(job, out))
        child.start()
        child.join(chance.uniform(0, length))
        child.kill()
        child.join()
    score_files(job, out)
    assert out.read_bytes() == whole


@pytest.mark.parametrize("damage", ["cut", "flipped", "foreign"])
def test_a_damaged_part_is_scored_again(job, whole, tmp_path: Path, monkeypatch, damage: str) -> None:
    out = tmp_path / "out.root"
    score_files(job, out, shard=(1, 1))
    part = module.part_path(parts_folder(out), 4)
    content = bytearray(part.read_bytes())
    if damage == "foreign":
        write_tensors(part, read_tensors(part)[0], {"job": "another"})
    elif damage == "cut":
        part.write_bytes(content[:99])
    else:
        content[-5] ^= 8
        part.write_bytes(content)
    with counted(monkeypatch) as scored:
        score_files(job, out)
    assert scored == [4] and out.read_bytes() == whole


def test_shards_are_the_whole_and_no_jet_is_doubled(job, whole, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "shards.root"
    with counted(monkeypatch) as scored:
        for number in (3, 1, 4):
            assert score_files(job, out, shard=(number, 4)) is None
        assert sorted(scored) == [0, 1, 4, 5, 6, 7, 8] and not out.exists()
        score_files(job, out)  # with what is missing
    assert sorted(scored) == list(range(PIECES)) and out.read_bytes() == whole
    for shard in ((0, 4), (5, 4)):
        with pytest.raises(ValueError, match="count from 1"):
            score_files(job, tmp_path / "none.root", shard=shard)


def test_processes_write_the_same_bytes(job, whole, tmp_path: Path) -> None:
    rows = []
    tell = lambda done, total: rows.append((done, total))  # noqa: E731
    out = score_files(job, tmp_path / "two.root", workers=2, progress=tell)
    assert out.read_bytes() == whole
    assert rows[0] == (0, JETS) and rows[-1] == (JETS, JETS)


def test_a_job_of_something_else_is_refused(job, whole, tmp_path, tagger, file, monkeypatch) -> None:
    out = tmp_path / "out.root"
    score_files(job, out, shard=(1, 2))
    model = load_model(tagger)
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1
    second = save_checkpoint(tmp_path / "second.ckpt", model)
    values = {key: getattr(job, key) for key in ("model", "files", "card", "batch_size", "piece_rows")}
    others = {
        "model": {"model": str(second)},
        "input files": {"files": (str(file),), "card": read_card("neutral")},
        "card": {"card": read_card({**job.card.to_dict(), "unit": "TeV"})},
        "options": {"batch_size": 5},
    }
    for differs, changes in others.items():
        with pytest.raises(FileExistsError, match=f"{differs}.* differ"):
            score_files(ScoreJob(**{**values, **changes}), out)
    score_files(job, out)
    assert out.read_bytes() == whole
    with pytest.raises(FileExistsError, match="of another job"):
        score_files(ScoreJob(**{**values, "batch_size": 5}), out)
    assert out.read_bytes() == whole and not parts_folder(out).exists()
    with counted(monkeypatch) as scored:
        score_files(job, out)
    assert not scored


def test_nobody_else_is_at_work(job, tmp_path: Path) -> None:
    out = tmp_path / "out.root"
    with module._alone(parts_folder(out), None), pytest.raises(FileExistsError, match="at work"):
        score_files(job, out)
    with module._alone(parts_folder(out), (1, 2)):
        score_files(job, out, shard=(2, 2))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_was_cut_short_is_no_score_file(job, tmp_path: Path, suffix: str) -> None:
    path = score_files(job, tmp_path / f"a.{suffix}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataFileError, match="damaged"):
        read_scores(path)


def test_the_command(tagger: Path, file: Path, lists: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "scores.parquet"
    words = ["score", str(tagger), str(file), "--out", str(out), "--quiet"]
    assert main([*words, "--shard", "1/1"]) == 0 and not out.exists()
    assert "without --shard" in capsys.readouterr().out
    assert main(words) == 0
    said = capsys.readouterr()
    assert "61 were done before" in said.out and "dropped: 1 empty" in said.out and "card neutral" in said.err
    assert len(read_scores(out)) == JETS and read_meta(out)["class_names"] == ["QCD", "top"]
    assert main([*words[:2], str(lists), *words[3:]]) == 1
    assert "of another job" in capsys.readouterr().err
    assert main([*words[:4], str(tmp_path / "scores.txt")]) == 1
    assert ".parquet" in capsys.readouterr().err
    assert main([*words[:4], str(tmp_path / "b.h5"), "--latents"]) == 1
    assert "no codes" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_do_not_depend_on_how_their_parts_came(tmp_path: Path, monkeypatch, suffix: str) -> None:
    """Nor on how long the metadata are, which an attribute of HDF5 does not hold."""
    monkeypatch.setattr(score_formats, "ROWS", 10)
    places = np.arange(37)
    columns = {"file": places % 2, "jet": places, "status": places % 3, "score": places * 0.1}
    meta = {"columns": list(columns), "files": ["ü.root", "b"], "statuses": ["", "empty", "x"]}
    meta["notes"] = ["ä" * 70_000]
    contents = set()
    for number, cuts in enumerate([[0, 37], [0, 3, 10, 11, 30, 37], [0, 20, 37]]):

        def parts(names, cuts=cuts):
            return ({name: columns[name][a:b] for name in names} for a, b in pairwise(cuts))

        path = write_scores(tmp_path / f"{number}.{suffix}", list(columns), 37, parts, meta)
        contents.add(path.read_bytes())
    table = read_scores(path)
    assert len(contents) == 1 and table.meta == meta
    assert table["file"].tolist() == [["ü.root", "b"][place] for place in columns["file"]]
    assert table["status"].tolist() == [meta["statuses"][place] for place in columns["status"]]
    np.testing.assert_array_equal(table["score"], columns["score"])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_may_hold_no_jet_or_none_that_is_sound(tagger: Path, tmp_path: Path, arrays, suffix: str) -> None:
    for name, p4, ptr, jets in (("none", arrays.p4[:0], [0], 0), ("bad", arrays.p4[:3] * np.nan, [0, 1, 3], 2)):
        np.savez(tmp_path / f"{name}.npz", p4=p4, ptr=np.array(ptr), label=np.zeros(jets, dtype=int))
        job = ScoreJob(str(tagger), (str(tmp_path / f"{name}.npz"),), read_card("neutral"))
        table = read_scores(score_files(job, tmp_path / f"{name}_scores.{suffix}"))
        assert len(table) == jets and table["status"].tolist() == ["not finite"] * jets
