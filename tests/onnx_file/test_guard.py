from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.errors import UserError
from avatar_export.onnx_file.guard import guard_inputs


def test_no_input_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    (tmp_path / "link.onnx").symlink_to(tmp_path / "a.onnx")
    new = tmp_path / "new"
    guard_inputs([tmp_path / "a.onnx"], [new])
    for outputs in ([tmp_path / "link.onnx"], [new, new], [tmp_path]):
        with pytest.raises(UserError, match=r"already in use|is a folder"):
            guard_inputs([tmp_path / "a.onnx"], outputs)
