"""Holds one runtime with one model and times it when asked: a process of ``interleaved``.

    python -P runtime_child.py RUNTIME MODEL THREADS POSE OUTPUTS

It imports nothing of this project, because it also runs in the environment of the rivals. It
writes the outputs for POSE (.npy) to OUTPUTS (.npz, in the model's order) and prints a line. Then
it answers each line ``WARM_UP RUNS`` of stdin with a line of JSON: ``seconds`` of each run,
``cpu`` seconds of this process for one run, and ``others``, the share of the machine's CPU time
that other processes took meanwhile.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

Run = Callable[[], Sequence[np.ndarray]]


def onnxruntime(model: str, threads: int, pose: np.ndarray) -> Run:
    """ONNX Runtime on the CPU with all optimisations."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Threads that spin after a run would spoil the turn of the next process.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: pose}
    return lambda: session.run(None, feeds)


def openvino(model: str, threads: int, pose: np.ndarray) -> Run:
    """OpenVINO on the CPU. Its default precision is bfloat16 where the CPU has it."""
    import openvino as ov

    wanted = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    compiled = ov.Core().compile_model(model, "CPU", wanted)
    request = compiled.create_infer_request()
    return lambda: list(request.infer([pose]).values())


def mnn(model: str, threads: int, pose: np.ndarray) -> Run:
    """MNN on the CPU in its high precision, which is float32."""
    import MNN

    interpreter = MNN.Interpreter(model)
    options = {"backend": "CPU", "precision": "high", "numThread": threads}
    session = interpreter.createSession(options)
    names = ("delta_uv", "rgb", "mask")  # the session's own list is sorted by name
    order = MNN.Tensor_DimensionType_Caffe
    given = MNN.Tensor(pose.shape, MNN.Halide_Type_Float, pose, order)
    fed = interpreter.getSessionInput(session)
    outputs = [interpreter.getSessionOutput(session, name) for name in names]
    zeros = [np.zeros(x.getShape(), np.float32) for x in outputs]
    copies = [MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, order) for x in zeros]

    def run() -> list[np.ndarray]:
        fed.copyFrom(given)
        interpreter.runSession(session)
        for output, copy in zip(outputs, copies, strict=True):
            output.copyToHostTensor(copy)
        return [copy.getNumpyData() for copy in copies]

    return run


def ncnn(model: str, threads: int, pose: np.ndarray) -> Run:
    """ncnn on the CPU in float32; ``model`` is the .param file, the .bin lies beside it."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    assert net.load_param(model) == 0
    assert net.load_model(model.removesuffix(".param") + ".bin") == 0

    def run() -> list[np.ndarray]:
        extractor = net.create_extractor()
        extractor.input("in0", ncnn.Mat(pose[0]))
        return [np.array(extractor.extract(f"out{k}")[1])[None] for k in range(3)]

    return run


def litert(model: str, threads: int, pose: np.ndarray) -> Run:
    """LiteRT, whose interpreter gives everything it can to XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model, num_threads=threads)
    runner = interpreter.get_signature_runner()
    (fed,) = runner.get_input_details()
    names = sorted(runner.get_output_details())  # output_0, output_1, ...

    def run() -> list[np.ndarray]:
        found = runner(**{fed: pose})
        return [found[name] for name in names]

    return run


RUNTIMES = {f.__name__: f for f in (onnxruntime, openvino, mnn, ncnn, litert)}


def busy_seconds() -> float:
    """CPU seconds that this machine has worked since it started, time stolen by others included."""
    with open("/proc/stat") as file:  # noqa: PTH123 - read 20 times a second
        user, nice, system, _idle, _wait, *more = map(int, file.readline().split()[1:9])
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK")


def timed(run: Run, runs: int) -> dict[str, object]:
    """A block of runs, as the module says."""
    seconds = []
    busy, cpu, start = busy_seconds(), time.process_time(), time.perf_counter()
    for _ in range(runs):
        before = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - before)
    wall, own = time.perf_counter() - start, time.process_time() - cpu
    others = max(0.0, busy_seconds() - busy - own) / (wall * (os.cpu_count() or 1))
    return {"seconds": seconds, "cpu": own / runs, "others": others}


def main() -> None:
    runtime, model, threads, pose, outputs = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    run = RUNTIMES[runtime](model, int(threads), np.load(pose))
    np.savez(outputs, *run())
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        warm_up, runs = map(int, line.split())
        for _ in range(warm_up):
            run()
        print(json.dumps(timed(run, runs)), file=answers, flush=True)


if __name__ == "__main__":
    main()
