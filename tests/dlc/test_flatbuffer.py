from __future__ import annotations

import struct

import pytest

from avatar_export.dlc.flatbuffer import DAMAGED, Buffer

# A root table of four fields: a 64-bit integer, a double, a string and a vector of two integers.
VTABLE = struct.pack("<6H", 12, 28, 4, 12, 20, 24)
HEAD = struct.pack("<I4s", 20, b"TEST") + VTABLE
TABLE = struct.pack("<iqdII", 12, -5, 0.5, 8, 14)
FILE = HEAD + TABLE + struct.pack("<I6sI2I", 6, b"abcdef", 2, 7, 8)


def test_fields_of_every_kind():
    root = Buffer(FILE).root()
    assert Buffer(FILE).identifier == b"TEST"
    assert (root.integer(0, "q"), root.real(1), root.string(2)) == (-5, 0.5, "abcdef")
    assert list(root.integers(3)) == [7, 8]


def test_absent_fields_are_empty():
    root = Buffer(FILE).root()
    assert (root.integer(9, "q"), root.real(9), root.string(9)) == (0, 0.0, "")
    assert (root.table(9), root.bytes(9), list(root.tables(9))) == (None, b"", [])


def test_a_buffer_may_begin_inside_other_bytes():
    root = Buffer(b"12345678" + FILE, 8).root()
    assert root.string(2) == "abcdef"


@pytest.mark.parametrize("length", range(len(FILE)))
def test_a_truncated_buffer_is_told(length):
    with pytest.raises(DAMAGED):
        root = Buffer(FILE[:length]).root()
        assert (root.integer(0, "q"), root.real(1), root.string(2)) == (-5, 0.5, "abcdef")
        assert list(root.integers(3)) == [7, 8]


@pytest.mark.parametrize("text", [b"ab\ndef", b"ab\x1bdef", b"a\xe2\x80\xa8ef"])
def test_text_that_would_break_a_line_is_refused(text):
    with pytest.raises(IndexError, match="control characters"):
        Buffer(FILE.replace(b"abcdef", text)).root().string(2)


def test_reading_the_same_bytes_over_and_over_has_an_end():
    root = Buffer(FILE).root()
    with pytest.raises(IndexError, match="more is read"):
        for _ in range(len(FILE)):
            root.string(2)


@pytest.mark.parametrize("offset", [-1, len(FILE), 1 << 80])
def test_an_offset_outside_is_told(offset):
    with pytest.raises(IndexError, match="offset"):
        Buffer(FILE).unpack("B", offset)
