from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.checking.paths import find_models, is_dlc
from avatar_export.errors import UserError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_a_folder_stands_for_the_models_below_it(tmp_path):
    touch(tmp_path, "b.onnx", "a/x.dlc", "a/x.onnx", "a/x.txt", "onnx")
    (tmp_path / "folder.onnx").mkdir()
    found = find_models([tmp_path])
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["a/x.dlc", "a/x.onnx", "b.onnx"]


def test_a_model_named_twice_is_read_once_as_it_was_first_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.onnx", "b.onnx")
    monkeypatch.chdir(tmp_path)
    given = [Path("b.onnx"), Path("./b.onnx"), tmp_path / "b.onnx", Path()]
    assert list(map(str, find_models(given))) == ["b.onnx", "a.onnx"]


def test_a_file_of_any_name_is_taken(tmp_path):
    assert find_models([tmp_path / "gone.bin"]) == (tmp_path / "gone.bin",)


def test_a_folder_without_models_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"no \.onnx or \.dlc file"):
        find_models([tmp_path])


def test_content_tells_a_dlc_not_its_name(tmp_path):
    (tmp_path / "dlc.onnx").write_bytes(b"PK\x03\x04...")
    (tmp_path / "onnx.dlc").write_bytes(b"\x08\x08")
    assert is_dlc(tmp_path / "dlc.onnx")
    assert not is_dlc(tmp_path / "onnx.dlc")
    assert not is_dlc(tmp_path / "gone.dlc")


def test_a_folder_that_cannot_be_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, pattern: str) -> list[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rglob", denied)
    with pytest.raises(UserError, match=r"cannot look through .*: Permission denied"):
        find_models([tmp_path])
