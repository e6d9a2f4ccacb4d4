"""--input NAME:1,3,256,256."""

from __future__ import annotations

import onnx
import pytest

from avatar_export.errors import UserError
from avatar_export.onnx_file.input_shapes import bind, parse_input
from tests.onnx_file.models import parsed

Dims = list[int | str]


def dims(value: onnx.ValueInfoProto) -> Dims:
    return [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x:1,3,256,256", ("x", (1, 3, 256, 256))),
        ("x:0:5", ("x:0", (5,))),
        ("a b/c:2147483647", ("a b/c", (2147483647,))),
    ],
)
def test_options_are_parsed(text: str, expected: tuple[str, tuple[int, ...]]) -> None:
    assert parse_input(text) == expected


@pytest.mark.parametrize(
    "text", ["", "x", "x:", ":1", "1,3", "x:1,", "x:a", "x:1.5", "x:-1", "x:1 3", "x:1_0", "x:٣"]
)
def test_options_that_are_no_shape(text: str) -> None:
    with pytest.raises(UserError, match="is no shape") as caught:
        parse_input(text)
    assert caught.value.hint == "write NAME:1,3,256,256"


@pytest.mark.parametrize("text", ["x:0", "x:1,0", "x:2147483648"])
def test_dimensions_out_of_range(text: str) -> None:
    with pytest.raises(UserError, match="dimensions are 1 to"):
        parse_input(text)


def model() -> onnx.ModelProto:
    made = parsed("""g (float[N,3,H,?] x, float[N,4] z, float t, seq(float[1]) s, float[2] w)
        => (float[N,M] y) { a = Relu(x) y = If(b) <
            then_branch = f () => (float[N,4] p) { p = Neg(z) },
            else_branch = e () => (float[N,4] q) { q = Abs(z) }> }""")
    made.graph.initializer.add(name="w")
    made.graph.value_info.add(name="a").CopyFrom(made.graph.input[0])
    return made


def test_a_symbol_is_resolved_wherever_it_stands() -> None:
    made = model()
    bind(made, {"x": (2, 3, 8, 9)})
    graph = made.graph
    assert [dims(value) for value in graph.input[:2]] == [[2, 3, 8, 9], [2, 4]]
    assert dims(graph.value_info[0]) == [2, 3, 8, ""]
    assert dims(graph.output[0]) == [2, "M"]
    assert dims(graph.node[1].attribute[0].g.output[0]) == [2, 4]


def test_nothing_is_done_without_shapes() -> None:
    made = model()
    bind(made, {})
    assert made == model()


def test_an_input_of_unknown_rank_gets_one() -> None:
    made = parsed("g (float x) => (y) { y = Relu(x) }")
    made.graph.input[0].type.tensor_type.ClearField("shape")
    bind(made, {"x": (2, 3)})
    assert dims(made.graph.input[0]) == [2, 3]


@pytest.mark.parametrize("unknown", [0, -1])
def test_zero_and_less_stand_for_unknown(unknown: int) -> None:
    made = parsed("g (float[1] x) => (y) { y = Relu(x) }")
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = unknown
    bind(made, {"x": (5,)})
    assert dims(made.graph.input[0]) == [5]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"q": (1,)}, "the model has no input 'q'"),
        ({"w": (2,)}, "the model has no input 'w'"),
        ({"x": (1, 3)}, "input 'x' has 4 axes, not 2"),
        ({"t": (1,)}, "input 't' has 0 axes, not 1"),
        ({"x": (1, 4, 2, 2)}, "axis 1 of input 'x' is fixed at 3, not 4"),
        ({"x": (0, 3, 2, 2)}, "dimensions are 1 to"),
        ({"s": (1,)}, "input 's' is no tensor"),
        ({"x": (1, 3, 2, 2), "z": (2, 4)}, "dimension 'N' is given as 1 and as 2"),
    ],
)
def test_shapes_that_do_not_fit(shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        bind(model(), shapes)


def test_one_symbol_twice_in_an_input() -> None:
    made = parsed("g (float[N,N] x) => (y) { y = Relu(x) }")
    with pytest.raises(UserError, match="one size for 'N', not 2 and 3"):
        bind(made, {"x": (2, 3)})


def test_an_unknown_name_lists_the_inputs() -> None:
    with pytest.raises(UserError) as caught:
        bind(model(), {"q": (1,)})
    assert caught.value.hint == "its inputs: 'x', 'z', 't', 's'"
