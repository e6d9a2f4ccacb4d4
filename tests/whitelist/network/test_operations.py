from __future__ import annotations

import numpy as np
import pytest

from avatar_export.errors import ModelError
from avatar_export.whitelist.finding import Verdict
from avatar_export.whitelist.network.graph import Network, Operation, Tensor
from avatar_export.whitelist.network.operations import check_operations
from avatar_export.whitelist.network.table import load_operation_table
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.targets import resolve_target
from tests.whitelist.network.networks import network


def judged(net, sdk="2.25", runtime="gpu"):
    return check_operations(net, resolve_target(sdk=sdk, runtime=runtime))


def codes(net, sdk="2.25", runtime="gpu"):
    return [finding.code for finding in judged(net, sdk, runtime).findings]


IMAGE = (1, 8, 8, 4)


@pytest.mark.parametrize(
    ("kind", "parameters", "operation"),
    [
        ("Eltwise_Binary", {"operation": 0}, "ElementWiseAdd"),
        ("Eltwise_Binary", {"operation": 13}, "ElementWiseMultiply"),
        ("Eltwise_Binary", {"operation": 18}, "ElementWiseSubtract"),
        ("Eltwise_Unary", {"operation": 15}, "ElementWiseSquareRoot"),
        ("Eltwise_Ternary", {"eltwise_type": "ElementWiseSelect"}, "ElementWiseSelect"),
        ("ElementWiseNeuron", {"operation": 4}, "Relu"),
        ("ElementWiseNeuron", {"operation": 5}, "ReluMinMax"),
        ("Neuron", {"operation": 8}, "Tanh"),
        ("Reduce", {"reduce_type": "ReduceMean"}, "ReduceMean"),
        ("Pool", {"pool_type": "PoolMax2d"}, "PoolMax2d"),
        ("Arg", {"arg_type": "Argmax"}, "Argmax"),
        ("Softmax", {}, "Softmax"),
        ("Eltwise_Binary", {"operation": 99}, "Eltwise_Binary (operation 99)"),
        ("Eltwise_Unary", {}, "Eltwise_Unary (operation unknown)"),
        ("Warp", {"packageName": "my.ops"}, "my.ops::Warp"),
    ],
)
def test_merged_types_are_told_apart(kind, parameters, operation):
    (node,) = judged(network(kind, [IMAGE], IMAGE, **parameters), runtime="cpu").node_verdicts
    assert node.operator == operation
    assert node.operations == (operation,)


@pytest.mark.parametrize(
    ("kind", "parameters", "row"),
    [
        ("Conv2d", {}, "Convolution"),
        ("Eltwise_Binary", {"operation": 0}, "Elementwise"),
        ("Pool", {"pool_type": "PoolAvg2d"}, "Pooling"),
        ("ElementWiseNeuron", {"operation": 4}, "Relu"),
        ("Transpose", {}, "Permute"),
    ],
)
def test_tables_that_spell_as_in_1_x(kind, parameters, row):
    (node,) = judged(network(kind, [IMAGE], IMAGE, **parameters), "2.5").node_verdicts
    assert node.operations == (row,)


def test_every_early_name_is_a_row_of_2_5():
    early = {row.early for row in load_operation_table().operations.values() if row.early}
    assert early <= set(load_sdk("2.5").layers)


def test_every_operation_is_a_row_of_2_25_or_stands_in_no_table():
    table = load_operation_table()
    named = {*table.operations, *(o for t in table.types.values() for o in t.operations)}
    assert named - set(load_sdk("2.25").layers) == {"ElementWiseReciprocal"}


def test_an_operation_that_the_runtime_lacks():
    net = network("GridSample", [IMAGE, (1, 8, 8, 2)], IMAGE)
    (finding,) = judged(net).findings
    assert (finding.code, finding.node, finding.operator) == ("AX103", "op", "GridSample")
    assert judged(net, runtime="cpu").clean


def test_an_operation_in_no_table_is_unknown():
    judgement = judged(network("Warp", [IMAGE], IMAGE))
    assert [f.code for f in judgement.findings] == ["AX108"]
    assert judgement.counts[Verdict.UNKNOWN] == 1


@pytest.mark.parametrize(
    ("shape", "found"),
    [((1, 8, 4096, 16), ["AX104"]), ((1, 4096, 8, 16), []), ((1, 8, 8, 65536), ["AX104"])],
)
def test_packed_width_reads_the_last_axis_as_channels(shape, found):
    net = network("ElementWiseNeuron", [shape], shape, operation=4)
    assert codes(net) == found


GROUPED = {"group": 2, "stride": np.array([1, 1])}


@pytest.mark.parametrize(("channels", "found"), [(8, []), (6, ["AX105"])])
def test_weights_are_turned_to_the_order_of_onnx(channels, found):
    """HWIO: the output channels of a grouped convolution are a multiple of 4 * group."""
    weight, written = (3, 3, 4, channels), (1, 8, 8, channels)
    net = network("Conv2d", [(1, 8, 8, 8), weight, (channels,)], written, (1, 2), **GROUPED)
    assert codes(net) == found


@pytest.mark.parametrize(("stride", "found"), [(4, []), (5, ["AX105"])])
def test_strides_are_read(stride, found):
    strides = np.array([stride, stride])
    weight = (4, 4, 4, 8)
    net = network("TransposeConv2d", [IMAGE, weight], (1, 32, 32, 8), (1,), stride=strides, group=1)
    assert codes(net) == found


@pytest.mark.parametrize(
    ("kind", "axis", "found"), [("LogSoftmax", 3, []), ("LogSoftmax", 1, ["AX105"])]
)
def test_an_axis_counts_from_the_stored_order(kind, axis, found):
    assert codes(network(kind, [IMAGE], IMAGE, axis=axis)) == found


def test_a_reduction_of_the_batch_with_others():
    kind = {"reduce_type": "ReduceSum", "keep_dims": 1}
    assert codes(network("Reduce", [IMAGE], (1, 1, 1, 4), axes=np.array([1, 2]), **kind)) == []
    both = network("Reduce", [IMAGE], (1, 1, 8, 4), axes=np.array([0, 1]), **kind)
    assert codes(both) == ["AX105"]


def test_a_tile_is_judged_by_its_multiples():
    shape = (2, 8, 8, 4)
    assert codes(network("Tile", [IMAGE], (1, 16, 8, 4), multiples=np.array([1, 2, 1, 1]))) == []
    batch = network("Tile", [IMAGE], shape, multiples=np.array([2, 1, 1, 1]))
    assert codes(batch) == ["AX105"]


def test_batch_dimensions_of_a_matrix_product_are_the_leading_ones():
    first, written = (1, 2, 8, 16), (1, 2, 8, 4)
    assert codes(network("MatMul", [first, (1, 2, 16, 4)], written)) == []
    assert codes(network("MatMul", [first, (3, 2, 16, 4)], written)) == ["AX105"]


SHUFFLE = (1, 2, 2, 3, 5, 4)


@pytest.mark.parametrize(
    ("perm", "found"), [((0, 1, 3, 5, 2, 4), []), ((0, 2, 1, 3, 4, 5), ["AX105"])]
)
def test_permutations_of_rank_6(perm, found):
    out = tuple(SHUFFLE[axis] for axis in perm)
    net = network("Transpose", [SHUFFLE], out, perm=np.array(perm))
    assert [code for code in codes(net) if code != "AX107"] == found


def test_what_the_dlc_does_not_tell_is_unknown():
    scaled = network(
        "ResizeNearestNeighbor", [IMAGE], (1, 16, 16, 4), align_corners=0, half_pixel_centers=0
    )
    (finding,) = judged(scaled).findings
    assert (finding.code, finding.verdict) == ("AX110", Verdict.UNKNOWN)
    assert "nearest_mode" in finding.reason


@pytest.mark.parametrize("parameters", [{}, {"scheme": 9}])
def test_a_missing_or_nameless_code_is_unknown_not_fine(parameters):
    net = network("Pad", [(8, 4)], (10, 4), **parameters)
    assert codes(net) == ["AX110"]


def test_a_rule_on_the_inputs_of_a_recurrent_layer_cannot_be_judged():
    net = network("Lstm", [(1, 1, 4)] * 24, (1, 1, 8), direction=0)
    assert "AX110" in codes(net)


def test_generation_2_rules_ask_only_for_attributes_that_are_translated():
    """But for the rounding of a nearest resize, which no DLC tells."""
    table = load_operation_table()
    asked = set()
    for sdk in ("2.5", "2.25", "2.35"):
        for limit in load_sdk(sdk).limits:
            calls = [
                c for clauses in (limit.when, limit.requires) for p in clauses.parts for c in p
            ]
            if any(c.name == "fused" and not c.negated for c in calls):
                continue  # nothing is merged any more in a DLC
            names = {c.arguments[0] for c in calls if c.name in ("attr", "each")}
            asked |= {(s, n) for s in limit.subjects for n in names if limit.kind == "operation"}
    known = {
        (name, attribute)
        for operation, row in table.operations.items()
        for name in (operation, row.early)
        for attribute in row.attributes
    }
    assert asked - known == {("ResizeNearestNeighbor", "nearest_mode")}


def test_a_float_dlc_on_the_dsp_is_slow_to_start():
    (finding,) = judged(network("Softmax", [(1, 4)], (1, 4)), "2.25", "dsp").findings
    assert (finding.code, finding.node, finding.operator) == ("AX109", "net.dlc", "DLC")
    assert "2 of 2 tensors are float" in finding.reason


def test_whether_the_aip_takes_a_float_dlc_is_not_said():
    (finding,) = judged(network("Softmax", [(1, 4)], (1, 4)), "2.25", "aip").findings
    assert (finding.code, finding.verdict) == ("AX108", Verdict.UNKNOWN)


@pytest.mark.parametrize(("runtime", "found"), [("gpu", ["AX107"]), ("dsp", []), ("cpu", [])])
def test_a_quantised_dlc(runtime, found):
    net = network("Softmax", [(1, 4)], (1, 4), dtype="ufixed8")
    assert codes(net, "2.25", runtime) == found


def test_integer_tensors_are_held_against_the_types_of_the_operation():
    assert codes(network("Softmax", [(1, 4)], (1, 4), dtype="i32")) == ["AX105"]


def test_a_dimension_of_zero_is_an_error():
    (finding,) = judged(network("Softmax", [(0, 4)], (0, 4)), runtime="cpu").findings
    assert (finding.code, finding.reason) == ("AX215", "y has a dimension of 0")


def test_inputs_of_rank_3_are_disputed():
    (finding,) = judged(network("Softmax", [(1, 8, 4)], (1, 8, 4))).findings
    assert (finding.code, finding.node, finding.operator) == ("AX107", "t0", "graph input")


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "parameters", "macs"),
    [
        ("Conv2d", [IMAGE, (3, 3, 4, 8)], (1, 8, 8, 8), {}, 64 * 8 * 4 * 9),
        ("DepthWiseConv2d", [IMAGE, (3, 3, 1, 4)], IMAGE, {}, 64 * 4 * 9),
        ("TransposeConv2d", [IMAGE, (4, 4, 4, 2)], (1, 16, 16, 2), {}, 64 * 4 * 2 * 16),
        ("FullyConnected", [(2, 8), (4, 8)], (2, 4), {}, 2 * 8 * 4),
        ("MatMul", [(3, 2, 8), (3, 8, 4)], (3, 2, 4), {}, 3 * 2 * 8 * 4),
        ("MatMul", [(3, 8, 2), (3, 8, 4)], (3, 2, 4), {"transpose_in0": 1}, 3 * 2 * 8 * 4),
        ("Softmax", [IMAGE], IMAGE, {}, 0),
    ],
)
def test_multiply_adds(kind, inputs, output, parameters, macs):
    weights = (1,) if kind != "MatMul" else ()
    (node,) = judged(network(kind, inputs, output, weights, **parameters)).node_verdicts
    assert node.macs == macs


def test_nonsense_names_the_operation():
    net = network("LogSoftmax", [()], (), axis=0)
    with pytest.raises(ModelError, match=r"^node op: malformed LogSoftmax$"):
        judged(net)


def test_a_tensor_that_is_not_there_is_unknown():
    net = Network("n", (Operation("op", "Softmax", ("x",), ("y",)),), {}, (), ("y",))
    assert judged(net).counts[Verdict.UNKNOWN] == 1


def test_a_module_path_in_the_name_is_the_origin():
    operation = Operation("/net/conv/Conv", "GridSample", ("x",), ("y",))
    net = Network("n", (operation,), {"x": Tensor(IMAGE, "f32"), "y": Tensor(IMAGE, "f32")}, (), ())
    (finding,) = judged(net).findings
    assert (finding.code, finding.origin) == ("AX103", "net.conv")
