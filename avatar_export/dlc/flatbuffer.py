"""Flatbuffers of files that nobody vouches for.

The flatbuffers package trusts the offsets it reads, which those of a hostile file do not deserve:
tables that all point to one long vector make a small file decode to gigabytes.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")

DAMAGED = (struct.error, IndexError, UnicodeDecodeError)
"""What reading a damaged flatbuffer raises."""


class Buffer:
    """The bytes of a flatbuffer, every access checked, and a bound on how much is read of them.

    Args:
        data: holds the flatbuffer.
        start: where in ``data`` it begins; all positions count from the begin of ``data``.
    """

    _READ_AT_MOST = 2
    """Times its own size that a file is read; of the files that were written here at most 0.85."""
    _BYTES_AT_MOST = 64 << 20
    """A graph of 2100 nodes takes 1 MiB; weights are not read through this."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self.data = data
        self._start = start
        self._left = min(self._READ_AT_MOST * len(data), self._BYTES_AT_MOST)

    @property
    def identifier(self) -> bytes:
        """The four letters that say what the flatbuffer holds."""
        return self.data[self._start + 4 : self._start + 8]

    def root(self) -> Table:
        """The table that the buffer begins with."""
        return Table(self, self.follow(self._start))

    def unpack(self, kind: str, at: int) -> int:
        """An integer of the struct type ``kind``."""
        value: int = struct.unpack_from("<" + kind, self.data, self._inside(at))[0]
        return value

    def real(self, at: int) -> float:
        """A float of 64 bits."""
        value: float = struct.unpack_from("<d", self.data, self._inside(at))[0]
        return value

    def _inside(self, at: int) -> int:
        if not 0 <= at < len(self.data):
            raise IndexError(f"offset {at}")
        return at

    def follow(self, at: int) -> int:
        """Where the 32-bit offset at ``at`` points to."""
        return at + self.unpack("I", at)

    def take(self, size: int) -> None:
        """Count bytes against the bound."""
        self._left -= size
        if self._left < 0:
            raise IndexError("more is read than the file can mean")

    def span(self, start: int, item_size: int, count_kind: str = "I") -> range:
        """Positions of the items of the vector at ``start``, whose length is a ``count_kind``."""
        count = self.unpack(count_kind, start)
        first = start + struct.calcsize(count_kind)
        end = first + item_size * count
        if end > len(self.data):
            raise IndexError(f"vector of {count} items at {start}")
        self.take(end - start)
        return range(first, end, item_size)

    def string(self, at: int) -> str:
        """The string whose offset is stored at ``at``; names are told in messages of one line."""
        span = self.span(self.follow(at), 1)
        text = self.data[span.start : span.stop].decode()
        if _CONTROL.search(text):
            raise IndexError(f"text with control characters at {span.start}")
        return text


class Table:
    """A flatbuffer table; a field that is absent reads as 0, "" or nothing."""

    def __init__(self, buffer: Buffer, at: int) -> None:
        self.buffer = buffer
        self._at = at
        self._vtable = at - buffer.unpack("i", at)
        self._vtable_size = buffer.unpack("H", self._vtable)
        buffer.take(self._vtable_size)

    def field(self, slot: int) -> int:
        """Position of a field's data, or 0 when the table leaves the field out."""
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return 0
        offset = self.buffer.unpack("H", self._vtable + entry)
        return self._at + offset if offset else 0

    def integer(self, slot: int, kind: str) -> int:
        """A scalar of the struct type ``kind``."""
        at = self.field(slot)
        return self.buffer.unpack(kind, at) if at else 0

    def real(self, slot: int) -> float:
        """A float of 64 bits."""
        at = self.field(slot)
        return self.buffer.real(at) if at else 0.0

    def string(self, slot: int) -> str:
        """A string."""
        at = self.field(slot)
        return self.buffer.string(at) if at else ""

    def table(self, slot: int) -> Table | None:
        """A table inside this one."""
        at = self.field(slot)
        return Table(self.buffer, self.buffer.follow(at)) if at else None

    def bytes(self, slot: int) -> bytes:
        """A vector of bytes, copied."""
        span = self._items(slot, 1)
        return self.buffer.data[span.start : span.stop]

    def integers(self, slot: int) -> Iterator[int]:
        """A vector of unsigned 32-bit integers."""
        return (self.buffer.unpack("I", at) for at in self._items(slot, 4))

    def strings(self, slot: int) -> Iterator[str]:
        """A vector of strings."""
        return (self.buffer.string(at) for at in self._items(slot, 4))

    def tables(self, slot: int) -> Iterator[Table]:
        """A vector of tables."""
        return (Table(self.buffer, self.buffer.follow(at)) for at in self._items(slot, 4))

    def _items(self, slot: int, size: int) -> range:
        """Positions of the items of a vector: integers, or offsets of strings and tables."""
        at = self.field(slot)
        return self.buffer.span(self.buffer.follow(at), size) if at else range(0)
