"""Data cards of weaver, as people have them, in the terms of our own cards."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lgae_pyg.datasets.expressions import LONGEST, ExpressionError

#: Entries of a weaver card that say something to us; of all others it is said that they are not used.
_USED = {"treename", "selection", "new_variables", "inputs", "labels", "observers", "monitor_variables", "weights"}
#: Groups of inputs that say something to us.
_GROUPS = ("pf_vectors", "pf_features", "pf_mask")
#: What a column of ``pf_vectors`` is, by the end of its name.
_KINDS = {"px": "px", "py": "py", "pz": "pz", "energy": "E", "e": "E", "pt": "pt", "eta": "eta", "phi": "phi"}
_KINDS |= {"mass": "m", "m": "m"}
#: New variables that may stand in one formula, those inside of others counted.
MOST_NAMES = 1000
_BY_PLACE = ("px", "py", "pz", "E")


def is_weaver(values: Mapping[str, Any]) -> bool:
    """Whether the entries of a YAML file are those of a weaver card."""
    return "inputs" in values and "momenta" not in values


def from_weaver(values: Mapping[str, Any], name: str = "weaver") -> tuple[dict[str, Any], list[str]]:
    r"""The entries of a :class:`~lgae_pyg.datasets.cards.Card` that say the same as a card of weaver.

    Formulas of ``new_variables`` are put in the place of their names. ``pf_vectors`` are the momenta (by the ends
    of their variables' names, else in the order px, py, pz, E), ``pf_mask`` the mask, and ``pf_features`` are the
    features, each as :math:`\mathrm{clip}((v - c)\, s, l, h)` where the card says so. Labels are those of either
    type (of several complex ones the first), weights the product of precomputed ones, observers those of the card.

    Args:
        values: entries of the YAML file.
        name: of the card, for messages.

    Returns:
        The entries, and a sentence for each thing that is not used.

    Raises:
        ValueError: for what a card must say and this one does not, and for names that define one another in a
            circle.
    """
    values = {key: value for key, value in values.items() if value is not None}
    notes = [f"`{key}` is not used" for key in values if key not in _USED | {"preprocess", "test_time_selection"}]
    if "test_time_selection" in values:
        notes.append("`test_time_selection` is not used: `selection` is taken for all jets")
    formula = Formulas(_mapping(name, values, "new_variables")).inlined
    inputs = _mapping(name, values, "inputs")
    if "pf_vectors" not in inputs:
        raise ValueError(f"the weaver card {name} has no inputs.pf_vectors: add the particles' momenta there")
    notes += [f"`inputs.{group}` is not used" for group in inputs if group not in _GROUPS]
    vectors = [_entry(one)[0] for one in inputs["pf_vectors"].get("vars", ())]
    card: dict[str, Any] = {"name": name, "momenta": {k: formula(v) for k, v in _momenta(name, vectors).items()}}
    if length := inputs["pf_vectors"].get("length"):
        notes.append(f"jets are not cut to {length} particles, unless you say num_particles={length}")
    card |= {"table": values["treename"]} if values.get("treename") else {}
    card |= {"selection": formula(values["selection"])} if values.get("selection") else {}
    if "pf_mask" in inputs:
        card["mask"] = formula(_entry(inputs["pf_mask"]["vars"][0])[0])
    automatic = str(_mapping(name, values, "preprocess").get("method", "manual")).startswith("auto")
    features, said = _features(inputs.get("pf_features", {}).get("vars", ()), formula, automatic)
    card |= {"features": features} if features else {}
    labels, more = _labels(name, _mapping(name, values, "labels"), formula)
    observed = [*values.get("observers", ()), *values.get("monitor_variables", ())]
    card |= labels | ({"observers": {one: formula(one) for one in observed}} if observed else {})
    weights, last = _weights(_mapping(name, values, "weights"), formula)
    return card | weights, [*notes, *said, *more, *last]


class Formulas:
    """Formulas in which the names of new variables are replaced by what they stand for.

    Args:
        definitions: the new variables.
    """

    def __init__(self, definitions: Mapping[str, str]) -> None:
        self._definitions = {key: str(text) for key, text in definitions.items() if str(text) != key}

    def inlined(self, text: Any) -> str:
        """The formula in terms of the columns of the file.

        Raises:
            ValueError: for names that define one another in a circle, and for what is no formula.
        """
        self._replaced = 0
        try:
            return ast.unparse(self._tree(str(text), ()))
        except RecursionError:
            raise ExpressionError(f"'{str(text)[:80]}' is nested too deeply") from None

    def _tree(self, text: str, inside: tuple[str, ...]) -> ast.expr:
        if len(text) > LONGEST:
            raise ExpressionError(f"a formula has {len(text)} characters, more than {LONGEST}")
        try:
            tree = ast.parse(" ".join(text.split()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise ExpressionError(f"'{text[:80]}' is no formula ({getattr(error, 'msg', error)})") from None
        return _Replace(self, inside).visit(tree)

    def meaning(self, name: str, inside: tuple[str, ...]) -> ast.expr | None:
        """What a name stands for; ``None`` for a column of the file."""
        if name in inside:
            raise ValueError(f"new variables define one another in a circle: {' -> '.join((*inside, name))}")
        if name not in self._definitions:
            return None
        self._replaced += 1
        if self._replaced > MOST_NAMES:
            raise ValueError(f"a formula holds more than {MOST_NAMES} new variables, among them {name}")
        return self._tree(self._definitions[name], (*inside, name))


class _Replace(ast.NodeTransformer):
    def __init__(self, formulas: Formulas, inside: tuple[str, ...]) -> None:
        self._formulas, self._inside = formulas, inside

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._formulas.meaning(node.id, self._inside) or node


def _mapping(name: str, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, Mapping):
        raise ValueError(f"the weaver card {name}: {key} must hold `name: value` lines, not {found!r}")
    return found


def _entry(variable: Any) -> list[Any]:
    """Name of a variable of an input, and what follows it."""
    return list(variable) if isinstance(variable, Sequence) and not isinstance(variable, str) else [variable]


def _momenta(name: str, vectors: Sequence[str]) -> dict[str, str]:
    kinds = [_KINDS.get(re.split(r"[_.]", one.lower())[-1], "") for one in vectors]
    kinds = kinds if all(kinds) and len(set(kinds)) == len(kinds) else list(_BY_PLACE)
    if len(vectors) != 4:
        raise ValueError(f"the weaver card {name}: inputs.pf_vectors has {len(vectors)} variables, and needs four")
    return dict(zip(kinds, vectors))


def _features(variables: Sequence[Any], formula: Any, automatic: bool) -> tuple[dict[str, str], list[str]]:
    features, fitted = {}, []
    for variable in variables:
        known = ("", None, 1, -5, 5)
        name, center, scale, low, high = (*_entry(variable)[:5], *known[len(_entry(variable)[:5]) :])
        text = formula(name)
        if center is not None:
            text = f"clip(({text} - {float(center)!r}) * {float(scale)!r}, {float(low)!r}, {float(high)!r})"
        elif automatic and len(_entry(variable)) == 1:
            fitted.append(name)
        features[name] = text
    notes = [f"features are not standardised by the data ({', '.join(fitted)})"] if fitted else []
    return features, notes


def _labels(name: str, labels: Mapping[str, Any], formula: Any) -> tuple[dict[str, Any], list[str]]:
    if not labels:
        return {}, []
    value = labels.get("value")
    if labels.get("type", "simple") == "simple":
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            raise ValueError(f"the weaver card {name}: labels.value must be a list of columns, one per class")
        return {"labels": {"one_hot": [formula(one) for one in value]}, "class_names": list(value)}, []
    if not isinstance(value, Mapping) or not value:
        raise ValueError(f"the weaver card {name}: labels.value must hold `label: formula` lines")
    first, *others = value
    notes = [f"of several labels only {first} is used, not {', '.join(others)}"] if others else []
    return {"labels": {"column": formula(value[first])}}, notes


def _weights(weights: Mapping[str, Any], formula: Any) -> tuple[dict[str, str], list[str]]:
    if not weights:
        return {}, []
    if not weights.get("use_precomputed_weights"):
        return {}, ["`weights` are not made: reweighting by histograms is not done, every jet counts once"]
    return {"weight": "*".join(f"({formula(one)})" for one in weights.get("weight_branches", ()))}, []
