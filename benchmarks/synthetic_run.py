"""Write an untrained run in the official format: random weights, any size.

No full-size run may be redistributed, so the benchmarks make one. Every layer is stored under
spectral norm with the u and v of a few power iterations, and the batch norms hold the statistics
of a random batch, so activations keep the size that training would give them and fit half
precision. args.txt holds the options that shape the networks, not those of the training.

    python benchmarks/synthetic_run.py build/synthetic            # 256 px, about 103 M parameters
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from avatar_export.networks.arguments import EnhancerArguments, RunArguments
from avatar_export.networks.bilayer import BilayerModel
from avatar_export.networks.projector import Projector
from avatar_export.networks.run_folder import BASE_NETWORKS, ENHANCER_NETWORKS, build_model

Widths = tuple[int, int]  # channels at full resolution, and the most anywhere

_POWER_ITERATIONS = 5
_CALIBRATION_POSES = 4


def write_run(
    folder: Path,
    image_size: int = 256,
    inf: Widths = (32, 256),
    emb: Widths = (64, 512),
    tex: Widths = (64, 512),
    enhancer: bool = True,
    seed: int = 0,
    *,
    enh: Widths = (64, 128),
    enh_blocks: int = 8,
    pose_width: int = 256,
) -> tuple[Path, Path | None]:
    """Write ``folder/synthetic_main`` and, if asked for, ``folder/synthetic_enhancer``.

    The defaults are the published sizes. The same sizes and seed give
    the same weights, with an enhancer or without.

    Args:
        folder: made if missing.
        image_size: in pixels; 8 doubled at least once.
        inf, emb, tex, enh: widths of the four convolutional networks.
        enhancer: also write an enhancer run.
        seed: of the weights.
        enh_blocks: residual blocks at the enhancer's bottleneck.
        pose_width: hidden width of the key points embedder.

    Returns:
        The base and the enhancer run folder.
    """
    args = _run_arguments(image_size, inf, emb, tex, pose_width)
    enhancer_args = _enhancer_arguments(image_size, enh, enh_blocks) if enhancer else None
    with torch.random.fork_rng(), torch.no_grad():
        model = build_model(args, enhancer_args)
        torch.manual_seed(seed)
        originals = {}
        for name, network in model.named_children():
            _randomise(network)
            originals[name] = _normalise(network)
        _calm(model.inference_generator.prj_inf, -1)
        _calm(model.texture_generator.prj_tex, -2)
        _calibrate(model, seed)
    base = folder / "synthetic_main"
    _write(base, 1, asdict(args), BASE_NETWORKS, model, originals)
    if enhancer_args is None:
        return base, None
    second = folder / "synthetic_enhancer"
    options = asdict(args) | asdict(enhancer_args)
    _write(second, 1, options, ENHANCER_NETWORKS, model, originals)
    return base, second


def _run_arguments(
    image_size: int, inf: Widths, emb: Widths, tex: Widths, pose_width: int
) -> RunArguments:
    return RunArguments(
        image_size=image_size,
        emb_num_channels=emb[0],
        emb_max_channels=emb[1],
        emb_output_tensor_size=8,
        tex_num_channels=tex[0],
        tex_max_channels=tex[1],
        tex_input_tensor_size=4,
        inf_num_channels=inf[0],
        inf_max_channels=inf[1],
        inf_input_tensor_size=4,
        pse_in_channels=136,
        pse_num_channels=pose_width,
        pse_num_blocks=4,
    )


def _enhancer_arguments(image_size: int, enh: Widths, blocks: int) -> EnhancerArguments:
    return EnhancerArguments(
        image_size=image_size,
        enh_num_channels=enh[0],
        enh_max_channels=enh[1],
        enh_bottleneck_tensor_size=image_size // 2,
        enh_num_blocks=blocks,
        enh_unrolling_depth=4,
    )


def _randomise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=0.2)
            assert module.bias is not None  # every layer of the model has one
            nn.init.normal_(module.bias, std=0.02)
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            nn.init.normal_(module.weight, mean=1.0, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    for name, parameter in network.named_parameters():
        if name.endswith(("pixel_feats", "gen_tex_input")):
            nn.init.normal_(parameter, std=0.3)


def _calm(projector: Projector, kind: int) -> None:
    """Bias the scale of the last norm from 1 to about 0.1.

    The heads then predict warps of some pixels and a smooth texture, as trained ones do, and not
    saturated noise, in which every rounding error shows.
    """
    last_linear = projector.fc_blocks[-1][kind][-1]  # type: ignore[index]
    scale = 0 if projector.kinds[kind] == "norm" else -1
    last_linear.bias[scale] = -0.9


def _normalise(network: nn.Module) -> dict[str, Tensor]:
    """Divide each weight by its estimated spectral norm; return what a checkpoint stores instead.

    Keys are ``<layer>.weight_orig``, ``.weight_u`` and ``.weight_v``.
    """
    stored: dict[str, Tensor] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            matrix = module.weight.flatten(1)
            u, v = _power_iterations(matrix)
            parts = {"orig": module.weight.clone(), "u": u, "v": v}
            stored |= {f"{name}.weight_{part}": tensor for part, tensor in parts.items()}
            module.weight /= torch.dot(u, torch.mv(matrix, v))
    return stored


def _power_iterations(matrix: Tensor) -> tuple[Tensor, Tensor]:
    u = nn.functional.normalize(torch.randn(matrix.shape[0]), dim=0)
    for _ in range(_POWER_ITERATIONS):
        v = nn.functional.normalize(torch.mv(matrix.t(), u), dim=0)
        u = nn.functional.normalize(torch.mv(matrix, v), dim=0)
    return u, v


def _calibrate(model: BilayerModel, seed: int) -> None:
    """Fill the batch norms with the statistics of one random batch, as the last step of training.

    The published runs use momentum 1, so their statistics are those of the last batch too.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    torch.manual_seed(seed)
    size = model.args.image_size
    frames, mask = torch.rand(2, 1, 1, 3, size, size) * 2 - 1, torch.ones(1, 1, 1, size, size)
    avatar = model.avatar(frames[0], frames[1], mask)
    model.heads(torch.rand(_CALIBRATION_POSES, 136) * 2 - 1, avatar.adaptive)
    model.eval()


def _write(
    run: Path,
    epoch: int,
    options: dict[str, object],
    networks: tuple[str, ...],
    model: BilayerModel,
    originals: dict[str, dict[str, Tensor]],
) -> None:
    checkpoints = run / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    lines = sorted(f"{key}: {value}\n" for key, value in options.items())
    (run / "args.txt").write_text("".join(lines), encoding="utf-8")
    for name in networks:
        plain = model.get_submodule(name).state_dict()
        kept = {key: value for key, value in plain.items() if f"{key}_orig" not in originals[name]}
        torch.save(
            OrderedDict(kept | originals[name]),
            checkpoints / f"{epoch}_{name}.pth",
            _use_new_zipfile_serialization=False,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the run folders go")
    parser.add_argument("--image-size", type=int, default=256, help="in pixels (default 256)")
    parser.add_argument(
        "--inf",
        type=int,
        nargs=2,
        default=(32, 256),
        metavar=("FULL", "MOST"),
        help="channels of the inference generator (default 32 256)",
    )
    parser.add_argument("--enhancer", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for run in write_run(
        options.folder,
        options.image_size,
        tuple(options.inf),
        enhancer=options.enhancer,
        seed=options.seed,
    ):
        if run is not None:
            print(run)


if __name__ == "__main__":
    main()
