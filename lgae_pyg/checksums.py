"""Checksums of everything that this package writes: of bytes, of plain values, of archives, of whole files.

A checksum (CRC-32) is there against accidents: disks, memory, transfers. It differs whenever up to 32 neighbouring
bits have changed, and is no proof against somebody who means to deceive. Tensors in safetensors files have theirs
in :mod:`lgae_pyg.data.tensor_file`.
"""

import errno
import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lgae_pyg.files import first_line, write_text

_BLOCK = 1 << 20
#: The comment of a sealed archive; eight digits follow, the checksum of all bytes before them.
_SEAL = b"lgae_pyg crc32 "
#: Bytes at the end of an archive without a comment, and what they begin with.
_END, _END_MAGIC = 22, b"PK\x05\x06"


def crc32(*blocks: bytes) -> str:
    """The checksum of some bytes, one block after another, as eight digits."""
    value = 0
    for block in blocks:
        value = zlib.crc32(block, value)
    return f"{value:08x}"


def crc32_of_file(path: str | os.PathLike[str], size: int | None = None) -> str:
    """The checksum of a file, or of its first ``size`` bytes, read in blocks (1 GB/s and more)."""
    value, left = 0, os.path.getsize(path) if size is None else size
    with open(path, "rb") as file:
        while left and (block := file.read(min(_BLOCK, left))):
            value, left = zlib.crc32(block, value), left - len(block)
    return f"{value:08x}"


def fingerprint(path: str | os.PathLike[str]) -> str:
    """A hash (SHA-256) of all of a file, which tells it from any other; half a gigabyte a second and more."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_signed(path: str | os.PathLike[str], content: Mapping[str, Any]) -> Path:
    """Writes plain values as JSON, with a checksum of them as the entry ``crc32``.

    A second entry, ``signed``, says that there is one: no flipped byte makes a file look as if it had none.
    """
    content = {**content, "signed": "crc32"}
    signed = {**content, "crc32": _signature(content)}
    return write_text(path, json.dumps(signed, indent=1, ensure_ascii=False) + "\n")


def read_signed(path: str | os.PathLike[str], needed: bool = True) -> dict[str, Any]:
    """Reads what :func:`write_signed` wrote.

    Args:
        path: the file.
        needed: whether there must be a checksum; files of earlier versions have none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not what was written.
    """
    with open(path, "rb") as file:
        data = file.read()
    try:
        content = json.loads(data)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not names and values")
        if needed or "crc32" in content or "signed" in content:
            if content.pop("crc32", None) != _signature(content):
                raise ValueError("its checksum does not match")
            content.pop("signed", None)  # which index files of earlier versions do not have
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    return content


def _signature(content: Mapping[str, Any]) -> str:
    return crc32(json.dumps(content, sort_keys=True).encode())


def signed_text(text: str) -> str:
    """A text of lines with one more, ``# crc32 ...``, which YAML takes for a comment."""
    return f"{text}# crc32 {crc32(text.encode())}\n"


def read_signed_text(path: str | os.PathLike[str]) -> str:
    """Reads what :func:`signed_text` gave, without the last line; texts of earlier versions have no such line.

    Raises:
        ValueError: it is not what was written.
    """
    text = _decoded(path)
    last = text.rstrip("\n").rpartition("\n")[2]
    if "crc32" not in last and not last.startswith("# "):
        return text
    body = text.removesuffix(f"{last}\n")
    if text != signed_text(body):
        raise ValueError(
            f"{path} has changed since it was written (its checksum does not match): it is damaged; where "
            "somebody meant to change it, remove its last line"
        )
    return body


def signed_row(header: str, row: str) -> str:
    """A row of a CSV file, without its end, with a last cell: the checksum of header and row."""
    return f"{row},{crc32(header.encode(), row.encode())}"


def read_signed_rows(path: str | os.PathLike[str], most: int | None = None) -> tuple[str, bool]:
    """The text of a CSV file whose rows :func:`signed_row` wrote, without the checksums, and whether it is whole.

    A row at the end that is cut short, as a process leaves it that is killed, is left out.

    Args:
        path: the file.
        most: so many rows are read, and those after them not looked at; all when ``None``.

    Raises:
        ValueError: another row has changed; it is named.
    """
    header, *rows = _decoded(path).removesuffix("\n").split("\n")
    signed = header.endswith(",crc32")
    if not signed and rows and re.fullmatch("[0-9a-f]{8}", rows[0].rpartition(",")[2]):
        raise ValueError(f"{path} is damaged: its header has changed")
    kept = []
    for number, row in enumerate(rows[:most], 1):
        body = row.rpartition(",")[0] if signed else row
        if row.count(",") == header.count(",") and (not signed or row == signed_row(header, body)):
            kept.append(body)
        elif number < len(rows):
            raise ValueError(f"{path} is damaged: row {number} has changed")
    return "\n".join([header.removesuffix(",crc32"), *kept]) + "\n", len(kept) == len(rows[:most])


def _decoded(path: str | os.PathLike[str]) -> str:
    try:
        return Path(path).read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is damaged, or no text ({error})") from error


def seal_archive(file: BinaryIO) -> None:
    """Gives a zip archive that was just written, such as one of :func:`torch.save`, a checksum of all its bytes.

    It stands in the archive's comment, which other readers pass over.
    """
    file.seek(-2, os.SEEK_END)
    file.write((len(_SEAL) + 8).to_bytes(2, "little") + _SEAL)
    file.flush()
    file.write(crc32_of_file(file.name).encode())


def check_archive(path: str | os.PathLike[str]) -> None:
    """Compares an archive of :func:`torch.save` with its checksum, before anything in it is believed.

    One without that checksum, as of earlier versions and of others, is compared with those that zip archives have
    of each part. Other files are left to their readers.

    Raises:
        ValueError: the archive is cut short or damaged, or is larger inside than outside.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
        file.seek(max(0, size - _END - len(_SEAL) - 8))
        end = file.read()
    sealed = end[_END:-8] == _SEAL
    if sealed and end[-8:] != crc32_of_file(path, size - 8).encode():
        raise ValueError("its checksum does not match")
    if not sealed and (end[-_END:][:4] != _END_MAGIC or end[-2:] != b"\0\0"):
        raise ValueError("its end is missing or has changed")
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if sum(part.file_size for part in parts) > size or any(part.compress_type for part in parts):
                raise ValueError("it is packed, as torch.save never does it")
            if any(part.external_attr for part in parts):  # of folders, which torch reads as numbers all the same
                raise ValueError("it holds other things than files")
            broken = None if sealed else archive.testzip()
    except Exception as error:  # zipfile has many words for an archive that cannot be one
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        raise ValueError(first_line(error)) from error
    if broken is not None:
        raise ValueError(f"its part {broken} has a wrong checksum")
