from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar_export.passes.cures.split_transpose import SplitTranspose
from tests.passes.models import applied, attributes, operators, parsed, rewritten, rng


def model_of(shape: list[int], perm: list[int]) -> onnx.ModelProto:
    after = [shape[axis] for axis in perm]
    body = f"g (float{shape} x) => (float{after} y) {{ [t] y = Transpose<perm = {perm}>(x) }}"
    return parsed(body, 13)


def most_axes(model: onnx.ModelProto) -> int:
    found = [node for node in model.graph.node if node.op_type == "Transpose"]
    return max((len(attributes(node)["perm"]) for node in found), default=0)


def test_window_partition_is_one_transpose() -> None:
    proto = model_of([1, 4, 3, 2, 4, 2], [0, 2, 4, 3, 5, 1])
    after, changes = rewritten(SplitTranspose(), proto, x=rng(1, 4, 3, 2, 4, 2))
    assert operators(after) == ["Reshape", "Transpose", "Reshape"]
    assert changes == ["t: became 1 of at most 5 axes"]


def test_six_axes_that_all_part_take_two_steps() -> None:
    proto = model_of([2, 3, 2, 3, 2, 3], [5, 4, 3, 2, 1, 0])
    after, changes = rewritten(SplitTranspose(), proto, x=rng(2, 3, 2, 3, 2, 3))
    assert operators(after).count("Transpose") == 2
    assert most_axes(after) <= 5
    assert changes == ["t: became 2 of at most 5 axes"]


def test_axes_in_their_order_need_no_transpose() -> None:
    proto = model_of([2, 1, 3, 2, 2, 2], [1, 0, 2, 3, 4, 5])
    after, _ = rewritten(SplitTranspose(), proto, x=rng(2, 1, 3, 2, 2, 2))
    assert operators(after) == ["Reshape"]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_permutation(data: st.DataObject) -> None:
    axes = data.draw(st.integers(6, 8))
    shape = data.draw(st.lists(st.integers(1, 3), min_size=axes, max_size=axes))
    perm = data.draw(st.permutations(range(axes)))
    after, _ = rewritten(SplitTranspose(), model_of(shape, list(perm)), x=rng(*shape))
    assert most_axes(after) <= 5


def test_without_a_permutation_axes_are_reversed() -> None:
    body = "g (float[1,2,3,1,2,2] x) => (float[2,2,1,3,2,1] y) { y = Transpose(x) }"
    after, _ = rewritten(SplitTranspose(), parsed(body, 13), x=rng(1, 2, 3, 1, 2, 2))
    assert most_axes(after) == 4


def test_five_axes_stay() -> None:
    assert applied(SplitTranspose(), model_of([1, 2, 3, 4, 5], [4, 3, 2, 1, 0]))[1] == []


def between(before: list[int], split: list[int], perm: list[int], after: list[int]):
    body = f"""g (float{before} x) => (float{after} y) {{
        r = Reshape(x, s) t = Transpose<perm = {perm}>(r) y = Reshape(t, z)
    }}"""
    return parsed(body, 13, s=np.array(split), z=np.array(after))


SHUFFLES = {
    "PixelShuffle": ([1, 8, 3, 4], [1, 2, 2, 2, 3, 4], [0, 1, 4, 2, 5, 3], [1, 2, 6, 8]),
    "PixelShuffle, channels last": (
        [1, 8, 3, 4],
        [1, 2, 2, 2, 3, 4],
        [0, 3, 4, 1, 5, 2],
        [1, 2, 6, 8],
    ),
    "PixelUnshuffle": ([1, 2, 6, 8], [1, 2, 3, 2, 4, 2], [0, 1, 3, 5, 2, 4], [1, 8, 3, 4]),
    "PixelUnshuffle, channels last": (
        [1, 3, 6, 8],
        [1, 3, 3, 2, 4, 2],
        [0, 3, 5, 1, 2, 4],
        [1, 12, 3, 4],
    ),
}


@pytest.mark.parametrize("shuffle", SHUFFLES.values(), ids=SHUFFLES)
def test_pixel_shuffles_stay(shuffle: tuple[list[int], ...]) -> None:
    proto = between(*shuffle)
    after, changes = applied(SplitTranspose(), proto)
    assert changes == [] and operators(after) == ["Reshape", "Transpose", "Reshape"]


@pytest.mark.parametrize("shuffle", SHUFFLES.values(), ids=SHUFFLES)
def test_other_reshapes_around_the_same_permutation_do_not_make_a_shuffle(
    shuffle: tuple[list[int], ...],
) -> None:
    before, split, perm, after = shuffle
    flat = [1, int(np.prod(after))]
    changed, _ = rewritten(SplitTranspose(), between(before, split, perm, flat), x=rng(*before))
    assert most_axes(changed) <= 5


def test_a_block_that_is_not_square_is_no_shuffle() -> None:
    proto = between([1, 12, 3, 4], [1, 2, 3, 2, 3, 4], [0, 1, 4, 2, 5, 3], [1, 2, 9, 8])
    after, _ = rewritten(SplitTranspose(), proto, x=rng(1, 12, 3, 4))
    assert most_axes(after) <= 5


def test_an_open_shape_stays_with_a_note() -> None:
    body = """g (float[N,2,2,2,2,2] x) => (float[N,a,b,c,d,e] y) {
        y = Transpose<perm = [0,5,4,3,2,1]>(x)
    }"""
    cure = SplitTranspose()
    assert applied(cure, parsed(body, 13))[1] == []
    assert cure.notes == ["y stays: the shape of its input is not fixed"]
