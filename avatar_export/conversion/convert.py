"""The main job: a trained run becomes a folder of checked ONNX and DLC files."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from avatar_export.conversion import verify
from avatar_export.conversion.build import Built, build, fewest_findings, save
from avatar_export.conversion.manifest import listed_files, write_manifest
from avatar_export.conversion.options import Options
from avatar_export.conversion.person import Person, meet, spread, stand_in, torch_frames
from avatar_export.conversion.record import Conversion, GraphRecord, hash_files
from avatar_export.dlc import DlcWriter, find_writer, write_dlc
from avatar_export.errors import MissingDependency, ModelError
from avatar_export.files import npz_bytes, staged_folder
from avatar_export.graphs.bilayer import EnhanceForm, avatar_graph, enhance_graph, frame_graph
from avatar_export.graphs.export import export_onnx, run_torch
from avatar_export.graphs.spec import Graph
from avatar_export.networks.bilayer import BilayerModel, Frame
from avatar_export.networks.preprocessing import (
    load_image,
    load_keypoints,
    load_mask,
    load_poses,
    prepare_source,
)
from avatar_export.networks.run_folder import load_model
from avatar_export.precision.fp16 import to_fp16
from avatar_export.report import json_report, markdown
from avatar_export.report.pictures import contact_sheet, difference, save_png
from avatar_export.whitelist.target import Target
from avatar_export.whitelist.targets import resolve_target

Progress = Callable[[str], None]

# Frames on the contact sheet; more would not fit at a size that shows a difference.
_PICTURES = 5


@dataclass(frozen=True)
class Job:
    """A conversion whose inputs have all been read and found sound."""

    options: Options
    target: Target
    model: BilayerModel
    person: Person | None
    writer: DlcWriter | None
    writer_note: str


def prepare(options: Options, progress: Progress = lambda line: None) -> Job:
    """Read every input of a conversion.

    Raises:
        UserError, ModelError: an input is missing, damaged or does not fit the others.
        MissingDependency: DLC files were demanded and nothing can write them.
    """
    target = resolve_target(options.target, options.sdk, options.runtime)
    writer, note = _find_writer(options.dlc)
    progress("reading the run")
    model = load_model(options.run, options.enhancer, options.epoch, options.enhancer_epoch)
    person = _meet(options, model, progress) if options.source is not None else None
    return Job(options, target, model, person, writer, note)


def planned_files(job: Job) -> list[str]:
    """Names of the files that :func:`convert` would write; DLC files only as far as is certain."""
    baked = job.person is not None and job.writer is not None
    return sorted([*job.options.files(), *(["frame_baked.dlc"] if baked else [])])


def convert(options: Options, progress: Progress = lambda line: None) -> Conversion:
    """Convert a run; the folder ``options.out`` gets all files, or is left as it was.

    Files of an earlier conversion in that folder are replaced as a set.

    Args:
        options: what to convert, and for which target.
        progress: called with one line at the start of each stage.

    Returns:
        The record of everything done; :attr:`Conversion.fits` tells the verdict.

    Raises:
        UserError, ModelError, MissingDependency: as :func:`prepare`.
        ParityError: a step changed the result beyond its tolerance; nothing is written.
    """
    job = prepare(options, progress)
    with staged_folder(options.out, listed_files(options.out)) as folder:
        conversion = _Run(job, folder, progress).all()
        progress("writing the report")
        (folder / "report.json").write_text(json_report.render(conversion), encoding="utf-8")
        (folder / "report.md").write_text(markdown.render(conversion), encoding="utf-8")
        conversion.hashes = hash_files(folder)
        write_manifest(conversion, folder / "manifest.json")
    return conversion


class _Run:
    """The stages of one conversion, in order."""

    def __init__(self, job: Job, folder: Path, progress: Progress) -> None:
        self.job, self.folder, self.progress = job, folder, progress
        self.model, self.target = job.model, job.target
        self.upsample = job.options.upsample_form
        # Without a photo the graphs are still checked on numbers, those of a made-up person.
        self.person = job.person or stand_in(job.model)
        self.record = Conversion(
            run=_run_name(job.options.run, job.model.epoch),
            enhancer=_run_name(job.options.enhancer, job.model.enhancer_epoch),
            image_size=job.model.args.image_size,
            target=job.target,
        )

    def all(self) -> Conversion:
        """Every stage."""
        self._avatar()
        self._free()
        if self.model.texture_enhancer is not None:
            self._enhance()
            self._free()
        # Exported and rendered once, for the generic and for the baked form.
        frame = frame_graph(self.model, self.job.options.warp)
        exported = export_onnx(frame)
        pictures = torch_frames(self.model, self.person)
        generic = self._frame(frame, exported, pictures)
        if self.job.person is not None:
            self._baked(frame, exported, pictures, generic)
            constants = self.person.frame_constants()
            base = self.person.generated.texture.numpy()
            (self.folder / "avatar.npz").write_bytes(
                npz_bytes({**constants, "texture_before_enhancement": base})
            )
        if self.job.writer_note:
            self.record.notes.append(self.job.writer_note)
        return self.record

    def _avatar(self) -> None:
        self.progress("avatar graph")
        graph = avatar_graph(self.model)
        inputs = {s.name: self.person.avatar_inputs()[s.name] for s in graph.inputs}
        # No name for the model: it is the largest of all, and is read back from its file below.
        record = self._write(
            fewest_findings([graph], self.target, inputs, self.upsample),
            "avatar.onnx",
            "once a person",
        )
        expected = run_torch(graph, inputs)
        path = self.folder / record.file
        self.record.parity += verify.once(record, path, inputs, expected, {"texture"})
        self._dlc(record, demanded=False)

    def _enhance(self) -> None:
        self.progress("enhance graph")
        choice = self.job.options.enhance_form
        forms: list[EnhanceForm] = ["scatter", "matmul"] if choice == "auto" else [choice]
        graphs = [enhance_graph(self.model, form) for form in forms]
        inputs = self.person.enhance_inputs()
        built = fewest_findings(graphs, self.target, inputs, self.upsample)
        form = forms[graphs.index(built.graph)]
        record = self._write(built, "enhance.onnx", f"once a person, {form} form")
        expected = {"enhanced_texture": self.person.avatar.texture.numpy()}
        path = self.folder / record.file
        self.record.parity += verify.once(record, path, inputs, expected, {"enhanced_texture"})
        self._dlc(record, demanded=False)

    def _frame(
        self, graph: Graph, exported: onnx.ModelProto, pictures: list[Frame]
    ) -> verify.FrameRuns:
        self.progress("frame graph")
        constants = self._frame_constants()
        inputs = {**self.person.pose(0), **constants}
        built = build(graph, self.target, inputs, exported=exported, upsample=self.upsample)
        record = self._write(built, "frame.onnx", "every frame, any person")
        record.dlc_note = "its parameters are inputs; a DLC is made of the baked graph"
        runs = verify.FrameRuns(self.folder / record.file, self.person, constants, record)
        self.record.parity += runs.against_torch(pictures)
        return runs

    def _baked(
        self,
        graph: Graph,
        exported: onnx.ModelProto,
        pictures: list[Frame],
        generic: verify.FrameRuns,
    ) -> None:
        self.progress("baked frame graph")
        constants = self._frame_constants()
        inputs = {**self.person.pose(0), **constants}
        poses = [self.person.pose(k) for k in range(len(self.person.poses))]
        built = build(
            graph, self.target, inputs, constants, poses, exported, upsample=self.upsample
        )
        record = self._write(built, "frame_baked.onnx", "every frame, this person")
        baked = verify.FrameRuns(self.folder / record.file, self.person, {}, record)
        self.record.parity += baked.against(generic, "bake", verify.EXACT)
        self.record.parity += baked.against_torch(pictures)
        half = self._half(built, record, baked)
        self._dlc(record, demanded=True)
        in_graph = self.job.options.warp != "external"
        reference = np.concatenate([verify.on_black(frame, in_graph) for frame in pictures])
        self._pictures(reference, baked, half)

    def _half(self, built: Built, record: GraphRecord, baked: verify.FrameRuns) -> verify.FrameRuns:
        self.progress("half precision")
        model, report = to_fp16(built.model)
        half = GraphRecord(
            file="frame_baked.fp16.onnx",
            title="every frame, this person, half precision",
            inputs=record.inputs,
            outputs=record.outputs,
            opset=record.opset,
            ir_version=model.ir_version,
            nodes=len(model.graph.node),
            passes=record.passes,
            fp16=report,
        )
        half.dlc_note = "SNPE halves the float32 DLC itself in its half-precision modes"
        self._save(model, half)
        runs = verify.FrameRuns(self.folder / half.file, self.person, {}, half)
        self.record.parity += runs.against(baked, "fp16", verify.HALF)
        self.record.parity += runs.composed_against(baked, "fp16 picture", verify.COMPOSED_HALF)
        return runs

    def _frame_constants(self) -> dict[str, np.ndarray]:
        constants = self.person.frame_constants()
        if self.job.options.warp == "external":
            del constants["texture"]
        return constants

    def _write(self, built: Built, file: str, title: str) -> GraphRecord:
        record = built.record(file, title)
        self._save(built.model, record)
        return record

    def _save(self, model: onnx.ModelProto, record: GraphRecord) -> None:
        save(model, self.folder / record.file)
        self.record.graphs.append(record)

    def _free(self) -> None:
        """Return the memory of the last stage: graphs are cyclic, and hundreds of megabytes."""
        gc.collect()

    def _dlc(self, record: GraphRecord, demanded: bool) -> None:
        """Write a DLC next to an ONNX file; the frame's is demanded, the others are if they fit."""
        judgement = record.judgement
        assert judgement is not None
        errors = judgement.errors
        if self.job.writer is None:
            record.dlc_note = self.job.writer_note
            return
        if errors and not demanded:
            target = judgement.target
            record.dlc_note = (
                f"{len(errors)} errors for SNPE {target.sdk} {target.runtime}, the first: "
                f"{errors[0].operator} {errors[0].node}: {errors[0].reason}"
            )
            return
        self.progress(f"DLC of {record.file}")
        self._free()
        out = self.folder / Path(record.file).with_suffix(".dlc").name
        source = self.folder / record.file
        try:
            record.dlc = write_dlc(source, out, self.job.writer, sdk_wanted=self.target.sdk)
            record.dlc_file = out.name
        except ModelError as error:
            if demanded:
                raise
            record.dlc_note = error.message

    def _pictures(
        self, reference: np.ndarray, baked: verify.FrameRuns, half: verify.FrameRuns
    ) -> None:
        """Rows of the contact sheet, from a few poses, and the sheet itself."""
        exported, halved = (
            spread(np.concatenate([frame["masked"] for frame in runs.frames]), _PICTURES)
            for runs in (baked, half)
        )
        source = self.person.source
        photo = source.image * source.mask - (1.0 - source.mask)
        psnr = min(p.psnr_db or 0.0 for p in self.record.parity if p.step == "fp16 picture")
        self.record.pictures = [
            ("source", photo[None]),
            ("PyTorch", spread(reference, _PICTURES)),
            ("exported\nfloat32", exported),
            (f"exported\nfloat16\n{psnr:.1f} dB", halved),
            ("difference\nfloat16 - float32\nx 10", difference(halved, exported)),
        ]
        save_png(contact_sheet(self.record.pictures), self.folder / "parity.png")


def _meet(options: Options, model: BilayerModel, progress: Progress) -> Person:
    """Read the photo and run the once-a-person half of the model in PyTorch."""
    assert options.source is not None and options.keypoints is not None
    image = load_image(options.source)
    mask = load_mask(options.mask, image.size) if options.mask is not None else None
    args = model.args
    source = prepare_source(
        image,
        load_keypoints(options.keypoints),
        mask,
        args.image_size,
        crop=options.crop,
        thickness=args.stickmen_thickness,
    )
    poses = load_poses(options.driving) if options.driving is not None else None
    progress("avatar of the photo, in PyTorch")
    return meet(model, source, poses)


def _find_writer(wanted: bool | None) -> tuple[DlcWriter | None, str]:
    """The DLC writer, or the reason why there is none."""
    if wanted is False:
        return None, "DLC files were not asked for"
    try:
        return find_writer(), ""
    except MissingDependency as error:
        if wanted:
            raise
        return None, f"no DLC: {error.message}; {error.hint}"


def _run_name(path: Path | None, epoch: int | None) -> str:
    return f"{path.resolve().name}, epoch {epoch}" if path is not None else ""
