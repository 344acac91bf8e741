"""Streams of whole numbers: one that counts them, one that writes them with a range coder, one that reads them.

All three have the same method, so that what walks through the particles of jets is written once: it hands over
values where they are known, and goes on with what it gets back.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lgae_pyg.applications.compression.symbols import ALPHABET, join, plain_bits, split

#: A frequency is 2^(level / 8 - 24), in whole numbers so that every machine has the same; 0 stands for unseen
#: symbols.
_EIGHTHS = np.array([256, 279, 304, 332, 362, 395, 431, 470], dtype=np.float64)
_LEVELS, _UNSEEN = 8 * 24, 8 * 4
#: Plain bits are written so many at a time.
_WORD = 16

Tables = Mapping[str, np.ndarray]


def library() -> Any:
    """The range coder of the package constriction.

    Raises:
        ImportError: it is not installed; the message says how it comes.
    """
    try:
        import constriction
    except ImportError as error:
        raise ImportError(f"compression needs constriction ({error}): pip install 'lgae-pyg[compress]'") from error
    return constriction.stream


class Counter:
    """Counts symbols, to make tables of them.

    Attributes:
        counts: for each name an array (contexts, symbols).
    """

    def __init__(self) -> None:
        self.counts: dict[str, np.ndarray] = {}

    def integers(self, name: str, values: np.ndarray, count: int, signed: bool, context: int = 0) -> np.ndarray:
        """Counts the values, (n,), and returns them."""
        symbols, _, _ = split(values, signed)
        table = self.counts.get(name, np.zeros((0, ALPHABET), dtype=np.int64))
        if len(table) <= context:
            table = np.concatenate([table, np.zeros((context + 1 - len(table), ALPHABET), dtype=np.int64)])
        table[context] += np.bincount(symbols, minlength=ALPHABET)
        self.counts[name] = table
        return values

    def words(self, values: np.ndarray) -> np.ndarray:
        """Returns the words: they have no frequencies."""
        return values

    def tables(self) -> dict[str, np.ndarray]:
        """Levels of the frequencies, uint8, by name: (contexts, symbols)."""
        found = {}
        for name, counts in sorted(self.counts.items()):
            share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            levels = np.rint(8 * (np.log2(np.maximum(share, 2.0**-60)) + 24))
            found[name] = np.where(counts > 0, np.clip(levels, _UNSEEN + 1, _LEVELS), 0).astype(np.uint8)
        return found


class Encoder:
    """Writes integers with a range coder.

    Args:
        tables: levels of the frequencies, as :meth:`Counter.tables` gives them.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables, self._library = tables, library()
        self._coder = self._library.queue.RangeEncoder()

    def integers(self, name: str, values: np.ndarray, count: int, signed: bool, context: int = 0) -> np.ndarray:
        """Writes the values, (n,), and returns them."""
        symbols, widths, rest = split(values, signed)
        if count:
            model = self._library.model.Categorical(weights(self._tables[name], context), perfect=False)
            self._coder.encode(symbols.astype(np.int32), model)
            for places, sizes, shift in _words(widths):
                word = (rest[places] >> shift) & (sizes - 1)
                self._coder.encode(word.astype(np.int32), self._library.model.Uniform(), sizes.astype(np.int32))
        return values

    def words(self, values: np.ndarray) -> np.ndarray:
        """Writes words as they are, uint32, after their number, and returns them."""
        halves = np.concatenate([np.array([len(values)], dtype=np.uint32), values])[:, None] >> np.array([16, 0])
        uniform = self._library.model.Uniform(1 << _WORD)
        self._coder.encode((halves.reshape(-1) & ((1 << _WORD) - 1)).astype(np.int32), uniform)
        return values

    def bytes(self) -> bytes:
        """What was written."""
        return self._coder.get_compressed().astype("<u4").tobytes()


class Decoder:
    """Reads integers that an :class:`Encoder` wrote with the same tables, in the same order.

    Args:
        tables: levels of the frequencies.
        content: what was written.
    """

    def __init__(self, tables: Tables, content: bytes) -> None:
        self._tables, self._library = tables, library()
        self._coder = self._library.queue.RangeDecoder(np.frombuffer(content, dtype="<u4").astype(np.uint32))
        self._most = len(content) // 4

    def integers(self, name: str, values: None, count: int, signed: bool, context: int = 0) -> np.ndarray:
        """Reads ``count`` values.

        Raises:
            AssertionError: they cannot have been written with these tables.
        """
        if not count:
            return np.zeros(0, dtype=np.int64)
        model = self._library.model.Categorical(weights(self._tables[name], context), perfect=False)
        symbols = self._coder.decode(model, count).astype(np.int64)
        widths, rest = plain_bits(symbols, signed), np.zeros(count, dtype=np.int64)
        for places, sizes, shift in _words(widths):
            word = self._coder.decode(self._library.model.Uniform(), sizes.astype(np.int32))
            rest[places] |= word.astype(np.int64) << shift
        return join(symbols, rest, signed)


    def words(self, values: object = None) -> np.ndarray:
        """Reads words that were written as they are.

        Raises:
            ValueError: there are not so many.
        """
        uniform = self._library.model.Uniform(1 << _WORD)

        def read(count: int) -> np.ndarray:
            halves = self._coder.decode(uniform, 2 * count).astype(np.uint32).reshape(count, 2)
            return (halves[:, 0] << np.uint32(_WORD)) | halves[:, 1]

        count = int(read(1)[0])
        if count > self._most:
            raise ValueError(f"{count} words, more than there are")
        return read(count)


def weights(table: np.ndarray, context: int) -> np.ndarray:
    """Relative frequencies of the symbols, whole numbers in float64; contexts beyond the last are the last."""
    levels = table[min(context, len(table) - 1)].astype(np.int64)
    levels = np.where(levels == 0, _UNSEEN, levels)
    return np.ldexp(_EIGHTHS[levels % 8], levels // 8)


def tables_to_bytes(tables: Tables) -> tuple[list[list[Any]], bytes]:
    """Names with their numbers of contexts, and all tables, packed."""
    names = sorted(tables)
    content = b"".join(np.ascontiguousarray(tables[name]).tobytes() for name in names)
    return [[name, len(tables[name])] for name in names], zlib.compress(content, 9)


def tables_from_bytes(names: Sequence[tuple[str, int]], content: bytes) -> dict[str, np.ndarray]:
    """The tables that :func:`tables_to_bytes` packed.

    Raises:
        ValueError: the bytes are not these tables.
    """
    sizes = [contexts * ALPHABET for _, contexts in names]
    plain = unpack(content, sum(sizes))
    places = np.cumsum([0, *sizes])
    tables = {}
    for (name, contexts), first, stop in zip(names, places, places[1:]):
        tables[name] = np.frombuffer(plain[first:stop], dtype=np.uint8).reshape(contexts, ALPHABET)
        if tables[name].max() > _LEVELS:
            raise ValueError(f"the table '{name}' holds impossible frequencies")
    return tables


def unpack(content: bytes, size: int) -> bytes:
    """Unpacks zlib's bytes that must be so many when unpacked; no more memory is asked for.

    Raises:
        ValueError: they are not.
    """
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(content, size + 1)
    except zlib.error as error:
        raise ValueError(f"packed bytes that cannot be unpacked ({error})") from error
    if len(plain) != size or not reader.eof or reader.unused_data:
        raise ValueError(f"packed bytes that are not the {size} that they should be")
    return plain


def _words(widths: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, int]]:
    """Plain bits in words: which numbers have some, how many values a word can take, where it begins."""
    words = []
    for shift in range(0, int(widths.max(initial=0)), _WORD):
        places = np.flatnonzero(widths > shift)
        words.append((places, np.int64(1) << np.minimum(widths[places] - shift, _WORD), shift))
    return words
