"""A data set of one's own goes through the gate, too, and can be had in another unit."""

import numpy as np
import pytest
import torch

from lgae_pyg.cli import main
from lgae_pyg.data import DataFileError, JetData, JetStore
from lgae_pyg.datasets import JetDataset
from lgae_pyg.evaluation.subject import Subject
from lgae_pyg.models import LinearAE


def momenta(row: int) -> torch.Tensor:
    """Eight massless particles of 1 to 100 GeV, by falling pT."""
    rng = np.random.default_rng(row)
    p = torch.from_numpy(rng.normal((2, 0, 0), 1, (8, 3)))
    p = 100 * p[p[:, :2].norm(dim=1).argsort(descending=True)]
    return torch.cat([p.norm(dim=1, keepdim=True), p], 1)


class Own(JetDataset):
    """Ten jets, some of which are changed."""

    raw_file_names = ()
    change = staticmethod(lambda row, p4: p4)

    def __init__(self, root, split="all", unit="GeV"):
        super().__init__(root, {"unit": unit}, split)

    def download(self):
        """Nothing is needed."""

    def build_store(self):
        """The jets."""
        return JetStore.from_jets([JetData(pos=self.change(row, momenta(row)), jet_id=row) for row in range(10)])


def own(change):
    return type("Own", (Own,), {"change": staticmethod(change)})


def test_sound_jets_are_taken_as_they_are_and_counted(tmp_path, capsys):
    jets = Own(tmp_path)
    assert all(torch.equal(jets[row].pos, momenta(row)) and jets[row].unit == "GeV" for row in range(10))
    report = jets.store.meta["admission"]
    assert (report["read"], report["kept"], report["particles"]) == (10, 10, 80)
    assert "Own: 10 jets read, 10 kept" in capsys.readouterr().err


def test_what_is_wrong_with_them_is_mended_and_said(tmp_path, capsys):
    def spoil(row, p4):
        if row == 2:
            p4[3, 1] = torch.nan
        if row == 4:
            p4[5] = 0
        return p4.flip(0) if row == 6 else p4

    jets = own(spoil)(tmp_path)
    assert jets.store.jet_field("jet_id").tolist() == [0, 1, 3, 4, 5, 6, 7, 8, 9]
    assert jets.store.sizes.tolist() == [8, 8, 8, 7, 8, 8, 8, 8, 8]
    assert torch.equal(jets[5].pos, momenta(6).flip(0))  # the order may be meant
    said = capsys.readouterr().err
    for words in ("10 jets read, 9 kept; dropped: 1 not finite", "1 rows without energy", "1 jets are not sorted"):
        assert words in said


def test_columns_in_another_order_stop_it(tmp_path):
    with pytest.raises(DataFileError, match=r"Own, jet 0.*\(px, py, pz, E\)"):
        own(lambda row, p4: p4[:, [1, 2, 3, 0]])(tmp_path)


def test_a_unit_that_cannot_be_right_is_said(tmp_path, capsys):
    Own(tmp_path, unit="TeV")
    assert "looks like numbers of a smaller unit than was declared" in capsys.readouterr().err


def test_jets_in_another_unit_than_the_model_are_converted_and_it_is_said(tmp_path):
    jets = Own(tmp_path)
    model = LinearAE(4, 8).fit([jets.in_unit("TeV").store.batch(slice(None))])
    subject = Subject(model, "", "TeV", jets.recipe, given={"test": jets})
    with pytest.warns(UserWarning, match="jets are in GeV, the model works in TeV: converted"):
        found = subject.dataset()
    batch = found.store.batch([3, 1])
    assert found.unit == batch.unit == found[0].unit == "TeV" and jets.unit == jets[0].unit == "GeV"
    torch.testing.assert_close(batch.pos, torch.cat([momenta(3), momenta(1)]) / 1000)
    assert torch.isfinite(model(batch).p4).all()


def test_a_unit_is_guessed_from_the_jets_that_are_finite(tmp_path, capsys):
    """One NaN in the first jets says nothing about the unit of the others."""
    p4 = np.concatenate([1000 * momenta(row).numpy() for row in range(10)])
    p4[30, 1] = np.nan
    columns = dict(zip(("energy", "px", "py", "pz"), p4.reshape(10, 8, 4).transpose(2, 0, 1)))
    np.savez(tmp_path / "jets.npz", **columns)
    assert main(["data", "inspect", str(tmp_path / "jets.npz")]) == 0
    said = capsys.readouterr().out
    assert "MeV was guessed" in said and "nan" not in said
