"""What the codes of jets hold: masses, momenta, substructure (arXiv:2212.07347, section 4.4, Figs. 5 and 6)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lgae_pyg.evaluation.latent.codes import JET, Codes, encode_sample
from lgae_pyg.evaluation.latent.probes import FEWEST, probe_table
from lgae_pyg.evaluation.latent.traversal import traversals
from lgae_pyg.evaluation.results import Results
from lgae_pyg.evaluation.sample import batches_of
from lgae_pyg.evaluation.study import Study, StudyOptions
from lgae_pyg.evaluation.subject import LeftOut, Subject
from lgae_pyg.lorentz.kinematics import mass
from lgae_pyg.metrics import bootstrap, bootstrap_quantiles
from lgae_pyg.metrics.regression import pearson, varies
from lgae_pyg.progress import steps
from lgae_pyg.tables import Table, with_errors

Array = NDArray[np.float64]
COMPONENTS = ("E", "px", "py", "pz")
#: What the table says instead of the correlation of a column that does not vary.
CONSTANT = "constant"
#: Difference from the jet momentum, relative to the largest, below which a combination is a copy of it.
COPY = 1e-9
#: Errors of correlations below this are rounding errors of zero.
ROUNDING = 1e-12
NO_VECTORS = "The code has no four-vectors, and there is no table or figure of latent masses."


def run(subject: Subject, options: StudyOptions) -> Results:
    """Masses of latent vectors by class, their correlation with the jet's momentum, linear probes and traversals.

    Args:
        subject: the model, with ``encode(batch)`` and ``decode_like(latent, batch)``.
        options: see :class:`~lgae_pyg.evaluation.study.StudyOptions`.

    Raises:
        LeftOut: if the model has no such methods or shows no codes, or the data have no classes by name.
        ValueError: if a code is not finite.
        OSError: if jets are missing.
    """
    if not all(hasattr(subject.model, name) for name in ("encode", "decode_like")):
        raise LeftOut(f"{subject.label} has no encode(batch) and decode_like(latent, batch): define both")
    background, signals = subject.contrast(options.signals, options.sample, options.split, options.root)
    samples = [background, *signals]
    with steps(batches_of(samples, options.batch_size), options.progress, "encode") as tick:
        codes = {one.name: encode_sample(subject, one, options.batch_size, tick) for one in samples}
    own = codes[background.name]
    about = subject.description(samples) | {"samples": [one.name for one in samples]}
    if not own.vectors:
        about["caption"] = f"{NO_VECTORS} {about['caption']}"
    if equal := momentum_copies(own):
        about["caption"] = f"Equal to the jet momentum, up to rounding: {', '.join(equal)}. {about['caption']}"
    masses = {name: latent_masses(one) for name, one in codes.items()}
    correlations, arrays = _correlations(own, options.resamples)
    with steps(4, options.progress, "latent space") as tick:
        tables = [mass_table(masses, about, options.resamples)] if own.vectors else []
        tick()
        tables.append(correlation_table(correlations, background.name, about))
        tick()
        few = len(own.jets) < FEWEST
        if not few:
            tables.append(probe_table(own, background, subject, about, options.resamples))
        tick()
        moved, pictures, notes = traversals(subject, background, own, about)
        tick()
    notes += [f"No probes: they need at least {FEWEST} jets, and there are {len(own.jets)}."] if few else []
    tables.append(moved)
    arrays |= pictures
    for name, found in masses.items():
        arrays |= {f"masses/{name}/{what}": values.astype(np.float32) for what, values in found.items()}
    about |= {"background": background.name, "best": best_combination(correlations), "notes": notes}
    return Results("latent", {table.name: table for table in tables}, arrays, about)


def momentum_copies(codes: Codes) -> list[str]:
    """Combinations that are the jet momentum itself, whose correlation and mass are trivial."""
    size = float(codes.jets.abs().max())
    return [name for name, one in codes.vectors.items() if float((one - codes.jets).abs().max()) < COPY * size]


def latent_masses(codes: Codes) -> dict[str, Array]:
    r"""Signed masses :math:`\operatorname{sign}(v^2) \sqrt{|v^2|}` in GeV of jets and latent combinations."""
    return {name: mass(vector).numpy() for name, vector in {JET: codes.jets, **codes.vectors}.items()}


def mass_table(masses: Mapping[str, Mapping[str, Array]], about: Mapping[str, Any], resamples: int = 200) -> Table:
    """Median and interquartile range of the signed masses, by class and combination."""
    rows = []
    for sample, found in masses.items():
        for name, values in found.items():
            median, iqr = _median_and_iqr(values), _spread_of_draws(values, resamples)
            rows.append((about["label"], sample, name, median[0], iqr[0], median[1], iqr[1]))
    columns = {
        "model": "model", "class": "class", "quantity": "mass of",
        **with_errors({"median": "median [GeV]", "iqr": "IQR [GeV]"}),
    }  # fmt: skip
    caption = (
        "Signed invariant masses sign(v²) √|v²| of latent four-vectors v_k, of their sums and of the jet "
        f"(negative: space-like), with bootstrap errors of the finite number of jets. {about['caption']}"
    )
    return Table("latent_masses", caption, columns, tuple(rows))


def _median_and_iqr(values: Array) -> tuple[float, float]:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return float(median), float(high - low)


def _spread_of_draws(values: Array, resamples: int) -> tuple[float, float]:
    drawn = bootstrap_quantiles(values, np.arange(len(values)), [0.25, 0.5, 0.75], resamples)
    return float(drawn[:, 1].std(ddof=1)), float((drawn[:, 2] - drawn[:, 0]).std(ddof=1))


Correlations = dict[str, list[tuple[float, float] | None]]


def correlate(combinations: Mapping[str, Array], jets: Array, resamples: int = 200) -> Correlations:
    """Pearson's r, and its error, of combinations with the jet's momentum, component by component.

    A column that does not vary has ``None``.

    Args:
        combinations: columns by name; those of numbers that are no vectors are the same in each component.
        jets: four-momenta of the jets.
        resamples: bootstrap samples.

    Shapes:
        - **combinations**: each :math:`(n, 4)`
        - **jets**: :math:`(n, 4)`
    """
    columns = np.concatenate(list(combinations.values()), 1)
    targets = np.tile(jets, (1, len(combinations)))
    moving = varies(columns) & varies(targets)
    found: list[tuple[float, float] | None] = [None] * len(moving)
    if moving.any():
        pair = np.stack([columns[:, moving], targets[:, moving]], 1)
        value = pearson(pair[:, 0], pair[:, 1])
        error = bootstrap([pair], lambda drawn: pearson(drawn[:, 0], drawn[:, 1]), resamples)
        for place, r, spread in zip(np.flatnonzero(moving), value, error):
            found[place] = (float(np.clip(r, -1, 1)), float(spread) if spread > ROUNDING else 0.0)
    return {name: found[4 * place : 4 * place + 4] for place, name in enumerate(combinations)}


def _correlations(codes: Codes, resamples: int) -> tuple[Correlations, dict[str, Array]]:
    combinations = {name: vector.numpy() for name, vector in codes.vectors.items()}
    combinations |= {name: np.repeat(one.numpy()[:, None], 4, 1) for name, one in codes.scalars.items()}
    jets = codes.jets.numpy()
    found = correlate(combinations, jets, resamples)
    best = best_combination(found)
    matrix = np.array([[np.nan if cell is None else cell[0] for cell in row] for row in found.values()])
    arrays = {"pearson": matrix, "jets": jets}
    return found, arrays if best is None else arrays | {"best": combinations[best]}


def best_combination(found: Correlations) -> str | None:
    """The combination with the largest mean |r| over the three components of the momentum, if any varies."""
    strength = {name: np.mean([abs(cell[0]) if cell else 0.0 for cell in row[1:]]) for name, row in found.items()}
    name = max(strength, key=strength.__getitem__)
    return name if strength[name] > 0 else None


def correlation_table(found: Correlations, sample: str, about: Mapping[str, Any]) -> Table:
    """Pearson's r of each combination with the jet's momentum."""
    rows = []
    for name, row in found.items():
        cells = [value for cell in row for value in (cell or (CONSTANT, ""))]
        rows.append((about["label"], name, *cells))
    columns = {"model": "model", "quantity": "latent"}
    columns |= with_errors({f"r_{component}": f"r with {component}" for component in COMPONENTS})
    caption = (
        f"Pearson's r of latent combinations with the four-momentum of {sample} jets, with bootstrap errors: "
        "vectors component by component (E with E), scalars and plain numbers with each. 'constant': the "
        f"number is the same for all jets and has no correlation. {about['caption']}"
    )
    return Table("latent_correlations", caption, columns, tuple(rows))


STUDY = Study(
    "latent",
    run,
    compared={"latent_probes": "Latent space: linear probes"},
    figures="lgae_pyg.evaluation.latent.figures",
)
