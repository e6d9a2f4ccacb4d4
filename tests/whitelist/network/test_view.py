from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from avatar_export.whitelist.network.table import load_operation_table
from avatar_export.whitelist.network.view import NetworkView, OperationView
from avatar_export.whitelist.view import UndeterminedError
from tests.whitelist.network.networks import network

CHANNEL_FIRST = (0, 3, 1, 2)


def view(*arguments, **parameters) -> OperationView:
    return NetworkView(network(*arguments, **parameters), load_operation_table()).operations[0]


@pytest.mark.parametrize("perm", list(permutations(range(4))))
def test_a_permutation_is_told_for_the_axes_as_shown(perm):
    stored = np.arange(2 * 3 * 5 * 7).reshape(2, 3, 5, 7)
    turned = stored.transpose(perm)
    node = view("Transpose", [stored.shape], turned.shape, perm=np.array(perm))
    shown = stored.transpose(CHANNEL_FIRST).transpose(node.attribute("perm"))
    assert np.array_equal(shown, turned.transpose(CHANNEL_FIRST))


@pytest.mark.parametrize(("stored", "shown"), [(0, 0), (1, 2), (2, 3), (3, 1), (-1, 1)])
def test_an_axis_is_told_for_the_axes_as_shown(stored, shown):
    assert view("Split", [(1, 8, 8, 4)], (1, 8, 8, 2), axis=stored).attribute("axis") == shown


def test_shapes_are_shown_as_the_rules_want_them():
    node = view("Conv2d", [(1, 6, 8, 4), (3, 5, 4, 16), (16,)], (1, 6, 8, 16), (1, 2))
    assert [node.shape(i) for i in range(3)] == [(1, 4, 6, 8), (16, 4, 3, 5), (16,)]
    assert node.output_shape() == (1, 16, 6, 8)
    assert [node.is_constant(i) for i in range(3)] == [False, True, True]


def test_tensors_of_another_rank_stay_as_stored():
    assert view("Softmax", [(1, 2, 6, 8, 4)], (1, 2, 6, 8, 4)).shape() == (1, 2, 6, 8, 4)


def test_the_kernel_of_a_depthwise_convolution_is_told_by_its_weight():
    node = view("DepthWiseConv2d", [(1, 6, 8, 4), (3, 5, 1, 4)], (1, 6, 8, 4), (1,))
    assert node.attribute("kernel_shape") == [3, 5]


def test_two_flags_make_one_mode():
    flags = {"align_corners": 0, "half_pixel_centers": 1}
    node = view("ResizeBilinear", [(1, 8, 8, 4)], (1, 16, 16, 4), **flags)
    assert node.attribute("coordinate_transformation_mode") == "half_pixel"


def test_what_the_absence_of_an_attribute_means_stands_in_the_table():
    node = view("TopK", [(1, 8)], (1, 4))
    assert node.attribute("largest") == 1
    with pytest.raises(UndeterminedError, match="does not tell sorted of TopK"):
        node.attribute("sorted")


def test_an_operation_is_not_taken_for_the_onnx_operator_of_its_name():
    node = view("Concat", [(1, 8)], (1, 8))
    assert node.is_foreign
    assert node.schema is None
