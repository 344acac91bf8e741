"""Jets that are linked to candidates in events know where they are from."""

from pathlib import Path

import jet_layouts as write
import numpy as np
import pytest
from jet_layouts import Jets

from lgae_pyg.applications.score_formats import read_scores
from lgae_pyg.cli import main
from lgae_pyg.datasets import JetFiles, reading


@pytest.fixture
def jets() -> Jets:
    return Jets()


def read(path: Path, card=None) -> JetFiles:
    return JetFiles(path, card, root=path.parent / "store")


@pytest.mark.parametrize("step", [1, 2, 500])
def test_linked_jets_know_their_event(tmp_path: Path, jets: Jets, step: int, monkeypatch) -> None:
    """However many events are read at a time, and whatever a selection takes."""
    monkeypatch.setattr(reading, "EVENTS", step)
    write.nano(tmp_path / "nano.root", jets)
    events, places = np.arange(7) // 2, np.arange(7) % 2
    fields = read(tmp_path / "nano.root", "pfnano").store.jet_fields
    assert fields["event"].tolist() == events.tolist() and fields["jet_in_event"].tolist() == places.tolist()
    threshold = float(np.median(jets.jet_pt))
    card = {"base": "pfnano", "name": "some", "selection": f"FatJet_pt > {threshold}"}
    some = read(tmp_path / "nano.root", card).store.jet_fields
    chosen = jets.jet_pt > threshold
    assert some["event"].tolist() == events[chosen].tolist()
    assert some["jet_in_event"].tolist() == places[chosen].tolist()


def test_scores_of_linked_jets_name_their_event(tmp_path: Path, jets: Jets) -> None:
    write.nano(tmp_path / "nano.root", jets)
    wanted = [(b // 2, b % 2) for b in range(7)]
    for suffix in ("parquet", "h5", "root", "npz"):
        out = tmp_path / f"scores.{suffix}"
        words = ["score", "lorentz_net_tops", str(tmp_path / "nano.root"), "--out", str(out), "--quiet"]
        assert main([*words, "--card", "pfnano"]) == 0
        table = read_scores(out)
        assert list(zip(table["event"].tolist(), table["jet_in_event"].tolist())) == wanted
        assert list(table.columns)[:4] == ["file", "jet", "event", "jet_in_event"] and "event" not in table.scores
