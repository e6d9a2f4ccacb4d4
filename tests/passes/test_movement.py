from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from avatar_export.passes.movement import repeats, sources
from avatar_export.precision.runner import run_onnx
from tests.passes.models import loaded, parsed

# Chains from x [2, 3, 4] to y, the operator set of each, and what their constants are.
CHAINS: dict[str, tuple[str, int, dict[str, object]]] = {
    "Resize by floor": (
        'y = Resize<mode = "nearest", nearest_mode = "floor", '
        'coordinate_transformation_mode = "asymmetric">(x, , s)',
        13,
        {"s": [1, 2, 3]},
    ),
    "Resize with half pixels": ('y = Resize<mode = "nearest">(x, , s)', 13, {"s": [1, 1.5, 2]}),
    "Upsample": ("y = Upsample(x, s)", 9, {"s": [1, 1, 2]}),
    "Transpose": ("y = Transpose<perm = [2, 0, 1]>(x)", 13, {}),
    "Reshape": ("y = Reshape(x, i)", 13, {"i": np.int64([0, -1])}),
    "Flatten": ("y = Flatten(x)", 13, {}),
    "Slice": (
        "y = Slice(x, a, b, c, d)",
        13,
        {"a": np.int64([3]), "b": np.int64([0]), "c": np.int64([2]), "d": np.int64([-1])},
    ),
    "Gather": ("y = Gather<axis = 1>(x, i)", 13, {"i": np.int64([[2, 0], [0, 0]])}),
    "Expand": ("u = Unsqueeze(x, a) y = Expand(u, i)", 13, {"a": np.int64([2])}
               | {"i": np.int64([2, 3, 5, 4])}),
    "Tile": ("y = Tile(x, i)", 13, {"i": np.int64([1, 2, 2])}),
    "Squeeze before opset 13": ("u = Unsqueeze<axes = [0]>(x) y = Squeeze<axes = [0]>(u)", 11, {}),
    "a row of nodes": (
        "t = Transpose(x) r = Tile(t, i) y = Reshape(r, j)",
        13,
        {"i": np.int64([2, 1, 1]), "j": np.int64([-1, 6])},
    ),
}  # fmt: skip


def value_of(chain: str) -> tuple[ir.Model, ir.Value]:
    text, opset, numbers = CHAINS[chain]
    rank = {"Gather": 4, "Expand": 4, "Reshape": 2, "Flatten": 2, "a row of nodes": 2}.get(chain, 3)
    body = f"g (float[2,3,4] x) => (float[{','.join('ABCD'[:rank])}] y) {{ {text} }}"
    model = loaded(parsed(body, opset, **numbers))
    return model, model.graph.outputs[0]


@pytest.mark.parametrize("chain", CHAINS)
def test_positions_are_those_that_the_chain_reads(chain: str) -> None:
    model, value = value_of(chain)
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    y = run_onnx(ir.to_proto(model), {"x": x})["y"]
    value.shape = ir.Shape(y.shape)
    for node in model.graph:
        assert node.outputs[0].shape is not None
    source, positions = list(sources(value))[-1]
    assert source.name == "x"
    np.testing.assert_array_equal(x.ravel()[positions], y)


def test_every_value_on_the_way_is_a_source_the_nearest_first() -> None:
    _, value = value_of("a row of nodes")
    value.shape = ir.Shape((8, 6))
    assert [source.name for source, _ in sources(value)] == ["r", "t", "x"]


@pytest.mark.parametrize(
    ("text", "opset"),
    [
        ('y = Resize<mode = "linear">(x, , s)', 13),
        (
            'y = Resize<mode = "nearest", coordinate_transformation_mode = '
            '"tf_crop_and_resize">(x, roi, s)',
            13,
        ),
        ("y = Relu(x)", 13),
        ("y = custom.Identity(x)", 13),
    ],
    ids=["mixes pixels", "reads beyond the border", "computes", "is somebody else's"],
)
def test_nodes_that_do_more_than_move(text: str, opset: int) -> None:
    body = f"g (float[1,2,2] x) => (float[1,A,B] y) {{ {text} }}"
    roi = np.float32([0, 0, 0, 1, 1, 1])
    model = loaded(parsed(body, opset, s=[1, 2, 2], roi=roi))
    value = model.graph.outputs[0]
    value.shape = ir.Shape((1, 4, 4))
    assert list(sources(value)) == []
    assert not repeats(value)


def test_indices_that_are_fed_in_are_not_known() -> None:
    body = "g (float[4] x, int64[6] i) => (float[6] y) { y = Gather(x, i) }"
    assert list(sources(loaded(parsed(body)).graph.outputs[0])) == []


def test_a_size_that_is_not_known() -> None:
    body = "g (float[N] x) => (float[M] y) { y = Tile(x, i) }"
    assert list(sources(loaded(parsed(body, i=np.int64([2]))).graph.outputs[0])) == []


@pytest.mark.parametrize(
    ("chain", "answer"),
    [("Tile", True), ("a row of nodes", True), ("Transpose", False), ("Slice", False)],
)
def test_whether_a_node_that_repeats_stands_behind(chain: str, answer: bool) -> None:
    assert repeats(value_of(chain)[1]) is answer
