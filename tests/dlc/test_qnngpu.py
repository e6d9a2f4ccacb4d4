from __future__ import annotations

import shutil
import sys

import onnx
import pytest
from onnx import TensorProto, helper, parser

from avatar_export.dlc import qnngpu
from avatar_export.errors import MissingDependency, ModelError

needs_library = pytest.mark.skipif(
    qnngpu.find() is None or shutil.which("whereis") is None,
    reason="onnxruntime-qnn has no libQnnGpu.so on this platform, or whereis is missing",
)


def model(text: str, opset: int = 16) -> onnx.ModelProto:
    return parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')


def answers(proto: onnx.ModelProto, **options: float) -> dict[str, tuple[str, str]]:
    return {n.node: (n.answer, n.reason) for n in qnngpu.ask(proto, **options).nodes}


MIXED = """
(float[1,2,4,8,8] x, float[1,3,8,8] image, float[1,4,4,2] uv)
=> (float[2,2,4,8,8] y, float[1,3,4,4] z, float[1,3,4,4] b) {
  [first] r = Relu(x)
  a = Asin(r)
  [join] y = Concat<axis=0>(a, r)
  [warp] s = GridSample(image, uv)
  [cubic] b = GridSample<mode="bicubic">(image, uv)
  z = Sigmoid(s)
}
"""


@needs_library
def test_every_node_gets_its_answer() -> None:
    assert answers(model(MIXED)) == {
        "first": ("accepted", ""),
        "Asin_1": ("refused", "ElementWiseAsin (4005: not in the GPU package)"),
        "join": ("refused", "Concat (3110: known, but not in this form)"),
        "warp": ("accepted", ""),
        "cubic": ("not sent", "GridSample does not support mode bicubic"),
        "Sigmoid_5": ("accepted", ""),
    }


@needs_library
def test_the_version_is_that_of_package_and_backend() -> None:
    opinion = qnngpu.ask(model("(float[4] x) => (float[4] y) { y = Relu(x) }"))
    from importlib import metadata

    installed = metadata.version("onnxruntime-qnn")
    assert opinion.version.startswith(f"onnxruntime-qnn {installed}, libQnnGpu.so (QNN 2.")
    assert [node.operator for node in opinion.nodes] == ["Relu"]


@needs_library
def test_layout_sensitive_nodes_are_asked_for_themselves() -> None:
    """ONNX Runtime passes them at first sight; the library sees them channels last only."""
    text = "(float[1,4,{0},{0}] x) => (float[1,4,{1},{1}] y) <float[4] s = {{1, 1, {2}, {2}}}> {{"
    text += ' [up] y = Resize<mode="linear">(x,,s) }}'
    assert answers(model(text.format(8, 16, 2)))["up"] == ("accepted", "")
    assert answers(model(text.format(8, 1, 0.125)))["up"][0] == "refused"


@needs_library
def test_constants_are_folded_and_dropout_is_nothing() -> None:
    text = """(float[2,3,4] x) => (float[6,4] y) {
      s = Shape(x) c = Constant<value = int64[1] {0}>() n = Expand(c, c)
      d = Dropout(x) z = Reshape(d, t) y = Relu(z)
      }"""
    text = text.replace(
        "n = Expand(c, c)", "last = Gather(s, i) l = Reshape(last, one) t = Concat<axis=0>(m, l)"
    ).replace("{\n", "<int64 i = {2}, int64[1] one = {1}, int64[1] m = {-1}> {\n", 1)
    found = answers(model(text, opset=13))
    folded = [name for name, answer in found.items() if answer[0] == "not sent"]
    assert folded == ["Shape_0", "Constant_1", "Gather_2", "Reshape_3", "Concat_4"]
    assert found["Shape_0"][1].startswith("a constant")
    assert {found[name][0] for name in found.keys() - set(folded)} == {"accepted"}


@needs_library
def test_a_branch_answers_through_its_if() -> None:
    text = """(float[4] x, bool b) => (float[4] y) {
      [choose] y = If(b) <then_branch = t () => (float[4] p) { [node_0_of_graph] p = Asin(x) },
                          else_branch = e () => (float[4] q) { q = Relu(x) }>
    }"""
    assert answers(model(text)) == {
        "choose": ("refused", "ElementWiseAsin (4005: not in the GPU package)")
    }


@needs_library
def test_weights_that_are_not_there_do_not_matter() -> None:
    proto = model("(float[1,512] x) => (float[1,512] y) { [fc] y = MatMul(x, w) }")
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[512, 512])
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="gone.bin")
    proto.graph.initializer.append(weights)
    assert answers(proto) == {"fc": ("accepted", "")}


@needs_library
def test_a_free_dimension_is_not_sent() -> None:
    found = answers(model("(float[N,4] x) => (float[N,4] y) { y = Relu(x) }"))
    assert found == {"Relu_0": ("not sent", "Cannot get shape")}


@needs_library
@pytest.mark.parametrize(
    ("proto", "words"),
    [
        (model("(float[4] x) => (float[4] y) { y = FooBar(x) }"), "No Op registered for FooBar"),
        (model("(float[4] x) => (float[4] y) { [n] y = Relu(z) }"), "z"),
        (model("(float[4] x) => (float[4] y) { y = Relu(x) }", opset=99), "till opset"),
        (model("(float[4] x) => (float[4] y) { y = Relu(x) }", opset=5), "opset not being"),
        (
            parser.parse_model(
                '<ir_version: 8, opset_import: ["" : 16, "own" : 1]>'
                "g (float[4] x) => (float[4] y) { y = own.Warp(x) }"
            ),
            r"own:Warp\(-1\) is not a registered",
        ),
    ],
    ids=["unknown operator", "no such tensor", "opset 99", "opset 5", "custom operator"],
)
def test_a_model_that_does_not_load_is_one_line(proto: onnx.ModelProto, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        qnngpu.ask(proto)
    assert "\n" not in str(caught.value)
    assert "onnxruntime_src" not in str(caught.value)


@needs_library
def test_a_crash_names_the_node() -> None:
    # Seen with onnxruntime-qnn 2.7.0: this operator ends the process with a segmentation fault.
    stft = helper.make_node("STFT", ["x", "step", "", "length"], ["y"], name="spectrum")
    constants = [
        helper.make_tensor(name, TensorProto.INT64, [], [value])
        for name, value in (("step", 8), ("length", 16))
    ]
    graph = helper.make_graph(
        [stft],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 128, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 15, 9, 2])],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        found = answers(proto)
    except ModelError as error:
        assert str(error).startswith("libQnnGpu.so crashed with SIG")
        assert "'spectrum'" in str(error)
    else:
        assert set(found) == {"spectrum"}


@needs_library
def test_nothing_is_left_behind(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the empty compilers on PATH, nor files, nor an id of the user."""
    import os
    import tempfile

    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    path = os.environ["PATH"]
    answers(model(MIXED))
    assert list(folder.iterdir()) == []
    assert os.environ["PATH"] == path


def test_absence_is_told_with_the_way_out(without_qnn: None) -> None:
    assert qnngpu.find() is None
    with pytest.raises(MissingDependency, match=r"libQnnGpu\.so") as caught:
        qnngpu.ask(model(MIXED))
    assert "avatar-export[dlc]" in caught.value.hint
    assert caught.value.exit_code == 3


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library seems to be there, so that stand-ins for the child run everywhere."""
    from pathlib import Path

    monkeypatch.setattr(qnngpu, "find", lambda: Path("libQnnGpu.so"))
    monkeypatch.setattr(qnngpu, "_version", lambda log: f"stand-in {log.build}")
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def test_a_machine_without_whereis_is_told(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match="whereis"):
        qnngpu.ask(model(MIXED))


def stand_in(log: str, outcome: str, end: str = "") -> tuple[str, str, str]:
    code = (
        "import os, sys, time; from pathlib import Path; work = Path(sys.argv[2]);"
        f"(work / 'log.txt').write_text({log!r}); (work / 'outcome.json').write_text({outcome!r});"
        f"{end}"
    )
    return sys.executable, "-c", code


SETUP = "[E:onnxruntime:, x.cc:1 GetCapabilityImpl] QNN SetupBackend failed Cannot initialize\n"
FIRST_PASS = (
    "GetCapability pass 1\n Validation PASSED for 1 nodes in OrtNodeUnit (Relu) :\n"
    "\tOperator type: Relu Node name: node_0_of_graph Node index: 0\n"
)
FINE = '{"folded": [], "error": "in node_0_of_graph"}'


@pytest.mark.parametrize(
    ("child", "error", "words"),
    [
        (stand_in(SETUP, FINE), MissingDependency, "does not start: QNN SetupBackend failed"),
        (stand_in("", FINE), ModelError, "cannot hand the model .*: in 'first'|in first"),
        (stand_in("", '{"folded": [], "error": ""}'), ModelError, "says nothing of any node"),
        (stand_in(FIRST_PASS, FINE), ModelError, "a part of the model only"),
        (stand_in(FIRST_PASS, "{"), ModelError, "ended with status 0"),
        (stand_in(FIRST_PASS, "[]"), ModelError, "ended with status 0"),
        (stand_in("", "", "os.abort()"), ModelError, "crashed with SIGABRT"),
        (stand_in("", "", "time.sleep(60)"), ModelError, "did not finish in time"),
        ((sys.executable, "-c", "raise SystemExit('no')"), ModelError, "with status 1: no"),
    ],
    ids=["no backend", "error", "silence", "half", "cut", "list", "crash", "hang", "early"],
)
def test_every_bad_end_of_the_child_is_one_clear_error(
    installed: None,
    monkeypatch: pytest.MonkeyPatch,
    child: tuple[str, ...],
    error: type[Exception],
    words: str,
) -> None:
    monkeypatch.setattr(qnngpu, "_CHILD", child)
    with pytest.raises(error, match=words) as caught:
        qnngpu.ask(model(MIXED), timeout=3.0)
    assert "\n" not in str(caught.value)


def test_what_was_never_asked_is_said_to_be_so(
    installed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FIRST_PASS + "GetCapability pass 2\nBackend build version: v9.8.7\n"
    monkeypatch.setattr(qnngpu, "_CHILD", stand_in(log, '{"folded": [1], "error": ""}'))
    opinion = qnngpu.ask(model(MIXED))
    assert opinion.version == "stand-in 9.8"
    assert [node.answer for node in opinion.nodes] == ["accepted", *["not sent"] * 5]
    assert opinion.nodes[1].reason.startswith("a constant")
    assert opinion.nodes[2].reason == "ONNX Runtime removed it before it asked"
