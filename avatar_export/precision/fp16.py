"""Float32 ONNX to float16, decided tensor slot by tensor slot from the operator schemas.

The usual helpers convert by operator name: they halve Resize scales (an invalid model), block
whole operators, clamp constants without a word, or name two nodes alike. Here a slot becomes half
when its schema admits it (see :mod:`avatar_export.precision.slots`), a constant that two kinds of
slot share is split, and whatever half cannot hold is an error or a finding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import onnx
import onnx.inliner
import onnx_ir as ir

from avatar_export.errors import ModelError, UserError
from avatar_export.precision.fp16_plan import has_body
from avatar_export.precision.fp16_rewrite import Rewriter
from avatar_export.precision.slots import label

if TYPE_CHECKING:
    from avatar_export.precision.fp16_rewrite import Fp16Finding

_FIRST_IR_WITH_FREE_INITIALIZERS = 4  # before it, an initializer had to be a graph input as well
_CAST_OPSET = 9  # for a model of other domains only: the first opset of that IR version
_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}


@dataclass(frozen=True)
class Fp16Report:
    """What a conversion did.

    Args:
        findings: what half loses or cannot do.
        casts_inserted: Cast nodes added, those at the network's inputs and outputs included.
        casts_removed: Cast nodes of the model that had nothing left to do.
        tensors_converted: constants (initializers and Constant nodes) now stored as half.
        bytes_before: size of the serialized float32 model.
        bytes_after: size of the serialized result.
    """

    findings: tuple[Fp16Finding, ...]
    casts_inserted: int
    casts_removed: int
    tensors_converted: int
    bytes_before: int
    bytes_after: int

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return asdict(self)


def to_fp16(
    model: onnx.ModelProto, io: Literal["float", "half"] = "float"
) -> tuple[onnx.ModelProto, Fp16Report]:
    """Convert every float32 tensor that the schemas allow to float16.

    Local functions are inlined, and initializers are taken out of the graph inputs (IR version 4
    or later). The argument is left as it was. The result passes the full ONNX checker; values
    beyond 65504 raise, nothing is clamped. Names are a function of the model alone. A float32
    island of a model that is half already is converted as well.

    Args:
        model: a valid model with its weights loaded.
        io: ``float`` keeps the network's inputs and outputs float32 behind one Cast each, ``half``
            changes their types.

    Raises:
        UserError: ``io`` is neither.
        ModelError: the model is invalid, has nothing to convert, holds a constant that half
            cannot, or uses what this conversion refuses (named in the message).
    """
    if io not in ("float", "half"):
        raise UserError(f"io must be float or half, not {io!r}")
    prepared = _prepare(model)
    boundary = ir.DataType.FLOAT if io == "float" else ir.DataType.FLOAT16
    rewriter = Rewriter(prepared, boundary)
    rewriter.rewrite()
    result = ir.to_proto(prepared)
    _check(result, "the conversion made an invalid model, which is a defect of avatar-export")
    report = Fp16Report(
        findings=tuple(rewriter.findings),
        casts_inserted=rewriter.casts_inserted,
        casts_removed=rewriter.casts_removed,
        tensors_converted=rewriter.tensors_converted,
        bytes_before=model.ByteSize(),
        bytes_after=result.ByteSize(),
    )
    return result, report


def _prepare(model: onnx.ModelProto) -> ir.Model:
    """A checked copy of the model in the IR, without functions, every tensor typed."""
    _refuse_unsupported(model)
    _check(model, "not a valid ONNX model")
    typed = onnx.shape_inference.infer_shapes(onnx.inliner.inline_local_functions(model))
    prepared = ir.from_proto(typed)
    _refuse_nodes(prepared.graph)
    _require_types(prepared.graph)
    prepared.opset_imports.setdefault("", _CAST_OPSET)
    _free_initializers(prepared)
    return prepared


def _refuse_unsupported(model: onnx.ModelProto) -> None:
    for sparse in model.graph.sparse_initializer:
        raise ModelError(f"sparse initializer {sparse.values.name!r} cannot be converted")
    if model.training_info:
        raise ModelError("the model carries training graphs", "export it for inference")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ModelError(
                f"the data of initializer {tensor.name!r} is in another file",
                "load the model with its external data",
            )


def _check(model: onnx.ModelProto, complaint: str) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the checker and shape inference raise several unrelated types
        raise ModelError(f"{complaint}: {error}") from error


def _refuse_nodes(graph: ir.Graph) -> None:
    for node in graph.all_nodes():
        if has_body(node) and node.op_type not in _CONTROL_FLOW:
            raise ModelError(f"node {label(node)!r} ({node.op_type}) has subgraphs of its own kind")
        if any(
            attribute.type == ir.AttributeType.TYPE_PROTO for attribute in node.attributes.values()
        ):
            raise ModelError(f"node {label(node)!r} ({node.op_type}) has a type as its attribute")


def _require_types(graph: ir.Graph) -> None:
    for node in graph.all_nodes():
        for value in node.outputs:
            if value.name and value.dtype is None:
                raise ModelError(
                    f"the type of tensor {value.name!r} is not known: shape inference cannot see "
                    f"through node {label(node)!r} ({node.domain or 'ai.onnx'}::{node.op_type})",
                    "declare the tensor in the graph's value_info",
                )


def _free_initializers(model: ir.Model) -> None:
    """An initializer that is a graph input too could be fed as float32: make it a constant."""
    for graph in [model.graph, *model.graph.subgraphs()]:
        for value in [v for v in graph.inputs if v.is_initializer()]:
            graph.inputs.remove(value)
    model.ir_version = max(model.ir_version, _FIRST_IR_WITH_FREE_INITIALIZERS)
