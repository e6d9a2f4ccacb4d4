from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from avatar_export import __version__
from avatar_export.conversion.record import hash_files, tool_versions
from avatar_export.whitelist.finding import Severity
from tests.conversion.records import POSE, conversion, finding, graph


def test_observed_ranges_widen() -> None:
    record = graph()
    record.observe({"pose": np.array([0.25, 0.5], np.float32)})
    record.observe({"pose": np.array([-1.0, 0.0], np.float32), "mask": np.ones(1, np.float32)})
    assert record.observed == {"pose": (-1.0, 0.5), "mask": (1.0, 1.0)}
    (described,) = record.tensors((POSE,))
    assert described == {**POSE.to_dict(), "observed": [-1.0, 0.5]}


def test_a_tensor_that_was_not_seen_has_no_observed_range() -> None:
    assert graph().tensors((POSE,))[0]["observed"] is None


def test_multiply_adds_are_those_before_the_first_and_after_the_last_pass() -> None:
    assert (graph().macs_before, graph().macs_after) == (2_000_000, 1_000_000)


def test_graphs_are_found_by_file() -> None:
    one, two = graph("frame.onnx"), graph("avatar.onnx")
    assert conversion(one, two).graph("avatar.onnx") is two
    with pytest.raises(KeyError, match=r"other\.onnx"):
        conversion(one, two).graph("other.onnx")


def test_the_baked_frame_must_fit_where_there_is_one() -> None:
    bad, good = graph("frame.onnx", finding()), graph("frame_baked.onnx")
    assert conversion(bad, good).frame is good
    assert conversion(bad, good).fits
    assert conversion(bad).frame is bad
    assert not conversion(bad).fits


def test_warnings_and_other_graphs_do_not_decide() -> None:
    warned = graph("frame.onnx", finding("AX102", Severity.WARNING))
    assert conversion(graph("avatar.onnx", finding()), warned).fits


def test_versions_of_all_tools() -> None:
    versions = tool_versions()
    assert versions["avatar-export"] == __version__
    for name in ("torch", "onnx", "onnx-ir", "onnxruntime", "onnxsim", "numpy"):
        assert versions[name] == metadata.version(name)


def test_a_missing_tool_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert tool_versions()["onnxruntime-qnn"] == ""


def test_hashes_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"two")
    (tmp_path / "a").write_bytes(b"one")
    hashes = hash_files(tmp_path)
    assert list(hashes) == ["a", "b"]
    assert hashes["b"] == hashlib.sha256(b"two").hexdigest()
