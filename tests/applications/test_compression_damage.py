"""Damaged, cut and malicious files of compressed jets are errors that say where; never other numbers."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from compressed_jets import some_jets

import lgae_pyg
from lgae_pyg.applications.compression import CompressedJets, block, reading, writing
from lgae_pyg.applications.compression.container import BLOCK, MAGIC
from lgae_pyg.data import DataFileError

pytest.importorskip("constriction")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(writing, "BLOCK_JETS", 8)
    lgae_pyg.compress(some_jets(20, (3, 12)), tmp_path / "jets.lgj")
    return tmp_path / "jets.lgj"


def test_every_flipped_byte_is_an_error(path: Path) -> None:
    content, rng = path.read_bytes(), np.random.default_rng(0)
    places = sorted(
        {*range(64), *rng.integers(0, len(content), 100).tolist(), *range(len(content) - 40, len(content))}
    )
    for place in places:
        for bits in (1 << int(rng.integers(8)), 0xFF):
            path.write_bytes(content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
            with pytest.raises(DataFileError, match=r"jets\.lgj"):
                lgae_pyg.decompress(path)


def test_a_cut_file_names_its_block(path: Path) -> None:
    content = path.read_bytes()
    with CompressedJets(path) as jets:
        places = jets.places
    for cut in (0, 5, 8, 20, 200, places[0].start - 40):
        path.write_bytes(content[:cut])
        with pytest.raises(DataFileError, match=r"no file of compressed jets|header"):
            CompressedJets(path)
    for place in places:
        for cut in (place.start - 31, place.start - 1, place.start + 1, place.start + place.length - 1):
            path.write_bytes(content[:cut])
            with pytest.raises(DataFileError, match=f"block {place.number} of 3 .*cut short"):
                CompressedJets(path)
    path.write_bytes(content + b"x")
    with pytest.raises(DataFileError, match="1 bytes follow its last block"):
        CompressedJets(path)


def test_other_blocks_of_a_damaged_file_can_be_read(path: Path) -> None:
    with CompressedJets(path) as jets:
        whole, place = jets.read(0, 8).p4, jets.places[1]
    content = bytearray(path.read_bytes())
    content[place.start + 9] ^= 4
    path.write_bytes(content)
    with CompressedJets(path) as jets:
        assert np.array_equal(jets.block(0).p4, whole) and len(jets.block(2)) == 4
        with pytest.raises(DataFileError, match=r"block 1 \(jets 8 to 15\) does not fit its checksum"):
            jets.block(1)


def signed(content: bytes, place: int, head: bytes, body: bytes) -> bytes:
    """The content with another head and body of the block there, with right checksums."""
    fields = list(struct.unpack("<4sIIIIII", head))
    fields[4:6] = len(body), zlib.crc32(body)
    head = struct.pack("<4sIIIIII", *fields)
    return content[:place] + head + struct.pack("<I", zlib.crc32(head)) + body


def test_what_a_file_declares_is_bounded(path: Path) -> None:
    """Files made with right checksums by somebody who wants memory, or a crash."""
    content, rng = path.read_bytes(), np.random.default_rng(1)
    with CompressedJets(path) as jets:
        place = jets.places[2]
    start, body = place.start - 32, content[place.start :]
    good = (BLOCK, 2, 4, place.particles, 0, 0, place.momenta)
    for change in ((2, 0), (2, 1 << 31), (3, (1 << 32) - 1), (3, 5000), (3, 1), (1, 7)):
        head = struct.pack("<4sIIIIII", *(change[1] if k == change[0] else value for k, value in enumerate(good)))
        path.write_bytes(signed(content, start, head, body))
        with pytest.raises(DataFileError, match=r"block 2|hold"):
            lgae_pyg.decompress(path)
    head = struct.pack("<4sIIIIII", *good)
    tracemalloc.start()
    for _ in range(12):  # numbers that nobody wrote
        noise = rng.integers(0, 256, len(body)).astype(np.uint8).tobytes()
        length = struct.unpack("<I", body[:4])[0]
        for other in (noise, body[:4] + noise[:length] + body[4 + length :], body[: rng.integers(len(body))]):
            path.write_bytes(signed(content, start, head, other))
            with pytest.raises(DataFileError, match="block 2"):
                lgae_pyg.decompress(path)
    assert tracemalloc.get_traced_memory()[1] < 400e6
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"dtype":"float32"', b'"dtype":"object"'),
        (b'"counts":[20,', b'"counts":[99,'),
        (b'["first_eta",1]', b'["first_eta",2]'),
        (b'"log_pt":0.0', b'"log_pt":9.0'),
        (b'["jet","y","int64",[]]', b'["jet","y","int64",[4096,4096]]'),
        (b'["jet","y","int64",[]]', b'["jet","y","O",[]]'),
        (b'"coder":{"name":"plain"}', b'"coder":{"name":"other"}'),
        (b'"coder":{"name":"plain"}', b'"coder":[]'),
        (b'"meta":{', b'"meta":{{'),
    ],
)
def test_headers_that_say_what_cannot_be(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    magic, version, packed, plain, tables = struct.unpack("<8sIIII", content[:24])
    text = zlib.decompress(content[24 : 24 + packed])
    assert len(text) == plain and old in text and magic == MAGIC
    text = text.replace(old, new)
    other = zlib.compress(text)
    start = struct.pack("<8sIIII", MAGIC, version, len(other), len(text), tables) + other
    start += content[24 + packed : 24 + packed + tables]
    path.write_bytes(start + struct.pack("<I", zlib.crc32(start)) + content[24 + packed + tables + 4 :])
    with pytest.raises(ValueError, match=r"jets\.lgj|coder of the file"):
        lgae_pyg.decompress(path)


def test_a_header_does_not_unpack_to_more_than_it_says(path: Path) -> None:
    bomb = zlib.compress(bytes(20 << 20), 9)
    start = struct.pack("<8sIIII", MAGIC, 1, len(bomb), 1000, 0) + bomb
    path.write_bytes(start + struct.pack("<I", zlib.crc32(start)))
    tracemalloc.start()
    with pytest.raises(DataFileError, match="not the 1000 that they should be"):
        CompressedJets(path)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_later_version_and_another_file(path: Path) -> None:
    content = path.read_bytes()
    later = content[:8] + struct.pack("<I", 3) + content[12:]
    size = 24 + sum(struct.unpack("<I", content[k : k + 4])[0] for k in (12, 20))
    path.write_bytes(later[:size] + struct.pack("<I", zlib.crc32(later[:size])) + later[size + 4 :])
    with pytest.raises(DataFileError, match="is of version 3, this lgae_pyg reads versions up to 2"):
        CompressedJets(path)
    path.write_bytes(b"PAR1 something else")
    with pytest.raises(DataFileError, match=r"no file of compressed jets: it begins with b'PAR1"):
        CompressedJets(path)
    with pytest.raises(FileNotFoundError):
        CompressedJets(path.with_name("missing"))


def test_a_machine_that_computes_otherwise_says_so(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = block.restore
    monkeypatch.setattr(block, "restore", lambda *given: np.nextafter(right(*given), np.float32(0)))
    with pytest.raises(DataFileError, match=r"block 0 .* is whole, but other momenta come out than were written"):
        lgae_pyg.decompress(path)


def test_nothing_is_written_where_jets_do_not_come_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check while compressing: it decompresses, and would notice a coder with an error."""
    before, right = path.read_bytes(), block.restore
    monkeypatch.setattr(block, "restore", lambda *given: 1.02 * right(*given))
    with pytest.raises(RuntimeError, match="do not come back as they must"):
        lgae_pyg.compress(some_jets(20), path)
    assert path.read_bytes() == before and [one.name for one in path.parent.iterdir()] == ["jets.lgj"]
    assert reading.read_content is block.read_content
