"""ROOT trees, read with uproot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.data import DataFileError
from lgae_pyg.datasets.readers.base import Column, Reader, reading, to_plain


class RootReader(Reader):
    """A TTree: its branches are the columns.

    A branch within a branch has its own name (``Jet.PT``), or where that is not unique its path
    (``Jet/Jet.PT``). References to objects (``TRefArray``, as Delphes writes) are lists of their numbers.
    """

    format = "root"

    def look(self) -> None:
        """Finds the tree and its branches."""
        import uproot

        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            kinds = file.classnames(cycle=False)
            self.tables = {name: file[name].num_entries for name, kind in kinds.items() if kind in _TREES}
            if not self.tables and any("RNTuple" in kind for kind in kinds.values()):
                raise DataFileError(f"{self.path} holds an RNTuple: only TTrees are read; write it as a TTree.")
            self.table = self.only_table("tree")
            tree = file[self.table]
            self.rows = tree.num_entries
            self.columns = {
                name: column
                for name, branch in _branches(tree).items()
                if (column := _column(name, branch)) is not None
            }

    def read(self, names: Sequence[str], rows: int, first: int) -> Iterator[dict[str, Any]]:
        """Reads baskets as they are needed."""
        import uproot

        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            tree = file[self.table]
            branches = _branches(tree)
            wanted = {id(branches[name]): name for name in names}
            counts = [len([1 for name in names if branches[name].name == branches[other].name]) for other in names]
            if max(counts, default=1) > 1:  # uproot names its results by the branch alone
                for start in range(first, self.rows, rows):
                    window = {"entry_start": start, "entry_stop": min(start + rows, self.rows), "library": "ak"}
                    yield {name: _values(branches[name].array(**window)) for name in names}
                return
            options = {"step_size": rows, "entry_start": first, "how": dict, "library": "ak"}
            for chunk in tree.iterate(filter_branch=lambda branch: id(branch) in wanted, **options):
                yield {name: _values(chunk[branches[name].name]) for name in names}


_TREES = ("TTree", "TNtuple", "TNtupleD")


def _branches(tree: Any) -> dict[str, Any]:
    """Branches by name; by path where a name is not unique."""
    paths = tree.keys(recursive=True, full_paths=True)
    names = [path.rpartition("/")[2] for path in paths]
    unique = {name for name in names if names.count(name) == 1} if len(names) < 5000 else set()
    return {name if name in unique else path: tree[path] for path, name in zip(paths, names)}


def _column(name: str, branch: Any) -> Column | None:
    """What a branch holds, or ``None`` for one that uproot cannot read or that only holds others."""
    try:
        form = str(branch.interpretation)
        if branch.branches and not form.startswith("As"):
            return None
        if "TRefArray" in form:
            return Column(name, "references", (None, None))
        levels = form.count("AsJagged") + form.count("AsVector") + form.count("AsArray(")
        content = branch.interpretation
        while hasattr(content, "content"):
            content = content.content
        inner = getattr(content, "inner_shape", ())
        kind = getattr(content, "to_dtype", None)
        dtype = str(kind.base.newbyteorder("=")) if kind is not None else branch.typename[:24]
        return Column(name, dtype, (None,) * levels + tuple(inner))
    except Exception:  # an interpretation that uproot does not have: the branch is as if it were not there
        return None


def _values(array: Any) -> Any:
    return to_plain(array["refs"] if "refs" in array.fields else array)
