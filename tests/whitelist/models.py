"""Models of a few lines of ONNX text, and views of their nodes."""

from __future__ import annotations

from math import prod

import onnx

from avatar_export.whitelist.view import ModelView, NodeView


def model(
    signature: str, body: str, opset: int = 11, **weights: tuple[int, ...]
) -> onnx.ModelProto:
    """Model of one graph; each keyword adds a float initializer of zeros of that shape."""
    head = f'<ir_version: 8, opset_import: ["" : {opset}]>'
    built = onnx.parser.parse_model(f"{head} g {signature} {{ {body} }}")
    for name, shape in weights.items():
        zeros = bytes(4 * prod(shape))
        built.graph.initializer.append(
            onnx.TensorProto(name=name, data_type=1, dims=shape, raw_data=zeros)
        )
    return built


def node(signature: str, body: str, opset: int = 11, **weights: tuple[int, ...]) -> NodeView:
    """View of the node that writes ``n``, else of the last node."""
    view = ModelView(model(signature, body, opset, **weights))
    return view.producers.get("n", view.nodes[-1])
