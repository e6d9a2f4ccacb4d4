from __future__ import annotations

import struct
from pathlib import Path

import pytest

from avatar_export.dlc import container, netd, params
from avatar_export.errors import ModelError

DATA = Path(__file__).parent / "data"
FORMS = ["sdk", "qnnir"]


def members_of(form: str, name: str = "ct_4x4_s2_p1_bias") -> dict[str, bytes]:
    return container.read_members((DATA / f"{name}.{form}.dlc").read_bytes())


def values_of(members: dict[str, bytes]) -> list[dict[str, object]]:
    graph = netd.read_graph(members["model"])
    found = params.attribute_values(members, graph)
    return [{name: array.tolist() for name, array in node.items()} for node in found]


def test_numbered_buffers_of_an_sdk_file():
    (node,) = values_of(members_of("sdk"))
    assert node["stride"] == [2, 2]
    assert node["pad_amount"] == [[1, 1], [1, 1]]


def test_pieces_of_a_qnnir_file():
    first, conv, last = values_of(members_of("qnnir"))
    assert first == {"perm": [0, 2, 3, 1]}
    assert conv["stride"] == [2, 2]
    assert conv["pad_amount"] == [[1, 1], [1, 1]]
    assert last == {"perm": [0, 3, 1, 2]}


@pytest.mark.parametrize("form", FORMS)
def test_every_attribute_tensor_has_its_values(form):
    members = members_of(form, "conv_3x3_s1_p1")
    graph = netd.read_graph(members["model"])
    for node, values in zip(graph.nodes, values_of(members), strict=True):
        tensors = {k for k, v in node.attributes.items() if isinstance(v, netd.DlcTensor)}
        assert tensors == set(values)


def test_parameters_that_were_stripped_leave_the_values_out():
    members = members_of("sdk")
    assert values_of({**members, "model.params": b""}) == [{}]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", [b"x" * 40, b"\xd5\x0a\4\0\0\0\0\0" + b"x" * 40])
def test_another_content_is_refused(form, content):
    with pytest.raises(ModelError, match=r"model\.params"):
        values_of({**members_of(form), "model.params": content})


@pytest.mark.parametrize("form", FORMS)
def test_truncated_parameters_are_refused(form):
    members = members_of(form)
    short = members["model.params"][: len(members["model.params"]) // 2]
    with pytest.raises(ModelError, match=r"model\.params|damaged"):
        values_of({**members, "model.params": short})


def test_values_of_another_size_than_the_shape_are_refused():
    members = members_of("qnnir")
    with pytest.raises(ModelError, match="0 bytes do not fit it"):
        values_of({**members, params.PIECES: b""})


def test_a_shape_that_means_gigabytes_is_refused():
    members = members_of("sdk")
    model = members["model"].replace(struct.pack("<3I", 2, 2, 2), struct.pack("<3I", 2, 2**31, 2))
    assert model != members["model"]
    with pytest.raises(ModelError, match="do not fit it"):
        values_of({**members, "model": model})


def test_no_more_is_copied_than_an_attribute_can_hold():
    """Else a thousand attributes of one long piece would be copied a thousand times."""
    members = members_of("qnnir")
    claims = members["model.params"].replace(struct.pack("<Q", 8), struct.pack("<Q", 90_000))
    changed = {"model.params": claims, params.PIECES: bytes(100_000)}
    with pytest.raises(ModelError, match="32769 bytes do not fit it"):
        values_of({**members, **changed})
