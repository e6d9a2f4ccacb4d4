"""Reading .onnx files that nobody vouches for: one clear line for whatever is wrong with them."""

from avatar_export.onnx_file.input_shapes import bind, parse_input
from avatar_export.onnx_file.read import read_model

__all__ = ["bind", "parse_input", "read_model"]
