"""What other files look like, and how much of a truncated model is missing."""

from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import onnx
import pytest
import torch

from avatar_export.onnx_file.lookalikes import explain
from tests.onnx_file.models import relu

MODEL = relu().SerializeToString()
GRAPH = onnx.ModelProto(ir_version=8, graph=relu().graph).SerializeToString()
"""Its last field is the graph, as in most files that were not downloaded whole."""


def zipped(name: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, b"content")
    return stream.getvalue()


def checkpoint() -> bytes:
    stream = io.BytesIO()
    torch.save({"weight": torch.zeros(2)}, stream)
    return stream.getvalue()


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.zeros(2))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (zipped("dlc.metadata"), "a DLC"),
        (zipped("model.params"), "a DLC"),
        (zipped("notes.txt"), "a zip archive"),
        (checkpoint(), "a PyTorch file"),
        (pickle.dumps([1, 2]), "a Python pickle"),
        (array(), "a NumPy array"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"\x1c\x00\x00\x00TFL3\x00", "a TensorFlow Lite model"),
        (b"\x1c\x00\x00\x00ORTM\x00", "an ORT model"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"\x40\0\0\0\0\0\0\0" + b'{"__metadata__"', "a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"<ir_version: 8>", "ONNX text"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b'<?xml version="1.0"?>', "XML"),
        (b"[1, 2]", "JSON"),
        (b"\xff" * 40, "damaged, or another kind of file"),
    ],
)
def test_other_files_are_named(content: bytes, kind: str) -> None:
    assert kind in explain(content)


@pytest.mark.parametrize("missing", [1, 7, len(GRAPH) // 2])
def test_missing_bytes_are_counted(missing: int) -> None:
    assert f"at least {missing} bytes are missing" in explain(GRAPH[:-missing])


@pytest.mark.parametrize("end", range(1, len(MODEL)))
def test_any_beginning_of_a_model_has_an_explanation(end: int) -> None:
    assert explain(MODEL[:end]).startswith("it is ")
