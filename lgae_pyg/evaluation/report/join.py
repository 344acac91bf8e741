"""Tables of the same name of several runs, one under another."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lgae_pyg.evaluation.report.collect import RunContent
from lgae_pyg.evaluation.study import STUDIES, TRAINING_STUDIES, find_study
from lgae_pyg.tables import Table, Value, format_value

Row = tuple[Value, ...]


def compared_tables() -> dict[str, str]:
    """Tables that are compared across runs, in the order of the studies that declare them, with their titles."""
    studies = map(find_study, (*STUDIES, *TRAINING_STUDIES))
    return {name: title for study in studies for name, title in study.compared.items()}


def joined_tables(runs: Sequence[RunContent]) -> list[Table]:
    """Tables of the same name that their studies declare for comparison, the rows of all runs one under another.

    Only tables with the same columns and the same data (the sentence "Data: ..." of the caption) are joined; the
    others are joined among themselves, as ``NAME_2``, ``NAME_3``, so that every table stands somewhere. A row that
    is printed alike stands once. If runs have different rows of one name (two trainings of a model, say), the run
    is added to the name. Sentences of the captions that do not hold for all are given to the models they are of.
    Results of another checkpoint than the run's are named as such.
    """
    joined = []
    for name in compared_tables():
        groups: dict[tuple, list[tuple[str, str, Table]]] = {}
        for run in runs:
            for study, tables in run.tables.items():
                if name in tables:
                    table = tables[name]
                    key = (tuple(table.columns), _data(table.caption))
                    if study in run.stale:
                        table = replace(table, caption=f"Stale: {run.stale[study]}. {table.caption}")
                    groups.setdefault(key, []).append((run.label, run.place(study), table))
        for number, group in enumerate(groups.values(), 1):
            first = group[0][2]
            rows = _rows({f"{number}": (place, table.rows) for number, (_, place, table) in enumerate(group)})
            caption = _caption([(label, table.caption) for label, _, table in group])
            caption = _apart(list(groups), number) + caption
            joined.append(Table(name if number == 1 else f"{name}_{number}", caption, first.columns, rows))
    return joined


def _apart(keys: Sequence[tuple], number: int) -> str:
    """Why the table of that number, from 1 on, is not one with the first; keys: columns and data of all."""
    (columns, data), (first_columns, first_data) = keys[number - 1], keys[0]
    kinds = ["jets"] * (data != first_data) + ["columns"] * (columns != first_columns)
    return f"Apart from the first table, because of other {' and '.join(kinds)}. " if kinds else ""


def _sentences(caption: str) -> list[str]:
    return caption.split(" Model: ")[0].rstrip(".").split(". ")


def _data(caption: str) -> str:
    return next((one for one in _sentences(caption) if one.startswith("Data: ")), "")


def _caption(captions: Sequence[tuple[str, str]]) -> str:
    """What holds for all first, then what holds for some, with their labels.

    A sentence that another one only continues is left out.
    """
    found: dict[str, list[str]] = {}
    for label, caption in captions:
        for sentence in _sentences(caption):
            found.setdefault(sentence, []).append(label)
    continued = {one for one in found for other in found if other != one and other.startswith(f"{one}; ")}
    extended = {other for other in found if any(other.startswith(f"{one}; ") for one in continued)}
    common, special = [], []
    for sentence, labels in found.items():
        if sentence in continued:
            continue
        if len(labels) == len(captions) or sentence in extended:
            common.append(sentence)
        elif all(sentence.startswith(label) for label in labels):
            special.append(sentence)
        else:
            special.append(f"{'; '.join(dict.fromkeys(labels))}: {sentence}")
    return ". ".join([*common, *special]) + "."


def _rows(found: Mapping[str, tuple[str, Sequence[Row]]]) -> tuple[Row, ...]:
    """The rows of all tables; found: place and rows of each."""
    printed: dict[Value, dict[str, set[Row]]] = {}
    for key, (_, rows) in found.items():
        for row in rows:
            printed.setdefault(row[0], {}).setdefault(key, set()).add(tuple(map(format_value, row)))
    # rows of one name are shared if one of the tables has them all
    shared = {name for name, sets in printed.items() if set.union(*sets.values()) in sets.values()}
    joined: dict[Row, Row] = {}
    for place, rows in found.values():
        for row in rows:
            named = row if row[0] in shared else (f"{row[0]} ({place})", *row[1:])
            joined.setdefault(tuple(map(format_value, named)), named)
    return tuple(joined.values())
