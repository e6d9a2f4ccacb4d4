"""The wheel works outside the checkout: its data travels with it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib import util
from pathlib import Path

import pytest

from avatar_export import __version__
from tests.conversion.converted import BAKED_FILES, DLC_FILES, GENERIC_FILES

ROOT = Path(__file__).resolve().parent.parent


def check_output(*command: object, cwd: Path) -> str:
    # Without the checkout in PYTHONPATH, and nothing that the tests' own environment adds.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the checkout; isolated only where hatchling is not at hand."""
    folder = tmp_path_factory.mktemp("dist")
    isolation = ["--no-isolation"] if util.find_spec("hatchling") else []
    build = [sys.executable, "-m", "build", "--wheel", *isolation, "--outdir", folder, ROOT]
    check_output(*build, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a new environment that holds the wheel, and sees the dependencies of this one.

    A .pth file adds their folder; .pth files inside that folder, such as the one of an editable
    install of the checkout, are not followed.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    install = ["install", "--no-deps", "--no-index", "--quiet", wheel]
    check_output(sys.executable, "-m", "pip", "--python", python, *install, cwd=folder)
    (own,) = folder.glob("lib/python*/site-packages")
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


def test_it_holds_the_package_and_its_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for folder, inside in (("avatar_export", ""), ("layer_whitelist", "avatar_export/")):
        for path in (ROOT / folder).rglob("*"):
            place = path.relative_to(ROOT)
            cached = any(part.startswith((".", "__pycache__")) for part in place.parts)
            assert cached or path.is_dir() or f"{inside}{place.as_posix()}" in names, place
    for name in ("py.typed", "graphs/kernels/warp.cl", "graphs/kernels/warp.frag"):
        assert f"avatar_export/{name}" in names
    assert f"avatar_export-{__version__}.dist-info/licenses/LICENSE" in names


def test_it_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"avatar_export", f"avatar_export-{__version__}.dist-info"}
    assert not [name for name in names if "test" in name or "__pycache__" in name]


def test_outside_the_checkout_the_wheel_is_what_runs(installed: Path, tmp_path: Path) -> None:
    code = "import avatar_export, sys; print(avatar_export.__file__)"
    place = Path(check_output(installed / "python", "-c", code, cwd=tmp_path).strip())
    assert place.is_relative_to(installed.parent)
    said = check_output(installed / "avatar-export", "--version", cwd=tmp_path)
    assert said == f"avatar-export, version {__version__}\n"
    assert "adreno640" in check_output(installed / "avatar-export", "targets", cwd=tmp_path)
    code = "from avatar_export.resources import sample; print((sample() / 'source.png').is_file())"
    assert check_output(installed / "python", "-c", code, cwd=tmp_path) == "True\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_outside_the_checkout_the_demo_runs(installed: Path, tmp_path: Path) -> None:
    program = installed / "avatar-export"
    said = check_output(program, "demo", "--out", "out", "--dlc", cwd=tmp_path)
    assert said.startswith("frame_baked.onnx fits Adreno 640")
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == GENERIC_FILES | BAKED_FILES | DLC_FILES | {"enhance.onnx"}
