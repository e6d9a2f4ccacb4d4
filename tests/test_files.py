from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from avatar_export.errors import UserError
from avatar_export.files import sha256, staged_folder, write_atomically


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder that already holds two files."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "a.txt").write_text("old a")
    (folder / "keep.txt").write_text("kept")
    return folder


@pytest.fixture
def failing_move(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, BaseException], None]:
    """Make the move of one staged file into place raise."""

    def arm(name: str, error: BaseException) -> None:
        move = Path.replace

        def replace(self: Path, to: Path) -> Path:
            if self.name == name and ".old." not in str(self.parent) + str(to.parent):
                raise error
            return move(self, to)

        monkeypatch.setattr(Path, "replace", replace)

    return arm


def test_sha256_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_write_makes_folders_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "x.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


def test_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "x", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o644


def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def full(self: Path, to: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left"):
        write_atomically(path, b"new")
    assert contents(tmp_path) == {"x": "old"}


def test_write_below_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "file" / "y", b"1")


def test_write_over_a_folder_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_atomically(tmp_path / "folder", b"1")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_staged_files_arrive_together_and_others_stay(target: Path) -> None:
    with staged_folder(target) as staging:
        (staging / "a.txt").write_text("new a")
        (staging / "sub").mkdir()
        (staging / "sub" / "b.txt").write_text("new b")
        assert contents(target)["a.txt"] == "old a"
    assert contents(target) == {"a.txt": "new a", "keep.txt": "kept", "sub/b.txt": "new b"}
    assert list(target.parent.iterdir()) == [target]


def test_staging_makes_the_target_with_its_parents(tmp_path: Path) -> None:
    target = tmp_path / "x" / "y"
    with staged_folder(target) as staging:
        (staging / "a").write_text("1")
    assert contents(target) == {"a": "1"}


@pytest.mark.parametrize("error", [RuntimeError("body"), KeyboardInterrupt()])
def test_failing_body_changes_nothing(target: Path, error: BaseException) -> None:
    before = contents(target)
    with pytest.raises(type(error)), staged_folder(target) as staging:
        (staging / "a.txt").write_text("new a")
        raise error
    assert contents(target) == before
    assert list(target.parent.iterdir()) == [target]


def test_failing_body_makes_no_target(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staged_folder(tmp_path / "build"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failing_move_restores_what_was_there(
    target: Path, failing_move: Callable[[str, BaseException], None], error: BaseException
) -> None:
    before = contents(target)
    failing_move("z.txt", error)
    expected = UserError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), staged_folder(target) as staging:
        (staging / "a.txt").write_text("new a")
        (staging / "folder").mkdir()
        (staging / "folder" / "b.txt").write_text("moved before the failure")
        (staging / "z.txt").write_text("this one fails")
    assert contents(target) == before
    assert not (target / "folder").exists()
    assert list(target.parent.iterdir()) == [target]


def test_failing_move_restores_the_very_file_that_failed(
    target: Path, failing_move: Callable[[str, BaseException], None]
) -> None:
    failing_move("a.txt", OSError(28, "No space left on device"))
    with pytest.raises(UserError), staged_folder(target) as staging:
        (staging / "a.txt").write_text("new a")
    assert contents(target) == {"a.txt": "old a", "keep.txt": "kept"}


def test_failing_move_removes_a_target_that_was_not_there(
    tmp_path: Path, failing_move: Callable[[str, BaseException], None]
) -> None:
    failing_move("b", OSError(5, "Input/output error"))
    with pytest.raises(UserError, match="Input/output"), staged_folder(tmp_path / "t") as staging:
        (staging / "a").write_text("1")
        (staging / "b").write_text("2")
    assert list(tmp_path.iterdir()) == []


def test_target_that_is_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "build").write_text("mine")
    with pytest.raises(UserError, match="is a file"), staged_folder(tmp_path / "build"):
        pytest.fail("the body ran")
    assert contents(tmp_path) == {"build": "mine"}


def test_target_below_a_file_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot write"), staged_folder(tmp_path / "file" / "build"):
        pytest.fail("the body ran")


def test_outdated_files_go_with_the_new_ones(tmp_path: Path) -> None:
    target = tmp_path / "build"
    target.mkdir()
    for name in ("old.dlc", "kept.txt"):
        (target / name).write_text(name)
    with staged_folder(target, outdated=["old.dlc", "never.was"]) as staging:
        (staging / "new.onnx").write_text("new")
    assert {p.name for p in target.iterdir()} == {"kept.txt", "new.onnx"}


def test_outdated_files_stay_when_the_body_fails(tmp_path: Path) -> None:
    target = tmp_path / "build"
    target.mkdir()
    (target / "old.dlc").write_text("old")
    with pytest.raises(UserError, match="No space left"), staged_folder(target, ["old.dlc"]):
        raise OSError(28, "No space left on device")
    assert (target / "old.dlc").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_folder_is_filled_from_within(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a mount of its own, from where no rename leads to its parent."""
    target = tmp_path / "mount"
    target.mkdir()
    with staged_folder(target) as staging:
        assert staging.parent == target
        (staging / "a").write_text("1")
    assert [p.name for p in target.iterdir()] == ["a"]


def test_other_faults_of_the_system_are_not_called_storage(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), staged_folder(tmp_path / "build"):
        raise FileNotFoundError(2, "no such tool")
