"""The official run folder: ``args.txt`` and ``checkpoints/<epoch>_<network>.pth``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from avatar_export.errors import ModelError, UserError
from avatar_export.networks.arguments import (
    EnhancerArguments,
    RunArguments,
    enhancer_arguments,
    run_arguments,
)
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.checkpoint import load_network
from avatar_export.networks.identity_embedder import IdentityEmbedder
from avatar_export.networks.inference_generator import InferenceGenerator
from avatar_export.networks.keypoints_embedder import KeypointsEmbedder
from avatar_export.networks.texture_enhancer import TextureEnhancer
from avatar_export.networks.texture_generator import TextureGenerator

BASE_NETWORKS = (
    "identity_embedder",
    "texture_generator",
    "keypoints_embedder",
    "inference_generator",
)
ENHANCER_NETWORKS = ("texture_enhancer",)


@dataclass(frozen=True)
class RunFolder:
    """One run and the epoch to read from it."""

    path: Path
    epoch: int

    @property
    def args_txt(self) -> Path:
        return self.path / "args.txt"

    def checkpoint(self, network: str) -> Path:
        return self.path / "checkpoints" / f"{self.epoch}_{network}.pth"


def find_run(path: Path, networks: tuple[str, ...], epoch: int | None = None) -> RunFolder:
    """Locate a run and choose its epoch: the given one, or the newest that is complete.

    Raises:
        UserError: the folder, the epoch, or the checkpoint of a network is missing.
    """
    folder = path / "checkpoints"
    if not folder.is_dir():
        raise UserError(
            f"{path} is no run folder: it has no checkpoints/",
            "name the folder that holds args.txt and checkpoints/<epoch>_<network>.pth",
        )
    found = _epochs(folder, networks)
    complete = sorted(e for e, names in found.items() if names == set(networks))
    if epoch is None and complete:
        return RunFolder(path, complete[-1])
    if epoch is not None and epoch in complete:
        return RunFolder(path, epoch)
    wanted = f"epoch {epoch}" if epoch is not None else "one epoch"
    missing = sorted(set(networks) - found.get(epoch if epoch is not None else -1, set()))
    have = ", ".join(str(e) for e in complete) or "no complete epoch"
    raise UserError(
        f"{folder} lacks checkpoints of {wanted} for {', '.join(missing)}",
        f"complete there: {have}; a checkpoint is named <epoch>_<network>.pth",
    )


def load_model(
    base: Path,
    enhancer: Path | None = None,
    epoch: int | None = None,
    enhancer_epoch: int | None = None,
) -> BilayerModel:
    """Read a base run and, if given, an enhancer run.

    Args:
        base: run folder with the four base networks.
        enhancer: run folder with the texture enhancer.
        epoch, enhancer_epoch: which epoch to read; the newest complete one by default.

    Raises:
        UserError: a folder, epoch or file is missing, or the two runs differ in image size.
        ModelError: arguments or checkpoints are damaged or do not fit each other.
    """
    run = find_run(base, BASE_NETWORKS, epoch)
    args = run_arguments(run.args_txt)
    model = _build(args)
    for name in BASE_NETWORKS:
        load_network(getattr(model, name), run.checkpoint(name), name)
    model.epoch = run.epoch
    if enhancer is not None:
        second = find_run(enhancer, ENHANCER_NETWORKS, enhancer_epoch)
        enhancer_args = enhancer_arguments(second.args_txt)
        if enhancer_args.image_size != args.image_size:
            raise UserError(
                f"{enhancer} was trained at {enhancer_args.image_size} px, {base} at "
                f"{args.image_size} px",
                "name the enhancer run that was trained on this base run",
            )
        model.texture_enhancer = TextureEnhancer(enhancer_args)
        load_network(
            model.texture_enhancer, second.checkpoint("texture_enhancer"), "texture_enhancer"
        )
        model.enhancer_epoch = second.epoch
    model.eval()
    return model


def _build(args: RunArguments) -> BilayerModel:
    try:
        return build_model(args, None)
    except (RuntimeError, MemoryError) as error:  # torch raises RuntimeError when memory ends
        raise ModelError("the networks that args.txt describes do not fit the memory") from error


def build_model(args: RunArguments, enhancer: EnhancerArguments | None) -> BilayerModel:
    """The networks of a run with untrained weights, in eval mode."""
    model = BilayerModel(
        args,
        identity_embedder=IdentityEmbedder(args),
        texture_generator=TextureGenerator(args),
        keypoints_embedder=KeypointsEmbedder(args),
        inference_generator=InferenceGenerator(args),
        texture_enhancer=TextureEnhancer(enhancer) if enhancer else None,
    )
    return model.eval().requires_grad_(False)


def _epochs(folder: Path, networks: tuple[str, ...]) -> dict[int, set[str]]:
    """Which of ``networks`` each epoch has; epoch -1 gathers those that any epoch has."""
    pattern = re.compile(rf"(0|[1-9]\d*)_({'|'.join(networks)})\.pth")
    found: dict[int, set[str]] = {}
    for path in folder.iterdir():
        match = pattern.fullmatch(path.name)
        if match:
            found.setdefault(int(match[1]), set()).add(match[2])
            found.setdefault(-1, set()).add(match[2])
    return {e: names for e, names in found.items() if e >= 0 or names != set(networks)}
