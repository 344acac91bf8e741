"""The tables of a verdict."""

from __future__ import annotations

from collections.abc import Sequence

from lgae_pyg.applications.judge.numbers import CUTS, EQUAL_IN, Numbers
from lgae_pyg.evaluation.anomaly.tables import MERITS
from lgae_pyg.metrics.equal_mass import EFFICIENCIES, FEWEST
from lgae_pyg.metrics.sculpting import BINS, FEWEST_PASSING
from lgae_pyg.tables import Table, Value, with_errors

#: What of the figures of merit is printed; all of them are in ``verdict.json``.
SHOWN = ("auc", "efficiency_0.1", "efficiency_0.01", "rejection_0.3", "rejection_0.5", "improvement")
READ = {"larger": "large", "smaller": "small"}
NAN = float("nan")


def verdict_tables(numbers: Sequence[Numbers], caption: str) -> dict[str, Table]:
    """Separation, what it is made of, and what a cut does to the mass; the last two where that is known.

    Args:
        numbers: of scores and of quantities alone.
        caption: what holds for all tables: which jets they are of.
    """
    tables = [_separation(numbers, caption)]
    if any(one.correlation for one in numbers):
        tables.append(_explanation(numbers, caption))
    if any(one.sculpting for one in numbers):
        tables.append(_sculpting(numbers, caption))
    return {table.name: table for table in tables}


def _lead(numbers: Sequence[Numbers]) -> tuple[dict[str, str], bool]:
    """The columns that say what a row is about, and whether the background must be named in each."""
    several = len({one.background for one in numbers}) > 1
    columns = {"score": "score"} | ({"against": "background"} if several else {}) | {"signal": "signal"}
    return columns, several


def _about(one: Numbers, several: bool) -> tuple[Value, ...]:
    name = f"{one.score} alone" if one.quantity else one.score
    return (name, *([one.background] if several else []), one.signal)


def _separation(numbers: Sequence[Numbers], caption: str) -> Table:
    lead, several = _lead(numbers)
    rows = []
    for one in numbers:
        best = max(one.merits, key=lambda way: one.merits[way]["auc"])
        for way, merits in one.merits.items():
            if way == best or not one.quantity:
                values = (merits[f"{key}{end}"] for key in SHOWN for end in ("", "_error"))
                rows.append((*_about(one, several), READ[way], *values))
    columns = {**lead, "read": "signal is", **with_errors({key: MERITS[key] for key in SHOWN})}
    text = (
        "What the scores separate. Signal is: whether large or small scores mean signal. AUC: area under the ROC "
        "curve; ε_S(b): signal efficiency at background efficiency b (nan: less than one background jet); "
        "1/ε_B(s): background rejection at signal efficiency s (inf: none passes; without error where none passes "
        "in some draw); SIC: significance improvement ε_S/√ε_B where at least "
        f"{FEWEST_PASSING} background jets pass; ±: bootstrap standard errors over jets. {caption}"
    )
    return Table("separation", text, columns, tuple(rows))


def _explanation(numbers: Sequence[Numbers], caption: str) -> Table:
    lead, several = _lead(numbers)
    roles = list(numbers[0].correlation)
    names = {"mass": "mass", "num_particles": "number", "pt": "pT"}
    columns = {**lead, **with_errors({"auc": "AUC"})}
    columns |= with_errors({f"rank_{role}": f"ρ with {names[role]}" for role in roles})
    equal = [role for role in EQUAL_IN if role in roles]
    for role in equal:
        columns |= with_errors({f"equal_{role}": f"AUC, equal {names[role]}"})
        columns[f"share_{role}"] = f"share, equal {names[role]}"
        efficiencies = {f"equal_{role}_{one:g}": f"ε_S({one:g}), equal {names[role]}" for one in EFFICIENCIES}
        columns |= with_errors(efficiencies) if role == "mass" else {}
    rows = []
    for one in numbers:
        values = [number for role in roles for number in one.correlation[role]]
        for role in equal:
            values += [one.equal[role].auc, one.equal[role].error, one.equal[role].share]
            values += one.equal[role].efficiencies.values() if role == "mass" else ()
        merits = one.merits["larger"]
        rows.append((*_about(one, several), merits["auc"], merits["auc_error"], *values))
    text = f"{_explained(numbers, equal)} ±: standard errors. {caption}"
    return Table("explanation", text, columns, tuple(rows))


def _explained(numbers: Sequence[Numbers], equal: Sequence[str]) -> str:
    text = "How much of the scores is jet mass, number of particles or pT. ρ: Spearman's rank correlation in the "
    text += "background."
    units = {"mass": "{} GeV of the mass", "num_particles": "{} of the number of particles"}
    widths = []
    for role in equal:
        found = dict.fromkeys(f"{one.equal[role].width:g}" for one in numbers)
        widths.append(units[role].format(" or ".join(found)))
    if not widths:
        return text
    return (
        f"{text} Equal: AUC among jets in one bin ({', '.join(widths)}) with at least {FEWEST} jets of either "
        "kind, averaged with the signal's numbers, and the share of the signal that is in such bins. A function "
        "of the quantity has about 0.5; the row of the quantity alone shows what the width of the bins leaves. "
        "ε_S(b), equal mass: signal efficiency, where large scores mean signal, at background efficiency b of "
        "background weighted to the signal's mass; a function of the mass has about b."
    )


def _sculpting(numbers: Sequence[Numbers], caption: str) -> Table:
    several = len({one.background for one in numbers}) > 1
    columns = {"score": "score"} | ({"against": "background"} if several else {})
    columns |= {"read": "kept are", "cut": "ε_B", "passing": "jets passing"}
    columns |= with_errors({"distance": "JS distance", "noise": "random cuts"})
    columns |= {"chance": "as far", "before": "mass, all", "after": "mass, passing"}
    rows: dict[tuple, None] = {}
    for one in numbers:
        for way, cuts in one.sculpting.items() if not one.quantity else ():
            for cut in CUTS:
                found = cuts[cut]
                name, *middle, _ = _about(one, several)
                values = (NAN,) * 8 if found is None else (
                    found.passing, found.distance, found.error, found.noise, found.noise_error, found.chance,
                    found.before, found.after,
                )  # fmt: skip
                row = (name, *middle, READ[way], cut, *map(_same_nan, values))
                rows[row] = None  # once for all signals
    text = (
        "What a cut does to the mass of the background. JS distance: Jensen-Shannon distance (base 2, from 0 to "
        f"1) of the mass of all background and of the background that passes, in up to {BINS} bins of equal "
        "numbers of jets; random cuts: the same after cuts at random that as many jets pass (±: from one to "
        "another); as far: the share of random cuts that come as far; mass: median in GeV. nan: fewer than "
        f"{FEWEST_PASSING} jets pass. {caption}"
    )
    return Table("sculpting", text, columns, tuple(rows))


def _same_nan(value: float) -> float:
    """The one NaN that is the same object each time, so that rows with it are equal."""
    return NAN if value != value else value
