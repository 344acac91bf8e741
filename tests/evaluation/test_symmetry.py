"""The measured symmetries are those that a model has, and broken ones are found broken."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lgae_pyg.data import JetLoader, JetStore
from lgae_pyg.evaluation.symmetry.study import axes_table, internal_table, run_on, symmetry_table, verdict
from lgae_pyg.losses import jet_sum
from lgae_pyg.models import LGAE, Latent

LORENTZ = ("boost", "rotation", "translation")


class Toy(nn.Module):
    """Adds a tenth of the jet to each particle: Lorentz equivariant, and permutes its slots with the particles."""

    def __init__(self, broken: str = "") -> None:
        super().__init__()
        self.broken = broken
        self.weight = nn.Parameter(torch.tensor(0.1))

    def forward(self, batch):
        total = jet_sum(batch.pos, batch.ptr)
        p4 = batch.pos + self.weight * total[batch.batch]
        if self.broken == "lorentz":
            p4 = p4 * (1 + 0.1 * batch.pos[:, :1])
        if self.broken == "order":
            place = torch.arange(len(batch.pos)) - batch.ptr[batch.batch]
            p4 = p4 * (1 + place)[:, None]
        square = total[:, 0] ** 2 - total[:, 1:].square().sum(-1)
        latent = Latent(square[:, None], total[:, None])
        return SimpleNamespace(p4=p4, ptr=batch.ptr, latent=latent, images=None)


@pytest.fixture
def batches(jets) -> list:
    sizes = jets.ptr.diff()
    store = JetStore(jets.ptr, {"pos": jets.pos}, {"y": torch.zeros(len(sizes), dtype=torch.long)})
    return list(JetLoader(store, 5))


def subject(model: nn.Module) -> SimpleNamespace:
    return SimpleNamespace(model=model.double(), label="toy", unit_in_gev=1e3)


def verdicts(model: nn.Module, batches: list, column: str = "output_verdict") -> dict[str, str]:
    table = symmetry_table(subject(model), batches, "")
    return {row["change"]: row[column] for row in table.records()}


def test_a_perfect_model_has_all_symmetries(batches: list) -> None:
    assert set(verdicts(Toy(), batches).values()) == {"exact"}
    assert set(verdicts(Toy(), batches, "code_verdict").values()) == {"exact"}


def test_a_model_that_breaks_lorentz_symmetry_is_found_broken(batches: list) -> None:
    found = verdicts(Toy("lorentz"), batches)
    for name, said in found.items():
        kept = name.startswith("permutation") or name == "rotation around z" or name == "rotation around x"
        assert said == ("exact" if kept else "broken" if "γ = 10" in name else said), name
    assert found["translation in (η, φ)"] != "exact"
    table = axes_table(subject(Toy("lorentz")), batches, "")
    boosts = [row for row in table.records() if row["kind"] == "boost" and row["parameter"] == 4]
    assert len(boosts) == 12 and min(row["norm"] for row in boosts if row["unit"] == "TeV") > 1e-2


def test_a_model_that_looks_at_the_order_is_found_broken(batches: list) -> None:
    found = verdicts(Toy("order"), batches)
    assert found["permutation: same particles"] == found["permutation: permuted slots"] == "broken"
    assert {said for name, said in found.items() if name.startswith(LORENTZ)} == {"exact"}


def test_errors_along_all_axes_are_rounding(batches: list) -> None:
    for row in axes_table(subject(Toy()), batches, "").records():
        limit = 1e-6 if row["precision"] == "float32" else 1e-14
        assert row["norm"] < limit, row


def test_features_within_an_lgae(batches: list) -> None:
    model = LGAE("min&max", latent_vectors=1, num_bells=3)
    records = internal_table(subject(model), batches, "").records()
    layers = list(dict.fromkeys(row["layer"] for row in records))
    assert layers[0] == "encoder level 1" and "decoder level 1" in layers and layers[-1] == "output"
    assert all(row["norm"] < 1e-10 for row in records if row["rapidity"] <= 3)

    hook = model.encoder.register_forward_pre_hook(  # a broken layer: what follows is found broken
        lambda module, inputs: (inputs[0] + torch.tensor([0, 0, 0, 0.1]).double(), *inputs[1:])
    )
    broken = internal_table(subject(model), batches, "").records()
    hook.remove()
    assert min(row["norm"] for row in broken if row["layer"] == "encoder level 2") > 1e-3


def test_verdicts() -> None:
    assert [verdict(*pair) for pair in ((1e-14, 1e-15), (1e-3, 1e-15), (0.3, 1e-15), (0.3, 0.01))] == [
        "exact", "approximate", "broken", "exact",
    ]  # fmt: skip
    assert verdict(math.nan, 1e-15) == "undefined"


def test_the_model_is_asked_about_other_momenta_only(batches: list) -> None:
    before = batches[0].pos.clone()
    result = run_on(Toy(), batches[0], 2 * before)
    torch.testing.assert_close(result.p4, 2 * run_on(Toy(), batches[0], before).p4)
    assert torch.equal(batches[0].pos, before)
