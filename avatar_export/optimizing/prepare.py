"""From a file to a model that passes can rewrite, or one clear line why not."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx.shape_inference import InferenceError

from avatar_export.errors import ModelError
from avatar_export.onnx_file.normal_form import normalised
from avatar_export.onnx_file.quoting import quoted
from avatar_export.onnx_file.read import LARGEST
from avatar_export.onnx_file.soundness import messages
from avatar_export.whitelist.model.inlining import inlined


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """A model without old spellings and local functions, equal to this one.

    Raises:
        ModelError: it holds what passes would lose, has inputs of open shapes, is not valid ONNX,
            or its weights take more than 2 GB.
    """
    _require_size(model)
    _require_rewritable(model)
    _require_fixed_inputs(model)
    plain = _without_functions(normalised(model))
    _require_tensors(require_valid(plain, "the model"))
    return plain


def require_valid(model: onnx.ModelProto, what: str, hint: str = "") -> onnx.ModelProto:
    """The model with the shapes that ONNX infers.

    Raises:
        ModelError: the checker of ONNX refuses the model, or a shape that it declares.
    """
    try:
        onnx.checker.check_model(model)
        return onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, InferenceError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise ModelError(f"{what} is not valid ONNX: {first}", hint) from error


def require_comparable(model: onnx.ModelProto) -> None:
    """Raise a ModelError for a model whose results are no numbers, so that none can be compared."""
    for value in model.graph.output:
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            raise ModelError(f"output {quoted(value.name)} holds texts, not numbers")


def _require_size(model: onnx.ModelProto) -> None:
    # Not ByteSize(), which serialises, and fails beyond the limit.
    weights = sum(len(tensor.raw_data) for tensor in model.graph.initializer)
    if weights > LARGEST:
        raise ModelError(
            f"its weights take {weights / 1e9:.1f} GB; onnxsim and the checker of ONNX take 2 GB",
            "split the model, or store its weights as float16",
        )


def _require_rewritable(model: onnx.ModelProto) -> None:
    """Rewriting goes through onnx_ir, which knows neither of these."""
    if model.training_info:
        raise ModelError("the model holds training steps", "export it for inference")
    sparse = (part for part, _ in messages(model) if part.DESCRIPTOR.name == "SparseTensorProto")
    if any(True for _ in sparse):
        raise ModelError("the model holds sparse tensors", "store them as dense ones")


def _require_tensors(model: onnx.ModelProto) -> None:
    """Sequences and optional values lose their type in the shape inference of onnx_ir 1.1.0."""
    values = (part for part, _ in messages(model) if part.DESCRIPTOR.name == "ValueInfoProto")
    for value in values:
        kind = value.type.WhichOneof("value") or "tensor_type"
        if kind != "tensor_type":
            name = kind.removesuffix("_type").replace("_", " ")
            raise ModelError(
                f"value {quoted(value.name)} is of type {name}; passes carry tensors only"
            )


def _require_fixed_inputs(model: onnx.ModelProto) -> None:
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name in stored or not value.type.HasField("tensor_type"):
            continue
        if not kind.HasField("shape"):
            raise ModelError(f"input {quoted(value.name)} has no shape", _hint(value.name, "DIMS"))
        if not all(dim.HasField("dim_value") for dim in kind.shape.dim):
            dims = ",".join(map(_dim, kind.shape.dim))
            raise ModelError(
                f"input {quoted(value.name)} has open dimensions: {dims}", _hint(value.name, dims)
            )


def _hint(name: str, dims: str) -> str:
    return f"give it a fixed shape: --input {name}:{dims}, with a number for each open dimension"


def _dim(dim: onnx.TensorShapeProto.Dimension) -> str:
    return str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"


def _without_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """Local functions written out, so that passes see what they do; else the model as it is."""
    if not model.functions:
        return model
    functions = {(function.domain, function.name) for function in model.functions}
    flat = inlined(model)
    nodes = (part for part, _ in messages(flat) if part.DESCRIPTOR.name == "NodeProto")
    return model if _calls(nodes, functions) else flat


def _calls(nodes: Iterable[onnx.NodeProto], functions: set[tuple[str, str]]) -> bool:
    return any((node.domain, node.op_type) in functions for node in nodes)
