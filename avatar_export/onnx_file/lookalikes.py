"""What a file is that is no ONNX model: known by its first bytes, or cut short."""

from __future__ import annotations

import re

# (pattern at the start of the file, what such a file is). The first that matches counts.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (rb"PK\x03\x04.{26}[^/]{0,200}/(?:data\.pkl|version|\.format)", "it looks like a PyTorch file"),
    (rb"PK\x03\x04.{26}(?:dlc\.|model)", "it looks like a DLC, the container of SNPE"),
    (rb"PK(?:\x03\x04|\x05\x06)", "it looks like a zip archive"),
    (rb"\x1f\x8b", "it looks like a gzip archive; unpack it first"),
    (rb"\x28\xb5\x2f\xfd", "it looks like a zstd archive; unpack it first"),
    (rb"BZh|\xfd7zXZ|7z\xbc\xaf|Rar!", "it looks like an archive; unpack it first"),
    (rb"\x80[\x02-\x05]", "it looks like a Python pickle, such as a PyTorch checkpoint"),
    (rb".{4}TFL3", "it looks like a TensorFlow Lite model"),
    (rb".{4}ORTM", "it looks like an ORT model; give the .onnx that it was made from"),
    (rb"\x89HDF\r\n", "it looks like an HDF5 file, such as a Keras model"),
    (rb"\x93NUMPY", "it looks like a NumPy array"),
    (rb"GGUF", "it looks like a GGUF model"),
    (rb".{8}\{\"", "it looks like a safetensors file"),
    (rb"version https://git-lfs", "it is a Git LFS pointer; fetch the file with git lfs pull"),
    (rb"\s*<\s*ir_version", "it looks like ONNX text; onnx.parser turns that into a model"),
    (rb"(?i)\s*<(?:!doctype|html)", "it looks like a web page, as of a failed download"),
    (rb"\s*<", "it looks like XML"),
    (rb"\s*[{\[]", "it looks like JSON"),
)
_BEGINNING = 512
_LENGTH_DELIMITED = 2
_KNOWN_FIELDS = {1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26}
"""Field numbers of ModelProto (onnx.proto, IR version 14)."""


def explain(content: bytes) -> str:
    """Why the bytes are no model: what they look like, else that they are cut short."""
    beginning = content[:_BEGINNING]
    for pattern, description in _SIGNATURES:
        if re.match(pattern, beginning, re.DOTALL):
            return description
    missing = _missing_bytes(content)
    if missing:
        return f"it is truncated, at least {missing} bytes are missing"
    return "it is damaged, or another kind of file"


def _missing_bytes(content: bytes) -> int:
    """How far the last top-level field reaches beyond the end; 0 when no field does."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        if tag >> 3 not in _KNOWN_FIELDS:
            return 0
        value, position = _varint(content, position)
        if tag & 7 == _LENGTH_DELIMITED:
            position += value
    return position - len(content)


def _varint(content: bytes, position: int) -> tuple[int, int]:
    """(value, position after it) of a base-128 number; it may end one byte beyond the end."""
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    return value, position + 1
