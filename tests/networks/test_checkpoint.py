"""Reading checkpoints: every way a file can be wrong, and the ways in which it may differ."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from avatar_export.errors import ModelError, UserError
from avatar_export.networks.arguments import run_arguments
from avatar_export.networks.checkpoint import fold_spectral_norm, load_network, read_state_dict
from avatar_export.networks.inference_generator import InferenceGenerator
from avatar_export.networks.keypoints_embedder import KeypointsEmbedder

NAME = "keypoints_embedder"
KEY = "net.mlp.2.weight"

State = dict[str, Tensor]


@pytest.fixture
def checkpoint(parity_runs: tuple[Path, Path]) -> Path:
    return parity_runs[0] / "checkpoints" / f"2225_{NAME}.pth"


@pytest.fixture
def state(checkpoint: Path) -> State:
    return dict(torch.load(checkpoint, weights_only=True))


@pytest.fixture
def network(parity_runs: tuple[Path, Path]) -> KeypointsEmbedder:
    return KeypointsEmbedder(run_arguments(parity_runs[0] / "args.txt"))


@pytest.fixture
def load(tmp_path: Path, network: nn.Module) -> Callable[[State], nn.Module]:
    """Save a state dict as the official code did, and load it."""

    def save_and_load(state: State, **options: bool) -> nn.Module:
        path = tmp_path / "1_keypoints_embedder.pth"
        options = {"_use_new_zipfile_serialization": False} | options
        torch.save(OrderedDict(state), path, **options)
        load_network(network, path, NAME)
        return network

    return save_and_load


def test_weight_is_divided_by_the_stored_sigma(state: State, load: Callable[..., nn.Module]):
    """Not by the largest singular value: u and v may be anything, as training left them."""
    u = state[f"{KEY}_u"] = torch.linspace(0.1, 0.3, len(state[f"{KEY}_u"]))
    v = state[f"{KEY}_v"] = torch.linspace(-0.2, 0.4, len(state[f"{KEY}_v"]))
    original = state[f"{KEY}_orig"]
    loaded = load(state).state_dict()[KEY]
    torch.testing.assert_close(loaded, original / (u @ original @ v))


def test_convolution_weights_fold_as_a_matrix_of_output_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    original, u, v = (torch.randn(*s, generator=generator) for s in ((4, 3, 2, 2), (4,), (12,)))
    stored = {"w.weight_orig": original, "w.weight_u": u, "w.weight_v": v}
    folded = fold_spectral_norm(stored, {"w.weight": torch.empty(4, 3, 2, 2)}, "n")
    sigma = torch.einsum("o,oihw,ihw->", u, original, v.reshape(3, 2, 2))
    torch.testing.assert_close(folded["w.weight"], original / sigma)


def test_loaded_network_is_frozen_in_eval_mode(checkpoint: Path, network: nn.Module) -> None:
    network.train()
    load_network(network, checkpoint, NAME)
    assert not any(module.training for module in network.modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_checkpoint_without_spectral_norm_is_accepted(
    checkpoint: Path, network: nn.Module, load: Callable[..., nn.Module]
) -> None:
    load_network(network, checkpoint, NAME)
    plain = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    torch.testing.assert_close(load(plain).state_dict()[KEY], plain[KEY], rtol=0, atol=0)


def test_zip_format_of_newer_torch_is_accepted(
    state: State, load: Callable[..., nn.Module], checkpoint: Path, network: nn.Module
) -> None:
    load_network(network, checkpoint, NAME)
    expected = network.state_dict()[KEY].clone()
    loaded = load(state, _use_new_zipfile_serialization=True)
    assert torch.equal(loaded.state_dict()[KEY], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_widths_are_read_as_float32(
    dtype: torch.dtype, state: State, load: Callable[..., nn.Module], network: nn.Module
) -> None:
    expected = load(state).state_dict()[KEY].clone()
    loaded = load({key: tensor.to(dtype) for key, tensor in state.items()}).state_dict()[KEY]
    assert loaded.dtype == torch.float32
    assert float((loaded - expected).abs().max()) < 1e-2 * float(expected.abs().max())


def test_step_counters_may_be_absent(parity_runs: tuple[Path, Path], tmp_path: Path) -> None:
    folder = parity_runs[0]
    state = torch.load(folder / "checkpoints" / "2225_inference_generator.pth", weights_only=True)
    kept = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert len(kept) < len(state)
    torch.save(kept, tmp_path / "x.pth")
    network = InferenceGenerator(run_arguments(folder / "args.txt"))
    load_network(network, tmp_path / "x.pth", "inference_generator")


# What happens to one key (None: it is removed), and what the message must say of it.
Change = Callable[[Tensor], Tensor] | None
FAULTS: dict[str, tuple[str, Change, list[str]]] = {
    "bias missing": ("net.mlp.0.bias", None, ["net.mlp.0.bias is missing", "[32]"]),
    "weight missing": (f"{KEY}_orig", None, [f"{KEY} is missing", "[32, 32]"]),
    "u missing": (f"{KEY}_u", None, [f"{KEY}_u is missing", "[32]"]),
    "v missing": (f"{KEY}_v", None, [f"{KEY}_v is missing", "[32]"]),
    "unknown": ("net.x", lambda t: t, ["unknown key net.x", "[2, 3]"]),
    "both forms": (KEY, lambda t: t, [f"unknown key {KEY}"]),
    "rows": (f"{KEY}_orig", lambda t: t[:5], [f"{KEY}_orig", "[5, 32]", "expected [32, 32]"]),
    "transposed": ("net.mlp.0.weight_orig", lambda t: t.T, ["[136, 32]", "expected [32, 136]"]),
    "rank": (f"{KEY}_u", lambda t: t[None], [f"{KEY}_u", "[1, 32]", "expected [32]"]),
    "bias shape": ("net.mlp.6.bias", lambda t: t[1:], ["net.mlp.6.bias", "[255]", "[256]"]),
    "NaN": ("net.mlp.0.bias", lambda t: t * torch.nan, ["net.mlp.0.bias holds NaN"]),
    "infinity": (f"{KEY}_orig", lambda t: t + torch.inf, [f"{KEY}_orig holds NaN or infinity"]),
    "NaN in v": (f"{KEY}_v", lambda t: t * torch.nan, [f"{KEY}_v holds NaN"]),
    "zero weight": (f"{KEY}_orig", lambda t: t * 0, [f"spectral norm of {KEY} is 0"]),
    "zero u": (f"{KEY}_u", lambda t: t * 0, [f"spectral norm of {KEY} is 0"]),
    "overflow": (f"{KEY}_orig", lambda t: t / t.max() * 3e38, [f"spectral norm of {KEY} is inf"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_state_dict_is_refused_by_name(
    fault: str, state: State, load: Callable[..., nn.Module]
) -> None:
    key, change, words = FAULTS[fault]
    tensor = state.pop(key, torch.zeros(2, 3))
    with pytest.raises(ModelError) as caught:
        load(state if change is None else state | {key: change(tensor)})
    for word in [f"{NAME}: ", *words]:
        assert word in caught.value.message


def test_grid_off_the_pixel_centres_is_refused(
    parity_runs: tuple[Path, Path], tmp_path: Path
) -> None:
    """A grid of corners would move the final image by 0.24."""
    folder = parity_runs[0]
    state = torch.load(folder / "checkpoints" / "2225_inference_generator.pth", weights_only=True)
    axis = torch.linspace(-1, 1, 64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    state["identity_grid"] = torch.stack([x, y], dim=-1)[None]
    torch.save(state, tmp_path / "x.pth")
    network = InferenceGenerator(run_arguments(folder / "args.txt"))
    with pytest.raises(ModelError, match="inference_generator: identity_grid is off"):
        load_network(network, tmp_path / "x.pth", "inference_generator")


def test_missing_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        read_state_dict(tmp_path / "1_x.pth")


@pytest.mark.parametrize("kept", [0, 1, 30, 1000, -1])
@pytest.mark.parametrize("zipped", [False, True])
def test_truncated_file_is_refused(kept: int, zipped: bool, state: State, tmp_path: Path) -> None:
    stream = io.BytesIO()
    torch.save(state, stream, _use_new_zipfile_serialization=zipped)
    path = tmp_path / "x.pth"
    path.write_bytes(stream.getvalue()[:kept])
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3)])
def test_file_that_is_no_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_state_dict(tmp_path / "x.pth")


class Hostile:
    """Unpickling an instance makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def as_bare_pickle(content: object) -> bytes:
    return pickle.dumps(content, protocol=2)


def as_legacy(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=False)
    return stream.getvalue()


def as_zip(content: object) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream)
    return stream.getvalue()


def test_the_hostile_pickle_is_armed(tmp_path: Path) -> None:
    """Or the tests below would prove nothing."""
    pickle.loads(as_bare_pickle(Hostile(tmp_path / "mark")))
    assert (tmp_path / "mark").is_dir()


@pytest.mark.parametrize("form", [as_bare_pickle, as_legacy, as_zip])
@pytest.mark.parametrize("hidden", [False, True])
def test_hostile_pickle_is_refused_and_its_code_does_not_run(
    form: Callable[[object], bytes], hidden: bool, tmp_path: Path
) -> None:
    mark, path = tmp_path / "mark", tmp_path / "x.pth"
    bomb = Hostile(mark)
    path.write_bytes(form({"net.mlp.0.bias": torch.zeros(2), "x": bomb} if hidden else bomb))
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(path)
    assert not mark.exists()


def test_hostile_pickle_in_a_foreign_zip_is_refused(tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", as_bare_pickle(Hostile(mark)))
        archive.writestr("archive/version", "3\n")
    with pytest.raises(ModelError, match="refused"):
        read_state_dict(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(4, 4, dtype=torch.complex64),
        torch.zeros(4, 4).to_sparse(),
    ],
    ids=["complex", "sparse"],
)
def test_only_plain_tensors_are_read(tensor: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "1_net.pth"
    torch.save({"weight": tensor}, path)
    with pytest.raises(ModelError):
        read_state_dict(path)


def test_a_tensor_that_claims_terabytes_is_refused_by_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "1_net.pth"
    torch.save({"weight": torch.zeros(1, dtype=torch.float16).expand(2**20, 2**20)}, path)
    assert path.stat().st_size < 2000
    with pytest.raises(ModelError, match=r"shape \[1048576, 1048576\], expected \[4, 4\]"):
        fold_spectral_norm(read_state_dict(path), {"weight": torch.zeros(4, 4)}, "net")


def test_whole_numbers_are_taken_as_weights() -> None:
    stored = {
        "weight_orig": torch.eye(2, dtype=torch.int64) * 3,
        "weight_u": torch.tensor([1.0, 0.0]),
        "weight_v": torch.tensor([1.0, 0.0]),
    }
    folded = fold_spectral_norm(stored, {"weight": torch.zeros(2, 2)}, "net")
    torch.testing.assert_close(folded["weight"], torch.eye(2))


def test_a_negative_variance_is_refused() -> None:
    expected = {"norm.running_var": torch.ones(2)}
    with pytest.raises(ModelError, match="running_var holds negative variances"):
        fold_spectral_norm({"norm.running_var": torch.tensor([1.0, -1.0])}, expected, "net")
