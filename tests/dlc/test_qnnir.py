from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avatar_export.dlc import container, netd, qnnir
from avatar_export.errors import ModelError

ModelMaker = Callable[..., Path]

FRAME = """
<ir_version: 4, opset_import: ["" : 9]>
frame (
  float[1,136] pose, float[128,136] fw, float[128] fb, int64[4] shape, float[8] gain,
  float[8] shift, float[8] mean, float[8] var, float[4] scales, float[8,8,3,3] w1, float[8] b1,
  float[3,8,1,1] w2, float[8,4,4,4] wt
) => (float[1,3,8,8] rgb, float[1,3,8,8] mask, float[1,4,16,16] fine) {
  [fc] flat = Gemm<transB=1>(pose, fw, fb)
  [to4d] a = Reshape(flat, shape)
  [norm] n = BatchNormalization<epsilon=0.0>(a, gain, shift, mean, var)
  [act] l = LeakyRelu<alpha=0.2>(n)
  [up] u = Upsample<mode="nearest">(l, scales)
  [conv] c = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(u, w1, b1)
  [up_skip] s = Upsample<mode="nearest">(a, scales)
  [add] d = Add(c, s)
  [head] h = Conv<kernel_shape=[1,1]>(d, w2)
  [tanh] rgb = Tanh(h)
  [sigmoid] mask = Sigmoid(h)
  [deconv] fine = ConvTranspose<kernel_shape=[4,4], pads=[1,1,1,1], strides=[2,2]>(d, wt)
}
"""
WEIGHTS = "fw fb gain shift mean var w1 b1 w2 wt"


@pytest.fixture
def frame_model(save_model: ModelMaker) -> Path:
    """A frame generator in miniature, opset 9, with epsilon-0 BatchNormalization and Upsample."""
    import onnx
    from onnx import numpy_helper

    path = save_model(FRAME, WEIGHTS)
    model = onnx.load(path)
    constants = {"shape": np.array([1, 8, 4, 4]), "scales": np.array([1, 1, 2, 2], np.float32)}
    for name, value in constants.items():
        model.graph.input.remove(next(i for i in model.graph.input if i.name == name))
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    variance = next(t for t in model.graph.initializer if t.name == "var")
    variance.CopyFrom(numpy_helper.from_array(np.arange(1, 9, dtype=np.float32) ** 2, "var"))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


def graph_of(data: bytes) -> netd.DlcGraph:
    return netd.read_graph(container.read_members(data)["model"])


def convert(model: Path, tmp_path: Path, name: str = "work", **options: float) -> bytes:
    work = tmp_path / name
    work.mkdir()
    return qnnir.convert(model, work, **options)


def test_the_installed_library_is_found() -> None:
    writer = qnnir.find()
    assert writer is not None
    assert writer.name == "qnnir"
    assert (writer.root / "libQnnIr.so").is_file()


def test_absence_is_none(without_qnn: None) -> None:
    assert qnnir.find() is None


def test_an_opset_9_frame_graph_is_written_whole(frame_model: Path, tmp_path: Path) -> None:
    graph = graph_of(convert(frame_model, tmp_path))
    types = Counter(node.op_type for node in graph.nodes)
    del types["Transpose"]
    assert types == {
        **dict.fromkeys(["FullyConnected", "Reshape", "Batchnorm", "Prelu"], 1),
        **dict.fromkeys(["Eltwise_Binary", "TransposeConv2d"], 1),
        **dict.fromkeys(["Resize", "Conv2d", "Neuron"], 2),
    }
    assert [(t.name, t.shape) for t in graph.inputs] == [("pose", (1, 136))]
    assert {(t.name, t.shape) for t in graph.outputs} == {
        ("rgb", (1, 3, 8, 8)),
        ("mask", (1, 3, 8, 8)),
        ("fine", (1, 4, 16, 16)),
    }


def test_epsilon_zero_batch_norm_is_folded_exactly(frame_model: Path, tmp_path: Path) -> None:
    weights = container.read_members(convert(frame_model, tmp_path))["model.params.bin"]
    values = ((np.arange(8) % 17 - 8) / 8).astype(np.float32)
    scale = values / np.sqrt(np.arange(1, 9, dtype=np.float32) ** 2)
    assert scale.tobytes() in weights


def test_two_runs_give_the_same_bytes(frame_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "renamed.onnx"
    other.parent.mkdir()
    other.write_bytes(frame_model.read_bytes())
    first = container.normalise(convert(frame_model, tmp_path, "one"))
    assert first == container.normalise(convert(other, tmp_path, "two"))


# One row an operator that the graphs use beyond those of FRAME: opset, text.
OPERATORS = {
    "concat_slice": (
        9,
        """(float[1,4,8,8] x) => (float[1,4,8,8] y) {
        a = Slice<axes=[1], starts=[0], ends=[2]>(x)
        b, c = Split<axis=1, split=[2,2]>(x)
        y = Concat<axis=1>(a, c) }""",
    ),
    "pool": (
        9,
        "(float[1,4,8,8] x) => (float[1,4,4,4] y) {"
        " y = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x) }",
    ),
    "runtime_matmul": (
        9,
        "(float[1,4,8] x, float[1,8,4] m) => (float[1,4,4] y) { y = MatMul(x, m) }",
    ),
    "elementwise": (
        9,
        """(float[1,4,8,8] x, float[1,4,1,1] m) => (float[1,4,8,8] y) {
        a = Mul(x, m) b = Sub(a, x) c = Abs(b) d = Max(c, x) y = Relu(d) }""",
    ),
    "reduce_sum": (9, "(float[1,4,8,8] x) => (float[1,4,1,1] y) { y = ReduceSum<axes=[2,3]>(x) }"),
    "transpose": (
        9,
        "(float[1,4,8,8] x) => (float[1,8,8,4] y) { y = Transpose<perm=[0,2,3,1]>(x) }",
    ),
    "grid_sample": (
        16,
        "(float[1,3,8,8] x, float[1,4,4,2] uv) => (float[1,3,4,4] y)"
        ' { y = GridSample<mode="bilinear", padding_mode="border">(x, uv) }',
    ),
    "scatter": (
        16,
        "(float[1,16] x, int64[1,4] i, float[1,4] u) => (float[1,16] y)"
        ' { y = ScatterElements<axis=1, reduction="add">(x, i, u) }',
    ),
    "resize": (
        13,
        "(float[1,4,8,8] x) => (float[1,4,12,12] y) <float[4] s = {1,1,1.5,1.5}>"
        ' { y = Resize<mode="nearest", coordinate_transformation_mode="asymmetric",'
        ' nearest_mode="floor">(x,,s) }',
    ),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_our_graphs_are_taken(
    save_model: ModelMaker, tmp_path: Path, name: str
) -> None:
    opset, text = OPERATORS[name]
    model = save_model(f'<ir_version: 8, opset_import: ["" : {opset}]> g {text}')
    assert graph_of(convert(model, tmp_path)).outputs[0].name == "y"


REFUSED = """
<ir_version: 8, opset_import: ["" : 16]>
g (float[1,3,8,8] x, float[1,4,4,2] uv) => (float[1,3,4,4] y) {
  [before] r = Relu(x)
  [warp] s = GridSample<mode="bicubic">(r, uv)
  [between] t = Tanh(s)
  e = Erf(t)
  y = Sigmoid(e)
}
"""


def test_every_refused_node_is_named_with_its_reason(
    save_model: ModelMaker, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        convert(save_model(REFUSED), tmp_path)
    assert str(caught.value) == (
        "libQnnIr.so refuses 2 of 5 nodes:"
        " 'warp' (GridSample): GridSample does not support mode bicubic;"
        " 'Erf_3' (Erf): Operators of type `Erf` are not supported by QNN EP."
    )
    assert "SNPE_ROOT" in caught.value.hint


def test_a_free_dimension_is_refused_by_node(save_model: ModelMaker, tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[N,4] x) => (float[N,4] y) {'
    with pytest.raises(ModelError, match=r"'Relu_0' \(Relu\): Cannot get shape"):
        convert(save_model(text + " y = Relu(x) }"), tmp_path)


def resize(opset: int, op_type: str, mode: str, scale: float, size: int) -> str:
    return f"""
    <ir_version: 8, opset_import: ["" : {opset}]>
    g (float[1,4,8,8] x) => (float[1,4,{size},{size}] y)
    <float[4] s = {{1, 1, {scale}, {scale}}}> {{ [up] y = {op_type}<mode="{mode}">(x, s) }}
    """


@pytest.mark.parametrize(
    "text",
    [
        resize(9, "Upsample", "nearest", 1.625, 13),
        resize(10, "Resize", "nearest", 1.625, 13),
        resize(10, "Resize", "linear", 2.0, 16),
    ],
)
def test_a_resize_that_would_change_is_refused(
    save_model: ModelMaker, tmp_path: Path, text: str
) -> None:
    with pytest.raises(ModelError, match=r"would store 'up' .* another function"):
        convert(save_model(text), tmp_path)


@pytest.mark.parametrize(
    "text", [resize(9, "Upsample", "linear", 2.0, 16), resize(10, "Resize", "nearest", 2.0, 16)]
)
def test_a_resize_that_keeps_its_meaning_is_taken(
    save_model: ModelMaker, tmp_path: Path, text: str
) -> None:
    assert "Resize" in [
        node.op_type for node in graph_of(convert(save_model(text), tmp_path)).nodes
    ]


def test_an_opset_before_7_is_refused(save_model: ModelMaker, tmp_path: Path) -> None:
    text = '<ir_version: 3, opset_import: ["" : 6]> g (float[1,4] x) => (float[1,4] y) {'
    with pytest.raises(ModelError, match="opset 6"):
        convert(save_model(text + " y = Relu(x) }"), tmp_path)


def test_an_invalid_model_is_one_line(save_model: ModelMaker, tmp_path: Path) -> None:
    text = '<ir_version: 8, opset_import: ["" : 13]> g (float[1,4] x) => (float[1,4] y) {'
    with pytest.raises(ModelError, match="No Op registered for FooBar") as caught:
        convert(save_model(text + " y = FooBar(x) }"), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_crash_of_the_library_is_one_clear_error(save_model: ModelMaker, tmp_path: Path) -> None:
    # Seen with onnxruntime-qnn 2.7.0: this operator ends the process with a segmentation fault.
    text = '<ir_version: 8, opset_import: ["" : 9]> g (float[1,4] x) => (float[1,4] y) {'
    with pytest.raises(ModelError, match=r"libQnnIr\.so (crashed with SIG|refuses 1 of 1)"):
        convert(save_model(text + " y = RandomNormalLike(x) }"), tmp_path)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.abort()", "crashed with SIGABRT"),
        ("import time; time.sleep(60)", "did not finish in time"),
        ("raise SystemExit('no such device')", "ended with status 1: no such device"),
        ("", "did not take the model as one graph"),
    ],
)
def test_every_bad_end_of_the_child_is_one_clear_error(
    conv_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, words: str
) -> None:
    monkeypatch.setattr(qnnir, "_CHILD", (sys.executable, "-c", code))
    with pytest.raises(ModelError, match=words):
        convert(conv_model, tmp_path, timeout=3.0)


# A child that runs the real one, then changes what it left behind.
TAMPER = """
import json, sys
from pathlib import Path
from avatar_export.dlc.qnnir_child import write
model, folder = map(Path, sys.argv[1:])
write(model, folder)
path = folder / "qnn_op_trace.json"
trace = json.loads(path.read_text())
{change}
path.write_text(json.dumps(trace))
"""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("trace['subgraph_traces'][0]['op_mappings'].pop(1)", "left 1 nodes out .*: 'conv'"),
        (
            "trace['subgraph_traces'][0]['op_mappings'][1]['dst_name'] = 'gone'",
            "left 1 nodes out .*: 'gone'",
        ),
        ("trace['summary']['qnn_subgraphs'] = 2", "as one graph"),
        ("trace['schema_version'] = 3", "has schema 3, not 2"),
        ("(folder / 'second.dlc').touch()", "wrote 2 DLC files"),
        ("next(folder.glob('*.dlc')).unlink()", "wrote 0 DLC files"),
    ],
)
def test_what_was_silently_cut_is_found(
    conv_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, words: str
) -> None:
    code = TAMPER.format(change=change)
    monkeypatch.setattr(qnnir, "_CHILD", (sys.executable, "-c", code))
    with pytest.raises(ModelError, match=words):
        convert(conv_model, tmp_path)


def test_no_id_is_left_in_the_cache_folder(
    conv_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    convert(conv_model, tmp_path)
    assert not (tmp_path / "cache").exists()
