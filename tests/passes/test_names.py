from __future__ import annotations

import onnx_ir as ir

from avatar_export.passes.names import Names
from tests.passes.models import parsed, rng

BODY = "g (float[1,2,4,4] x) => (float[1,2,4,4] y) { [a] b = Relu(x) [c] y = Mul(b, w) }"


def names() -> tuple[Names, ir.Model]:
    model = ir.from_proto(parsed(BODY, w=rng(2, 1, 1)))
    return Names(model), model


def test_nodes_and_values_do_not_share_their_names() -> None:
    free, _ = names()
    assert free.free_value("a") == "a"
    assert free.free_node("b") == "b"


def test_a_name_that_is_taken_gets_the_first_number_that_is_free() -> None:
    free, _ = names()
    assert [free.free_value("b") for _ in range(3)] == ["b_1", "b_2", "b_3"]
    assert [free.free_node("c") for _ in range(2)] == ["c_1", "c_2"]


def test_inputs_and_weights_have_names_too() -> None:
    free, _ = names()
    assert (free.free_value("x"), free.free_value("w")) == ("x_1", "w_1")


def test_nodes_that_go_leave_their_names_to_others() -> None:
    free, model = names()
    free.release([model.graph[0]])
    assert free.free_node("a") == "a"
    assert free.free_node("c") == "c_1"
