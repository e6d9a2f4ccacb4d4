"""How fast a model is judged, from a hundred nodes to a million, and how much memory that takes.

Two kinds of graph: residual blocks of static shape, and blocks whose Reshape is computed from
shapes, as exporters write it for models of dynamic size. Beside each, in the same process on the
same model, what a user would run otherwise: onnx's checker with shape inference, and, up to
10,000 nodes, the loading of an onnxruntime session. One process a size, so that peaks are its own.

    python -m benchmarks.check_speed         # about 6 minutes; writes results/check_speed.json
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import onnx
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper

RESULT = Path(__file__).parent / "results" / "check_speed.json"
SIZES = (100, 1_000, 2_000, 10_000, 100_000, 1_000_000)
_LARGEST_SESSION = 10_000
_ROUNDS_OF_NODES = 20_000  # small models are measured several times, up to this many nodes
_CHANNELS, _SIDE, _OPSET = 16, 64, 11


def residual_blocks(nodes: int) -> ModelProto:
    """Convolution, norm, Relu, Resize, pooling and a sum, over and over, of static shape."""
    graph = _graph([1, _CHANNELS, _SIDE, _SIDE])
    weight = np.zeros((_CHANNELS, _CHANNELS, 3, 3), np.float32)
    _constants(graph, w=weight, b=weight[0, :, 0, 0], roi=np.zeros(0, np.float32))
    _constants(graph, up=np.array([1, 1, 2, 2], np.float32))
    resize = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    x = "x"
    for i in range(-(-nodes // 6)):
        _add(graph, "Conv", [x, "w", "b"], f"c{i}", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        _add(graph, "InstanceNormalization", [f"c{i}", "b", "b"], f"n{i}")
        _add(graph, "Relu", [f"n{i}"], f"r{i}")
        _add(graph, "Resize", [f"r{i}", "roi", "up"], f"u{i}", **resize)
        _add(graph, "AveragePool", [f"u{i}"], f"p{i}", kernel_shape=[2, 2], strides=[2, 2])
        _add(graph, "Add", [x, f"p{i}"], f"x{i}")
        x = f"x{i}"
    return _model(graph, x)


def computed_shapes(nodes: int) -> ModelProto:
    """Blocks of Shape, Gather, Unsqueeze, Div, Mul, Concat and the Reshape that they steer."""
    graph = _graph([1, _CHANNELS, _SIDE])
    ints = {"one": 1, "two": [2], "batch": [1], "rest": [-1]}
    _constants(graph, **{name: np.array(value, np.int64) for name, value in ints.items()})
    x = "x"
    for i in range(-(-nodes // 7)):
        _add(graph, "Shape", [x], f"s{i}")
        _add(graph, "Gather", [f"s{i}", "one"], f"g{i}", axis=0)
        _add(graph, "Unsqueeze", [f"g{i}"], f"v{i}", axes=[0])
        _add(graph, "Div", [f"v{i}", "two"], f"d{i}")
        _add(graph, "Mul", [f"d{i}", "two"], f"m{i}")
        _add(graph, "Concat", ["batch", f"m{i}", "rest"], f"k{i}", axis=0)
        _add(graph, "Reshape", [x, f"k{i}"], f"x{i}")
        x = f"x{i}"
    return _model(graph, x)


MODELS: dict[str, Callable[[int], ModelProto]] = {
    "residual blocks": residual_blocks,
    "computed shapes": computed_shapes,
}


def _graph(shape: list[int]) -> GraphProto:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    return GraphProto(name="speed", input=[x])


def _constants(graph: GraphProto, **arrays: np.ndarray) -> None:
    graph.initializer.extend(numpy_helper.from_array(array, n) for n, array in arrays.items())


def _add(graph: GraphProto, operator: str, inputs: list[str], output: str, **more: object) -> None:
    name = f"/net/block/{operator}_{output}"
    graph.node.append(helper.make_node(operator, inputs, [output], name, **more))


def _model(graph: GraphProto, result: str) -> ModelProto:
    rank = len(graph.input[0].type.tensor_type.shape.dim)  # onnx's checker wants to be told
    shape = [f"d{i}" for i in range(rank)]
    graph.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, shape))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=8)


def measure(kind: str, nodes: int) -> dict[str, float]:
    """Seconds of each way to look at one model, and megabytes before and at the peak of ours."""
    from avatar_export.whitelist.check import check
    from avatar_export.whitelist.targets import resolve_target

    target = resolve_target()
    check(MODELS[kind](10), target)
    model = MODELS[kind](nodes)
    rounds = max(1, min(9, _ROUNDS_OF_NODES // nodes))
    found = {"nodes": len(model.graph.node), "model_mb": _megabytes()}
    found["check_s"] = _median(lambda: check(model, target), rounds)
    found["peak_mb"] = _megabytes()
    found["onnx_s"] = _median(lambda: _checked_by_onnx(model), rounds)
    if nodes <= _LARGEST_SESSION:
        found["session_s"] = _median(lambda: _session(model), rounds)
    return found


def _checked_by_onnx(model: ModelProto) -> None:
    onnx.checker.check_model(model)
    onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _session(model: ModelProto) -> None:
    import onnxruntime

    onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def _median(work: Callable[[], object], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _megabytes() -> int:
    """Most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def in_child(kind: str, nodes: int) -> dict[str, float]:
    """``measure`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.check_speed", "--measure", kind, str(nodes)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def compared(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """Adds microseconds a node, growth against the size before, and ratios to the other ways."""
    before = None
    for row in rows:
        row["us_per_node"] = row["check_s"] / row["nodes"] * 1e6
        if before:
            row["growth"] = row["us_per_node"] / before["us_per_node"]
        row["against_onnx"] = row["check_s"] / row["onnx_s"]
        if "session_s" in row:
            row["against_session"] = row["check_s"] / row["session_s"]
        before = row
    return [{key: round(value, 4) for key, value in row.items()} for row in rows]


def whole_process(rounds: int) -> dict[str, float]:
    """Median seconds of one command on a model of a hundred nodes, start of Python included."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.onnx"
        onnx.save(residual_blocks(100), path)
        by_onnx = (
            "import sys, onnx; model = onnx.load(sys.argv[1]);"
            "onnx.checker.check_model(model);"
            "onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)"
        )
        session = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1])"
        commands = {
            "avatar-export check": ["-m", "avatar_export", "check", str(path)],
            "onnx.checker and shape inference": ["-c", by_onnx, str(path)],
            "onnxruntime session": ["-c", session, str(path)],
        }
        return {label: _process_seconds(command, rounds) for label, command in commands.items()}


def _process_seconds(command: list[str], rounds: int) -> float:
    def run() -> None:
        done = subprocess.run([sys.executable, *command], capture_output=True)
        assert done.returncode in (0, 1), done.stderr.decode()

    run()
    return round(_median(run, rounds), 3)


@click.command()
@click.option("--largest", default=SIZES[-1], show_default=True, help="Skip larger models.")
@click.option("--rounds", default=9, show_default=True, help="Of whole processes.")
@click.option("--measure", "single", nargs=2, type=(str, int), hidden=True)
def main(largest: int, rounds: int, single: tuple[str, int] | None) -> None:
    """Measure every size, print a table, and record it."""
    if single:
        click.echo(json.dumps(measure(*single)))
        return
    processes = whole_process(rounds)
    result: dict[str, object] = {"whole_process_s": processes}
    for label, seconds in processes.items():
        click.echo(f"{label:34} {seconds:7.3f} s")
    sizes = [size for size in SIZES if size <= largest]
    for kind in MODELS:
        rows = compared([in_child(kind, size) for size in sizes])
        result[kind] = rows
        for row in rows:
            click.echo(
                f"{kind:16} {row['nodes']:9.0f} nodes {row['check_s']:9.3f} s"
                f" {row['us_per_node']:7.1f} us/node {row['peak_mb']:7.0f} MB"
                f" {row['against_onnx']:6.2f} x onnx"
            )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
