from __future__ import annotations

import onnx
import pytest

from avatar_export.errors import ModelError
from avatar_export.passes.cures.unique_names import UniqueNames
from tests.passes.models import applied, loaded, operators, parsed, stamps


def model_of(*names: str) -> onnx.ModelProto:
    nodes = [f"[{name}] t{k + 1} = Relu(t{k})" for k, name in enumerate(names)]
    body = f"g (float[2] t0) => (float[2] t{len(names)}) {{ {' '.join(nodes)} }}"
    return parsed(body.replace("[] ", ""), 13)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["n", "n"], ["n", "n_1"]),
        (["n", "n", "n"], ["n", "n_1", "n_2"]),
        (["n", "n", "n_1"], ["n", "n_2", "n_1"]),
        (["", ""], ["", ""]),
    ],
)
def test_names(before: list[str], after: list[str]) -> None:
    proto, changes = applied(UniqueNames(), model_of(*before))
    assert [node.name for node in proto.graph.node] == after
    assert operators(proto) == ["Relu"] * len(before)
    renamed = sorted(set(after) - set(before))
    assert sorted(stamps(proto)) == renamed and len(changes) == len(renamed)


def test_it_notices_what_it_left() -> None:
    with pytest.raises(ModelError, match="two nodes have the same name still"):
        UniqueNames().ensures(loaded(model_of("n", "n")))
