from __future__ import annotations

import pytest

from avatar_export.dlc.qnngpu_log import read_log

# Lines of onnxruntime-qnn 2.7.0 as its verbose log has them, the first with their time and colour.
TIME = "2026-01-01 10:00:00.000000000 [V:onnxruntime:, "
PASS = TIME + "qnn_execution_provider.cc:2198 GetCapabilityImpl] GetCapability pass {} (...)\n"
BEGIN = (
    TIME + "base_op_builder.cc:40 AddToModelBuilder] QNN node builder is trying to add node."
    " Onnx node name: [{}] onnx node type: [{}].\n"
)
CODE = (
    "\x1b[0;93m" + TIME + "qnn_model_wrapper.cc:565 CreateQnnNode] QNN.backendValidateOpConfig()"
    " failed for node `{}` of type `{}` with error code {}\n\x1b[m\n"
)
UNIT = TIME + "qnn_execution_provider.cc:1713 LogNodeSupport] Validation {} for {} nodes in {} :\n"
MEMBER = "\tOperator type: {} Node name: {} Node index: 0\n"
REASON = "\tREASON : {}\n"
NODE = "node_{}_of_graph".format


def unit(verdict: str, *members: int, kind: str = "OrtNodeUnit (Op)", reason: str = "") -> str:
    lines = UNIT.format(verdict, len(members), kind)
    lines += "".join(MEMBER.format("Op", NODE(number)) for number in members)
    return lines + (REASON.format(reason) if reason else "") + "\n"


def refused(number: int, operation: str, code: int) -> str:
    begin = BEGIN.format(NODE(number), "Op")
    failed = CODE.format(NODE(number), operation, code)
    return begin + failed + unit("FAILED", number, reason="Failed to add node.")


def answers(text: str) -> dict[int, tuple[str, str]]:
    return dict(read_log(text.splitlines(keepends=True)).answers)


def test_each_node_has_the_answer_of_its_own_lines() -> None:
    text = (
        unit("PASSED", 0)
        + refused(1, "ElementWiseAsin", 4005)
        + unit("FAILED", 2, reason="GridSample does not support mode bicubic")
        + refused(3, "Concat", 3110)
        + unit("PASSED", 4)
    )
    assert answers(text) == {
        0: ("accepted", ""),
        1: ("refused", "ElementWiseAsin (4005: not in the GPU package)"),
        2: ("not sent", "GridSample does not support mode bicubic"),
        3: ("refused", "Concat (3110: known, but not in this form)"),
        4: ("accepted", ""),
    }


def test_the_last_answer_counts() -> None:
    text = PASS.format(1) + unit("PASSED", 0) + PASS.format(2) + refused(0, "Resize", 3110)
    assert answers(text)[0][0] == "refused"


def test_a_moved_node_is_the_same_node() -> None:
    """The layout pass of ONNX Runtime appends to the names of the nodes that it moves."""
    assert answers(unit("FAILED", 0, reason="No.").replace("graph", "graph_token_3")) == {
        0: ("not sent", "No.")
    }


def test_nodes_that_nobody_asked_about_are_left_out() -> None:
    text = UNIT.format("PASSED", 1, "OrtNodeUnit (Transpose)") + MEMBER.format("Transpose", "")
    assert answers(text) == {}


def test_a_pattern_answers_for_all_its_nodes() -> None:
    text = unit("PASSED", 0, 1, 2, kind="GeluFusion (Erf)")
    assert answers(text) == dict.fromkeys(
        range(3), ("accepted", "as one with its neighbours (GeluFusion)")
    )


def test_a_failed_pattern_does_not_blame_the_next_node() -> None:
    text = CODE.format(NODE(0), "Gelu", 3110) + BEGIN.format(NODE(0), "Erf")
    text += unit("FAILED", 0, reason="No builder.")
    assert answers(text) == {0: ("not sent", "No builder.")}


def test_a_refusal_inside_a_branch_is_that_of_the_if() -> None:
    text = BEGIN.format(NODE(0), "If") + BEGIN.format("inner", "Asin")
    text += CODE.format("inner", "ElementWiseAsin", 4005)
    text += unit("FAILED", 0, reason="Failed to add node.")
    assert answers(text)[0] == ("refused", "ElementWiseAsin (4005: not in the GPU package)")


def test_an_unheard_of_code_is_shown_as_it_is() -> None:
    assert answers(refused(0, "Relu", 77))[0] == ("refused", "Relu (77)")


def test_boilerplate_is_left_out() -> None:
    reason = f"Operators of type `RNN` are not supported by QNN EP.RNN node `{NODE(0)}`"
    reason += " will not be assigned to QNN EP."
    expected = "Operators of type `RNN` are not supported by QNN EP."
    assert answers(unit("FAILED", 0, reason=reason)) == {0: ("not sent", expected)}


def test_circumstances_are_kept() -> None:
    text = TIME + "SetupBackend] Backend build version: v2.51.0.260929181845\n"
    text += PASS.format(1) + PASS.format(2) + BEGIN.format(NODE(7), "STFT")
    text += "\x1b[1;31m" + TIME + "GetCapabilityImpl] QNN SetupBackend failed: no\x1b[m\n"
    log = read_log(text.splitlines(keepends=True))
    assert (log.build, log.passes, log.begun) == ("2.51", 2, 7)
    assert log.problem == "QNN SetupBackend failed: no"


@pytest.mark.parametrize("text", ["", "\0\xff garbage\n" * 50, "\tREASON : of nothing\n"])
def test_garbage_holds_no_answer(text: str) -> None:
    assert answers(text) == {}
