"""Old ways to spell a model, respelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatar_export.onnx_file.soundness import messages

if TYPE_CHECKING:
    import onnx

# The first IR version in which a weight need not be an input of the graph as well.
_FREE_WEIGHTS = 4
_ALIAS = "ai.onnx"


def normalised(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model`` as passes expect it; a copy where anything has to change.

    IR 3 lists all weights among the inputs; here an input is an input only. The default domain is
    written as the empty string, never as its alias.
    """
    aliased = _is_aliased(model)
    if model.ir_version >= _FREE_WEIGHTS and not aliased:
        return model
    copy = type(model)()
    copy.CopyFrom(model)
    if aliased:
        _drop_alias(copy)
    if model.ir_version < _FREE_WEIGHTS:
        copy.ir_version = _FREE_WEIGHTS
        weights = {tensor.name for tensor in model.graph.initializer}
        fed = [value for value in model.graph.input if value.name not in weights]
        del copy.graph.input[:]
        copy.graph.input.extend(fed)
    return copy


def _is_aliased(model: onnx.ModelProto) -> bool:
    """Whether the alias is used, and the domain is not imported under both names."""
    imported = {entry.domain for entry in model.opset_import} & {"", _ALIAS}
    return len(imported) == 1 and any(part.domain == _ALIAS for part in _of_domains(model))


def _of_domains(model: onnx.ModelProto) -> list[onnx.NodeProto | onnx.OperatorSetIdProto]:
    kinds = ("NodeProto", "OperatorSetIdProto")
    return [part for part, _ in messages(model) if part.DESCRIPTOR.name in kinds]


def _drop_alias(model: onnx.ModelProto) -> None:
    for part in _of_domains(model):
        part.domain = "" if part.domain == _ALIAS else part.domain
