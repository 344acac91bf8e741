"""ROOT trees, read with uproot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lgae_pyg.datasets.readers.base import Column, Reader, reading, to_plain


class RootReader(Reader):
    """A TTree or an RNTuple: its branches or fields are the columns.

    A branch within a branch has its own name (``Jet.PT``), or where that is not unique its path
    (``Jet/Jet.PT``). References to objects (``TRefArray``, as Delphes writes) are lists of their numbers.
    """

    format = "root"

    def look(self) -> None:
        """Finds the tree and its branches."""
        import uproot

        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            kinds = file.classnames(cycle=False)
            trees = [name for name, kind in kinds.items() if kind in _TREES or "RNTuple" in kind]
            self.tables = {name: file[name].num_entries for name in trees}
            self.table = self.only_table("tree")
            self._is_tree = kinds[self.table] in _TREES
            tree = file[self.table]
            self.rows = tree.num_entries
            if self._is_tree:
                found = [_column(name, branch) for name, branch in _branches(tree).items()]
            else:
                sample = tree.arrays(entry_stop=min(1, self.rows))
                found = [one for name in sample.fields for one in _fields(name, sample[name])]
            self.columns = {column.name: column for column in found if column is not None}

    def seams(self, names: Sequence[str]) -> Sequence[int]:
        """Where baskets of all these branches begin."""
        import uproot

        if not self._is_tree:
            return ()
        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            branches = _branches(file[self.table])
            wanted = {id(branches[name]) for name in names}
            return file[self.table].common_entry_offsets(filter_branch=lambda branch: id(branch) in wanted)

    def checksums(self, names: Sequence[str]) -> str:
        """Those that come with the compression of a tree's baskets, of which the first ones are looked at."""
        import uproot

        if not self._is_tree:
            return ""
        kinds: set[str] = set()
        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            branches = _branches(file[self.table])
            for branch in (branches[name] for name in names):
                blocks = branch.basket(0).block_compression_info if branch.num_baskets else None
                kinds |= {block[0] for block in blocks or [("none",)]}
        return f"of {' and '.join(sorted(kinds))}" if kinds and kinds <= {"ZLIB", "LZMA", "LZ4"} else ""

    def read(self, names: Sequence[str], rows: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
        """Reads baskets (clusters) as they are needed."""
        import uproot

        with reading(self.path, "ROOT"), uproot.open(Path(self.path)) as file:
            tree = file[self.table]
            yield from (_read_tree if self._is_tree else _read_fields)(tree, names, rows, first, stop)


def _read_tree(tree: Any, names: Sequence[str], rows: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
    branches = _branches(tree)
    wanted = {id(branches[name]) for name in names}
    short = [branches[name].name for name in names]
    if len(set(short)) < len(short):  # uproot names its results by the branch alone
        for start in range(first, stop, rows):
            window = {"entry_start": start, "entry_stop": min(start + rows, stop), "library": "ak"}
            yield {name: _values(branches[name].array(**window)) for name in names}
        return
    options = {"step_size": rows, "entry_start": first, "entry_stop": stop, "how": dict, "library": "ak"}
    for chunk in tree.iterate(filter_branch=lambda branch: id(branch) in wanted, **options):
        yield {name: _values(chunk[branches[name].name]) for name in names}


def _read_fields(ntuple: Any, names: Sequence[str], rows: int, first: int, stop: int) -> Iterator[dict[str, Any]]:
    top = sorted({name.partition(".")[0] for name in names})
    for start in range(first, stop, rows):
        chunk = ntuple.arrays(top, entry_start=start, entry_stop=min(start + rows, stop))
        yield {name: _values(chunk[tuple(name.split("."))]) for name in names}


def _fields(name: str, array: Any) -> Iterator[Column]:
    """The columns of a field of an RNTuple; the parts of a record are columns of their own."""
    if array.fields:
        for part in array.fields:
            yield from _fields(f"{name}.{part}", array[part])
        return
    *axes, dtype = str(array.type).split(" * ")
    yield Column(name, dtype, tuple(None if axis == "var" else int(axis) for axis in axes[1:]))


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
        plain = kind is not None and kind.base.names is None  # not the parts of an object
        dtype = str(kind.base.newbyteorder("=")) if plain else branch.typename[:24]
        return Column(name, dtype, (None,) * levels + tuple(inner))
    except Exception:  # an interpretation that uproot does not have: the branch is as if it were not there
        return None


def _values(array: Any) -> Any:
    return to_plain(array["refs"] if "refs" in array.fields else array)
