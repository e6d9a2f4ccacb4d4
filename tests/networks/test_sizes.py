"""The full-size networks against the manifest of the original code (tests/data/README.md).

Built on torch's meta device: shapes without numbers, so nothing is computed or stored.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from avatar_export.networks.arguments import EnhancerArguments, RunArguments
from avatar_export.networks.bilayer import Avatar, BilayerModel
from avatar_export.networks.run_folder import build_model
from tests.conftest import DATA

MANIFEST: dict[str, Any] = json.loads((DATA / "bilayer_manifest.json").read_text())
NETWORKS: dict[str, Any] = MANIFEST["networks"]


def full_size(inf_num_channels: int = 32, inf_max_channels: int = 256) -> BilayerModel:
    """The published sizes; the inference generator's width as asked for."""
    args = RunArguments(
        image_size=256,
        emb_num_channels=64,
        emb_max_channels=512,
        emb_output_tensor_size=8,
        tex_num_channels=64,
        tex_max_channels=512,
        tex_input_tensor_size=4,
        inf_num_channels=inf_num_channels,
        inf_max_channels=inf_max_channels,
        inf_input_tensor_size=4,
        pse_in_channels=136,
        pse_num_channels=256,
        pse_num_blocks=4,
    )
    enhancer = EnhancerArguments(
        image_size=256,
        enh_num_channels=64,
        enh_max_channels=128,
        enh_bottleneck_tensor_size=128,
        enh_num_blocks=8,
        enh_unrolling_depth=4,
    )
    with torch.device("meta"):
        return build_model(args, enhancer)


@pytest.fixture(scope="module")
def model() -> BilayerModel:
    return full_size()


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_keys_and_shapes_equal_the_manifest(name: str, model: BilayerModel) -> None:
    state = model.get_submodule(name).state_dict()
    assert {key: list(tensor.shape) for key, tensor in state.items()} == NETWORKS[name]["keys"]


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_counts_equal_the_manifest(name: str, model: BilayerModel) -> None:
    assert parameters(model.get_submodule(name)) == NETWORKS[name]["parameters"]


@pytest.mark.parametrize("name", NETWORKS)
def test_spectral_norm_is_on_every_convolution_and_linear_layer(
    name: str, model: BilayerModel
) -> None:
    """Each such weight is stored as three tensors, in the original code's count too."""
    layers = [
        module
        for module in model.get_submodule(name).modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    network = NETWORKS[name]
    weights = {key for key in network["keys"] if key.endswith(".weight")}
    assert len(layers) == len(weights) - len(network["weights_without_spectral_norm"])
    assert network["tensors_stored"] == len(network["keys"]) + 2 * len(layers)


@pytest.mark.parametrize("variant", MANIFEST["width_variants"])
def test_width_variants_equal_the_manifest(variant: str) -> None:
    row = MANIFEST["width_variants"][variant]
    model = full_size(row["inf_num_channels"], row["inf_max_channels"])
    assert parameters(model.inference_generator.gen_inf) == row["gen_inf_params"]
    assert parameters(model.inference_generator.prj_inf) == row["prj_inf_params"]
    assert parameters(model.keypoints_embedder) == row["keypoints_embedder_params"]
    macs = macs_of_a_frame(model)
    assert macs == row["gen_inf_macs_one_frame"] + row["keypoints_embedder_macs_one_frame"]


def avatar_on_meta(model: BilayerModel) -> Avatar:
    frame, mask = (torch.empty(1, 1, c, 256, 256, device="meta") for c in (3, 1))
    return model.avatar(frame, frame, mask)


def macs_of_a_frame(model: BilayerModel) -> int:
    avatar = avatar_on_meta(model)
    with FlopCounterMode(display=False) as counter:
        model.heads(torch.empty(1, 136, device="meta"), avatar.adaptive)
    return counter.get_total_flops() // 2


def test_macs_equal_the_manifest(model: BilayerModel) -> None:
    """Counted by torch over our networks, there by hooks over the original ones."""
    macs = MANIFEST["macs"]
    with FlopCounterMode(display=False) as counter:
        avatar_on_meta(model)
    names = ("identity_embedder.net", "texture_generator.gen_tex", "texture_generator.prj_tex")
    projector = "inference_generator.prj_inf"
    expected = sum(macs["per_call"][name] for name in (*names, projector))
    # The second half of the embedder's last block is dead code there, and not run here.
    last = 8 * 8 * 64 * (64 * 9 + 128)
    assert counter.get_total_flops() // 2 == expected - last
    assert macs_of_a_frame(model) == macs["per_frame"]


def test_macs_of_the_enhancer_equal_the_manifest(model: BilayerModel) -> None:
    assert model.texture_enhancer is not None
    inputs = torch.empty(1, 6, 256, 256, device="meta")
    with FlopCounterMode(display=False) as counter:
        model.texture_enhancer.net.blocks(inputs)
    assert counter.get_total_flops() // 2 == MANIFEST["macs"]["per_call"]["texture_enhancer.net"]
