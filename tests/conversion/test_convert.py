from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from PIL import Image

from avatar_export.conversion import convert as stages
from avatar_export.conversion.convert import convert, planned_files, prepare
from avatar_export.conversion.options import Options
from avatar_export.errors import MissingDependency, ModelError, ParityError
from avatar_export.files import sha256
from avatar_export.graphs.warp_reference import compose, warp
from avatar_export.networks.inference_generator import identity_grid
from avatar_export.networks.preprocessing import (
    load_image,
    load_keypoints,
    load_mask,
    load_poses,
    prepare_source,
)
from avatar_export.precision.fp16 import to_fp16
from avatar_export.precision.metrics import psnr
from avatar_export.precision.runner import OnnxRunner
from avatar_export.resources import sample
from avatar_export.whitelist.check import Judgement, check
from avatar_export.whitelist.tables import load_sdk
from avatar_export.whitelist.targets import resolve_target
from tests.conversion.converted import (
    BAKED_FILES,
    DLC_FILES,
    GENERIC_FILES,
    Converted,
    photo,
    small_by_command,
)
from tests.dlc.conftest import make_sdk, without_qnn  # noqa: F401 - fixtures

Runs = tuple[Path, Path]
SdkMaker = Callable[..., Path]

# Files


def test_with_everything_given_everything_is_written(sample_made: Converted) -> None:
    assert sample_made.files == GENERIC_FILES | BAKED_FILES | DLC_FILES | {"enhance.onnx"}


def test_without_a_photo_the_generic_graphs_are_written(
    make_sdk: SdkMaker,  # noqa: F811
    small_runs: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The stand-in for an SDK writes another model's DLC, which is no reason to stop here."""
    monkeypatch.setenv("SNPE_ROOT", str(make_sdk()))
    out = tmp_path / "deep" / "out"
    record = convert(Options(small_runs[0], out))
    assert {path.name for path in out.iterdir()} == GENERIC_FILES
    assert record.frame is record.graph("frame.onnx")
    assert record.fits
    assert "input 'x'" in record.graph("avatar.onnx").dlc_note
    assert "parameters are inputs" in record.graph("frame.onnx").dlc_note


def test_a_failure_at_the_end_changes_nothing(
    small_runs: Runs,
    tmp_path: Path,
    frames_only: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("late")

    monkeypatch.setattr(stages, "write_manifest", fail)
    out = tmp_path / "out"
    out.mkdir()
    (out / "frame.onnx").write_text("old")
    with pytest.raises(RuntimeError, match="late"):
        convert(Options(small_runs[0], out, dlc=False))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["frame.onnx"]
    assert (out / "frame.onnx").read_text() == "old"


def test_files_are_readable_by_others(sample_made: Converted) -> None:
    mask = os.umask(0)
    os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in sample_made.folder.iterdir()} == {0o666 & ~mask}
    assert sample_made.folder.stat().st_mode & 0o777 == 0o777 & ~mask


def test_two_conversions_give_the_same_bytes(small_made: Converted) -> None:
    again = small_by_command()
    assert again.status == 0, again.stderr
    assert {path.name for path in again.folder.iterdir()} == small_made.files
    differing = [
        name
        for name in small_made.files
        if sha256(again.folder / name) != sha256(small_made.folder / name)
    ]
    assert differing == []


def test_no_file_names_this_machine(small_made: Converted, small_runs: Runs) -> None:
    places = (Path.cwd(), Path.home(), small_made.folder, small_runs[0].parent, sample())
    for path in small_made.folder.iterdir():
        content = path.read_bytes()
        assert [p for p in places if len(p.parts) > 1 and str(p).encode() in content] == []


@pytest.mark.parametrize("which", ["generic", "all", "no writer"])
def test_the_plan_names_the_files(
    which: str, sample_runs: Runs, sample_made: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {} if which == "generic" else {"enhancer": sample_runs[1], **photo()}
    options = Options(sample_runs[0], Path("nowhere"), dlc=False if which == "no writer" else None)
    options = Options(**{**vars(options), **given})
    planned = planned_files(prepare(options))
    expected = {
        "generic": GENERIC_FILES,
        # Whether the once-a-person graphs fit is known only when they are built.
        "all": sample_made.files - {"avatar.dlc", "enhance.dlc"},
        "no writer": sample_made.files - DLC_FILES,
    }
    assert planned == sorted(expected[which])
    assert not Path("nowhere").exists()


# The files against each other


def test_an_application_gets_the_avatar_from_the_files_alone(sample_made: Converted) -> None:
    """Photo -> avatar.onnx -> frame.onnx at the photo's pose -> enhance.onnx -> avatar.npz."""
    files, person = sample_made.folder, sample_made.person
    image = load_image(photo()["source"])
    mask = load_mask(photo()["mask"], image.size)
    source = prepare_source(image, load_keypoints(photo()["keypoints"]), mask, 128)
    given = {
        "source_image": source.image[None],
        "source_stickman": source.stickman[None],
        "source_mask": source.mask[None],
    }
    avatar = OnnxRunner(files / "avatar.onnx").run(given)
    texture = avatar.pop("texture")
    np.testing.assert_allclose(texture, person["texture_before_enhancement"], atol=1e-4)
    assert set(avatar) | {"texture", "texture_before_enhancement"} == set(person)
    for name, parameter in avatar.items():
        np.testing.assert_allclose(parameter, person[name], atol=1e-4)
    frame = OnnxRunner(files / "frame.onnx").run({"pose": source.pose[None], **avatar})
    grid = identity_grid(128).permute(0, 3, 1, 2).numpy()
    enhanced = OnnxRunner(files / "enhance.onnx").run(
        {
            "texture": texture,
            "source_uv": grid + frame["delta_uv"],
            "source_rgb": frame["rgb"],
            "source_image": given["source_image"],
            "source_mask": frame["mask"],
        }
    )
    np.testing.assert_allclose(enhanced["enhanced_texture"], person["texture"], atol=1e-4)


def test_baked_half_and_generic_frames_agree_at_every_pose(sample_made: Converted) -> None:
    files, person = sample_made.folder, sample_made.person
    constants = {name: x for name, x in person.items() if name.startswith("inf_")}
    generic, baked, half = (
        OnnxRunner(files / f"{name}.onnx") for name in ("frame", "frame_baked", "frame_baked.fp16")
    )
    worst, decibels = 0.0, []
    for pose in load_poses(sample() / "driving.npy"):
        given = {"pose": pose[None]}
        one, two, three = generic.run({**given, **constants}), baked.run(given), half.run(given)
        worst = max(worst, *(float(np.abs(one[name] - two[name]).max()) for name in one))
        images = [
            compose(x["rgb"], warp(person["texture"], x["delta_uv"]), x["mask"])
            for x in (two, three)
        ]
        decibels.append(psnr(*images, 2.0))
    assert worst <= 1e-4
    assert min(decibels) >= 40.0


def test_half_precision_model_is_half(sample_made: Converted) -> None:
    model = sample_made.model("frame_baked.fp16.onnx")
    large = [x for x in model.graph.initializer if np.prod(x.dims) > 64]
    assert {x.data_type for x in large} == {onnx.TensorProto.FLOAT16}
    assert (sample_made.folder / "frame_baked.fp16.onnx").stat().st_size < 0.55 * (
        sample_made.folder / "frame_baked.onnx"
    ).stat().st_size


def test_the_picture_shows_five_rows(sample_made: Converted) -> None:
    labels = [label.split("\n")[0] for label, _ in sample_made.record.pictures]
    assert labels == ["source", "PyTorch", "exported", "exported", "difference"]
    assert [len(images) for _, images in sample_made.record.pictures] == [1, 5, 5, 5, 5]
    with Image.open(sample_made.folder / "parity.png") as sheet:
        assert sheet.width <= 1600
        assert sheet.height > 5 * 128


def test_every_step_was_compared(sample_made: Converted) -> None:
    steps = {(p.step, p.subject, p.reference) for p in sample_made.record.parity}
    assert steps == {
        ("export", "avatar.onnx", "PyTorch"),
        ("export", "enhance.onnx", "PyTorch"),
        ("export", "frame.onnx", "PyTorch"),
        ("compose", "frame.onnx", "PyTorch"),
        ("bake", "frame_baked.onnx", "frame.onnx"),
        ("export", "frame_baked.onnx", "PyTorch"),
        ("compose", "frame_baked.onnx", "PyTorch"),
        ("fp16", "frame_baked.fp16.onnx", "frame_baked.onnx"),
        ("fp16 picture", "frame_baked.fp16.onnx", "frame_baked.onnx"),
    }
    assert all(p.passed for p in sample_made.record.parity)


# The target


def findings_of(made: Converted, sdk: str, runtime: str) -> Judgement:
    assert load_sdk(sdk).facts.export_opset == 9, "otherwise another model would be judged"
    return check(made.model("frame_baked.onnx"), resolve_target(None, sdk, runtime))


def test_baked_frame_is_clean_for_25(sample_made: Converted) -> None:
    assert sample_made.model("frame_baked.onnx").opset_import[0].version in (9, 10)
    assert findings_of(sample_made, "2.5", "gpu_float16").findings == ()
    assert sample_made.record.fits
    target = sample_made.record.target
    assert (target.name, target.sdk, target.runtime) == ("adreno640", "2.5", "gpu_float16")


def test_baked_frame_has_only_operator_versions_to_warn_of_for_143(sample_made: Converted) -> None:
    judgement = findings_of(sample_made, "1.43", "gpu_float16")
    assert judgement.errors == ()
    assert {f.code for f in judgement.warnings} == {"AX102"}


def test_sdk_235_gets_its_own_operator_set(small_made: Converted) -> None:
    wanted = load_sdk("2.35").facts.export_opset
    assert {record.opset for record in small_made.record.graphs} == {wanted}
    for record in small_made.record.graphs:
        assert small_made.model(record.file).opset_import[0].version == wanted
    assert small_made.record.frame.judgement is not None
    assert small_made.record.frame.judgement.target.sdk == "2.35"
    assert small_made.record.fits


@pytest.mark.parametrize(
    ("warp_form", "operator", "fits"), [("gather", "Gather", True), ("grid_sample", "", False)]
)
def test_the_warp_may_be_in_the_graph(
    warp_form: str,
    operator: str,
    fits: bool,
    small_runs: Runs,
    tmp_path: Path,
    frames_only: None,
) -> None:
    out = tmp_path / "out"
    options = Options(small_runs[0], out, sdk="2.35", dlc=False, warp=warp_form, **photo())  # type: ignore[arg-type]
    made = Converted(convert(options), out)
    assert made.files == (GENERIC_FILES | BAKED_FILES) - {"avatar.onnx"}
    generic, baked = (made.record.graph(f"{name}.onnx") for name in ("frame", "frame_baked"))
    assert [spec.name for spec in baked.inputs] == ["pose"]
    assert [spec.name for spec in generic.inputs[:2]] == ["pose", "texture"]
    assert [spec.name for spec in baked.outputs] == ["image", "mask"]
    operators = {node.op_type for node in made.model("frame_baked.onnx").graph.node}
    assert (operator or "GridSample") in operators
    assert baked.judgement is not None
    assert made.record.fits is fits
    assert (baked.judgement.findings == ()) is fits


# DLC


def test_dlc_stands_next_to_its_onnx(sample_made: Converted) -> None:
    for name in ("avatar", "enhance", "frame_baked"):
        record = sample_made.record.graph(f"{name}.onnx")
        assert record.dlc_file == f"{name}.dlc"
        assert record.dlc is not None
        assert [t.onnx_name for t in record.dlc.io] == [
            spec.name for spec in (*record.inputs, *record.outputs)
        ]
        with zipfile.ZipFile(sample_made.folder / record.dlc_file) as archive:
            assert archive.testzip() is None
    assert sample_made.record.graph("frame.onnx").dlc is None


def test_without_a_writer_the_report_says_so(
    without_qnn: None,  # noqa: F811
    small_runs: Runs,
    tmp_path: Path,
    frames_only: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SNPE_ROOT", "QAIRT_SDK_ROOT", "QNN_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    out = tmp_path / "out"
    record = convert(Options(small_runs[0], out, **photo()))
    assert record.fits
    assert not list(out.glob("*.dlc"))
    (note,) = record.notes
    assert note.startswith("no DLC: nothing on this machine writes DLC files; pip install")
    assert f"- {note}" in (out / "report.md").read_text()
    assert json.loads((out / "report.json").read_text())["notes"] == [note]
    with pytest.raises(MissingDependency) as caught:
        convert(Options(small_runs[0], tmp_path / "other", dlc=True))
    assert caught.value.exit_code == 3
    assert not (tmp_path / "other").exists()


def test_an_sdk_writes_the_dlc(
    make_sdk: SdkMaker,  # noqa: F811
    small_made: Converted,
    small_runs: Runs,
    tmp_path: Path,
    frames_only: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "SNPE_ROOT", str(make_sdk(golden=str(small_made.folder / "frame_baked.dlc")))
    )
    record = convert(Options(small_runs[0], tmp_path / "out", sdk="2.35", **photo()))
    dlc = record.graph("frame_baked.onnx").dlc
    assert dlc is not None
    assert (dlc.writer, dlc.writer_version) == ("snpe-onnx-to-dlc", "2.25.0")
    assert any("Expected operator version" in warning for warning in dlc.warnings)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["files"]["frame_baked.dlc"]["writer"] == "snpe-onnx-to-dlc"


def test_a_baked_frame_that_the_sdk_refuses_is_an_error(
    make_sdk: SdkMaker,  # noqa: F811
    small_runs: Runs,
    tmp_path: Path,
    frames_only: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing = 'print("ValueError: no such layer", file=sys.stderr); sys.exit(1)'
    monkeypatch.setenv("SNPE_ROOT", str(make_sdk("2.5.0", refusing)))
    out = tmp_path / "out"
    with pytest.raises(ModelError, match="no such layer"):
        convert(Options(small_runs[0], out, **photo()))
    assert not out.exists()


# Parity


def test_a_bad_half_precision_model_is_an_error(
    small_runs: Runs, tmp_path: Path, frames_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(model: onnx.ModelProto) -> object:
        half, report = to_fp16(model)
        weight = next(x for x in half.graph.initializer if len(x.dims) == 4)
        spoilt = numpy_helper.to_array(weight) * np.float16(1.5)
        weight.CopyFrom(numpy_helper.from_array(spoilt, weight.name))
        return half, report

    monkeypatch.setattr(stages, "to_fp16", spoil)
    with pytest.raises(ParityError, match=r"fp16: .* of frame_baked\.fp16\.onnx") as caught:
        convert(Options(small_runs[0], tmp_path / "out", dlc=False, **photo()))
    assert caught.value.exit_code == 4
    assert not list(tmp_path.iterdir())


# The rest


def test_into_a_folder_in_use_from_inside_the_run(
    small_runs: Runs, tmp_path: Path, frames_only: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other files stay, old ones are replaced, the run has a name, each stage is told."""
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "frame.onnx").write_text("old")
    told: list[str] = []
    monkeypatch.chdir(small_runs[0])
    record = convert(Options(Path(), tmp_path, dlc=False), told.append)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    onnx.checker.check_model(onnx.load(tmp_path / "frame.onnx"))
    assert told == ["reading the run", "frame graph", "writing the report"]
    assert record.run == "synthetic_main, epoch 1"


def test_runs_are_named_with_their_epochs(sample_made: Converted) -> None:
    assert sample_made.record.run == "portrait_main, epoch 2225"
    assert sample_made.record.enhancer == "portrait_enhancer, epoch 1225"
