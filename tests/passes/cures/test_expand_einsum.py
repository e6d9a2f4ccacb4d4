from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.cures.expand_einsum import ExpandEinsum
from tests.passes.models import applied, operators, parsed, rewritten, rng

SIZES = {"b": 2, "c": 3, "d": 2, "h": 4, "i": 3, "j": 5, "k": 2, "o": 4, "w": 3}


def shape_of(letters: str) -> list[int]:
    return [SIZES[letter] for letter in letters]


def model_of(equation: str, opset: int = 13, constant: bool = False) -> onnx.ModelProto:
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    inputs = [f"float{shape_of(term)} x{k}" for k, term in enumerate(terms)]
    weights = {"x1": rng(*shape_of(terms[1]), seed=1)} if constant else {}
    fed = inputs[:1] if constant else inputs
    names = ", ".join(f"x{k}" for k in range(len(terms)))
    rank = len(equation.partition("->")[2].replace(" ", ""))
    result = f"float[{','.join('pqrstuv'[:rank])}]" if rank else "float"
    node = f'[e] y = Einsum<equation = "{equation}">({names})'
    return parsed(f"g ({', '.join(fed)}) => ({result} y) {{ {node} }}", opset, **weights)


def feeds_of(equation: str, constant: bool = False) -> dict[str, np.ndarray]:
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    return {
        f"x{k}": rng(*shape_of(term), seed=k)
        for k, term in enumerate(terms[: 1 if constant else None])
    }


SPELLED = {
    "bij,bkj->bik": "Reshape Transpose Reshape MatMul Reshape",
    "bhij,bhjk->bhik": "MatMul",
    "bhid,bhjd->bhij": "Transpose MatMul",
    "ij,jk->ik": "MatMul",
    "bchw,oc->bohw": "Transpose Reshape Transpose MatMul Reshape Transpose",
    "bchw->bhwc": "Transpose",
    "ij->ji": "Transpose",
    "ij->i": "ReduceSum",
    "bchw,bc->bchw": "Reshape Mul",
    "i,j->ij": "Reshape Reshape Mul",
    "ij,ij->ij": "Mul",
    "bij,jk->bk": "ReduceSum MatMul",
    "ij->ij": "Identity",
    "i,i->": "Reshape Reshape MatMul Reshape",
}


@pytest.mark.parametrize("opset", [12, 13, 21])
@pytest.mark.parametrize("equation", SPELLED)
def test_known_equations(equation: str, opset: int) -> None:
    after, changes = rewritten(ExpandEinsum(), model_of(equation, opset), **feeds_of(equation))
    assert operators(after) == SPELLED[equation].split()
    assert changes == [f"e: {equation} spelled out"]


def test_a_constant_operand_is_arranged_here() -> None:
    equation = "bchw,oc->bohw"
    proto = model_of(equation, constant=True)
    after, _ = rewritten(ExpandEinsum(), proto, **feeds_of(equation, constant=True))
    assert operators(after) == ["Transpose", "Reshape", "MatMul", "Reshape", "Transpose"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from("bchij"), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from("bchij"), min_size=1, max_size=4, unique=True),
    st.data(),
)
def test_any_two_operands(first: list[str], second: list[str], data: st.DataObject) -> None:
    letters = sorted({*first, *second})
    count = data.draw(st.integers(0, len(letters)))
    result = data.draw(st.permutations(letters))[:count]
    equation = f"{''.join(first)},{''.join(second)}->{''.join(result)}"
    cure = ExpandEinsum()
    after, _ = rewritten(cure, model_of(equation), **feeds_of(equation))
    assert "Einsum" not in operators(after) and list(cure.notes) == []


def test_batched_products_have_rank_4() -> None:
    after, _ = rewritten(ExpandEinsum(), model_of("bij,bkj->bik"), **feeds_of("bij,bkj->bik"))
    inferred = onnx.shape_inference.infer_shapes(after, strict_mode=True)
    product = next(n for n in after.graph.node if n.op_type == "MatMul")
    shapes = {v.name: len(v.type.tensor_type.shape.dim) for v in inferred.graph.value_info}
    assert [shapes[name] for name in product.input] == [4, 4]


@pytest.mark.parametrize("equation", ["bij,bjk->bik", " bij, bjk -> bik"])
def test_the_equation_that_the_converter_knows_stays(equation: str) -> None:
    assert applied(ExpandEinsum(), model_of(equation))[1] == []


LEFT = {
    "ij,jk,ko->io": "it has three operands or more, or shapes that are not fixed",
    "ii->i": "a letter occurs twice in one operand",
    "bch,ijk->bchijk": "its result has more than 5 axes",
}


@pytest.mark.parametrize("equation", LEFT)
def test_others_stay_with_a_note(equation: str) -> None:
    cure = ExpandEinsum()
    assert applied(cure, model_of(equation))[1] == []
    assert cure.notes == [f"e stays: {LEFT[equation]}"]


def test_a_broadcast_ellipsis_stays_with_a_note() -> None:
    node = 'y = Einsum<equation = "...i,...i->...i">(a, b)'
    body = f"g (float[2,3] a, float[1,3] b) => (float[2,3] y) {{ {node} }}"
    cure = ExpandEinsum()
    assert applied(cure, parsed(body, 13))[1] == []
    assert cure.notes == ["y stays: its operands have two sizes for A"]
