"""What a conversion was asked to do, checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from avatar_export.errors import UserError
from avatar_export.graphs.warp import WarpForm
from avatar_export.passes.goal import UpsampleForm

EnhanceChoice = Literal["auto", "scatter", "matmul"]
UpsampleChoice = Literal["auto", "resize", "deconv", "subpixel"]


@dataclass(frozen=True)
class Options:
    """Arguments of one conversion.

    Args:
        run: folder of the base run, in the official format.
        out: folder to write into.
        enhancer: folder of the enhancer run; None leaves the texture as the generator made it.
        source: photo of the person; None writes the generic graphs only.
        keypoints: 68 points (x, y) in the photo's pixels.
        mask: foreground of the photo; None takes the whole photo.
        driving: poses [N, 136] to compare frames at; None moves the source's own pose a little.
        epoch, enhancer_epoch: None takes the newest complete one.
        target, sdk, runtime: rows of layer_whitelist/; sdk and runtime override the target's.
        warp: spelling of the warp in the frame graphs.
        enhance_form: spelling of the enhancer's sampling; "auto" takes the one with fewer findings.
        upsample: form of upsampling in every graph; "auto" takes the cheapest for the target.
        dlc: True demands DLC files, False leaves them out, None writes them if this machine has a
            writer. A baked frame graph that the writer refuses is an error either way.
        crop: cut the square around the key points out of the photo, as in training.
    """

    run: Path
    out: Path
    enhancer: Path | None = None
    source: Path | None = None
    keypoints: Path | None = None
    mask: Path | None = None
    driving: Path | None = None
    epoch: int | None = None
    enhancer_epoch: int | None = None
    target: str | None = None
    sdk: str | None = None
    runtime: str | None = None
    warp: WarpForm = "external"
    enhance_form: EnhanceChoice = "auto"
    upsample: UpsampleChoice = "auto"
    dlc: bool | None = None
    crop: bool = True

    def __post_init__(self) -> None:
        choices = {"warp": WarpForm, "enhance_form": EnhanceChoice, "upsample": UpsampleChoice}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise UserError(
                    f"unknown {name} {getattr(self, name)!r}", f"known: {', '.join(get_args(kind))}"
                )
        if self.source is not None and self.keypoints is None:
            raise UserError(
                "--source needs --keypoints", "68 face points (x, y) in the photo's pixels, as .npy"
            )
        for name in ("keypoints", "mask", "driving"):
            if getattr(self, name) is not None and self.source is None:
                raise UserError(f"--{name} needs --source", "without a photo no frame is baked")
        if self.enhance_form != "auto" and self.enhancer is None:
            raise UserError("--enhance-form needs --enhancer")
        if self.out.exists() and not self.out.is_dir():
            raise UserError(f"{self.out} is a file", "name a folder with --out")

    @property
    def upsample_form(self) -> UpsampleForm | None:
        """The form of upsampling that is wanted; None for the cheapest."""
        return None if self.upsample == "auto" else self.upsample

    def files(self) -> list[str]:
        """Names of the files that this conversion writes, DLC files not counted."""
        names = ["avatar.onnx", "frame.onnx"]
        if self.enhancer is not None:
            names.append("enhance.onnx")
        if self.source is not None:
            names += ["frame_baked.onnx", "frame_baked.fp16.onnx", "avatar.npz", "parity.png"]
        return [*names, "manifest.json", "report.json", "report.md"]
