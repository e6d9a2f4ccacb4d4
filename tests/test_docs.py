"""Every command and every piece of Python printed in the documents runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conversion.converted import sample_conversion

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *ROOT.glob("layer_*/*.md")])
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[tuple[str, str]]:
    """Page name and text of every fenced block of a language."""
    found = []
    for page in PAGES:
        for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == language:
                found.append((page.name, text))
    return found


def commands() -> list[tuple[str, str]]:
    """Page name and command, each command once: continued lines joined, comments cut."""
    found: dict[str, str] = {}
    for page, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            command = " ".join(line.partition("#")[0].split())
            if command:
                found.setdefault(command, page)
    return [(page, command) for command, page in found.items()]


@pytest.fixture
def workplace(tmp_path: Path, sample_folder: Path) -> Path:
    """A folder laid out as the documents assume: the sample under the names they use."""
    shutil.copytree(sample_folder / "runs" / "portrait_main", tmp_path / "runs" / "my_base")
    shutil.copytree(sample_folder / "runs" / "portrait_enhancer", tmp_path / "runs" / "my_enhancer")
    for name, source in {
        "face.png": "source.png",
        "face.npy": "keypoints.npy",
        "mask.png": "mask.png",
    }.items():
        shutil.copy(sample_folder / source, tmp_path / name)
    # One conversion stands for both: what the commands find in the file is tested elsewhere.
    for name in ("demo", "resize"):
        made = tmp_path / "build" / name
        made.mkdir(parents=True)
        shutil.copy(sample_conversion().folder / "frame_baked.onnx", made)
    return tmp_path


def run(arguments: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )


def _own(command: str) -> bool:
    return "avatar-export" in command and not command.startswith("pip ")


@pytest.mark.parametrize(("page", "command"), [c for c in commands() if _own(c[1])])
def test_command(page: str, command: str, workplace: Path) -> None:
    words = command.split()
    variables = dict(words.pop(0).split("=", 1) for word in list(words) if "=" in word[:30])
    assert words[0] == "avatar-export"
    done = run([sys.executable, "-m", "avatar_export", *words[1:]], workplace, **variables)
    assert done.returncode == 0, f"{page}: {command}\n{done.stderr}"
    assert done.stdout or "--out" in words


def test_other_commands_are_make_targets() -> None:
    """`make demo` and `make test` run in CI; here, that the Makefile knows what is printed."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    others = [command for _, command in commands() if not _own(command)]
    assert others
    for command in others:
        program, target = command.split()[:2]
        assert program == "make"
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python(page: str, text: str, workplace: Path) -> None:
    done = run([sys.executable, "-c", text], workplace)
    assert done.returncode == 0, f"{page}\n{done.stderr}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
