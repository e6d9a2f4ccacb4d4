"""Records of conversions that never happened, for what reads records."""

from __future__ import annotations

from pathlib import Path

from avatar_export.conversion.record import Conversion, GraphRecord
from avatar_export.dlc import DlcRecord, IoTensor, Readers
from avatar_export.graphs.spec import TensorSpec
from avatar_export.passes.pipeline import PassRecord
from avatar_export.precision.fp16 import Fp16Report
from avatar_export.precision.parity import Parity, Tolerance
from avatar_export.whitelist.check import Judgement
from avatar_export.whitelist.finding import Finding, Severity, Verdict
from avatar_export.whitelist.targets import resolve_target

POSE = TensorSpec("pose", (1, 136), "NC", -1.0, 1.0, "key points")
MASK = TensorSpec("mask", (1, 1, 64, 64), "NCHW", 0.0, 1.0, "foreground")
PASSES = (
    PassRecord(
        "bind-inputs", "first", ("3 inputs became constants",), 9, 9, 2_000_000, 2_000_000, 0
    ),
    PassRecord("fold-batch-norm", "then | fold", (), 9, 9, 2_000_000, 2_000_000, 0.0),
    PassRecord("lower-opset", "last", ("a", "b"), 9, 7, 2_000_000, 1_000_000, 3e-7),
)
EXACT, HALF = Tolerance(max_abs=1e-4), Tolerance(psnr_db=40.0)


def finding(
    code: str = "AX103", severity: Severity = Severity.ERROR, operator: str = "Erf", node: str = "n"
) -> Finding:
    verdict = Verdict.UNSUPPORTED if severity is Severity.ERROR else Verdict.CONSTRAINED
    return Finding(code, severity, verdict, node, operator, "no such layer", "page 1", "avoid it")


def judgement(*findings: Finding, runtime: str = "gpu_float16") -> Judgement:
    return Judgement(resolve_target(None, None, runtime), findings, ())


def graph(file: str = "frame.onnx", *findings: Finding, half: bool = False) -> GraphRecord:
    return GraphRecord(
        file=file,
        title="every frame",
        inputs=(POSE,),
        outputs=(MASK,),
        opset=9,
        ir_version=4,
        nodes=7,
        passes=PASSES,
        judgement=None if half else judgement(*findings),
        fp16=Fp16Report((), 2, 0, 5, 1000, 600) if half else None,
        dlc_note="nothing writes it",
    )


def parity(
    step: str = "export",
    output: str = "mask",
    subject: str = "frame.onnx",
    max_abs: float = 1e-6,
    psnr_db: float | None = None,
    tolerance: Tolerance = EXACT,
) -> Parity:
    passed = tolerance.admits(max_abs, psnr_db)
    return Parity(step, output, subject, "PyTorch", max_abs, psnr_db, None, tolerance, passed)


def dlc(*warnings: str) -> DlcRecord:
    io = (IoTensor("input", "pose", "pose", (1, 136), "NF", "float32"),)
    readers = Readers("2.5", "as its release notes say", "use another SDK")
    return DlcRecord("snpe-onnx-to-dlc", "2.5.0", "2.5.0.4052", "4.0", readers, io, 9, warnings)


def conversion(*graphs: GraphRecord, parities: tuple[Parity, ...] = ()) -> Conversion:
    return Conversion(
        run="my_base, epoch 7",
        enhancer="",
        image_size=64,
        target=resolve_target(),
        graphs=list(graphs) or [graph()],
        parity=list(parities or (parity(),)),
    )


def files_of(record: Conversion, folder: Path) -> None:
    """Write stand-ins for the files of a record."""
    for entry in record.graphs:
        (folder / entry.file).write_bytes(entry.file.encode())
        if entry.dlc_file:
            (folder / entry.dlc_file).write_bytes(entry.dlc_file.encode())
