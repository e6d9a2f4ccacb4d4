from __future__ import annotations

import onnx_ir as ir
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.cures.cure import Cure, LeftAloneError
from avatar_export.passes.cures.writer import Writer
from tests.passes.models import applied, loaded, operators, parsed


class Squared(Cure):
    """Relu becomes Abs, save of a node named "hard"."""

    name = "squared"
    operators = frozenset({"Relu"})

    def concerns(self, node: ir.Node) -> bool:
        return node.name != "easy"

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        if node.name == "hard":
            raise LeftAloneError("it is hard")
        writer.replace(writer.put("Abs", node.inputs[0]))
        return "made absolute"


class Careless(Squared):
    """Says that it did something, and did not."""

    def rewrite(self, node: ir.Node, writer: Writer) -> str:
        return "nothing"


NODES = "[a] t = Relu(x) [hard] u = Relu(t) [easy] v = Relu(u) [other] y = custom.Relu(v)"
PROTO = parsed(f"g (float[2] x) => (float[2] y) {{ {NODES} }}", 13)


def test_nodes_with_the_fault_are_rewritten_and_the_rest_stays() -> None:
    cure = Squared()
    model = loaded(PROTO)
    assert cure.apply(model) == ["a: made absolute"]
    cure.ensures(model)
    assert operators(ir.to_proto(model)) == ["Abs", "Relu", "Relu", "Relu"]
    assert cure.notes == ["hard stays: it is hard"]


def test_notes_are_those_of_the_last_run() -> None:
    cure = Squared()
    cure.apply(loaded(PROTO))
    applied(cure, parsed("g (float[2] x) => (float[2] y) { y = Abs(x) }", 13))
    assert cure.notes == []


def test_a_fault_that_is_left_without_a_note_is_a_bug() -> None:
    cure, model = Careless(), loaded(PROTO)
    cure.apply(model)
    with pytest.raises(ModelError, match="squared: a was left as it was"):
        cure.ensures(model)
