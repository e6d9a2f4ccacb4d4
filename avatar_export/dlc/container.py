"""The ZIP layer of a DLC: read it without trust, and give it checksums and a fixed date.

The libQnnIr.so of onnxruntime-qnn 2.7.0 writes CRC-32 0 for every member, which Python's zipfile
refuses, so the structure is read here from the headers themselves. The file is patched, not built
anew: member order, zip64 fields and the alignment of the weights to eight bytes stay as the
vendor's writer made them, because its reader may map them into memory.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from avatar_export.errors import ModelError

MODEL, PARAMS = "model", "model.params"
METADATA_PREFIX = "dlc.metadata"

_END = struct.Struct("<4s4H2IH")
_END64_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8
_FLAG_ENCRYPTED, _FLAG_SIZES_FOLLOW = 0x1, 0x8
_IN_ZIP64 = 0xFFFFFFFF

_MEMBERS_AT_MOST = 64
_MEMBER_SIZE_AT_MOST = 4 << 30
_UNPACKED_AT_MOST = 16
"""Times its own size that a file may unpack to, beyond a MiB; the writers deflate nothing."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_FIXED_DATE = struct.pack("<2H", 0, 1 << 5 | 1)
"""Time 00:00:00 and date 1980-01-01, the earliest that a ZIP can hold."""
_CONVERTER_VERSION = re.compile(rb'converter-?[Vv]ersion"?[=:] *"?([0-9][0-9A-Za-z._-]{0,63})')
_TIMESTAMP = re.compile(rb'("timestamp": ")\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC")')
_FIXED_TIMESTAMP = rb"\g<1>1980-01-01 00:00:00\g<2>"


@dataclass(frozen=True)
class _Member:
    """Where one member lies: byte positions in the file, and what its central header says."""

    name: str
    central: int
    local: int
    start: int
    packed_size: int
    size: int
    crc: int
    flags: int
    method: int

    @property
    def end(self) -> int:
        return self.start + self.packed_size


def read_members(data: bytes) -> dict[str, bytes]:
    """The members of a DLC by name, unpacked, in the order of its central directory.

    Raises:
        ModelError: not a ZIP, truncated, encrypted, with a wrong checksum (0 is accepted: libQnnIr
            writes no other), or with duplicate, overlapping, oversized or oddly named members.
    """
    members = {member.name: _content(data, member) for member in _scan(data)}
    for name in (MODEL, PARAMS):
        if name not in members:
            raise ModelError(f"the file is a ZIP without the member {name!r}, so it is no DLC")
    return members


def converter_version(members: Mapping[str, bytes]) -> str:
    """The version of its converter that a DLC claims in its metadata; empty when in none.

    SDKs write text (``converter-version=2.25.0.240728104910_97711``), libQnnIr writes JSON
    (``"converterVersion": "2.51.0.260929181845"``).
    """
    for name, content in members.items():
        match = _CONVERTER_VERSION.search(content) if name.startswith(METADATA_PREFIX) else None
        if match:
            return match[1].decode("ascii")
    return ""


def normalise(data: bytes) -> bytes:
    """The same DLC with right CRC-32s, every date 1980-01-01 and a fixed time in its metadata.

    ``data`` and the result have the same length; only these fields differ. The times replaced are
    the ``"timestamp"`` values of libQnnIr's two JSON members: two runs differ in nothing else.

    Raises:
        ModelError: as `read_members`.
    """
    patched = bytearray(data)
    for member in _scan(data):
        content = _content(data, member)
        if member.method == _STORED and member.name.startswith(METADATA_PREFIX):
            content = _TIMESTAMP.sub(_FIXED_TIMESTAMP, content)
            patched[member.start : member.end] = content
        _patch_headers(patched, member, zlib.crc32(content))
    return bytes(patched)


def _patch_headers(patched: bytearray, member: _Member, crc: int) -> None:
    """Write the fixed date and a CRC-32 into a member's central and local header."""
    checksum = struct.pack("<I", crc)
    patched[member.central + 12 : member.central + 20] = _FIXED_DATE + checksum
    if member.flags & _FLAG_SIZES_FOLLOW:
        checksum = bytes(4)
    patched[member.local + 10 : member.local + 18] = _FIXED_DATE + checksum


def _content(data: bytes, member: _Member) -> bytes:
    """A member's bytes, unpacked and compared with its CRC-32."""
    content = data[member.start : member.end]
    if member.method == _DEFLATED:
        content = _inflate(content, member)
    if member.crc not in (0, zlib.crc32(content)):
        raise ModelError(f"member {member.name!r} is damaged: its CRC-32 is wrong")
    return content


def _inflate(packed: bytes, member: _Member) -> bytes:
    try:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, member.size + 1)
    except zlib.error as error:
        raise ModelError(f"member {member.name!r} is damaged: {error}") from error
    if len(content) != member.size:
        raise ModelError(f"member {member.name!r} does not unpack to its {member.size} bytes")
    return content


def _scan(data: bytes) -> list[_Member]:
    """All members, after the checks that need no content."""
    try:
        count, directory = _directory(data)
        members = list(_central_entries(data, count, directory))
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise ModelError(f"the DLC is truncated or no ZIP: {error}") from error
    _refuse_bad_names(members)
    unpacked = sum(member.size for member in members)
    if unpacked > _UNPACKED_AT_MOST * len(data) + (1 << 20):
        raise ModelError(f"the DLC of {len(data)} bytes claims to unpack to {unpacked}")
    in_file_order = sorted(members, key=lambda member: member.local)
    for first, second in pairwise(in_file_order):
        if first.end > second.local:
            raise ModelError(f"members {first.name!r} and {second.name!r} overlap")
    if in_file_order and in_file_order[-1].end > directory:
        raise ModelError(f"member {in_file_order[-1].name!r} runs into the ZIP directory")
    return members


def _refuse_bad_names(members: list[_Member]) -> None:
    names = [member.name for member in members]
    for name in names:
        if not _NAME.fullmatch(name):
            raise ModelError(f"the DLC has a member with the forbidden name {name[:80]!r}")
    if len(set(names)) < len(names):
        raise ModelError("the DLC holds two members of one name")


def _directory(data: bytes) -> tuple[int, int]:
    """(number of members, position of the central directory).

    A ZIP comment is refused: no DLC writer makes one, and it can hide a second directory.
    """
    at = len(data) - _END.size
    if at < 0 or data[at : at + 4] != b"PK\x05\x06":
        raise ModelError("the DLC is truncated or no ZIP: it does not end in a ZIP directory")
    _, disk, _, _, count, _, directory, _ = _END.unpack_from(data, at)
    if directory == _IN_ZIP64:
        count, directory = _directory64(data, at)
    if disk or count > _MEMBERS_AT_MOST:
        raise ModelError(f"the DLC claims {count} members on disk {disk}")
    return count, directory


def _directory64(data: bytes, end: int) -> tuple[int, int]:
    locator = end - _END64_LOCATOR.size
    magic, _, at, _ = _END64_LOCATOR.unpack_from(data, max(locator, 0))
    if magic != b"PK\x06\x07" or at > locator or data[at : at + 4] != b"PK\x06\x06":
        raise ModelError("the DLC has a damaged zip64 directory")
    *_, count, _, directory = _END64.unpack_from(data, at)
    return count, directory


def _central_entries(data: bytes, count: int, at: int) -> Iterator[_Member]:
    for _ in range(count):
        header = _CENTRAL.unpack_from(data, at)
        magic, _, _, flags, method, _, _, crc, packed_size, size = header[:10]
        name_size, extra_size, comment_size, _, _, _, local = header[10:]
        if magic != b"PK\x01\x02":
            raise ModelError("the DLC has a damaged ZIP directory")
        names_at = at + _CENTRAL.size
        name = data[names_at : names_at + name_size].decode("ascii")
        extra = data[names_at + name_size : names_at + name_size + extra_size]
        size, packed_size, local = _zip64_values(extra, (size, packed_size, local))
        start = _data_start(data, name, local)
        member = _Member(name, at, local, start, packed_size, size, crc, flags, method)
        _refuse_bad_size(member, len(data))
        yield member
        at = names_at + name_size + extra_size + comment_size


def _zip64_values(extra: bytes, values: tuple[int, int, int]) -> Iterator[int]:
    """(size, packed size, local position), those of 0xFFFFFFFF taken from the zip64 extra field."""
    wide = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    for value in values:
        if value == _IN_ZIP64:
            (value,), wide = struct.unpack_from("<Q", wide), wide[8:]
        yield value


def _data_start(data: bytes, name: str, local: int) -> int:
    """Position of a member's content, from its local header."""
    if local > len(data):
        raise ModelError(f"member {name!r} begins behind the end of the file")
    magic, *_, name_size, extra_size = _LOCAL.unpack_from(data, local)
    names_at = local + _LOCAL.size
    if magic != b"PK\x03\x04" or data[names_at : names_at + name_size] != name.encode("ascii"):
        raise ModelError(f"member {name!r} has no local header of its name")
    start: int = names_at + name_size + extra_size
    return start


def _refuse_bad_size(member: _Member, file_size: int) -> None:
    if member.flags & _FLAG_ENCRYPTED or member.method not in (_STORED, _DEFLATED):
        raise ModelError(f"member {member.name!r} is encrypted or packed by method {member.method}")
    if member.end > file_size:
        raise ModelError(f"member {member.name!r} runs past the end of the file")
    if member.size > _MEMBER_SIZE_AT_MOST:
        raise ModelError(f"member {member.name!r} claims {member.size} bytes")
    if member.method == _STORED and member.size != member.packed_size:
        raise ModelError(f"member {member.name!r} is stored but has two different sizes")
