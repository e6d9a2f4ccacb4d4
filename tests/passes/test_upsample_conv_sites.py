"""Which convolutions are rewritten, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from avatar_export.passes import upsample_site
from avatar_export.passes.goal import UpsampleForm
from avatar_export.passes.pipeline import Step, run_pipeline
from avatar_export.passes.upsample_conv import UpsampleConv
from tests.passes.models import applied, initializers, operators, parsed, rewritten, rng
from tests.passes.upsampled import (
    CONV,
    FEW_PADS,
    FORMS,
    MACS,
    NUMBERS,
    SUBPIXEL,
    UP,
    UPS,
    X,
    assert_left_alone,
    macs,
    model_of,
    wanting,
)

COMPUTED = "its weight or bias is computed"


@pytest.mark.parametrize(
    ("form", "nodes", "note"),
    [
        (None, f"{UP} [conv] y = Conv<strides = [1,2]>(u, w)", "the convolution has strides"),
        (None, f"{UP} k = Abs(w) [conv] y = Conv(u, k)", COMPUTED),
        (None, f"{UP} k = Abs(b) [conv] y = Conv(u, w, k)", COMPUTED),
        ("deconv", f"{UP} [conv] y = Conv<pads = [0,0,3,0]>(u, w)", FEW_PADS),
        (
            "subpixel",
            f"{UP.replace('twice', 'wide')} {CONV}",
            "rows and columns are repeated by different factors",
        ),
        (
            "subpixel",
            f"{UP} [conv] y = Conv<group = 2>(u, grouped)",
            "a convolution in groups keeps its channels together",
        ),
    ],
)
def test_refused(form: UpsampleForm | None, nodes: str, note: str) -> None:
    assert_left_alone(replace(MACS, upsample=form), nodes, note)


@pytest.mark.parametrize(
    ("form", "shape"), [("deconv", "4 x 6 x 4 x 4"), ("subpixel", "24 x 4 x 2 x 2")]
)
def test_a_weight_that_would_blow_up_the_model(
    form: UpsampleForm, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = f"its weight would be as large as {shape}"
    monkeypatch.setattr(upsample_site, "_MOST_NUMBERS", 24 * 16 - 1)
    assert_left_alone(wanting(form), f"{UP} {CONV}", note)
    monkeypatch.setattr(upsample_site, "_MOST_NUMBERS", 24 * 16)
    assert len(applied(UpsampleConv(wanting(form)), model_of(f"{UP} {CONV}"))[1]) == 1


def test_neither_form() -> None:
    """The first reason is given."""
    nodes = f"{UP} [conv] y = Conv<group = 2, pads = [3,3,3,3]>(u, grouped)"
    assert_left_alone(MACS, nodes, FEW_PADS)


def test_what_is_padded_too_far_still_has_phases() -> None:
    before = model_of(f"{UP} [conv] y = Conv<pads = [3,4,5,6]>(u, w, b)")
    _, changes = rewritten(UpsampleConv(MACS), before, x=X)
    assert changes == [f"conv: {SUBPIXEL}"]


@pytest.mark.parametrize(
    "nodes",
    [
        f"{UP} [conv] y = Conv(u, point)",
        f"{UP} [conv] y = Conv<strides = [2,2]>(u, point)",
        '[up] u = Resize(x, "", once) [conv] y = Conv(u, w)',
        '[up] u = Resize<mode = "linear">(x, "", twice) [conv] y = Conv(u, w)',
        "[conv] y = Conv(x, w)",
        f"{UP} r = Relu(u) [conv] y = Conv(r, w)",
        f"{UP} [conv] y = MaxPool<kernel_shape = [3,3]>(u)",
        f"{UP} [conv] y = ConvTranspose(u, turned)",
    ],
)
def test_no_such_pattern(nodes: str) -> None:
    assert_left_alone(MACS, nodes, turned=rng(4, 6, 3, 3))


def test_an_operator_of_another_domain() -> None:
    conv = CONV.replace("Conv<", "custom.Conv<")
    step = UpsampleConv(MACS)
    assert applied(step, model_of(f"{UP} {conv}", "float[1,6,10,6] y"))[1] == []
    assert step.notes == []


def test_a_size_that_is_not_known() -> None:
    body = f"g (float[1,4,H,3] x) => (float[1,6,A,B] y) {{ {UP} {CONV} }}"
    step = UpsampleConv(MACS)
    _, changes = applied(step, parsed(body, **NUMBERS))
    assert (changes, step.notes) == ([], [])


def test_one_after_the_other() -> None:
    nodes = f'{UP} c = Conv<pads = [1,1,1,1]>(u, w, b) a = Relu(c) v = Resize(a, "", wide)'
    before = model_of(f"{nodes} y = Conv<pads = [1,1,1,1]>(v, next)", next=rng(2, 6, 3, 3))
    after, _ = rewritten(UpsampleConv(MACS), before, x=X)
    assert operators(after) == ["ConvTranspose", "Relu", "ConvTranspose"]
    assert macs(before) == 10 * 6 * 24 * 9 + 10 * 18 * 12 * 9
    assert macs(after) == 5 * 3 * 24 * 16 + 10 * 6 * 12 * (3 * 5)


def test_a_result_that_is_read_and_put_out() -> None:
    before = model_of(f"{UP} {CONV} z = Relu(y)", "float[N,C,H,W] y, float[N,C,H,W] z")
    for form in FORMS:
        step = UpsampleConv(wanting(form))
        after, _ = rewritten(step, before, x=X)
        assert [value.name for value in after.graph.output] == ["y", "z"]


def test_where_it_came_from_is_kept() -> None:
    """The module of the convolution, not of the upsampling."""
    proto = model_of(f"{UP} {CONV}")
    for node in proto.graph.node:
        node.metadata_props.add(key="module", value=node.name)
    after, _ = applied(UpsampleConv(), proto)
    found = {p.key: p.value for p in after.graph.node[0].metadata_props}
    assert found["module"] == "conv"


@pytest.mark.parametrize("opset", UPS)
@pytest.mark.parametrize("form", FORMS)
def test_operator_sets(form: UpsampleForm, opset: int) -> None:
    before = model_of(f"{UPS[opset]} {CONV}", opset=opset)
    after, _ = rewritten(UpsampleConv(wanting(form)), before, x=X)
    expected = {"deconv": ["ConvTranspose"], "subpixel": ["Conv", "DepthToSpace", "Slice"]}
    assert operators(after) == expected[form]
    if form == "subpixel":
        assert len(after.graph.node[2].input) == (1 if opset < 10 else 4)


def in_type(kind: str, dtype: type) -> onnx.ModelProto:
    body = f"g ({kind}[1,4,5,3] x) => ({kind}[N,C,H,W] y) {{ {UP} {CONV} }}"
    numbers = {"w": NUMBERS["w"].astype(dtype), "b": NUMBERS["b"].astype(dtype)}
    return parsed(body, 16, **numbers, twice=NUMBERS["twice"])


def test_half_precision_would_be_rounded_twice() -> None:
    """Parity would be lost: sums of half weights need more digits than they have."""
    proto = in_type("float16", np.float16)
    steps = [Step(UpsampleConv(MACS), "")]
    _, [record] = run_pipeline(proto, steps, {"x": X.astype(np.float16)})
    assert record.changes == ()
    assert record.notes == ("conv stays: float16 cannot hold the sums of its weights",)


def test_half_precision_that_holds_the_sums() -> None:
    proto = in_type("float16", np.float16)
    whole = np.arange(6 * 4 * 9).reshape(6, 4, 3, 3) % 7 - 3
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w")
    weight.raw_data = whole.astype(np.float16).tobytes()
    after, _ = rewritten(UpsampleConv(MACS), proto, x=np.round(X).astype(np.float16))
    assert initializers(after)["conv.weight"].dtype == np.float16


@pytest.mark.filterwarnings("error")
def test_half_precision_that_overflows() -> None:
    proto = in_type("float16", np.float16)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "w")
    weight.raw_data = np.full((6, 4, 3, 3), 4e4, np.float16).tobytes()
    step = UpsampleConv(MACS)
    assert applied(step, proto)[1] == []
    assert step.notes == ["conv stays: float16 cannot hold the sums of its weights"]


@pytest.mark.parametrize("form", FORMS)
def test_double_precision(form: UpsampleForm) -> None:
    """ONNX Runtime has no such convolution on the CPU: run by the reference of ONNX."""
    before = in_type("double", np.float64)
    after, _ = applied(UpsampleConv(wanting(form)), before)
    x = X.astype(np.float64)
    expected, found = (
        ReferenceEvaluator(proto).run(None, {"x": x})[0] for proto in (before, after)
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
