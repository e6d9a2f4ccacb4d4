from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.dlc import container, netd
from avatar_export.errors import ModelError

DATA = Path(__file__).parent / "data"
Golden = Callable[[str], bytes]


def model_of(name: str) -> bytes:
    return container.read_members((DATA / name).read_bytes())["model"]


def test_graph_of_an_sdk_file() -> None:
    graph = netd.read_graph(model_of("ct_4x4_s2_p1_bias.sdk.dlc"))
    node = netd.DlcNode("ConvTranspose_0", "TransposeConv2d", ("x", "w", "b"), ("y",))
    assert graph.nodes == (node,)
    assert graph.inputs == (netd.DlcTensor("x", (1, 8, 8, 4), "NHWC", "float32"),)
    assert graph.outputs == (netd.DlcTensor("y", (1, 16, 16, 2), "NHWC", "float32"),)


def test_graph_of_a_qnnir_file_keeps_nchw_and_stores_no_axis_format() -> None:
    graph = netd.read_graph(model_of("ct_4x4_s2_p1_bias.qnnir.dlc"))
    types = [node.op_type for node in graph.nodes]
    assert types == ["Transpose", "TransposeConv2d", "Transpose"]
    assert graph.inputs == (netd.DlcTensor("x", (1, 4, 8, 8), "", "float32"),)
    assert graph.outputs == (netd.DlcTensor("y", (1, 2, 16, 16), "", "float32"),)


@pytest.mark.parametrize(("kind", "minor"), [("sdk", 0), ("qnnir", 1)])
def test_format_version(kind: str, minor: int) -> None:
    assert netd.format_version(model_of(f"conv_3x3_s1_p1.{kind}.dlc")) == (4, minor)


def test_another_major_format_is_not_read() -> None:
    model = model_of("conv_3x3_s1_p1.sdk.dlc")
    with pytest.raises(ModelError, match=r"DLC format 3\.0 is not read here"):
        netd.read_graph(model[:2] + struct.pack("<H", 3) + model[4:])


@pytest.mark.parametrize("model", [b"", b"\xd5\x0a", b"PK\x03\x04 and more"])
def test_a_member_without_signature_is_refused(model: bytes) -> None:
    with pytest.raises(ModelError, match="signature"):
        netd.format_version(model)


def test_another_flatbuffer_is_refused() -> None:
    model = model_of("conv_3x3_s1_p1.sdk.dlc").replace(b"NETD", b"NETP", 1)
    with pytest.raises(ModelError, match="identifier b'NETP'"):
        netd.read_graph(model)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_bytes_never_escape_as_another_error(data: st.DataObject) -> None:
    damaged = bytearray(
        model_of(data.draw(st.sampled_from(["sdk", "qnnir"])).join(("ct_4x4_s2_p1_bias.", ".dlc")))
    )
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(8, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        netd.read_graph(bytes(damaged[: data.draw(st.integers(8, len(damaged)))]))
    except ModelError as error:
        assert "\n" not in str(error)


def test_attributes_of_both_writers() -> None:
    (node,) = netd.read_graph(model_of("ct_4x4_s2_p1_bias.sdk.dlc")).nodes
    assert node.attributes["group"] == 1
    assert node.attributes["packageName"] == "qti.aisw"
    assert node.attributes["stride"] == netd.DlcTensor(
        "ConvTranspose_0_stride", (2,), "ANY", "uint32", static=True
    )
    other = netd.read_graph(model_of("ct_4x4_s2_p1_bias.qnnir.dlc")).nodes[1]
    assert {"group", "stride", "pad_amount"} <= set(other.attributes)
    assert other.attributes["packageName"] == "qti.aisw"


def test_tensors_and_which_of_them_are_static() -> None:
    graph = netd.read_graph(model_of("ct_4x4_s2_p1_bias.sdk.dlc"))
    assert {tensor.name: tensor.static for tensor in graph.tensors} == {
        "x": False,
        "w": True,
        "b": True,
        "y": False,
    }


def test_a_tensor_of_absurd_rank_is_refused() -> None:
    model = model_of("ct_4x4_s2_p1_bias.sdk.dlc")
    dims = struct.pack("<5I", 4, 1, 8, 8, 4)
    assert dims in model
    with pytest.raises(ModelError, match="damaged flatbuffer: tensor of 40 dimensions"):
        netd.read_graph(model.replace(dims, struct.pack("<5I", 40, 1, 8, 8, 4)))
