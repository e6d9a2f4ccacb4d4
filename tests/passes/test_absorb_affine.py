from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.errors import ModelError
from avatar_export.passes.absorb_affine import MOST, AbsorbAffine, worst_loss
from avatar_export.passes.pipeline import Step, run_pipeline
from tests.passes.models import initializers, loaded, operators, parsed, rewritten, rng, stamps

X = rng(1, 3, 5, 7)
RUNS = [{"x": X}]
# A sum of a block and its skip, whose norm goes to the next block, and which the next skip reads.
STREAM = "[block] p = Conv<pads = [1,1,1,1]>(x, w, b) [skip] q = Conv(x, u) [sum] v = Add(p, q)"
NORM = "[norm] n = BatchNormalization<epsilon = 0.0>(v, g, h, zero, one)"
NEXT = "[act] r = LeakyRelu(n) [more] s = Conv<pads = [1,1,1,1]>(r, w2, b2)"
SKIP = "[up] k = Resize(v, , two) [side] o = Conv(k, u2)"
WEIGHTS: dict[str, np.ndarray] = {
    "w": rng(4, 3, 3, 3),
    "b": rng(4, seed=1),
    "u": rng(4, 3, 1, 1, seed=2),
    "g": np.float32([2.0, -0.5, 0.7, 3.0]),
    "h": np.float32([1.0, 0.3, -1.0, 2.0]),
    "zero": np.zeros(4, np.float32),
    "one": np.ones(4, np.float32),
    "w2": rng(2, 4, 3, 3, seed=3),
    "b2": rng(2, seed=4),
    "u2": rng(2, 4, 1, 1, seed=5),
    "two": np.float32([1, 1, 2, 2]),
}


def model_of(
    rest: str = SKIP, norm: str = NORM, outputs: str = "s o", opset: int = 13, **changed: object
) -> onnx.ModelProto:
    free = ", ".join(f"float[{k}A,{k}B,{k}C,{k}D] {k}" for k in outputs.split())
    body = f"net (float[1,3,5,7] x) => ({free}) {{ {STREAM} {norm} {NEXT} {rest} }}"
    return parsed(body, opset, **{**WEIGHTS, **changed})


def refused(proto: onnx.ModelProto, runs: list[dict[str, np.ndarray]] = RUNS) -> str:
    """The reason why nothing was done; the graph is the same."""
    rewrite = AbsorbAffine(runs)
    after, changes = rewritten(rewrite, proto, x=X)
    assert changes == [] and operators(after) == operators(proto)
    (note,) = rewrite.notes
    return note


def test_a_norm_of_a_sum_vanishes() -> None:
    """The last norm of a network has no other readers."""
    after, changes = rewritten(AbsorbAffine(), model_of("", outputs="s"), x=X)
    assert operators(after) == ["Conv", "Conv", "Add", "LeakyRelu", "Conv"]
    assert changes == ["norm: in block, skip"]
    assert stamps(after) == {"block": "absorb-affine", "skip": "absorb-affine"}


def test_other_readers_undo_it() -> None:
    proto = model_of()
    after, changes = rewritten(AbsorbAffine(RUNS), proto, x=X)
    expected = [o for o in operators(proto) if o != "BatchNormalization"]
    assert operators(after) == expected
    assert changes == ["norm: in block, skip; undone in side"]
    assert set(stamps(after)) == {"block", "skip", "side"}


def test_multiply_adds_stay_and_a_node_goes() -> None:
    _, (record,) = run_pipeline(model_of(), [Step(AbsorbAffine(RUNS), "here")], RUNS[0])
    # 3x3 from 3 channels to 4 and from 4 to 2, 1x1 from 3 to 4; 1x1 from 4 to 2 at twice the size
    macs = 35 * (4 * 27 + 2 * 36 + 4 * 3) + 140 * 2 * 4
    assert record.macs_before == record.macs_after == macs
    assert (record.nodes_before, record.nodes_after) == (8, 7)
    assert record.worst < 1e-6


def test_the_shift_goes_into_one_addend() -> None:
    after, _ = rewritten(AbsorbAffine(), model_of("", outputs="s"), x=X)
    block, skip = after.graph.node[:2]
    assert len(skip.input) == 2
    numbers = initializers(after)
    np.testing.assert_allclose(
        numbers[block.input[2]], WEIGHTS["g"] * WEIGHTS["b"] + WEIGHTS["h"], rtol=1e-6
    )
    factor = WEIGHTS["g"].reshape(4, 1, 1, 1)
    np.testing.assert_allclose(numbers[skip.input[1]], factor * WEIGHTS["u"], rtol=1e-6)


NORMS = {
    "statistics": "[norm] n = BatchNormalization(v, g, h, h, var)",
    "product": "[norm] n = Mul(v, c)",
    "sum": "[norm] n = Add(c, v)",
    "difference": "[norm] n = Sub(c, v)",
    "quotient": "[norm] n = Div(v, c)",
    "number": "[norm] n = Mul(half, v)",
    "product and sum": "[norm] m = Mul(v, c) [second] n = Add(m, c)",
}


@pytest.mark.parametrize("case", NORMS)
@pytest.mark.parametrize("shared", [False, True])
def test_any_scale_and_shift(case: str, shared: bool) -> None:
    more = {"var": np.float32([0.5, 1, 2, 3]), "c": rng(4, 1, 1, seed=6), "half": np.float32(0.5)}
    proto = model_of(SKIP if shared else "", NORMS[case], "s o" if shared else "s", **more)
    after, changes = rewritten(AbsorbAffine(RUNS), proto, x=X)
    assert operators(after) == operators(model_of(SKIP if shared else "", "n = Identity(v)"))[
        :3
    ] + (["LeakyRelu", "Conv", "Resize", "Conv"] if shared else ["LeakyRelu", "Conv"])
    assert len(changes) == (2 if "second" in NORMS[case] else 1)


def test_a_second_norm_of_the_same_tensor_is_composed() -> None:
    second = "[norm2] o = BatchNormalization<epsilon = 0.0>(v, h, g, zero, one)"
    rewrite = AbsorbAffine(RUNS)
    after, changes = rewritten(rewrite, model_of(second), x=X)
    assert changes == ["norm: in block, skip; undone in norm2"]
    assert operators(after).count("BatchNormalization") == 1
    assert rewrite.notes == ["norm2 stays: LeakyRelu act reads v too"]


def test_blocks_in_a_row() -> None:
    """The skip of the second block undoes the norm of the first, and is part of the second sum."""
    second = (
        "[up] k = Resize(v, , two) [side] o = Conv(k, u2) [up2] t = Resize(s, , two) "
        "[sum2] z = Add(t, o) [norm2] y = BatchNormalization<epsilon = 0.0>(z, g2, h2, z2, e2)"
    )
    two = {"g2": np.float32([3, -1]), "h2": np.float32([1, 2])}
    two |= {"z2": np.zeros(2, np.float32), "e2": np.ones(2, np.float32)}
    after, changes = rewritten(AbsorbAffine(RUNS), model_of(second, outputs="y", **two), x=X)
    assert changes == ["norm: in block, skip; undone in side", "norm2: in more, side"]
    assert "BatchNormalization" not in operators(after)
    assert stamps(after)["side"] == "absorb-affine"


def test_an_output_that_the_norm_made_keeps_its_name() -> None:
    after, _ = rewritten(AbsorbAffine(RUNS), model_of(outputs="n s o"), x=X)
    assert [o.name for o in after.graph.output] == ["n", "s", "o"]
    assert "BatchNormalization" not in operators(after)


def test_a_channel_scaled_by_zero() -> None:
    """It can vanish, but nobody can undo it."""
    zero = np.float32([2.0, 0.0, 0.7, 3.0])
    after, _ = rewritten(AbsorbAffine(), model_of("", outputs="s", g=zero), x=X)
    assert "BatchNormalization" not in operators(after)
    assert refused(model_of(g=zero)) == "norm stays: channel 1 is scaled by 0, and v is read"


@pytest.mark.parametrize(
    ("rest", "outputs", "reason"),
    [
        ("[r] o = LeakyRelu(v)", "s o", "LeakyRelu r reads v too"),
        ("[r] o = Add(v, p)", "s o", "p has other readers than sum"),
        ("", "s v", "v is an output of the graph"),
        ("[r] o = Conv<pads = [1,1,1,1]>(v, w2)", "s o", "the border of r would see the shift"),
    ],
)
def test_readers_that_need_the_sum_itself(rest: str, outputs: str, reason: str) -> None:
    assert refused(model_of(rest, outputs=outputs)) == f"norm stays: {reason}"


def test_zero_padding_admits_a_scale() -> None:
    rest = "[r] o = Conv<pads = [1,1,1,1]>(v, w2) [t] m = ConvTranspose<strides = [2,2]>(v, t2)"
    proto = model_of(rest, outputs="s o m", h=np.zeros(4, np.float32), t2=rng(4, 2, 3, 3))
    after, changes = rewritten(AbsorbAffine(RUNS), proto, x=X)
    assert changes == ["norm: in block, skip; undone in r, t"]
    assert "BatchNormalization" not in operators(after)


def test_without_runs_a_shared_norm_stays() -> None:
    reason = "no runs are given to measure what its other readers would lose"
    assert refused(model_of(), []) == f"norm stays: {reason}"


def test_a_norm_that_drowns_the_tensor_stays() -> None:
    """Channel 2 reaches some 10, and is carried with an offset of 1000 / 0.7."""
    note = refused(model_of(h=np.float32([1.0, 0.3, -1000.0, 2.0])))
    assert note.startswith("norm stays: its other readers would lose precision: channel 2 by a")
    assert note.endswith(f"more than {MOST:g}")
    alone = model_of("", outputs="s", h=np.float32([1.0, 0.3, -1000.0, 2.0]))
    assert rewritten(AbsorbAffine(), alone, x=X)[1] == ["norm: in block, skip"]


@pytest.mark.parametrize(("times", "taken"), [(0.9, True), (1.1, False)])
def test_precision_may_be_lost_up_to_a_bound(times: float, taken: bool) -> None:
    """The sum is as large as its bias, so the shift is the loss."""
    numbers = {name: np.zeros_like(WEIGHTS[name]) for name in ("w", "u")}
    numbers |= {"b": np.full(4, 1.0, np.float32), "g": np.ones(4, np.float32)}
    shift = np.float32([0, 0, times * MOST - 1, 0])
    _, changes = rewritten(AbsorbAffine(RUNS), model_of(**numbers, h=shift), x=X)
    assert bool(changes) == taken


def test_all_runs_count() -> None:
    """What is large in one run may be small in none."""
    numbers = {"h": np.float32([0, 0, 40.0, 0]), "b": np.zeros(4, np.float32)}
    small, large = {"x": X * 1e-3}, {"x": X}
    refused(model_of(**numbers), [small])
    _, changes = rewritten(AbsorbAffine([small, large]), model_of(**numbers), x=X)
    assert len(changes) == 1


def test_what_is_measured_follows_the_tensor() -> None:
    """The second map of a row reads what the first made of the sum."""
    maps = "[norm] m = Mul(v, big) [second] n = Add(m, c)"
    # Alone, 500 would drown the sum; after a factor of 1000 it does not.
    more = {"big": np.float32(1000.0), "c": np.float32(500.0)}
    _, changes = rewritten(AbsorbAffine(RUNS), model_of(SKIP, maps, **more), x=X)
    assert len(changes) == 2
    more["big"] = np.float32(1.0)
    rewrite = AbsorbAffine(RUNS)
    _, changes = rewritten(rewrite, model_of(SKIP, maps, **more), x=X)
    assert len(changes) == 1 and "channel" in rewrite.notes[0]


def test_the_loss_of_each_channel() -> None:
    low, high = np.array([-1.0, 0.0, 2.0]), np.array([3.0, 0.0, 4.0])
    assert worst_loss(low, high, np.array([6.0, 0.0, -3.0])) == (0, 3.0)
    assert worst_loss(low, high, np.array([0.0, 0.0, -3.0])) == (0, 1.0)
    assert worst_loss(low, high, np.array([0.0, 1e-9, 0.0])) == (1, np.inf)
    assert np.isnan(worst_loss(low, np.array([1, np.nan, 1]), np.zeros(3))[1])


def test_a_norm_of_something_else_is_no_site() -> None:
    body = f"net (float[1,4,5,7] x) => (float[1,4,5,7] n) {{ v = Relu(x) {NORM} }}"
    used = {k: WEIGHTS[k] for k in ("g", "h", "zero", "one")}
    rewrite = AbsorbAffine(RUNS)
    _, changes = rewritten(rewrite, parsed(body, **used), x=rng(1, 4, 5, 7))
    assert changes == [] and rewrite.notes == []


def test_weights_that_half_precision_cannot_hold_stay() -> None:
    body = "net (float16[1,3,5,5] x) => (float16[1,4,5,5] n) "
    body += "{ [layer] v = Conv(x, u) [norm] n = Mul(v, c) }"
    half = {
        "u": np.full((4, 3, 1, 1), 2, np.float16),
        "c": np.float16([[[6e4]], [[1]], [[1]], [[6e4]]]),
    }
    model = loaded(parsed(body, **half))
    rewrite = AbsorbAffine()
    assert rewrite.apply(model) == []
    assert rewrite.notes == ["norm stays: float16 cannot hold the numbers of layer"]
    rewrite.ensures(model)


@pytest.mark.parametrize("opset", [9, 18])
def test_other_operator_sets(opset: int) -> None:
    rest = SKIP.replace("Resize(v, , two)", "Upsample(v, two)") if opset == 9 else SKIP
    proto = model_of(rest, opset=opset)
    after, changes = rewritten(AbsorbAffine(RUNS), proto, x=X)
    assert len(changes) == 1 and len(after.graph.node) == 7


def test_a_second_run_changes_nothing() -> None:
    after, _ = rewritten(AbsorbAffine(RUNS), model_of(), x=X)
    assert rewritten(AbsorbAffine(RUNS), after, x=X)[1] == []


def test_what_is_left_undone_is_named() -> None:
    model: ir.Model = loaded(model_of())
    with pytest.raises(ModelError, match="norm was left as it was"):
        AbsorbAffine().ensures(model)


@given(
    channels=st.integers(1, 4),
    groups=st.integers(1, 2),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    factors=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    before=st.booleans(),
    seed=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_any_stream(
    channels: int,
    groups: int,
    size: tuple[int, int],
    factors: tuple[int, int],
    before: bool,
    seed: int,
) -> None:
    """A 1x1 skip before or after the repetition, groups, odd sizes; borders are read as well."""
    height, width = size
    total = channels * groups
    side = (
        "[skip] a = Conv(x, u) q = Resize(a, , f)"
        if before
        else "a = Resize(x, , f) q = Conv(a, u)"
    )
    body = f"net (float[1,{total},{height},{width}] x) => (float[A,B,C,D] r, float[E,F,G,H] o) {{"
    body += f"{side} e = Resize(x, , f) p = Conv<pads = [1,1,1,1], group = {groups}>(e, w)"
    body += f"v = Add(q, p) {NORM} r = LeakyRelu(n) k = Resize(v, , f)"
    body += f"o = Conv<group = {groups}>(k, u2) }}"
    rows = np.random.default_rng(seed)
    weights = {
        "w": rng(total, channels, 3, 3, seed=seed),
        "u": rng(total, total, 1, 1, seed=seed + 1),
        "u2": rng(total, channels, 1, 1, seed=seed + 2),
        "g": rows.uniform(0.5, 2, total) * rows.choice([-1, 1], total),
        "h": rows.uniform(-0.1, 0.1, total),
        "zero": np.zeros(total),
        "one": np.ones(total),
        "f": np.array([1, 1, *factors]),
    }
    typed = {name: np.asarray(array, np.float32) for name, array in weights.items()}
    x = rng(1, total, height, width, seed=seed)
    _, changes = rewritten(AbsorbAffine([{"x": x}]), parsed(body, **typed), x=x)
    assert len(changes) == 1
