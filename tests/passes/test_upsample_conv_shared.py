"""An upsampling with other readers: when it stays, when it goes, and whose price it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avatar_export.passes.goal import FEWEST_MACS, Nodes
from avatar_export.passes.upsample_conv import UpsampleConv
from tests.passes.models import applied, operators, rewritten
from tests.passes.upsampled import CONV, DECONV, MACS, UP, X, model_of

OTHER = "[other] z = Conv<pads = [2,2,2,2]>(u, large)"


@pytest.mark.parametrize(
    ("tail", "outputs"),
    [
        ("", "float[N,C,H,W] y, float[N,C,H,W] u"),
        ("z = Relu(u)", "float[N,C,H,W] y, float[N,C,H,W] z"),
    ],
    ids=["is a graph output", "is read by others"],
)
def test_an_upsampling_that_stays(tail: str, outputs: str) -> None:
    before = model_of(f"{UP} {CONV} {tail}", outputs)
    after, _ = rewritten(UpsampleConv(MACS), before, x=X)
    left = ["ConvTranspose", "Resize", *(["Relu"] if tail else [])]
    assert sorted(operators(after)) == sorted(left)
    assert "u" in {name for node in after.graph.node for name in node.output}


def test_an_upsampling_that_a_branch_reads_stays() -> None:
    branches = "q = If(yes) <then_branch = t () => (float[1,4,10,6] i) { i = Relu(u) },"
    branches += "else_branch = e () => (float[1,4,10,6] j) { j = Neg(u) }>"
    outputs = "float[N,C,H,W] y, float[N,C,H,W] q"
    before = model_of(f"{UP} {CONV} {branches}", outputs, yes=np.array(True))
    after, _ = rewritten(UpsampleConv(MACS), before, x=X)
    assert sorted(operators(after)) == ["ConvTranspose", "If", "Resize"]


def test_its_price_counts_when_it_stays() -> None:
    """By nodes alone: one for one saves nothing, one for two does."""
    nodes = replace(FEWEST_MACS, price=len)
    outputs = "float[N,C,H,W] y, float[N,C,H,W] u"
    assert applied(UpsampleConv(nodes), model_of(f"{UP} {CONV}", outputs))[1] == []
    assert len(applied(UpsampleConv(nodes), model_of(f"{UP} {CONV}"))[1]) == 1


def test_two_convolutions_of_one_upsampling() -> None:
    """Nobody needs it when both are done."""
    before = model_of(f"{UP} {CONV} {OTHER}", "float[N,C,H,W] y, float[N,C,H,W] z")
    after, changes = rewritten(UpsampleConv(MACS), before, x=X)
    assert changes == [f"conv: {DECONV}", f"other: {DECONV}"]
    assert operators(after) == ["ConvTranspose", "ConvTranspose"]


def test_each_of_two_convolutions_has_to_pay_alone() -> None:
    """The upsampling that they share counts for neither, though it would go with both."""
    before = model_of(f"{UP} {CONV} {OTHER}", "float[N,C,H,W] y, float[N,C,H,W] z")
    step = UpsampleConv(replace(FEWEST_MACS, price=len))
    assert applied(step, before)[1] == []
    assert [note.partition(" would cost ")[2] for note in step.notes] == 2 * [
        "1e+03 ms instead of 1e+03 ms (fewest multiply-adds)"
    ]


def test_the_upsampling_counts_for_the_last_of_two() -> None:
    """By nodes, and a penalty for large kernels: the first one pays, and then so does the other."""
    before = model_of(f"{UP} {OTHER} {CONV}", "float[N,C,H,W] y, float[N,C,H,W] z")
    large = replace(FEWEST_MACS, price=lambda nodes: len(nodes) + _old_large(nodes))
    after, changes = rewritten(UpsampleConv(large), before, x=X)
    assert changes == [f"other: {DECONV}", f"conv: {DECONV}"]
    assert operators(after) == ["ConvTranspose", "ConvTranspose"]


def _old_large(nodes: Nodes) -> int:
    return sum(node.name == "other" and node.op_type == "Conv" for node in nodes)
