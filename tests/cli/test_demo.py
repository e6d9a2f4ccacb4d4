from __future__ import annotations

from pathlib import Path

import pytest

from avatar_export.cli import cli
from tests.cli.conftest import Run


def test_it_converts_the_sample_with_everything(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = run("demo", "--dry-run", "--dlc")
    assert (said.status, said.err) == (0, "")
    files = {Path(line) for line in said.out.splitlines()}
    assert {path.parent for path in files} == {Path("build/demo")}
    assert {"enhance.onnx", "frame_baked.dlc", "parity.png"} <= {path.name for path in files}
    assert not list(tmp_path.iterdir())


def test_its_options_are_those_of_convert() -> None:
    def names(verb: str) -> set[str | None]:
        return {option.name for option in cli.commands[verb].params}

    given = {"run", "enhancer", "source", "keypoints", "mask", "driving", "crop"}
    assert names("convert") - names("demo") == given | {"epoch", "enhancer_epoch"}
    assert names("demo") <= names("convert")
