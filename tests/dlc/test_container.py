from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.dlc import container
from avatar_export.errors import ModelError

DATA = Path(__file__).parent / "data"
Golden = Callable[[str], bytes]
NAMES = [
    "conv_3x3_s1_p1.sdk.dlc",
    "conv_3x3_s1_p1.qnnir.dlc",
    "ct_4x4_s2_p1_bias.sdk.dlc",
    "ct_4x4_s2_p1_bias.qnnir.dlc",
]


def zip_of(*members: tuple[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return sink.getvalue()


def minimal() -> bytes:
    return zip_of(("model", b"M" * 40), ("model.params", b"P" * 40))


@pytest.mark.parametrize("name", NAMES)
def test_normalised_file_is_a_sound_zip_with_the_same_content(golden: Golden, name: str) -> None:
    data = golden(name)
    normal = container.normalise(data)
    assert len(normal) == len(data)
    with zipfile.ZipFile(io.BytesIO(normal)) as archive:
        assert archive.testzip() is None
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        for member, content in container.read_members(data).items():
            if not member.startswith("dlc.metadata"):
                assert archive.read(member) == content


@pytest.mark.parametrize("name", NAMES)
def test_normalising_twice_changes_nothing(golden: Golden, name: str) -> None:
    once = container.normalise(golden(name))
    assert container.normalise(once) == once


def test_all_three_timestamps_are_fixed(golden: Golden) -> None:
    normal = container.normalise(golden("conv_3x3_s1_p1.qnnir.dlc"))
    assert normal.count(b'"timestamp": "1980-01-01 00:00:00 UTC"') == 3
    assert normal.count(b'"timestamp"') == 3


def test_weights_stay_aligned(golden: Golden) -> None:
    normal = container.normalise(golden("ct_4x4_s2_p1_bias.qnnir.dlc"))
    with zipfile.ZipFile(io.BytesIO(normal)) as archive:
        info = archive.getinfo("model.params.bin")
    name_size, extra_size = struct.unpack_from("<2H", normal, info.header_offset + 26)
    assert (info.header_offset + 30 + name_size + extra_size) % 8 == 0


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("conv_3x3_s1_p1.sdk.dlc", "2.25.0.240728104910_97711"),
        ("conv_3x3_s1_p1.qnnir.dlc", "2.51.0.260929181845"),
    ],
)
def test_converter_version_is_read(golden: Golden, name: str, version: str) -> None:
    assert container.converter_version(container.read_members(golden(name))) == version


def test_deflated_members_are_read() -> None:
    data = zip_of(("model", b"M" * 999), ("model.params", b"P"), method=zipfile.ZIP_DEFLATED)
    assert container.read_members(data)["model"] == b"M" * 999
    assert container.read_members(container.normalise(data))["model"] == b"M" * 999


@pytest.mark.parametrize(
    "name", ["../model", "/etc/passwd", "a/b", "..", "a\\b", "mod el", "n" * 300]
)
def test_odd_names_are_refused(name: str) -> None:
    data = zip_of(("model", b"1"), ("model.params", b"2"), (name, b"3"))
    with pytest.raises(ModelError, match="name"):
        container.read_members(data)


def test_duplicate_members_are_refused() -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        data = zip_of(("model", b"1"), ("model", b"2"), ("model.params", b"3"))
    with pytest.raises(ModelError, match="two members of one name"):
        container.read_members(data)


def test_a_zip_of_something_else_is_refused() -> None:
    with pytest.raises(ModelError, match=r"without the member 'model\.params'"):
        container.read_members(zip_of(("model", b"1")))


def test_wrong_checksum_is_refused() -> None:
    data = minimal().replace(b"M" * 40, b"M" * 39 + b"N", 1)
    with pytest.raises(ModelError, match="'model' is damaged"):
        container.read_members(data)


def test_two_entries_for_one_content_are_refused() -> None:
    data = bytearray(minimal())
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = bytes(4)
    with pytest.raises(ModelError, match="no local header of its name"):
        container.read_members(bytes(data))


def test_a_member_that_reaches_into_the_next_is_refused() -> None:
    data = bytearray(minimal())
    first = data.index(b"PK\x01\x02")
    data[first + 16 : first + 28] = struct.pack("<3I", 0, 60, 60)
    with pytest.raises(ModelError, match="overlap"):
        container.read_members(bytes(data))


def test_a_size_beyond_the_file_is_refused() -> None:
    data = bytearray(minimal())
    first = data.index(b"PK\x01\x02")
    data[first + 20 : first + 28] = struct.pack("<2I", 1 << 30, 1 << 30)
    with pytest.raises(ModelError, match="past the end"):
        container.read_members(bytes(data))


def test_a_zip_bomb_is_not_unpacked() -> None:
    data = bytearray(
        zip_of(("model", b"\0" * 100_000), ("model.params", b""), method=zipfile.ZIP_DEFLATED)
    )
    first = data.index(b"PK\x01\x02")
    data[first + 24 : first + 28] = struct.pack("<I", 10)
    with pytest.raises(ModelError, match="does not unpack to its 10 bytes"):
        container.read_members(bytes(data))


def test_encrypted_members_are_refused() -> None:
    data = bytearray(minimal())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ModelError, match="encrypted"):
        container.read_members(bytes(data))


@pytest.mark.parametrize("name", NAMES)
def test_every_truncation_is_a_one_line_error(golden: Golden, name: str) -> None:
    data = golden(name)
    for size in range(0, len(data), 7):
        with pytest.raises(ModelError) as caught:
            container.read_members(data[:size])
        assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_never_escape_as_another_error(data: st.DataObject) -> None:
    damaged = bytearray((DATA / data.draw(st.sampled_from(NAMES))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        container.read_members(container.normalise(bytes(damaged)))
    except ModelError as error:
        assert "\n" not in str(error)


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    data = zip_of(("model", bytes(20 << 20)), ("model.params", b"P"), method=zipfile.ZIP_DEFLATED)
    assert len(data) < 1 << 16
    with pytest.raises(ModelError, match=r"of \d+ bytes claims to unpack to 2097\d+"):
        container.read_members(data)
